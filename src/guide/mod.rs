//! Chapters to read, with no code of their own.
//!
//! - [`cookies`]: where a login waits for its browser, and the `SameSite` that finds it again.
//! - [`register`]: from Webex's developer portal to the environment variables.
//! - `testing`, with that feature: a login, a denial, an expiry, a lost race and an outage, as tests of yours.
//! - [`tokens`]: which token do I have, and what do I do with it?

pub mod cookies;
pub mod register;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tokens;
