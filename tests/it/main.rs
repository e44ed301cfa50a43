//! Everything that an application can see of the crate, story by story.

mod support;
mod token_endpoint;
mod transport;
