//! The guide: one chapter per task.
//!
//! - [`register`]: registration of an integration, and the environment variables.
//! - [`web`]: "Log in with Webex" in a web application.
//! - [`cookies`]: storage for pending logins, and the `SameSite` attribute.
//! - [`terminals`]: login in a local browser for terminal programs.
//! - [`devices`]: login on a device without a browser.
//! - [`tokens`]: kinds of access tokens, and stored sessions.
//! - [`api`]: calls to the Webex API.
//! - [`production`]: several processes, proxies, keys, shutdown, and alerts.
//! - `testing` (feature `testing`): tests of logins, denials, expiry, and outages.
//!
//! # Log events
//!
//! With the feature `tracing`, all spans and events have the target `webex_oauth`. They never
//! contain tokens, codes, or secrets. Events identify a session by its `key`.
//!
//! | level | events |
//! |---|---|
//! | WARN | a refresh failed, a user must log in again, or a store or setting is faulty |
//! | INFO | a session was stored, refreshed, removed, or unblocked; a login was completed (feature `axum`) |
//! | DEBUG | every step in between |
//!
//! The span `webex_oauth::request` covers one request and its repetitions. Its fields are
//! `endpoint`, `host`, `path`, `attempt`, `status`, `tracking_id`, and `elapsed_ms`. `endpoint` is
//! `exchange`, `refresh`, `device_code`, `device`, `person`, `revocation`, `keys`, `userinfo`,
//! `discovery`, or `api` for requests of a [`Session`](crate::Session) to the Webex API.

pub mod api;
pub mod cookies;
pub mod devices;
pub mod production;
pub mod register;
pub mod terminals;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tokens;
pub mod web;
