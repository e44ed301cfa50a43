//! OAuth scopes of Webex: values, lists, and documented constants.
//!
//! [`Scope`] is a single scope, and [`Scopes`] is a set of them. The constants of [`Scope`] are the
//! scopes that Webex documents.

pub(crate) mod scopes;
pub(crate) mod constants;

pub use crate::scope::scopes::{Scope, Scopes};
