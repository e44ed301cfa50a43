//! Command-line options without values.

use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;

/// Returns `true` for each of these options that is among the arguments of the program.
///
/// # Errors
///
/// Prints `help` after `--help`, and an error after an unknown argument. Returns the exit code for
/// `main` in both cases.
pub(crate) fn parse<const N: usize>(help: &str, options: [&str; N]) -> Result<[bool; N], ExitCode> {
    let mut found = [false; N];
    for argument in std::env::args_os().skip(1) {
        if argument == "--help" || argument == "-h" {
            let _ = writeln!(stdout(), "{help}");
            return Err(ExitCode::SUCCESS);
        }
        let Some(position) = options.iter().position(|option| argument == *option) else {
            let _ = writeln!(stderr(), "error: unknown argument {argument:?}; see --help");
            return Err(ExitCode::from(2));
        };
        found[position] = true;
    }
    Ok(found)
}
