//! Reads a JSON object of which some fields are known, forgivingly and without ever quoting it.
//!
//! The texts of known fields go straight into memory that is wiped, and no error contains a piece of the input:
//! serde_json's own messages would.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON object: the fields that were asked for, and the rest.
pub(crate) struct Object<const N: usize> {
    names: &'static [&'static str; N],
    known: [Option<Scalar>; N],
    pub(crate) extra: Map<String, Value>,
}

/// A JSON value: text or number, which is what the fields that are asked for hold.
pub(crate) enum Scalar {
    Text(SecretString),
    Whole(i64),
    Float(f64),
    /// Anything else.
    Other,
}

/// Why a text is not the JSON object that was expected.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Unreadable { line: usize, column: usize },
    NotAnObject,
    Repeated(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { line, column } => write!(f, "it is not JSON at line {line}, column {column}"),
            Self::NotAnObject => f.write_str("it is not a JSON object"),
            Self::Repeated(name) => write!(f, "it repeats the field `{name}`"),
        }
    }
}

impl<const N: usize> Object<N> {
    /// Reads `json`. A known field that is `null` counts as absent; one that appears twice is a fault.
    pub(crate) fn read(json: &[u8], names: &'static [&'static str; N]) -> Result<Self, Fault> {
        let mut object = Self { names, known: std::array::from_fn(|_| None), extra: Map::new() };
        let mut repeated = None;
        let mut reader = serde_json::Deserializer::from_slice(json);
        let seed = Fields { object: &mut object, repeated: &mut repeated };
        let read = reader.deserialize_any(seed).and_then(|()| reader.end());
        match (repeated, read) {
            (Some(name), _) => Err(Fault::Repeated(name)),
            (None, Ok(())) => Ok(object),
            (None, Err(error)) if error.is_data() => Err(Fault::NotAnObject),
            (None, Err(error)) => Err(Fault::Unreadable { line: error.line(), column: error.column() }),
        }
    }

    /// Takes a known field out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Scalar> {
        self.known[self.names.iter().position(|known| *known == name)?].take()
    }

    /// Takes a text or a number out, as text; an empty text counts as absent.
    pub(crate) fn text(&mut self, name: &str) -> Option<SecretString> {
        match self.take(name)? {
            Scalar::Text(text) if text.expose_secret().is_empty() => None,
            Scalar::Text(text) => Some(text),
            Scalar::Whole(number) => Some(number.to_string().into()),
            Scalar::Float(number) => Some(number.to_string().into()),
            Scalar::Other => None,
        }
    }

    /// Takes a text or a number out that is no secret.
    pub(crate) fn plain(&mut self, name: &str) -> Option<String> {
        self.text(name).map(|text| text.expose_secret().to_owned())
    }

    /// Takes a number of seconds out, however it was written. Fractions are cut off, negative numbers are zero, and
    /// what is no number at all counts as absent.
    pub(crate) fn seconds(&mut self, name: &str) -> Option<u64> {
        match self.take(name)? {
            Scalar::Whole(number) => Some(u64::try_from(number).unwrap_or(0)),
            Scalar::Float(number) => whole_seconds(number),
            Scalar::Text(text) => whole_seconds(text.expose_secret().trim().parse().ok()?),
            Scalar::Other => None,
        }
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
                self.object.extra.insert(unknown, map.next_value()?);
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

/// The name of a field: known by its position, or unknown by its text.
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
                Ok(Scalar::Whole(number))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
                Ok(i64::try_from(number).map_or(Scalar::Float(number as f64), Scalar::Whole))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
                Ok(Scalar::Float(number))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Scalar, A::Error> {
                while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }

        deserializer.deserialize_any(AnyScalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["a", "b"];

    fn read(json: &str) -> Result<Object<2>, Fault> {
        Object::read(json.as_bytes(), &NAMES)
    }

    #[test]
    fn seconds_are_read_however_they_are_written() {
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
    fn text_may_be_a_number_and_empty_text_is_none() {
        for (json, text) in [
            ("\"x\"", Some("x")),
            ("123456789012", Some("123456789012")),
            ("\"\"", None),
            ("null", None),
            ("true", None),
            ("[]", None),
        ] {
            assert_eq!(read(&format!("{{\"a\":{json}}}")).ok().unwrap().plain("a").as_deref(), text, "{json}");
        }
    }

    #[test]
    fn faults_are_told_apart_and_never_quote_the_input() {
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
    }

    #[test]
    fn unknown_fields_are_kept_also_when_they_repeat() {
        let object = read("{\"x\":{\"y\":[1]},\"a\":1,\"x\":2}").ok().unwrap();
        assert_eq!(object.extra.get("x"), Some(&Value::from(2)));
    }
}
