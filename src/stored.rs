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
use std::fmt;
use std::hash::Hash;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, ObjectError, value};
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

/// Serializes a stored form: an object that begins with its version.
pub(crate) struct FormWriter<S: Serializer>(S::SerializeMap);

impl<S: Serializer> FormWriter<S> {
    pub(crate) fn new(serializer: S) -> std::result::Result<Self, S::Error> {
        let mut form = Self(serializer.serialize_map(None)?);
        form.put("v", VERSION)?;
        Ok(form)
    }

    pub(crate) fn put(&mut self, name: &str, value: impl Serialize) -> std::result::Result<(), S::Error> {
        self.0.serialize_entry(name, &value)
    }

    /// Writes a field if it has a value.
    pub(crate) fn put_some(&mut self, name: &str, value: Option<impl Serialize>) -> std::result::Result<(), S::Error> {
        value.map_or(Ok(()), |value| self.put(name, value))
    }

    pub(crate) fn end(self) -> std::result::Result<S::Ok, S::Error> {
        self.0.end()
    }
}

/// Serializes a stored form as JSON without leaving a copy in memory.
pub(crate) fn serialize_form(what: &str, form: &impl Serialize) -> Result<StoredString> {
    let failed = || Error::new(ErrorKind::CorruptEntry, format!("failed to serialize the {what}"));
    let mut json = ZeroizingBuffer::with_capacity(4096);
    serde_json::to_writer(&mut json, form).map_err(|source| failed().with_source(source))?;
    let text = std::str::from_utf8(json.as_slice()).map_err(|source| failed().with_source(source))?;
    Ok(StoredString::unchecked(text))
}

/// Reads a stored form field by field. Errors name the field and never quote its value.
pub(crate) struct FormReader<'a> {
    what: &'static str,
    /// The fields, with every value of a duplicate one. The values are not copied, because they may
    /// be secret.
    fields: BTreeMap<String, Vec<&'a RawValue>>,
}

impl<'a> FormReader<'a> {
    /// Splits a form into its fields, and checks its version.
    pub(crate) fn new(what: &'static str, json: &'a str) -> Result<Self> {
        // Some editors write a byte order mark, which is not valid JSON.
        let mut reader = serde_json::Deserializer::from_str(json.trim_start_matches('\u{feff}'));
        let fields = reader.deserialize_map(FieldsVisitor).and_then(|fields| reader.end().map(|()| fields));
        let fields = fields.map_err(|error| unreadable_error(what, ObjectError::from(error)))?;
        let mut form = Self { what, fields };
        check_version(what, form.take("v")?)?;
        Ok(form)
    }

    /// Removes and returns a field. `null` counts as absent. An empty string is an error, because no
    /// form contains one.
    ///
    /// A `String` has no spare capacity, so its conversion to a secret leaves no copy behind.
    pub(crate) fn take<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>> {
        let values = self.fields.remove(name).unwrap_or_default();
        let damaged = || self.error(format!("field `{name}` is damaged"));
        match *values {
            [] => Ok(None),
            [value] if value.get() == "\"\"" => Err(damaged()),
            [value] => serde_json::from_str(value.get()).map_err(|_| damaged()),
            _ => Err(self.error(format!("duplicate field `{name}`"))),
        }
    }

    /// Removes and returns a required field.
    pub(crate) fn require<T: Deserialize<'a>>(&mut self, name: &str) -> Result<T> {
        self.take(name)?.ok_or_else(|| self.error(format!("field `{name}` is missing")))
    }

    /// Removes and returns a field with any value. A value that is nested too deeply is dropped.
    pub(crate) fn take_any(&mut self, name: &str) -> Result<Option<Value>> {
        let values = self.fields.remove(name).unwrap_or_default();
        parse_any(&values).map_err(|_| self.error(format!("field `{name}` is damaged")))
    }

    /// Returns the remaining fields, which this version does not know. An invalid one is an error:
    /// the form is damaged, and its other fields may be as well.
    pub(crate) fn finish(mut self) -> Result<Map<String, Value>> {
        let mut unknown = Map::new();
        for (name, values) in std::mem::take(&mut self.fields) {
            // The name is not quoted, because anything may be in a damaged form.
            let value = parse_any(&values).map_err(|_| self.error("an unknown field is damaged"))?;
            unknown.extend(value.map(|value| (name, value)));
        }
        Ok(unknown)
    }

    /// Returns the error for this form.
    pub(crate) fn error(&self, why: impl fmt::Display) -> Error {
        unreadable_error(self.what, why)
    }
}

