//! The public face, as a user of the crate sees it; one file for each story.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail as the test may")]

mod mock_webex;
