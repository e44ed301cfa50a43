//! Values that hold secrets, written down on purpose: `#[serde(with = "webex_oauth::stored")]`.
//!
//! [`TokenSet`](crate::TokenSet) and [`PendingAuthorization`](crate::PendingAuthorization) have no plain `Serialize`,
//! since one derive in an application's log would leak them. Where they are meant to be kept, in a session table or
//! an *encrypted* cookie, say so: with `to_stored()` and `from_stored(..)`, or with this module on a field of your own
//! type.
//!
//! # Example
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use webex_oauth::PendingAuthorization;
//!
//! #[derive(Serialize, Deserialize)]
//! struct BrowserSession {
//!     cart: Vec<u32>,
//!     #[serde(with = "webex_oauth::stored")]
//!     login: PendingAuthorization,
//! }
//! ```

use secrecy::zeroize::Zeroizing;
use serde::de::{Deserialize as _, Deserializer, Error as _};
use serde::ser::{Error as _, Serializer};

use crate::error::{Error, ErrorKind, Result};
use crate::secret::StoredText;

/// A value with a stored form. Sealed: only this crate's types have one.
pub trait Stored: Sized + sealed::Sealed {
    #[doc(hidden)]
    fn write(&self) -> Result<StoredText>;

    #[doc(hidden)]
    fn read(text: &str) -> Result<Self>;
}

pub(crate) mod sealed {
    /// Keeps [`Stored`](super::Stored) to this crate's own types.
    #[allow(unnameable_types, reason = "that is what seals the trait")]
    pub trait Sealed {}
}

/// Writes the stored form as a text.
pub fn serialize<T: Stored, S: Serializer>(value: &T, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(value.write().map_err(S::Error::custom)?.expose())
}

/// Reads the stored form from a text.
pub fn deserialize<'de, T: Stored, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<T, D::Error> {
    let text = StoredText::from(String::deserialize(deserializer)?);
    T::read(text.expose()).map_err(D::Error::custom)
}

/// The version of all stored forms so far; a form of a higher one is refused, fields it does not know are kept.
pub(crate) const VERSION: u64 = 1;

/// Checks the version that a stored form names.
pub(crate) fn check_version(what: &str, version: Result<Option<u64>, String>) -> Result<()> {
    match version.map_err(|why| unreadable(what, why))? {
        Some(1..=VERSION) => Ok(()),
        Some(newer) if newer > VERSION => {
            let message = format!("the stored {what} is of version {newer}: update webex-oauth to read it");
            Err(Error::new(ErrorKind::Stored, message))
        }
        _ => Err(unreadable(what, "it has no version")),
    }
}

/// Writes a stored form as JSON, leaving no copy behind in most cases: only a form over 4 KiB moves while it grows.
pub(crate) fn to_text(what: &str, form: &impl serde::Serialize) -> Result<StoredText> {
    let failed = || Error::new(ErrorKind::Stored, format!("the {what} cannot be written down"));
    let mut json = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer(&mut *json, form).map_err(|source| failed().with_source(source))?;
    let text = std::str::from_utf8(&json).map_err(|source| failed().with_source(source))?;
    Ok(StoredText::unchecked(text))
}

pub(crate) fn unreadable(what: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Stored, format!("the stored {what} cannot be read: {why}"))
}
