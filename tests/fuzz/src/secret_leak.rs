//! Checks that errors and `Debug` output contain no secrets.

use std::error::Error as StdError;
use std::fmt::Debug;

use webex_oauth::Error;

use crate::fixture::SECRETS;

/// Checks an error with [`check_error_for_secrets`] against all secrets of the fixture.
pub(crate) fn check_error(error: &Error) {
    check_error_for_secrets(error, &SECRETS);
}

/// Checks that neither an error nor its causes contain one of `secrets`, that the error is a single line, and that at most one
/// of its predicates returns `true`.
pub(crate) fn check_error_for_secrets(error: &Error, secrets: &[&str]) {
    let line = error.to_string();
    assert!(!line.is_empty() && !line.contains(['\n', '\r']), "not one line: {line:?}");
    let predicates = [error.is_login_required(), error.is_misconfigured(), error.is_retryable()];
    assert!(predicates.iter().filter(|is_set| **is_set).count() <= 1, "ambiguous error: {error:?}");
    let mut cause: Option<&dyn StdError> = Some(error);
    while let Some(error) = cause {
        assert_contains_no_secret(&error.to_string(), secrets);
        assert_contains_no_secret(&format!("{error:?}"), secrets);
        cause = error.source();
    }
}

/// Checks that the `Debug` output of a value contains no secret of the fixture.
pub(crate) fn assert_debug_redacted(value: &dyn Debug) {
    assert_contains_no_secret(&format!("{value:?}"), &SECRETS);
    assert_contains_no_secret(&format!("{value:#?}"), &SECRETS);
}

fn assert_contains_no_secret(output: &str, secrets: &[&str]) {
    for secret in secrets {
        let form_encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for encoding in [(*secret).to_owned(), form_encoded.replace('+', "%20"), form_encoded] {
            assert!(!output.contains(&encoding), "{encoding:?} in output: {output}");
        }
    }
}

/// Checks that the `Debug` output of a value does not contain `secret`, which `input` contains once. A string that occurs twice
/// in the input may also be the value of a public field.
pub(crate) fn assert_debug_redacts(value: &dyn Debug, secret: &str, input: &str) {
    if secret.len() > 8 && input.matches(secret).count() == 1 {
        assert!(!format!("{value:?}").contains(secret), "{secret:?} in output: {value:?}");
    }
}
