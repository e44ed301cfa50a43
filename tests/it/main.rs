//! The crate's public face, one file per story.

mod house;
