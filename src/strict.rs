//! A strict reader for signed JSON, which rejects duplicate names at every level.
//!
//! Parsers treat duplicate names differently, so the signer and the verifier could read different
//! values (RFC 8725, section 2.4). Errors never quote the input.

use serde_json::{Map, Value};

use crate::foreign;
pub(crate) use crate::foreign::{Fault, whole_number as seconds};

/// Reads an object.
pub(crate) fn object(json: &[u8]) -> Result<Map<String, Value>, Fault> {
    foreign::unambiguous(json, None)
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
    use serde_json::json;

    use super::*;

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
            (r#"{"a":1,"a":1}"#, Fault::Repeated),
            (r#"{"a":1,"\u0061":2}"#, Fault::Repeated),
            (r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#, Fault::Repeated),
            ("[]", Fault::NotAnObject),
            ("null", Fault::NotAnObject),
            ("", Fault::Unreadable),
            ("{", Fault::Unreadable),
            (r#"{"a":1}x"#, Fault::Unreadable),
            (r#"{"a":1}{}"#, Fault::Unreadable),
        ] {
            assert_eq!(object(text.as_bytes()), Err(fault), "{text}");
        }
        let odd = r#"{"x":[{"$serde_json::private::RawValue":"boom"}]}"#;
        assert_eq!(Value::Object(object(odd.as_bytes()).unwrap()).to_string(), odd);
        let deep = "[".repeat(100_000);
        assert_eq!(object(format!("{{\"a\":{deep}").as_bytes()), Err(Fault::Unreadable));
        assert_eq!(object(b"{\"a\":\"\xff\",\"a\":1}"), Err(Fault::Repeated));
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
