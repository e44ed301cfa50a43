//! Faults: wrong responses and connections, which a test injects.
//!
//! - `token_response`, `openid`, `callback`, and `device` are the named faults, by endpoint.
//! - `webex_error` contains Webex's errors in all formats.
//! - `delivery` loses, cuts off, or delays a response. `response_override` changes its parts.
//! - `fault` is the public type. `script` stores the faults that have not occurred yet.

pub(crate) mod token_response;
pub(crate) mod openid;
pub(crate) mod callback;
pub(crate) mod device;
pub(crate) mod webex_error;
pub(crate) mod delivery;
pub(crate) mod response_override;
pub(crate) mod fault;
pub(crate) mod script;
