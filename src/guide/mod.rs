//! Chapters to read, with no code of their own.
//!
//! - [`register`]: from Webex's developer portal to the environment variables.

pub mod register;
