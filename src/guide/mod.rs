//! Chapters to read, with no code of their own.
//!
//! - [`register`]: from Webex's developer portal to the environment variables.
//! - [`tokens`]: which token do I have, and what do I do with it?

pub mod register;
pub mod tokens;
