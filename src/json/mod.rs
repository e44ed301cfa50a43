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

use crate::json::value::decode;

pub(crate) mod value;

pub(crate) use crate::json::value::whole_number as seconds;

/// A JSON object with known fields and others.
pub(crate) struct Object<const N: usize> {
    names: &'static [&'static str; N],
    known: [Option<Scalar>; N],
    pub(crate) extra: Map<String, Value>,
}

/// The value of a known field.
pub(crate) enum Scalar {
    Text(SecretString),
    Whole(i128),
    Float(f64),
    Bool(bool),
    /// The strings of an array, separated by spaces.
    List(SecretString),
    /// `null` or an object.
    Other,
}

/// The maximum nesting depth of unknown fields. They are stored one level deeper and must remain
/// readable.
const MAX_DEPTH: usize = 32;

/// A problem with the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unreadable { line: usize, column: usize },
    NotAnObject,
    Repeated(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { line, column } => write!(f, "invalid JSON at line {line}, column {column}"),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::Repeated(name) => write!(f, "duplicate field `{name}`"),
        }
    }
}

impl<const N: usize> Object<N> {
    /// Reads the body of a response. It is [decoded](decode) leniently, then read like
    /// [`read`](Self::read).
    pub(crate) fn read_response(body: &[u8], names: &'static [&'static str; N]) -> Result<Self, Fault> {
        Self::read(&decode(body), names)
    }

    /// Reads JSON that this crate wrote.
    ///
    /// A known field with the value `null` counts as absent. A duplicate known field and an invalid
    /// string are errors. Unknown fields are kept unless they are nested deeper than [`MAX_DEPTH`].
    pub(crate) fn read(json: &[u8], names: &'static [&'static str; N]) -> Result<Self, Fault> {
        // Some editors write a byte order mark, which is not valid JSON.
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let mut object = Self { names, known: std::array::from_fn(|_| None), extra: Map::new() };
        let mut repeated = None;
        let mut reader = serde_json::Deserializer::from_slice(json);
        let seed = Fields { object: &mut object, repeated: &mut repeated };
        let read = reader.deserialize_any(seed).and_then(|()| reader.end());
        match (repeated, read) {
            (Some(name), _) => Err(Fault::Repeated(name)),
            (None, Ok(())) => {
                object.extra.retain(|_, value| !is_deeper_than(value, MAX_DEPTH));
                Ok(object)
            }
            (None, Err(error)) if error.is_data() => Err(Fault::NotAnObject),
            (None, Err(error)) => Err(Fault::Unreadable { line: error.line(), column: error.column() }),
        }
    }

    /// Removes and returns a known field.
    pub(crate) fn take(&mut self, name: &str) -> Option<Scalar> {
        self.known[self.names.iter().position(|known| *known == name)?].take()
    }

    /// Removes and returns a secret. Any value but a string counts as absent, and so does an empty
    /// string.
    pub(crate) fn secret(&mut self, name: &str) -> Option<SecretString> {
        match self.take(name)? {
            Scalar::Text(text) => Some(text).filter(|text| !text.expose_secret().is_empty()),
            _ => None,
        }
    }

    /// Removes and returns a list of words: a string, or an array of strings.
    pub(crate) fn words(&mut self, name: &str) -> Option<SecretString> {
        match self.take(name)? {
            Scalar::Text(text) | Scalar::List(text) => Some(text),
            _ => None,
        }
    }

    /// Removes a field and returns `true` if it has a value other than `null`, `false`, 0, and the
    /// empty string.
    pub(crate) fn says(&mut self, name: &str) -> bool {
        match self.take(name) {
            None | Some(Scalar::Bool(false) | Scalar::Whole(0)) => false,
            Some(Scalar::Text(text)) => !text.expose_secret().is_empty(),
            Some(_) => true,
        }
    }

    /// Removes and returns an ID or a name: a string, or a number as a string.
    ///
    /// An empty string counts as absent, and so does a number that JSON cannot represent exactly.
    pub(crate) fn plain(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Scalar::Text(text) => Some(text.expose_secret().to_owned()).filter(|text| !text.is_empty()),
            Scalar::Whole(number) => Some(number.to_string()),
            Scalar::Float(number) => (number.fract() == 0.0 && number.abs() < EXACT).then(|| number.to_string()),
            Scalar::Bool(_) | Scalar::List(_) | Scalar::Other => None,
        }
    }

    /// Removes and returns a number of seconds, written as a number or a string.
    ///
    /// Fractions are truncated, and negative numbers become zero. Any other value counts as absent.
    pub(crate) fn seconds(&mut self, name: &str) -> Option<u64> {
        match self.take(name)? {
            Scalar::Whole(number) => Some(u64::try_from(number.max(0)).unwrap_or(u64::MAX)),
            Scalar::Float(number) => whole_seconds(number),
            Scalar::Text(text) => whole_seconds(text.expose_secret().trim().parse().ok()?),
            Scalar::Bool(_) | Scalar::List(_) | Scalar::Other => None,
        }
    }

    /// Removes and returns a number that this crate wrote. Any other value is an error.
    pub(crate) fn exact(&mut self, name: &str) -> Result<Option<u64>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Scalar::Whole(number)) => u64::try_from(number).map(Some).map_err(|_| damaged(name)),
            Some(_) => Err(damaged(name)),
        }
    }

    /// Removes and returns a string that this crate wrote. Any other value is an error, and so is
    /// an empty string.
    pub(crate) fn exact_text(&mut self, name: &str) -> Result<Option<SecretString>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Scalar::Text(text)) if !text.expose_secret().is_empty() => Ok(Some(text)),
            Some(_) => Err(damaged(name)),
        }
    }

    /// Removes and returns a Boolean that this crate wrote. Any other value is an error.
    pub(crate) fn exact_truth(&mut self, name: &str) -> Result<Option<bool>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(Scalar::Bool(truth)) => Ok(Some(truth)),
            Some(_) => Err(damaged(name)),
        }
    }
}

