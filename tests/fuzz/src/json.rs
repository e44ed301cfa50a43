//! JSON, read without the crate's help.

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// An object in which no name stands twice.
pub(crate) fn object(json: &[u8]) -> Map<String, Value> {
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

    let object: Map<String, Value> = serde_json::from_slice(json).expect("what is accepted is an object");
    let Names(names) = serde_json::from_slice(json).unwrap();
    assert_eq!(names.len(), object.len(), "what is accepted has no name twice");
    object
}
