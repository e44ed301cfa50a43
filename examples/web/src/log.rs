//! Log lines for operators.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes a line to standard output. Unlike `println!`, it does not panic if the pipe is closed.
pub fn write_line(line: impl Display) {
    if cfg!(feature = "testing") {
        println!("{line}"); // the test harness captures only the output of `println!`
    } else {
        let _ = writeln!(io::stdout(), "{line}");
    }
}
