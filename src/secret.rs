//! Secrets: strings that are not printed, are compared in constant time, and are zeroized on drop.
//!
//! Each kind has its own type, so that the compiler rejects a mix-up. None implements `Display` or
//! `Serialize`. Access requires a call to `expose()`, which is easy to search for. Zeroizing covers
//! the copies of this crate, but not the buffers of the HTTP and TLS libraries.

use std::sync::Arc;
use std::{fmt, io};

use bytes::Bytes;
use http::HeaderValue;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::error::{Error, ErrorKind, Result};
use crate::value_check::{self, Characters};

/// Compares two secrets. The time depends only on their lengths.
pub(crate) fn constant_time_eq(left: &str, right: &str) -> bool {
    constant_time_eq_bytes(left.as_bytes(), right.as_bytes())
}

/// Compares two binary secrets. The time depends only on their lengths.
pub(crate) fn constant_time_eq_bytes(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// Creates a sensitive header value, or returns `None` if it contains invalid characters.
///
/// The value is not logged. Its clones share one buffer, which is zeroized when the last of them is
/// dropped.
pub(crate) fn sensitive_header_value(text: Zeroizing<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A buffer that leaves no copy of its content behind: neither when it grows nor when it is
/// dropped.
#[derive(Default)]
pub(crate) struct ZeroizingBuffer(Zeroizing<Vec<u8>>);

impl ZeroizingBuffer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let length = self.0.len().saturating_add(bytes.len());
        if length > self.0.capacity() {
            // `Vec` would free the old allocation without zeroizing it. The assignment zeroizes it.
            let mut larger = Self::with_capacity(length.max(self.0.capacity().saturating_mul(2))).0;
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Converts the buffer without copying it. It is zeroized when the last clone of the result is
    /// dropped.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}

impl io::Write for ZeroizingBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $holder:ty, $wrap:expr) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name($holder);

        impl $name {
            /// Returns the secret as a string. Keep it out of logs, URLs, and error messages.
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }

            #[allow(dead_code, reason = "not every type uses both constructors")]
            pub(crate) fn unchecked(text: &str) -> Self {
                Self::of(Box::<str>::from(text).into())
            }

            /// Creates the secret without validation and without another copy.
            pub(crate) fn of(text: SecretString) -> Self {
                Self($wrap(text))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([secret])"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                constant_time_eq(self.expose(), other.expose())
            }
        }

        impl Eq for $name {}
    };
}

secret! {
    /// An access token (RFC 6749, section 1.4), sent as `Authorization: Bearer`. Clones share the
    /// string.
    AccessToken, Arc<SecretString>, Arc::new
}

secret! {
    /// A refresh token (RFC 6749, section 1.5). Clones share the string.
    RefreshToken, Arc<SecretString>, Arc::new
}

secret! {
    /// A client secret, which the Webex developer portal displays only once.
    ClientSecret, Arc<SecretString>, Arc::new
}

secret! {
    /// An OpenID Connect ID token that is not verified yet.
    IdToken, Arc<SecretString>, Arc::new
}

secret! {
    /// The stored form of a value of this crate. It contains secrets.
    ///
    /// Store it in an encrypted cookie, a database, or a file.
    StoredString, SecretString, std::convert::identity
}

secret! {
    /// An XML element that contains an access token.
    XmlString, SecretString, std::convert::identity
}

