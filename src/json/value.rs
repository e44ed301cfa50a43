//! Decoding of JSON into values: tolerates invalid Unicode and numbers, and limits the depth.
//!
//! serde_json rejects a whole document if any string is not valid Unicode. A user name in another
//! encoding must not make the tokens in the same response unusable. Go and JavaScript also decode
//! invalid sequences to U+FFFD.

use std::fmt;
use std::sync::LazyLock;

use secrecy::zeroize::Zeroizing;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// U+FEFF in UTF-8. A parser may ignore it (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Removes a byte order mark, replaces invalid sequences with U+FFFD, and replaces numbers that
/// exceed the range of `f64` with 1e308.
///
/// The returned copy is zeroized on drop, because it may contain tokens.
pub(crate) fn decode_json(json: &[u8]) -> Zeroizing<Vec<u8>> {
    let json = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json);
    let invalid = json.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
    // A growing buffer would leave copies that are not zeroized.
    let mut text = Zeroizing::new(Vec::with_capacity(json.len() + invalid * char::REPLACEMENT_CHARACTER.len_utf8()));
    for chunk in json.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    repair_json(&mut text);
    text
}

/// Returns `true` if a part of `text` could not be decoded.
///
/// Different originals may decode to the same string. Every comparison that decides about access
/// must therefore reject it.
pub(crate) fn has_replacement_character(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}

/// Replaces lone surrogates and oversized numbers in place. Neither replacement is longer than the
/// original.
fn repair_json(text: &mut [u8]) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at = match byte {
            b'"' => repair_string(text, at + 1),
            b'0'..=b'9' => repair_number(text, at),
            _ => at + 1,
        };
    }
}

/// Replaces lone surrogates in the string that begins at `at`, and returns the position after it.
fn repair_string(text: &mut [u8], mut at: usize) -> usize {
    while let Some(byte) = text.get(at) {
        at += match (byte, code_unit(text, at)) {
            (b'"', _) => return at + 1,
            (b'\\', Some(0xd800..=0xdbff))
                if matches!(code_unit(text, at + UNICODE_ESCAPE_LEN), Some(0xdc00..=0xdfff)) =>
            {
                2 * UNICODE_ESCAPE_LEN
            }
            (b'\\', Some(0xd800..=0xdfff)) => {
                if let Some(digits) = text.get_mut(at + 2..at + UNICODE_ESCAPE_LEN) {
                    digits.copy_from_slice(b"fffd");
                }
                UNICODE_ESCAPE_LEN
            }
            (b'\\', None) => 2,
            _ => 1,
        };
    }
    at
}

/// The length of `\uXXXX`.
const UNICODE_ESCAPE_LEN: usize = 6;

/// Returns the UTF-16 code unit of the `\uXXXX` escape at this position.
fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at.checked_add(UNICODE_ESCAPE_LEN)?)?.strip_prefix(b"\\u")?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

/// Replaces the number at `at` if it is oversized, and returns the position after it.
fn repair_number(text: &mut [u8], at: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    let Some(number) = text.get_mut(at..) else { return at };
    let length = number.iter().position(|byte| !is_part(byte)).unwrap_or(number.len());
    let Some(number) = number.get_mut(..length) else { return at };
    let value = std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
    if value.is_some_and(f64::is_infinite) {
        let replacement = LARGE_NUMBER_REPLACEMENT.iter().chain(std::iter::repeat(&b' '));
        number.iter_mut().zip(replacement).for_each(|(byte, replacement)| *byte = *replacement);
    }
    at + length
}

/// The replacement for oversized numbers. It fits, because the shortest oversized number is
/// `2e308`.
const LARGE_NUMBER_REPLACEMENT: &[u8] = b"1e308";

/// The name of the object that serde_json passes for a number if its feature `arbitrary_precision`
/// is enabled.
const NUMBER_FIELD: &str = "$serde_json::private::Number";

