//! Lenient reading of JSON from servers: objects with known fields, and signed JSON without
//! duplicate names.
//!
//! Strings of known fields are read directly into zeroized memory. Errors never quote the input,
//! unlike those of serde_json.

use std::fmt;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::json::value::decode_json;

pub(crate) mod value;

#[cfg(feature = "oidc")]
pub(crate) mod strict;

/// A JSON object with known fields and others.
pub(crate) struct Object<const N: usize> {
    names: &'static [&'static str; N],
    known: [Option<Scalar>; N],
    pub(crate) extra: Map<String, Value>,
}

/// The value of a known field.
pub(crate) enum Scalar {
    Text(SecretString),
    Integer(i128),
    Float(f64),
    Bool(bool),
    /// The strings of an array, separated by spaces.
    List(SecretString),
    /// `null` or an object.
    Other,
}

/// The maximum nesting depth of unknown fields. They are stored one level deeper and must remain
/// readable.
pub(crate) const MAX_DEPTH: usize = 32;

/// A problem with the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ObjectError {
    Syntax { line: usize, column: usize },
    NotAnObject,
    DuplicateField(&'static str),
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { line, column } => write!(f, "invalid JSON at line {line}, column {column}"),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::DuplicateField(name) => write!(f, "duplicate field `{name}`"),
        }
    }
}

impl From<serde_json::Error> for ObjectError {
    fn from(error: serde_json::Error) -> Self {
        if error.is_data() {
            return Self::NotAnObject;
        }
        Self::Syntax { line: error.line(), column: error.column() }
    }
}

impl<const N: usize> Object<N> {
    /// Reads the body of a response. It is [decoded](decode) leniently, then read like
    /// [`read`](Self::read).
    pub(crate) fn read_response(body: &[u8], names: &'static [&'static str; N]) -> Result<Self, ObjectError> {
        Self::read(&decode_json(body), names)
    }

    /// Reads an object.
    ///
    /// A known field with the value `null` counts as absent. A duplicate known field and an invalid
    /// string are errors. Unknown fields are kept unless they are nested deeper than [`MAX_DEPTH`].
    fn read(json: &[u8], names: &'static [&'static str; N]) -> Result<Self, ObjectError> {
        // Some editors write a byte order mark, which is not valid JSON.
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let mut object = Self { names, known: std::array::from_fn(|_| None), extra: Map::new() };
        let mut repeated = None;
        let mut reader = serde_json::Deserializer::from_slice(json);
        let seed = ObjectVisitor { object: &mut object, duplicate: &mut repeated };
        let read = reader.deserialize_any(seed).and_then(|()| reader.end());
        match (repeated, read) {
            (Some(name), _) => Err(ObjectError::DuplicateField(name)),
            (None, Ok(())) => {
                object.extra.retain(|_, value| !is_deeper_than(value, MAX_DEPTH));
                Ok(object)
            }
            (None, Err(error)) => Err(error.into()),
        }
    }

    /// Removes and returns a known field.
    pub(crate) fn take(&mut self, name: &str) -> Option<Scalar> {
        self.known[self.names.iter().position(|stored| *stored == name)?].take()
    }

    /// Removes and returns a secret. Any value but a string counts as absent, and so does an empty
    /// string.
    pub(crate) fn take_secret(&mut self, name: &str) -> Option<SecretString> {
        match self.take(name)? {
            Scalar::Text(text) => Some(text).filter(|text| !text.expose_secret().is_empty()),
            _ => None,
        }
    }

    /// Removes and returns a list of words: a string, or an array of strings.
    pub(crate) fn take_string_list(&mut self, name: &str) -> Option<SecretString> {
        match self.take(name)? {
            Scalar::Text(text) | Scalar::List(text) => Some(text),
            _ => None,
        }
    }

    /// Removes a field and returns `true` if it has a value other than `null`, `false`, 0, and the
    /// empty string.
    pub(crate) fn take_truthy(&mut self, name: &str) -> bool {
        match self.take(name) {
            None | Some(Scalar::Bool(false) | Scalar::Integer(0)) => false,
            Some(Scalar::Text(text)) => !text.expose_secret().is_empty(),
            Some(_) => true,
        }
    }

    /// Removes and returns an ID or a name: a string, or a number as a string.
    ///
    /// An empty string counts as absent, and so does a number that JSON cannot represent exactly.
    pub(crate) fn take_string(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Scalar::Text(text) => Some(text.expose_secret().to_owned()).filter(|text| !text.is_empty()),
            Scalar::Integer(number) => Some(number.to_string()),
            Scalar::Float(number) => {
                (number.fract() == 0.0 && number.abs() < MAX_EXACT_INTEGER).then(|| number.to_string())
            }
            Scalar::Bool(_) | Scalar::List(_) | Scalar::Other => None,
        }
    }

    /// Removes and returns a number of seconds, written as a number or a string.
    ///
    /// Fractions are truncated, and negative numbers become zero. Any other value counts as absent.
    pub(crate) fn take_seconds(&mut self, name: &str) -> Option<u64> {
        match self.take(name)? {
            Scalar::Integer(number) => Some(u64::try_from(number.max(0)).unwrap_or(u64::MAX)),
            Scalar::Float(number) => truncate_to_seconds(number),
            Scalar::Text(text) => truncate_to_seconds(text.expose_secret().trim().parse().ok()?),
            Scalar::Bool(_) | Scalar::List(_) | Scalar::Other => None,
        }
    }
}

