//! Values that hold secrets, written down on purpose: `#[serde(with = "webex_oauth::stored")]`.
//!
//! [`TokenSet`](crate::TokenSet) and [`PendingAuthorization`](crate::PendingAuthorization) have no plain `Serialize`,
//! since one derive in an application's log would leak them. Where they are meant to be kept, in a session table or
//! an *encrypted* cookie, say so: with `to_stored()` and `from_stored(..)`, or with this module on a field of your own
//! type.
//!
//! # Example
//!
//! What a web application keeps for each browser:
//!
//! ```
//! use std::collections::HashMap;
//! use serde::{Deserialize, Serialize};
//! use webex_oauth::{PendingAuthorization, PendingId, TokenSet};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct BrowserSession {
//!     #[serde(with = "webex_oauth::stored")]
//!     logins: HashMap<PendingId, PendingAuthorization>,
//!     #[serde(with = "webex_oauth::stored")]
//!     tokens: Option<TokenSet>,
//! }
//!
//! let session = serde_json::to_string(&BrowserSession::default())?;
//! assert_eq!(session, r#"{"logins":{},"tokens":null}"#);
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};
use crate::secret::{StoredText, ZeroizingBuffer};

/// Writes the stored form as a text.
pub fn serialize<T: Stored, S: Serializer>(value: &T, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    value.write(serializer)
}

/// Reads the stored form from a text.
pub fn deserialize<'de, T: Stored, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<T, D::Error> {
    T::read(deserializer)
}

/// A value with a stored form: [`TokenSet`](crate::TokenSet), [`PendingAuthorization`](crate::PendingAuthorization), and
/// an `Option`, a `Vec`, a `HashMap` or a `BTreeMap` of one. Sealed: only this crate's types have one.
pub trait Stored: Sized + sealed::Sealed {
    #[doc(hidden)]
    fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>;

    #[doc(hidden)]
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error>;
}

pub(crate) mod sealed {
    /// Keeps [`Stored`](super::Stored) to this crate's own types.
    #[allow(unnameable_types, reason = "that is what seals the trait")]
    pub trait Sealed {}
}

/// A single value whose stored form is one text.
pub(crate) trait Text: Sized + sealed::Sealed {
    fn to_text(&self) -> Result<StoredText>;
    fn from_text(text: &str) -> Result<Self>;
}

impl<T: Text> Stored for T {
    fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.to_text().map_err(S::Error::custom)?.expose())
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = StoredText::from(String::deserialize(deserializer)?);
        T::from_text(text.expose()).map_err(D::Error::custom)
    }
}

/// Hands a value inside of another to serde.
struct Inside<T>(T);

impl<T: Stored> Serialize for Inside<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, T: Stored> Deserialize<'de> for Inside<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        T::read(deserializer).map(Inside)
    }
}

impl<T: sealed::Sealed> sealed::Sealed for Option<T> {}

impl<T: Stored> Stored for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.as_ref().map(Inside).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Option::<Inside<T>>::deserialize(deserializer)?.map(|inside| inside.0))
    }
}

impl<T: sealed::Sealed> sealed::Sealed for Vec<T> {}

impl<T: Stored> Stored for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Inside))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Vec::<Inside<T>>::deserialize(deserializer)?.into_iter().map(|inside| inside.0).collect())
    }
}

macro_rules! stored_map {
    ($map:ident, $($bound:path),*) => {
        impl<K, T: sealed::Sealed> sealed::Sealed for $map<K, T> {}

        impl<K: Serialize + DeserializeOwned $(+ $bound)*, T: Stored> Stored for $map<K, T> {
            fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_map(self.iter().map(|(key, value)| (key, Inside(value))))
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let map = $map::<K, Inside<T>>::deserialize(deserializer)?;
                Ok(map.into_iter().map(|(key, inside)| (key, inside.0)).collect())
            }
        }
    };
}

stored_map!(HashMap, Eq, Hash);
stored_map!(BTreeMap, Ord);

/// The version of all stored forms so far; a form of a higher one is refused, fields it does not know are kept.
pub(crate) const VERSION: u64 = 1;

/// Checks the version that a stored form names.
pub(crate) fn check_version(what: &str, version: Result<Option<u64>, String>) -> Result<()> {
    match version.map_err(|why| unreadable(what, why))? {
        Some(1..=VERSION) => Ok(()),
        Some(newer) if newer > VERSION => {
            let message = format!("the stored {what} is of version {newer}: update webex-oauth to read it");
            Err(Error::new(ErrorKind::CorruptEntry, message))
        }
        _ => Err(unreadable(what, "it has no version")),
    }
}

/// Writes a stored form as JSON, leaving no copy behind.
pub(crate) fn to_text(what: &str, form: &impl serde::Serialize) -> Result<StoredText> {
    let failed = || Error::new(ErrorKind::CorruptEntry, format!("the {what} cannot be written down"));
    let mut json = ZeroizingBuffer::with_capacity(4096);
    serde_json::to_writer(&mut json, form).map_err(|source| failed().with_source(source))?;
    let text = std::str::from_utf8(json.as_slice()).map_err(|source| failed().with_source(source))?;
    Ok(StoredText::unchecked(text))
}

pub(crate) fn unreadable(what: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::CorruptEntry, format!("the stored {what} cannot be read: {why}"))
}
