//! Chapters to read, with no code of their own.
//!
//! - [`cookies`]: where a login waits for its browser, and the `SameSite` that finds it again.
//! - [`devices`]: a login on a device without a browser, by a code.
//! - [`register`]: from Webex's developer portal to the environment variables.
//! - [`terminals`]: a login for a program in a terminal, and the port that its browser comes back to.
//! - `testing`, with that feature: a login, a denial, an expiry, a lost race and an outage, as tests of yours.
//! - [`tokens`]: which token do I have, and what do I do with it?

pub mod cookies;
pub mod devices;
pub mod register;
pub mod terminals;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tokens;