/// 2^53. Every smaller whole number has an exact `f64`.
const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Returns `true` if a value is nested more than `levels` deep.
pub(crate) fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let deeper = |value: &Value| levels == 0 || is_deeper_than(value, levels - 1);
    match value {
        Value::Array(items) => items.iter().any(deeper),
        Value::Object(fields) => fields.values().any(deeper),
        _ => false,
    }
}

fn truncate_to_seconds(number: f64) -> Option<u64> {
    // `as` saturates at both ends.
    number.is_finite().then_some(number as u64)
}

struct ObjectVisitor<'a, const N: usize> {
    object: &'a mut Object<N>,
    duplicate: &'a mut Option<&'static str>,
}

impl<'de, const N: usize> Visitor<'de> for ObjectVisitor<'_, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(FieldName { position, unknown }) = map.next_key_seed(FieldNameVisitor(self.object.names))? {
            let Some(position) = position else {
                self.object.extra.insert(unknown, map.next_value_seed(value::ValueVisitor::lenient())?);
                continue;
            };
            let value = map.next_value::<Option<Scalar>>()?;
            if self.object.known[position].is_some() {
                *self.duplicate = Some(self.object.names[position]);
                return Err(A::Error::custom("repeated"));
            }
            self.object.known[position] = value;
        }
        Ok(())
    }
}

/// The name of a field: its position if it is known, otherwise its text.
struct FieldName {
    position: Option<usize>,
    unknown: String,
}

struct FieldNameVisitor<const N: usize>(&'static [&'static str; N]);

