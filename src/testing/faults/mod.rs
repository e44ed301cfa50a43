//! Faults: responses and connections that a test replaces or changes.
//!
//! - `token_response` and `named` are the named faults, by endpoint.
//! - `link` contains the faults in the links between pages of a list.
//! - `webex_error` contains Webex's errors in all formats.
//! - `response_override` changes parts of a response, and loses, delays, or cuts off its delivery.
//! - `fault` contains `Fault`, the response or connection fault that a test specifies. `script`
//!   stores the faults that have not occurred yet.

pub(crate) mod token_response;
pub(crate) mod named;
pub(crate) mod link;
pub(crate) mod webex_error;
pub(crate) mod response_override;
pub(crate) mod fault;
pub(crate) mod script;
