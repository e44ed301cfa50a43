//! Fuzz targets for input from the network, the browser, and stores. They use only the public API of the crate.
//!
//! Each target is a function of bytes that panics if the crate violates a guarantee, and returns `true` if the input was
//! accepted. The files in `targets/` pass the functions to the fuzzer. `tests/corpus.rs` runs them over the seeds in `corpus/`,
//! whose names begin with the expected outcome.
//!
//! - `fixture` contains a client with a simulated server; `response` parses the server's responses from the input.
//! - `secret_leak` checks errors and `Debug` output for secrets; `signer` signs and verifies ID tokens without the crate;
//!   `json` parses accepted input without the crate.
//! - `logins`, `identity`, `service`, `stored`, and `string_formats` contain the targets.

mod json;
mod response;
mod signer;

mod fixture;
mod secret_leak;

mod identity;
mod logins;
mod service;
mod stored;
mod string_formats;

pub use crate::identity::{id_token, id_token_claims, key_set, user_info};
pub use crate::logins::{callback, person, retry_after, token_response};
pub use crate::service::{discovery, web_finger};
pub use crate::stored::{stored_login, stored_pending, stored_tokens};
pub use crate::string_formats::{integration_id, scopes, security_context};

/// A fuzz target. It returns `true` if the input was accepted.
pub type Target = fn(&[u8]) -> bool;

/// All targets, by name.
pub const TARGETS: [(&str, Target); 16] = [
    ("callback", callback),
    ("token_response", token_response),
    ("id_token", id_token),
    ("id_token_claims", id_token_claims),
    ("key_set", key_set),
    ("user_info", user_info),
    ("discovery", discovery),
    ("web_finger", web_finger),
    ("person", person),
    ("stored_tokens", stored_tokens),
    ("stored_pending", stored_pending),
    ("stored_login", stored_login),
    ("retry_after", retry_after),
    ("integration_id", integration_id),
    ("scopes", scopes),
    ("security_context", security_context),
];
