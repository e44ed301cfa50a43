//! What the crate makes of input that nobody foresaw, through its public face alone.
//!
//! Each target is a function of bytes that panics where the crate breaks a promise, and says whether the input was
//! accepted. A file of `targets/` hands it to the fuzzer; `tests/corpus.rs` runs it over the seeds of `corpus/`, whose names
//! say what becomes of them.
//!
//! - `stage` is a client whose server answers as it was told; `answer` is such an answer, written as text.
//! - `leak` holds every error against the secrets that were about; `signer` signs ID tokens, and judges them by itself; `json`
//!   reads what was accepted once more.
//! - `logins`, `identity`, `service`, `stored` and `words` are the targets.

mod answer;
mod json;
mod leak;
mod signer;
mod stage;

mod identity;
mod logins;
mod service;
mod stored;
mod words;

pub use crate::identity::{id_token, id_token_claims, key_set, user_info};
pub use crate::logins::{callback, person, retry_after, token_response};
pub use crate::service::{discovery, web_finger};
pub use crate::stored::{stored_login, stored_pending, stored_tokens};
pub use crate::words::{integration_id, scopes, security_context};

/// A target: whether the input was accepted.
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