impl AccessToken {
    /// Creates an access token from a string, for example that of a bot.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the string is empty, contains characters other than visible
    ///   ASCII, is enclosed in quotation marks, or begins with `Bearer `. The message names the
    ///   problem.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        value_check::check_value(ErrorKind::InvalidInput, "access token", text.as_ref(), Characters::Visible)?;
        Self::from_response(Box::<str>::from(text.as_ref()).into()).ok_or_else(|| {
            let message =
                "invalid access token: use one or more visible ASCII characters, without spaces or line breaks";
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    /// Creates a token from a server's response, or returns `None` if it is invalid.
    pub(crate) fn from_response(text: SecretString) -> Option<Self> {
        let token = text.expose_secret();
        let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self::of(text))
    }
}

impl RefreshToken {
    /// Creates a refresh token from a string.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the string is empty, contains a control character or a space,
    ///   is enclosed in quotation marks, or begins with `Bearer `. The message names the problem.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        value_check::check_value(ErrorKind::InvalidInput, "refresh token", text.as_ref(), Characters::NoSpace)?;
        Self::from_response(Box::<str>::from(text.as_ref()).into()).ok_or_else(|| {
            let message = "invalid refresh token: use one or more characters, without spaces or line breaks";
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    /// Creates a token from a server's response, or returns `None` if it is invalid.
    pub(crate) fn from_response(text: SecretString) -> Option<Self> {
        let token = text.expose_secret();
        let fits = !token.is_empty() && !token.chars().any(|c| c.is_control() || c.is_whitespace());
        fits.then(|| Self::of(text))
    }
}

impl IdToken {
    /// Creates an ID token from a string, for
    /// [`WebexOAuth::verify_id_token`](crate::WebexOAuth::verify_id_token).
    pub fn new(text: impl AsRef<str>) -> Self {
        Self::unchecked(text.as_ref())
    }
}

impl From<&str> for ClientSecret {
    fn from(text: &str) -> Self {
        Self::unchecked(text)
    }
}

impl From<String> for ClientSecret {
    fn from(text: String) -> Self {
        Self::of(text.into())
    }
}

impl From<String> for StoredString {
    fn from(text: String) -> Self {
        Self::of(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_debug_output_is_redacted_and_equality_is_by_text() {
        let token = AccessToken::new("hunter2").unwrap();
        assert_eq!(format!("{token:?}"), "AccessToken([secret])");
        assert_eq!(token, AccessToken::new("hunter2").unwrap());
        assert_ne!(token, AccessToken::new("hunter3").unwrap());
        assert_ne!(token, AccessToken::new("hunter").unwrap());
    }

    #[test]
    fn zeroizing_buffer_grows_without_in_place_reallocation() {
        let mut buffer = ZeroizingBuffer::with_capacity(4);
        let mut expected = Vec::new();
        for length in [0, 3, 1, 1, 7, 100, 4096] {
            let part = vec![b'a' + (length % 26) as u8; length];
            let (address, capacity) = (buffer.as_slice().as_ptr(), buffer.0.capacity());
            buffer.push(&part);
            expected.extend(part);
            let is_moved = buffer.as_slice().as_ptr() != address;
            assert_eq!(is_moved, expected.len() > capacity, "{length}: `Vec` must never grow the allocation itself");
        }
        assert_eq!(buffer.as_slice(), expected);
        let address = buffer.as_slice().as_ptr();
        let bytes = buffer.into_bytes();
        assert_eq!((bytes.as_ptr(), &*bytes), (address, &*expected), "the buffer must not be copied");
    }

    #[test]
    fn token_not_allowed_in_header_is_rejected() {
        for bad in ["", "a b", "a\nb", "a\r\nX: y", "tök", "\u{7f}"] {
            assert_eq!(AccessToken::new(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
        assert!(RefreshToken::new("").is_err() && RefreshToken::new("a\tb").is_err());
        assert_eq!(RefreshToken::new("site_tök").unwrap().expose(), "site_tök");
    }

    #[test]
    fn token_with_surrounding_text_is_rejected_with_problem() {
        for (bad, found) in [
            ("Bearer hunter2", "begins with \"bearer\""),
            ("bearer hunter2", "begins with \"bearer\""),
            ("'hunter2'", "in quotation marks"),
            ("\"hunter2\"", "in quotation marks"),
            ("\u{201c}hunter2\u{201d}", "in quotation marks"),
            ("hunter2\n", "a line break"),
            (" hunter2", "leading or trailing whitespace"),
            ("\u{feff}hunter2", "an invisible character (U+FEFF)"),
            ("hunter2\u{1b}[201~", "bracketed paste"),
        ] {
            let access = AccessToken::new(bad).unwrap_err();
            let refresh = RefreshToken::new(bad).unwrap_err();
            for (error, what) in [(access, "access token "), (refresh, "refresh token ")] {
                let line = error.to_string();
                assert!(
                    error.kind() == ErrorKind::InvalidInput && line.starts_with(what) && line.contains(found),
                    "{line}"
                );
                assert!(!line.contains("hunter"), "{line}");
            }
        }
    }
}
