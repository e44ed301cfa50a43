//! Chapters to read, with no code of their own.
//!
//! - [`cookies`]: where a login waits for its browser, and the `SameSite` that finds it again.
//! - [`register`]: from Webex's developer portal to the environment variables.
//! - [`tokens`]: which token do I have, and what do I do with it?
//! - [`web`]: log in with Webex in your web application, the whole way and its traps.

pub mod cookies;
pub mod register;
pub mod tokens;
pub mod web;
