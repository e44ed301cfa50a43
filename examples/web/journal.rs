//! What is written for whoever runs the application.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes a line. Nobody need read it: people are served also when the pipe has closed, where `println!` would panic.
#[allow(clippy::print_stdout, reason = "a test's output is caught when it is printed so, and in no other way")]
pub(crate) fn note(line: impl Display) {
    if cfg!(test) {
        println!("{line}");
    } else {
        let _ = writeln!(io::stdout(), "{line}");
    }
}