fn damaged(name: &str) -> String {
    format!("field `{name}` is damaged")
}

/// 2^53. Every smaller whole number has an exact `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Returns `true` if a value is nested more than `levels` deep.
pub(crate) fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let deeper = |value: &Value| levels == 0 || is_deeper_than(value, levels - 1);
    match value {
        Value::Array(items) => items.iter().any(deeper),
        Value::Object(fields) => fields.values().any(deeper),
        _ => false,
    }
}

fn whole_seconds(number: f64) -> Option<u64> {
    // `as` saturates at both ends.
    number.is_finite().then_some(number as u64)
}

struct Fields<'a, const N: usize> {
    object: &'a mut Object<N>,
    repeated: &'a mut Option<&'static str>,
}

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name { position, unknown }) = map.next_key_seed(Names(self.object.names))? {
            let Some(position) = position else {
                self.object.extra.insert(unknown, map.next_value_seed(value::Reader::lenient())?);
                continue;
            };
            let value = map.next_value::<Option<Scalar>>()?;
            if self.object.known[position].is_some() {
                *self.repeated = Some(self.object.names[position]);
                return Err(A::Error::custom("repeated"));
            }
            self.object.known[position] = value;
        }
        Ok(())
    }
}

/// The name of a field: its position if it is known, otherwise its text.
struct Name {
    position: Option<usize>,
    unknown: String,
}

struct Names<const N: usize>(&'static [&'static str; N]);

impl<'de, const N: usize> serde::de::DeserializeSeed<'de> for Names<N> {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for Names<N> {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        let position = self.0.iter().position(|known| *known == name);
        let unknown = if position.is_none() { name.to_owned() } else { String::new() };
        Ok(Name { position, unknown })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyScalar)
    }
}

struct AnyScalar;