impl<'de, const N: usize> serde::de::DeserializeSeed<'de> for FieldNameVisitor<N> {
    type Value = FieldName;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<FieldName, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for FieldNameVisitor<N> {
    type Value = FieldName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<FieldName, E> {
        let position = self.0.iter().position(|stored| *stored == name);
        let unknown = if position.is_none() { name.to_owned() } else { String::new() };
        Ok(FieldName { position, unknown })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(Box::<str>::from(text).into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Integer(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(truth))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
        let mut texts = Zeroizing::new(String::new());
        while let Some(item) = items.next_element::<Scalar>()? {
            if let Scalar::Text(text) = item {
                texts.push_str(text.expose_secret());
                texts.push(' ');
            }
        }
        Ok(Scalar::List(Box::<str>::from(texts.trim_end()).into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Scalar, A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            if value::is_number_field(&name) {
                let digits: String = fields.next_value()?;
                let whole = digits.parse().map(Scalar::Integer);
                return Ok(whole.or_else(|_| digits.parse().map(Scalar::Float)).unwrap_or(Scalar::Other));
            }
            fields.next_value::<IgnoredAny>()?;
        }
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["a", "b"];

    fn read_object(json: &str) -> Result<Object<2>, ObjectError> {
        Object::read(json.as_bytes(), &NAMES)
    }

    #[test]
    fn seconds_are_parsed_from_numbers_and_strings() {
        for (json, seconds) in [
            ("3600", Some(3600)),
            ("\"3600\"", Some(3600)),
            ("3600.0", Some(3600)),
            ("\"3600.9\"", Some(3600)),
            ("0", Some(0)),
            ("-5", Some(0)),
            ("\"-5\"", Some(0)),
            ("315360000", Some(315_360_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("1e300", Some(u64::MAX)),
            ("\"NaN\"", None),
            ("\"inf\"", None),
            ("\"soon\"", None),
            ("\"\"", None),
            ("true", None),
            ("null", None),
            ("[1]", None),
            ("{\"x\":1}", None),
        ] {
            let mut object =
                read_object(&format!("{{\"a\":{json}}}")).unwrap_or_else(|fault| panic!("{json}: {fault}"));
            assert_eq!(object.take_seconds("a"), seconds, "{json}");
        }
    }

    #[test]
    fn text_accepts_integer_and_empty_text_is_none() {
        for (json, text) in [
            ("\"x\"", Some("x")),
            ("123456789012", Some("123456789012")),
            ("9223372036854775811", Some("9223372036854775811")),
            ("7.0", Some("7")),
            ("7.5", None),
            ("1e300", None),
            ("\"\"", None),
            ("null", None),
            ("true", None),
            ("[]", None),
        ] {
            assert_eq!(
                read_object(&format!("{{\"a\":{json}}}")).ok().unwrap().take_string("a").as_deref(),
                text,
                "{json}"
            );
        }
    }

    #[test]
    fn json_faults_are_distinct_and_never_quote_input() {
        for (json, fault) in [
            ("", ObjectError::Syntax { line: 1, column: 0 }),
            ("{\"a\":\"hunter2", ObjectError::Syntax { line: 1, column: 13 }),
            ("{\"a\":1} x", ObjectError::Syntax { line: 1, column: 9 }),
            ("[\"hunter2\"]", ObjectError::NotAnObject),
            ("\"hunter2\"", ObjectError::NotAnObject),
            ("null", ObjectError::NotAnObject),
            ("{\"a\":\"hunter2\",\"a\":2}", ObjectError::DuplicateField("a")),
        ] {
            let found = read_object(json).err().unwrap();
            assert!(!found.to_string().contains("hunter2"));
            assert_eq!(found, fault, "{json}");
        }
        assert!(Object::read(b"{\"a\":\"\xff\"}", &NAMES).is_err());
        assert!(Object::read(br#"{"x":"\ud800"}"#, &NAMES).is_err());
    }

    #[test]
    fn response_with_undecodable_text_has_replacement_characters() {
        let body = b"\xef\xbb\xbf{\"x\":\"\xff\",\"a\":\"J\xf6rg\",\"y\":\"\\ud800\",\"b\":1e999}";
        let mut object = Object::read_response(body, &NAMES).ok().unwrap();
        assert_eq!(object.take_string("a").as_deref(), Some("J\u{fffd}rg"));
        assert_eq!(object.take_seconds("b"), Some(u64::MAX));
        assert_eq!((&object.extra["x"], &object.extra["y"]), (&Value::from("\u{fffd}"), &Value::from("\u{fffd}")));
        let repeated = Object::read_response(b"{\"a\":\"\xff\",\"a\":\"\xfe\"}", &NAMES);
        assert_eq!(repeated.err(), Some(ObjectError::DuplicateField("a")));
    }

    #[test]
    fn secret_requires_text_and_truthy_accepts_any_value() {
        assert!(read_object("{\"a\":12}").ok().unwrap().take_secret("a").is_none());
        assert_eq!(
            read_object("{\"a\":[\"x\",7,\"y\"]}").ok().unwrap().take_string_list("a").unwrap().expose_secret(),
            "x y"
        );
        for (json, says) in
            [("\"\"", false), ("false", false), ("0", false), ("null", false), ("\"x\"", true), ("{}", true)]
        {
            assert_eq!(read_object(&format!("{{\"a\":{json}}}")).ok().unwrap().take_truthy("a"), says, "{json}");
        }
    }

    #[test]
    fn deep_unknown_field_is_omitted_and_byte_order_mark_skipped() {
        let deep = format!("\u{feff}{{\"a\":1,\"x\":{}{},\"y\":[[2]]}}", "[".repeat(100), "]".repeat(100));
        let object = read_object(&deep).ok().unwrap();
        assert_eq!(object.extra.keys().collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn duplicate_unknown_field_keeps_last_value() {
        let object = read_object("{\"x\":{\"y\":[1]},\"a\":1,\"x\":2}").ok().unwrap();
        assert_eq!(object.extra.get("x"), Some(&Value::from(2)));
    }

    #[test]
    fn serde_json_private_names_are_plain_names() {
        let raw = r#"{"$serde_json::private::RawValue":"boom"}"#;
        let text = format!(r#"{{"$serde_json::private::RawValue":"boom","x":[{raw}],"a":{raw},"b":1}}"#);
        let mut object = read_object(&text).ok().unwrap();
        assert_eq!(object.extra["$serde_json::private::RawValue"], "boom");
        assert_eq!(object.extra["x"].to_string(), format!("[{raw}]"));
        assert!(matches!(object.take("a"), Some(Scalar::Other)));
        assert_eq!(object.take_seconds("b"), Some(1));
        let mut object = read_object(r#"{"a":{"$serde_json::private::Number":"7","x":1}}"#).ok().unwrap();
        assert_eq!(object.take_seconds("a"), None);
    }
}
