//! Serialization of values that contain secrets: `#[serde(with = "webex_oauth::stored")]`.
//!
//! [`TokenSet`](crate::TokenSet) and [`PendingAuthorization`](crate::PendingAuthorization) do not
//! implement `Serialize`. A derived implementation in an application could otherwise write their
//! secrets to a log. To store a value in a session table or an *encrypted* cookie, call
//! `to_stored()` and `from_stored(..)`, or use this module on a field of your own type.
//!
//! # Example
//!
//! The session of a browser in a web application:
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
use crate::secret::{StoredString, ZeroizingBuffer};

/// Serializes a value as a string.
///
/// # Errors
///
/// - The serializer failed.
pub fn serialize<T: Stored, S: Serializer>(value: &T, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    value.write(serializer)
}

/// Deserializes a value from a string.
///
/// # Errors
///
/// - The string is damaged, or a newer version of this crate wrote it. The error does not contain
///   the string.
pub fn deserialize<'de, T: Stored, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<T, D::Error> {
    T::read(deserializer)
}

/// A value with a stored form.
///
/// Implemented by [`TokenSet`](crate::TokenSet),
/// [`PendingAuthorization`](crate::PendingAuthorization), and an `Option`, a `Vec`, a `HashMap`, or
/// a `BTreeMap` of them. This trait is sealed.
pub trait Stored: Sized + sealed::Sealed {
    #[doc(hidden)]
    fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error>;

    #[doc(hidden)]
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error>;
}

pub(crate) mod sealed {
    /// Prevents implementations of [`Stored`](super::Stored) outside this crate.
    #[allow(unnameable_types, reason = "seals the trait")]
    pub trait Sealed {}
}

/// A value whose stored form is a string.
pub(crate) trait StringForm: Sized + sealed::Sealed {
    fn to_text(&self) -> Result<StoredString>;
    fn from_text(text: &str) -> Result<Self>;
}

impl<T: StringForm> Stored for T {
    fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.to_text().map_err(S::Error::custom)?.expose())
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = StoredString::from(String::deserialize(deserializer)?);
        T::from_text(text.expose()).map_err(D::Error::custom)
    }
}

/// Implements serde's traits for a value in a container.
struct SerdeAdapter<T>(T);

impl<T: Stored> Serialize for SerdeAdapter<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, T: Stored> Deserialize<'de> for SerdeAdapter<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        T::read(deserializer).map(SerdeAdapter)
    }
}

impl<T: sealed::Sealed> sealed::Sealed for Option<T> {}

impl<T: Stored> Stored for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.as_ref().map(SerdeAdapter).serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Option::<SerdeAdapter<T>>::deserialize(deserializer)?.map(|adapter| adapter.0))
    }
}

impl<T: sealed::Sealed> sealed::Sealed for Vec<T> {}

impl<T: Stored> Stored for Vec<T> {
    fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(SerdeAdapter))
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Vec::<SerdeAdapter<T>>::deserialize(deserializer)?.into_iter().map(|adapter| adapter.0).collect())
    }
}

macro_rules! stored_map {
    ($map:ident, $($bound:path),*) => {
        impl<K, T: sealed::Sealed> sealed::Sealed for $map<K, T> {}

        impl<K: Serialize + DeserializeOwned $(+ $bound)*, T: Stored> Stored for $map<K, T> {
            fn write<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_map(self.iter().map(|(key, value)| (key, SerdeAdapter(value))))
            }

            fn read<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let map = $map::<K, SerdeAdapter<T>>::deserialize(deserializer)?;
                Ok(map.into_iter().map(|(key, adapter)| (key, adapter.0)).collect())
            }
        }
    };
}

stored_map!(HashMap, Eq, Hash);
stored_map!(BTreeMap, Ord);

/// The version of all stored forms. Higher versions are rejected, and unknown fields are kept.
pub(crate) const VERSION: u64 = 1;

/// Checks the version of a stored form.
pub(crate) fn check_version(what: &str, version: Result<Option<u64>, String>) -> Result<()> {
    match version.map_err(|why| unreadable_error(what, why))? {
        Some(1..=VERSION) => Ok(()),
        Some(newer) if newer > VERSION => {
            let message = format!("unsupported version {newer} of the stored {what}: update webex-oauth");
            Err(Error::new(ErrorKind::CorruptEntry, message))
        }
        _ => Err(unreadable_error(what, "missing version")),
    }
}

/// Serializes a stored form as JSON without leaving a copy in memory.
pub(crate) fn serialize_form(what: &str, form: &impl serde::Serialize) -> Result<StoredString> {
    let failed = || Error::new(ErrorKind::CorruptEntry, format!("failed to serialize the {what}"));
    let mut json = ZeroizingBuffer::with_capacity(4096);
    serde_json::to_writer(&mut json, form).map_err(|source| failed().with_source(source))?;
    let text = std::str::from_utf8(json.as_slice()).map_err(|source| failed().with_source(source))?;
    Ok(StoredString::unchecked(text))
}

/// Returns the error for a stored form that cannot be read.
pub(crate) fn unreadable_error(what: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::CorruptEntry, format!("stored {what} cannot be read: {why}"))
}