/// Parses all values of a field and returns the last one, unless it is nested too deeply.
fn parse_any(values: &[&RawValue]) -> serde_json::Result<Option<Value>> {
    let mut last = None;
    for value in values {
        last = Some(value::parse_stored_value(value.get())?);
    }
    Ok(last.filter(|value| !json::is_deeper_than(value, json::MAX_DEPTH)))
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = BTreeMap<String, Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut fields = Self::Value::new();
        while let Some((name, value)) = map.next_entry::<String, _>()? {
            fields.entry(name).or_default().push(value);
        }
        Ok(fields)
    }
}

/// Checks the version of a stored form.
pub(crate) fn check_version(what: &str, version: Option<u64>) -> Result<()> {
    match version {
        Some(1..=VERSION) => Ok(()),
        Some(newer) if newer > VERSION => {
            let message = format!("unsupported version {newer} of the stored {what}: update webex-oauth");
            Err(Error::new(ErrorKind::CorruptEntry, message))
        }
        _ => Err(unreadable_error(what, "missing version")),
    }
}

/// Returns the error for a stored form that cannot be read.
pub(crate) fn unreadable_error(what: &str, why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::CorruptEntry, format!("stored {what} cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "form";

    #[test]
    fn damaged_or_duplicate_field_is_named_and_not_quoted() {
        for (json, says) in [
            (r#"{"v":1,"a":1.9}"#, "field `a` is damaged"),
            (r#"{"v":1,"a":-1}"#, "field `a` is damaged"),
            (r#"{"v":1,"a":"1"}"#, "field `a` is damaged"),
            (r#"{"v":1,"a":""}"#, "field `a` is damaged"),
            (r#"{"v":1,"a":{"hunter2":1}}"#, "field `a` is damaged"),
            (r#"{"v":1,"a":1,"a":"hunter2"}"#, "duplicate field `a`"),
            (r#"{"v":1,"a":null}"#, "field `a` is missing"),
            (r#"{"v":1,"hunter2":1}"#, "field `a` is missing"),
            (r#"{"v":1,"v":1}"#, "duplicate field `v`"),
            (r#"{"v":2,"a":"hunter2"}"#, "update webex-oauth"),
            (r#"{"v":1,"a":"hunter2"#, "invalid JSON at line 1, column 19"),
            (r#"["hunter2"]"#, "not a JSON object"),
            (r#""hunter2""#, "not a JSON object"),
        ] {
            let error = FormReader::new(NAME, json).and_then(|mut form| form.require::<u64>("a")).unwrap_err();
            assert!(error.kind() == ErrorKind::CorruptEntry && error.to_string().contains(says), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        assert_eq!(FormReader::new(NAME, "\u{feff}{\"v\":1,\"a\":7}").unwrap().require::<u64>("a").unwrap(), 7);
    }

    #[test]
    fn field_with_invalid_string_is_rejected_and_not_repaired() {
        for value in [r#""\ud800""#, r#"{"x":["\ud800"]}"#, r#"{"\udc00":1}"#, r#""hunter2\ud800-","any":1"#] {
            let json = format!(r#"{{"v":1,"any":{value}}}"#);
            let known = FormReader::new(NAME, &json).unwrap().take_any("any").unwrap_err();
            let unknown = FormReader::new(NAME, &json).unwrap().finish().unwrap_err();
            for (error, says) in [(known, "field `any` is damaged"), (unknown, "an unknown field is damaged")] {
                assert!(error.kind() == ErrorKind::CorruptEntry && error.to_string().contains(says), "{error}");
                assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
            }
        }
    }

    #[test]
    fn unknown_fields_are_kept_unless_nested_too_deeply() {
        let raw = r#"{"$serde_json::private::RawValue":"boom"}"#;
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        let json = format!(
            r#"{{"v":1,"x":[{raw}],"$serde_json::private::RawValue":"boom","a":{raw},"y":{deep},"z":1,"z":2}}"#
        );
        let mut form = FormReader::new(NAME, &json).unwrap();
        assert!(form.take::<String>("a").is_err());
        let unknown = Value::Object(form.finish().unwrap()).to_string();
        assert_eq!(unknown, format!(r#"{{"$serde_json::private::RawValue":"boom","x":[{raw}],"z":2}}"#));
    }
}
