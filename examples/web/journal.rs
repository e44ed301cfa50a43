//! Log lines for operators.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes a line to standard output. Unlike `println!`, it does not panic if the pipe is closed.
#[allow(clippy::print_stdout, reason = "the test harness captures only the output of `println!`")]
pub(crate) fn write_line(line: impl Display) {
    if cfg!(test) {
        println!("{line}");
    } else {
        let _ = writeln!(io::stdout(), "{line}");
    }
}