impl<'de> Visitor<'de> for AnyScalar {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(Box::<str>::from(text).into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(number.into()))
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
            if value::is_number(&name) {
                let digits: String = fields.next_value()?;
                let whole = digits.parse().map(Scalar::Whole);
                return Ok(whole.or_else(|_| digits.parse().map(Scalar::Float)).unwrap_or(Scalar::Other));
            }
            fields.next_value::<IgnoredAny>()?;
        }
        Ok(Scalar::Other)
    }
}

/// Reads an object.
pub(crate) fn object(json: &[u8]) -> Result<Map<String, Value>, value::Fault> {
    value::unambiguous(json, None)
}

/// Returns a Boolean, which some servers write as a string.
pub(crate) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// Returns the value of a Boolean claim, or `None` if it is `null`. Any value but a Boolean counts
/// as `false`, because `true` grants trust.
pub(crate) fn says_yes(value: &Value) -> Option<bool> {
    (!value.is_null()).then(|| truth(value).unwrap_or(false))
}

/// Returns a list of strings, which may be a single string.
pub(crate) fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NAMES: [&str; 2] = ["a", "b"];

    fn read(json: &str) -> Result<Object<2>, Fault> {
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
            let mut object = read(&format!("{{\"a\":{json}}}")).unwrap_or_else(|fault| panic!("{json}: {fault}"));
            assert_eq!(object.seconds("a"), seconds, "{json}");
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
            assert_eq!(read(&format!("{{\"a\":{json}}}")).ok().unwrap().plain("a").as_deref(), text, "{json}");
        }
    }

    #[test]
    fn json_faults_are_distinct_and_never_quote_input() {
        for (json, fault) in [
            ("", Fault::Unreadable { line: 1, column: 0 }),
            ("{\"a\":\"hunter2", Fault::Unreadable { line: 1, column: 13 }),
            ("{\"a\":1} x", Fault::Unreadable { line: 1, column: 9 }),
            ("[\"hunter2\"]", Fault::NotAnObject),
            ("\"hunter2\"", Fault::NotAnObject),
            ("null", Fault::NotAnObject),
            ("{\"a\":\"hunter2\",\"a\":2}", Fault::Repeated("a")),
        ] {
            let found = read(json).err().unwrap();
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
        assert_eq!(object.plain("a").as_deref(), Some("J\u{fffd}rg"));
        assert_eq!(object.seconds("b"), Some(u64::MAX));
        assert_eq!((&object.extra["x"], &object.extra["y"]), (&Value::from("\u{fffd}"), &Value::from("\u{fffd}")));
        let repeated = Object::read_response(b"{\"a\":\"\xff\",\"a\":\"\xfe\"}", &NAMES);
        assert_eq!(repeated.err(), Some(Fault::Repeated("a")));
    }

    #[test]
    fn secret_requires_text_and_exact_requires_integer() {
        assert!(read("{\"a\":12}").ok().unwrap().secret("a").is_none());
        assert_eq!(read("{\"a\":[\"x\",7,\"y\"]}").ok().unwrap().words("a").unwrap().expose_secret(), "x y");
        for damaged in ["1.9", "-1", "\"1\"", "true", "{}"] {
            assert!(read(&format!("{{\"a\":{damaged}}}")).ok().unwrap().exact("a").is_err(), "{damaged}");
        }
        assert_eq!(read("{\"a\":7}").ok().unwrap().exact("a"), Ok(Some(7)));
        assert!(read("{\"a\":7}").ok().unwrap().exact_text("a").is_err());
        for (json, says) in
            [("\"\"", false), ("false", false), ("0", false), ("null", false), ("\"x\"", true), ("{}", true)]
        {
            assert_eq!(read(&format!("{{\"a\":{json}}}")).ok().unwrap().says("a"), says, "{json}");
        }
    }

    #[test]
    fn deep_unknown_field_is_omitted_and_byte_order_mark_skipped() {
        let deep = format!("\u{feff}{{\"a\":1,\"x\":{}{},\"y\":[[2]]}}", "[".repeat(100), "]".repeat(100));
        let object = read(&deep).ok().unwrap();
        assert_eq!(object.extra.keys().collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn duplicate_unknown_field_keeps_last_value() {
        let object = read("{\"x\":{\"y\":[1]},\"a\":1,\"x\":2}").ok().unwrap();
        assert_eq!(object.extra.get("x"), Some(&Value::from(2)));
    }

    #[test]
    fn serde_json_private_names_are_plain_names() {
        let raw = r#"{"$serde_json::private::RawValue":"boom"}"#;
        let text = format!(r#"{{"$serde_json::private::RawValue":"boom","x":[{raw}],"a":{raw},"b":1}}"#);
        let mut object = read(&text).ok().unwrap();
        assert_eq!(object.extra["$serde_json::private::RawValue"], "boom");
        assert_eq!(object.extra["x"].to_string(), format!("[{raw}]"));
        assert!(matches!(object.take("a"), Some(Scalar::Other)));
        assert_eq!(object.seconds("b"), Some(1));
        let mut object = read(r#"{"a":{"$serde_json::private::Number":"7","x":1}}"#).ok().unwrap();
        assert_eq!(object.seconds("a"), None);
    }

    #[test]
    fn object_matches_serde_json() {
        for text in [r#"{"a":[1,-2,3.5,1e3,"x",null,true,{"b":{}}],"é":"\u0041"}"#, "{}", "  {\"a\" : 0 }\n"] {
            let expected: Map<String, Value> = serde_json::from_str(text).unwrap();
            assert_eq!(object(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn ambiguous_or_invalid_object_is_rejected_at_every_level() {
        for (text, fault) in [
            (r#"{"a":1,"a":1}"#, value::Fault::Repeated),
            (r#"{"a":1,"\u0061":2}"#, value::Fault::Repeated),
            (r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#, value::Fault::Repeated),
            ("[]", value::Fault::NotAnObject),
            ("null", value::Fault::NotAnObject),
            ("", value::Fault::Unreadable),
            ("{", value::Fault::Unreadable),
            (r#"{"a":1}x"#, value::Fault::Unreadable),
            (r#"{"a":1}{}"#, value::Fault::Unreadable),
        ] {
            assert_eq!(object(text.as_bytes()), Err(fault), "{text}");
        }
        let odd = r#"{"x":[{"$serde_json::private::RawValue":"boom"}]}"#;
        assert_eq!(Value::Object(object(odd.as_bytes()).unwrap()).to_string(), odd);
        let deep = "[".repeat(100_000);
        assert_eq!(object(format!("{{\"a\":{deep}").as_bytes()), Err(value::Fault::Unreadable));
        assert_eq!(object(b"{\"a\":\"\xff\",\"a\":1}"), Err(value::Fault::Repeated));
    }

    #[test]
    fn seconds_booleans_and_text_lists_are_parsed_leniently() {
        for (value, found) in [
            (json!(1_700_000_000), Some(1_700_000_000)),
            (json!(1_700_000_000.9), Some(1_700_000_000)),
            (json!("1700000000"), Some(1_700_000_000)),
            (json!(-5), Some(0)),
            (json!(1e300), Some(u64::MAX)),
            (json!("soon"), None),
            (json!("inf"), None),
            (json!(null), None),
            (json!([1]), None),
        ] {
            assert_eq!(seconds(&value), found, "{value}");
        }
        for (value, found) in [
            (json!(true), Some(true)),
            (json!("true"), Some(true)),
            (json!("False "), Some(false)),
            (json!(1), None),
            (json!("yes"), None),
        ] {
            assert_eq!(truth(&value), found, "{value}");
            assert_eq!(says_yes(&value), Some(found.unwrap_or(false)), "{value}");
        }
        assert_eq!(says_yes(&json!(null)), None);
        assert_eq!(texts(&json!(["a", "b"])), Some(vec!["a", "b"]));
        assert_eq!((texts(&json!("a")), texts(&json!(["a", 1])), texts(&json!({}))), (Some(vec!["a"]), None, None));
    }
}
