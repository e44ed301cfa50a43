//! Signed JSON: names must be unique at every level. Only built with the feature `oidc`.

use serde_json::{Map, Value};

use crate::json::value::{JsonError, parse_object_without_duplicates};

/// Reads an object.
pub(crate) fn parse_strict_object(json: &[u8]) -> Result<Map<String, Value>, JsonError> {
    parse_object_without_duplicates(json, None)
}

/// Returns a Boolean, which some servers write as a string.
pub(crate) fn bool_or_string(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        _ => None,
    }
}

/// Returns the value of a Boolean claim, or `None` if it is `null`. Any value but a Boolean counts
/// as `false`, because `true` grants trust.
pub(crate) fn bool_claim(value: &Value) -> Option<bool> {
    (!value.is_null()).then(|| bool_or_string(value).unwrap_or(false))
}

/// Returns a list of strings, which may be a single string.
pub(crate) fn string_or_list(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::value::whole_number;
    use serde_json::json;

    #[test]
    fn object_matches_serde_json() {
        for text in [r#"{"a":[1,-2,3.5,1e3,"x",null,true,{"b":{}}],"é":"\u0041"}"#, "{}", "  {\"a\" : 0 }\n"] {
            let expected: Map<String, Value> = serde_json::from_str(text).unwrap();
            assert_eq!(parse_strict_object(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn ambiguous_or_invalid_object_is_rejected_at_every_level() {
        for (text, fault) in [
            (r#"{"a":1,"a":1}"#, JsonError::Repeated),
            (r#"{"a":1,"\u0061":2}"#, JsonError::Repeated),
            (r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#, JsonError::Repeated),
            ("[]", JsonError::NotAnObject),
            ("null", JsonError::NotAnObject),
            ("", JsonError::Unreadable),
            ("{", JsonError::Unreadable),
            (r#"{"a":1}x"#, JsonError::Unreadable),
            (r#"{"a":1}{}"#, JsonError::Unreadable),
        ] {
            assert_eq!(parse_strict_object(text.as_bytes()), Err(fault), "{text}");
        }
        let odd = r#"{"x":[{"$serde_json::private::RawValue":"boom"}]}"#;
        assert_eq!(Value::Object(parse_strict_object(odd.as_bytes()).unwrap()).to_string(), odd);
        let deep = "[".repeat(100_000);
        assert_eq!(parse_strict_object(format!("{{\"a\":{deep}").as_bytes()), Err(JsonError::Unreadable));
        assert_eq!(parse_strict_object(b"{\"a\":\"\xff\",\"a\":1}"), Err(JsonError::Repeated));
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
            assert_eq!(whole_number(&value), found, "{value}");
        }
        for (value, found) in [
            (json!(true), Some(true)),
            (json!("true"), Some(true)),
            (json!("False "), Some(false)),
            (json!(1), None),
            (json!("yes"), None),
        ] {
            assert_eq!(bool_or_string(&value), found, "{value}");
            assert_eq!(bool_claim(&value), Some(found.unwrap_or(false)), "{value}");
        }
        assert_eq!(bool_claim(&json!(null)), None);
        assert_eq!(string_or_list(&json!(["a", "b"])), Some(vec!["a", "b"]));
        assert_eq!(
            (string_or_list(&json!("a")), string_or_list(&json!(["a", 1])), string_or_list(&json!({}))),
            (Some(vec!["a"]), None, None)
        );
    }
}
