//! Exit codes of terminal programs.

use std::error::Error;
use std::io::{self, Write as _};
use std::iter::successors;
use std::process::ExitCode;

/// Prints an error with its causes on standard error. A closed pipe is not an error: `head`, for
/// example, closes it.
pub(crate) fn exit_code(outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let causes = successors(error.source(), |&cause| cause.source());
    let message = causes.fold(format!("error: {error}"), |message, cause| format!("{message}\n  caused by: {cause}"));
    let _ = writeln!(io::stderr(), "{message}");
    ExitCode::FAILURE
}
