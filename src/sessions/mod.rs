//! Stored sessions: the token manager, its sessions, and their refresh.
//!
//! - `status` contains the status and the events of a session.
//! - `refresh` keeps the access tokens valid.
//! - `session` is a handle to one session: tokens, requests, status, and disconnection. `api` adds
//!   JSON requests and lists.
//! - `manager` manages all sessions of a client.
//! - `keep_alive` refreshes idle sessions before they expire.

pub(crate) mod status;
pub(crate) mod refresh;
pub(crate) mod session;
pub(crate) mod api;
pub(crate) mod manager;
pub(crate) mod keep_alive;