/// The state of that feature. If it is disabled, an object with that name is an ordinary object.
static HAS_ARBITRARY_PRECISION: LazyLock<bool> = LazyLock::new(|| {
    struct NumberVisitor;

    impl<'de> Visitor<'de> for NumberVisitor {
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

    serde_json::Deserializer::from_str("1").deserialize_any(NumberVisitor).unwrap_or(false)
});

/// Returns `true` if an object that begins with this name is a number.
pub(crate) fn is_number_field(name: &str) -> bool {
    name == NUMBER_FIELD && *HAS_ARBITRARY_PRECISION
}

/// A problem with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonError {
    Unreadable,
    NotAnObject,
    Repeated,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "invalid JSON",
            Self::NotAnObject => "not a JSON object",
            Self::Repeated => "duplicate name in an object",
        })
    }
}

/// Reads a value that a server sent, with lenient [decoding](decode). The last of several duplicate
/// names counts.
pub(crate) fn parse_value(json: &[u8]) -> Option<Value> {
    let json = decode_json(json);
    parse_with(&json, ValueVisitor::lenient()).ok()
}

/// Reads a value that this crate stored. Invalid strings are errors and not repaired. The last of
/// several duplicate names counts.
pub(crate) fn parse_stored_value(json: &str) -> serde_json::Result<Value> {
    parse_with(json.as_bytes(), ValueVisitor::lenient())
}

/// Reads an object like [`value`].
pub(crate) fn parse_object(json: &[u8]) -> Option<Map<String, Value>> {
    match parse_value(json)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Reads an object like [`value`], but rejects duplicate names.
///
/// With `names`, only duplicates of these names at the top level are rejected.
pub(crate) fn parse_object_without_duplicates(
    json: &[u8],
    names: Option<&'static [&'static str]>,
) -> Result<Map<String, Value>, JsonError> {
    let json = decode_json(json);
    let mut is_repeated = false;
    match parse_with(&json, ValueVisitor { duplicate_found: Some(&mut is_repeated), unique_names: names }) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(JsonError::NotAnObject),
        Err(_) if is_repeated => Err(JsonError::Repeated),
        Err(_) => Err(JsonError::Unreadable),
    }
}

fn parse_with(json: &[u8], reader: ValueVisitor<'_>) -> serde_json::Result<Value> {
    let mut json = serde_json::Deserializer::from_slice(json);
    let value = reader.deserialize(&mut json)?;
    json.end().map(|()| value)
}

/// Reads a whole number, which some servers write as a float or as a string. Fractions are
/// truncated, and negative numbers become zero.
pub(crate) fn whole_number(value: &Value) -> Option<u64> {
    // `as` saturates at both ends.
    let whole = |number: f64| number.is_finite().then_some(number as u64);
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => text.trim().parse::<f64>().ok().and_then(whole),
        _ => None,
    }
}

/// The fields of an object, read like [`value`].
pub(crate) struct UntrustedObject(pub(crate) Map<String, Value>);

impl<'de> Deserialize<'de> for UntrustedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_map(ValueVisitor::lenient())? {
            Value::Object(object) => Ok(Self(object)),
            _ => Err(D::Error::custom("not an object")),
        }
    }
}

/// A visitor that reads a value.
pub(crate) struct ValueVisitor<'a> {
    /// Set to `true` if a name is duplicate, which is then an error.
    duplicate_found: Option<&'a mut bool>,
    /// The names that must not be repeated at the top level. Without a list, no name may be
    /// repeated at any level.
    unique_names: Option<&'static [&'static str]>,
}

impl ValueVisitor<'static> {
    /// Creates a reader that accepts duplicate names. The last of them counts.
    pub(crate) fn lenient() -> Self {
        Self { duplicate_found: None, unique_names: None }
    }
}

impl ValueVisitor<'_> {
    /// Returns the reader of nested values.
    fn nested(&mut self) -> ValueVisitor<'_> {
        ValueVisitor {
            duplicate_found: self.duplicate_found.as_deref_mut().filter(|_| self.unique_names.is_none()),
            unique_names: None,
        }
    }

    /// Returns `true` if a second field of this name is an error.
    fn must_be_unique(&self, name: &str) -> bool {
        self.duplicate_found.is_some() && self.unique_names.is_none_or(|names| names.contains(&name))
    }
}

