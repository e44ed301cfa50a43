//! The public face, as a user of the crate sees it; one file for each story.

mod transport;
