//! JSON parsing without the crate.
//!
//! A byte order mark and invalid UTF-8 are handled as in the crate. Input that serde_json rejects nevertheless, for example with
//! an unpaired surrogate, cannot be checked here.

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Parses accepted input as an object without duplicate names. Returns `None` if serde_json cannot parse it.
pub(crate) fn parse_object(json: &[u8]) -> Option<Map<String, Value>> {
    struct Names(Vec<String>);

    impl<'de> Deserialize<'de> for Names {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Names(Vec::new()))
        }
    }

    impl<'de> Visitor<'de> for Names {
        type Value = Names;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Names, A::Error> {
            while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
                self.0.push(name);
            }
            Ok(self)
        }
    }

    let text = String::from_utf8_lossy(json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json));
    let value: Value = serde_json::from_str(&text).ok()?;
    let Value::Object(object) = value else { panic!("accepted input is not an object: {text}") };
    let Names(names) = serde_json::from_str(&text).unwrap();
    assert_eq!(names.len(), object.len(), "accepted input has duplicate names");
    Some(object)
}
