//! The stories of this crate, one file each: what its users see, and what holds its house together.

mod support;

mod house;
mod token_endpoint;
mod transport;
