//! The state of the simulated Webex.
//!
//! - `authorization` is a validated authorization request, with the consents of users.
//! - `browser` contains the login transactions of browsers, and `devices` the logins of devices.
//! - `resources` are the rooms, messages, and other data that a test added.
//! - `state` contains the users, integrations, codes, grants, and tokens.
//! - `tokens` rotates refresh tokens, and issues self-contained access tokens (JWTs) on request.

pub(crate) mod authorization;
pub(crate) mod browser;
pub(crate) mod devices;
pub(crate) mod resources;
pub(crate) mod state;
pub(crate) mod tokens;
