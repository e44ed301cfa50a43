//! The stories of this crate, one file each: what its users see, and what holds its house together.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail as the test may")]

mod support;

mod adversity;
mod calling;
mod conformance;
mod discovery;
mod house;
mod implicit;
mod issuer;
mod keeping;
mod kept_files;
mod key_sets;
mod login;
mod meetings;
mod mock_open_id;
mod mock_webex;
mod open_id;
mod open_id_adversity;
mod outage;
mod secrets;
mod stores;
mod token_endpoint;
mod transport;
mod watching;
mod whose;
