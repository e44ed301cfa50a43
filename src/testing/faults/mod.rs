//! Faults: wrong responses and connections, which a test injects.
//!
//! - `token_response` and `named` are the named faults, by endpoint.
//! - `link` contains the faults in the links between pages of a list.
//! - `webex_error` contains Webex's errors in all formats.
//! - `response_override` changes parts of a response, and its delivery.
//! - `fault` is the public type. `script` stores the faults that have not occurred yet.

pub(crate) mod token_response;
pub(crate) mod named;
pub(crate) mod link;
pub(crate) mod webex_error;
pub(crate) mod response_override;
pub(crate) mod fault;
pub(crate) mod script;
