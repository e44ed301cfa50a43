//! The state of the simulated Webex.
//!
//! - `authorization` is a validated authorization request, with the consents of users.
//! - `browser` is a login in progress in a browser, and `devices` are the logins of devices.
//! - `resources` are the rooms, messages, and other data that a test added.
//! - `state` contains the users, integrations, codes, grants, and tokens.
//! - `tokens` replaces refresh tokens, and issues JWTs as access tokens.

pub(crate) mod authorization;
pub(crate) mod browser;
pub(crate) mod devices;
pub(crate) mod resources;
pub(crate) mod state;
pub(crate) mod tokens;