impl<'de> DeserializeSeed<'de> for ValueVisitor<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueVisitor<'_> {
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

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.nested())? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if is_number_field(&name) {
                let digits = map.next_value::<String>()?;
                return digits.parse().map(Value::Number).map_err(|_| A::Error::custom("no number"));
            }
            let is_guarded = self.must_be_unique(&name);
            let value = map.next_value_seed(self.nested())?;
            if object.insert(name, value).is_some() && is_guarded {
                self.duplicate_found.into_iter().for_each(|repeated| *repeated = true);
                return Err(A::Error::custom("repeated"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn decode_to_string(json: &[u8]) -> String {
        String::from_utf8(decode_json(json).to_vec()).unwrap()
    }

    #[test]
    fn unicode_escape_with_sign_is_invalid() {
        assert_eq!([&br"\u+041"[..], br"\u0041"].map(|text| code_unit(text, 0)), [None, Some(0x41)]);
    }

    #[test]
    fn well_formed_text_is_unchanged_by_decode() {
        for json in [
            "",
            "{}",
            r#"{"a":"\"\\\u0041\ud83d\ude00\\ud800\/","é\n":[1,-2,3.5,1e3,1e308,-1E+308,1e-999,0]}"#,
            r#"["\uD83D\uDE00","\\\\","\\\"",{"x":"1e999"}]"#,
            "<html>9e999",
            "not json \"",
            "\"\\",
            "\"\\u",
            "\"\\ud8",
            "-",
        ] {
            let expected = json.replace("9e999", "1e308");
            assert_eq!(decode_to_string(json.as_bytes()), expected, "{json}");
        }
    }

    #[test]
    fn undecodable_text_becomes_replacement_character() {
        for (json, text) in [
            (&b"\"J\xf6rg\""[..], "J\u{fffd}rg"),
            (b"\"J\xc3\"", "J\u{fffd}"),
            (b"\"\xe2\x82\"", "\u{fffd}"),
            (b"\"\xff\xfe\"", "\u{fffd}\u{fffd}"),
            (b"\"a\xed\xa0\x80z\"", "a\u{fffd}\u{fffd}\u{fffd}z"),
            (br#""\ud800""#, "\u{fffd}"),
            (br#""\uDFFFx""#, "\u{fffd}x"),
            (br#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (br#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (br#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}"),
            (br#""\ud83d\\ude00""#, "\u{fffd}\\ude00"),
            (br#""\ud83d\n""#, "\u{fffd}\n"),
            (br#""\\\ud800""#, "\\\u{fffd}"),
            (b"\xef\xbb\xbf\"x\"", "x"),
        ] {
            let value: Value = serde_json::from_slice(&decode_json(json)).unwrap();
            assert_eq!(value, text, "{}", String::from_utf8_lossy(json));
            assert_eq!(has_replacement_character(text), text != "x");
        }
    }

    #[test]
    fn number_beyond_float_range_becomes_largest_power_of_ten() {
        let long = format!("-{}.5", "9".repeat(400));
        for (json, expected) in
            [("1e999", 1e308), ("-1e999", -1e308), ("2e308", 1e308), ("17976931348623157e400", 1e308), (&*long, -1e308)]
        {
            for json in [json.to_owned(), format!("[{json},7]"), format!(r#"{{"a":{json}}}"#)] {
                let value: Value = serde_json::from_slice(&decode_json(json.as_bytes())).unwrap();
                let found = value.get("a").or(value.get(0)).unwrap_or(&value);
                assert_eq!(found.as_f64(), Some(expected), "{json}");
            }
        }
    }

    #[test]
    fn leading_byte_order_mark_is_removed_once() {
        assert_eq!(decode_to_string(b"\xef\xbb\xbf{}"), "{}");
        assert_eq!(decode_to_string(b"\xef\xbb\xbf\xef\xbb\xbf{}"), "\u{feff}{}");
        assert_eq!(decode_to_string(b" \xef\xbb\xbf{}"), " \u{feff}{}");
        assert_eq!(decode_to_string(b"\xef\xbb"), "\u{fffd}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn decode_returns_utf_8_and_is_idempotent(json in proptest::collection::vec(
            proptest::prop_oneof![proptest::sample::select(br#""\ud8cefDC09-+.{}[]:, "#.to_vec()), proptest::prelude::any::<u8>()],
            0..64,
        )) {
            let once = decode_json(&json);
            let text = std::str::from_utf8(&once).unwrap();
            if !text.starts_with('\u{feff}') {
                proptest::prop_assert_eq!(&*decode_json(&once), &*once);
            }
        }
    }

    #[test]
    fn value_matches_serde_json_and_last_duplicate_wins() {
        for text in [
            r#"{"a":[1,-2,3.5,1e3,"x",null,true,{"b":{}}],"é":"\u0041"}"#,
            r#"{"a":1,"b":{"c":1,"c":2},"a":3}"#,
            "  [0]\n",
            "18446744073709551616",
            "null",
        ] {
            assert_eq!(parse_value(text.as_bytes()), serde_json::from_str::<Value>(text).ok(), "{text}");
            assert_eq!(serde_json::from_str::<UntrustedObject>(text).is_ok(), text.starts_with('{'), "{text}");
        }
        for text in ["", "{", "[1]x", "[1][2]", "\"\u{1}\"", "\0", "{}\0", "[1]\0"] {
            assert_eq!(parse_value(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_object(b"[]"), None);
    }

    #[test]
    fn value_with_undecodable_text_has_replacement_characters() {
        let json = b"\xef\xbb\xbf{\"a\":\"J\xf6rg\",\"b\xff\":[\"\\ud800\"],\"c\":1e999}";
        let expected = serde_json::json!({"a": "J\u{fffd}rg", "b\u{fffd}": ["\u{fffd}"], "c": 1e308});
        assert_eq!(parse_value(json), Some(expected.clone()));
        assert_eq!(parse_object_without_duplicates(json, None).map(Value::Object), Ok(expected));
        // Two names that decode to the same string count as one.
        let json = b"{\"\xe4\":1,\"\xf6\":2}";
        assert_eq!(parse_object_without_duplicates(json, None), Err(JsonError::Repeated));
        assert_eq!(parse_value(json), Some(serde_json::json!({"\u{fffd}": 2})));
    }

    #[test]
    fn duplicate_name_is_rejected_only_if_guarded() {
        const NAMES: &[&str] = &["id", "x"];
        for (json, is_rejected) in [
            (r#"{"id":1,"x":2,"y":3}"#, false),
            (r#"{"id":1,"id":1}"#, true),
            (r#"{"id":1,"\u0069d":null}"#, true),
            (r#"{"y":1,"y":2,"Id":1,"id":2}"#, false),
            (r#"{"y":{"id":1,"id":2},"x":[{"x":1,"x":2}]}"#, false),
            (r#"{"y":{"id":1,"id":2},"x":1,"x":2}"#, true),
        ] {
            let found = parse_object_without_duplicates(json.as_bytes(), Some(NAMES));
            assert_eq!(found.err(), is_rejected.then_some(JsonError::Repeated), "{json}");
        }
    }

    #[test]
    fn serde_json_private_name_is_plain_name() {
        let odd = r#"{"$serde_json::private::RawValue":"boom","x":[{"$serde_json::private::RawValue":"[1]"}]}"#;
        assert!(
            serde_json::from_str::<Value>(odd).is_err(),
            "serde_json no longer treats this name specially; this module is not needed"
        );
        let read = parse_value(odd.as_bytes()).unwrap();
        assert_eq!(read["$serde_json::private::RawValue"], "boom");
        assert_eq!(read["x"][0]["$serde_json::private::RawValue"], "[1]");
        assert_eq!(read.to_string(), odd);
        assert_eq!(
            parse_object(odd.as_bytes()),
            serde_json::from_str::<UntrustedObject>(odd).ok().map(|UntrustedObject(fields)| fields)
        );
    }

    #[test]
    fn deep_nesting_is_rejected_and_strings_are_not_parsed() {
        let nested = |levels| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse_value(nested(100).as_bytes()).is_some());
        assert!(parse_value(nested(128).as_bytes()).is_none());
        assert!(parse_value("[".repeat(100_000).as_bytes()).is_none());
        // Nested strings remain strings and are not parsed.
        let quoted = (0..8)
            .fold(nested(100), |inner, _| serde_json::json!({ "$serde_json::private::RawValue": inner }).to_string());
        let Some(Value::Object(read)) = parse_value(quoted.as_bytes()) else { panic!("not an object") };
        assert!(read.values().all(Value::is_string));
    }
}
