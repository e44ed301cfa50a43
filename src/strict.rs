//! Reads JSON that leaves no room for two readings: a name that stands twice in an object is refused, at every level.
//!
//! What is signed must mean the same to whoever signed it and whoever reads it (RFC 8725 section 2.4). No error quotes the
//! input.

use std::fmt;
use std::sync::LazyLock;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How serde_json hands numbers over when somebody in the tree turned its feature `arbitrary_precision` on.
const NUMBER: &str = "$serde_json::private::Number";

/// Whether it is on: else an object of that name is an object like any other.
static NUMBERS_ARE_MAPS: LazyLock<bool> = LazyLock::new(|| {
    struct Probe;

    impl<'de> Visitor<'de> for Probe {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
            Ok(false)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            while map.next_entry::<String, String>()?.is_some() {}
            Ok(true)
        }
    }

    serde_json::Deserializer::from_str("1").deserialize_any(Probe).unwrap_or(false)
});

/// Why a text is not the JSON object that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unreadable,
    NotAnObject,
    Repeated,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "it is not JSON",
            Self::NotAnObject => "it is not a JSON object",
            Self::Repeated => "it has a name twice in one object",
        })
    }
}

/// Reads an object.
pub(crate) fn object(json: &[u8]) -> Result<Map<String, Value>, Fault> {
    let mut is_repeated = false;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = Strict(&mut is_repeated).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match read {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Fault::NotAnObject),
        Err(_) if is_repeated => Err(Fault::Repeated),
        Err(_) => Err(Fault::Unreadable),
    }
}

/// Reads any value; notes whether a name was repeated.
struct Strict<'a>(&'a mut bool);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict(self.0))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == NUMBER && *NUMBERS_ARE_MAPS {
                let digits = map.next_value::<String>()?;
                return digits.parse().map(Value::Number).map_err(|_| A::Error::custom("no number"));
            }
            let value = map.next_value_seed(Strict(self.0))?;
            if object.insert(name, value).is_some() {
                *self.0 = true;
                return Err(A::Error::custom("repeated"));
            }
        }
        Ok(Value::Object(object))
    }
}

/// A number of seconds since 1970, as JSON web tokens write it: whole or not, and by some servers as text. Fractions are cut
/// off; what lies before 1970 is 1970.
pub(crate) fn seconds(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => text.trim().parse::<f64>().ok().and_then(whole),
        _ => None,
    }
}

fn whole(number: f64) -> Option<u64> {
    // `as` saturates at both ends.
    number.is_finite().then_some(number as u64)
}

/// A truth value, which some servers write as text.
pub(crate) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// Whether a claim says yes. What is neither yes nor no is no, since something is believed once it is yes; `null` says
/// nothing.
pub(crate) fn says_yes(value: &Value) -> Option<bool> {
    (!value.is_null()).then(|| truth(value).unwrap_or(false))
}

/// A list of texts, or a single one.
pub(crate) fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_read_as_serde_json_reads_it() {
        for text in [r#"{"a":[1,-2,3.5,1e3,"x",null,true,{"b":{}}],"é":"\u0041"}"#, "{}", "  {\"a\" : 0 }\n"] {
            let expected: Map<String, Value> = serde_json::from_str(text).unwrap();
            assert_eq!(object(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused_at_every_level() {
        for (text, fault) in [
            (r#"{"a":1,"a":1}"#, Fault::Repeated),
            (r#"{"a":1,"\u0061":2}"#, Fault::Repeated),
            (r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#, Fault::Repeated),
            ("[]", Fault::NotAnObject),
            ("null", Fault::NotAnObject),
            ("", Fault::Unreadable),
            ("{", Fault::Unreadable),
            (r#"{"a":1}x"#, Fault::Unreadable),
            (r#"{"a":1}{}"#, Fault::Unreadable),
            (r#"{"a":"\ud800"}"#, Fault::Unreadable),
        ] {
            assert_eq!(object(text.as_bytes()), Err(fault), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(object(format!("{{\"a\":{deep}").as_bytes()), Err(Fault::Unreadable));
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(Fault::Unreadable));
    }

    #[test]
    fn numbers_and_truths_are_read_as_servers_write_them() {
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
