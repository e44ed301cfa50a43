//! Whether something that is shown shows a secret.

use std::error::Error as StdError;
use std::fmt::Debug;

use webex_oauth::Error;

use crate::stage::SECRETS;

/// An error shows no secret, as [`assert_sound_beside`] has it.
pub(crate) fn assert_sound(error: &Error) {
    assert_sound_beside(error, &SECRETS);
}

/// An error shows none of these secrets, neither does any of its causes; it is one line, and names at most one who can help.
pub(crate) fn assert_sound_beside(error: &Error, secrets: &[&str]) {
    let line = error.to_string();
    assert!(!line.is_empty() && !line.contains(['\n', '\r']), "not one line: {line:?}");
    let helpers = [error.is_login_required(), error.is_misconfigured(), error.is_retryable()];
    assert!(helpers.iter().filter(|can| **can).count() <= 1, "several can help: {error:?}");
    let mut cause: Option<&dyn StdError> = Some(error);
    while let Some(error) = cause {
        assert_silent(&error.to_string(), secrets);
        assert_silent(&format!("{error:?}"), secrets);
        cause = error.source();
    }
}

/// A value's `Debug` shows no secret.
pub(crate) fn assert_debug_silent(value: &dyn Debug) {
    assert_silent(&format!("{value:?}"), &SECRETS);
    assert_silent(&format!("{value:#?}"), &SECRETS);
}

fn assert_silent(shown: &str, secrets: &[&str]) {
    for secret in secrets {
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for spelling in [(*secret).to_owned(), form.replace('+', "%20"), form] {
            assert!(!shown.contains(&spelling), "{spelling:?} is shown: {shown}");
        }
    }
}

/// A value's `Debug` hides a secret that the text it was read from has once: one that it has twice may be shown as something
/// else.
pub(crate) fn assert_hides(value: &dyn Debug, secret: &str, text: &str) {
    if secret.len() > 8 && text.matches(secret).count() == 1 {
        assert!(!format!("{value:?}").contains(secret), "{secret:?} is shown: {value:?}");
    }
}
