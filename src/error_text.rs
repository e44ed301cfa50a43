//! Extraction of error codes and descriptions from error responses.

use serde_json::Value;

/// The known error codes: those of RFC 6749, section 5.2, and RFC 8628, section 3.5, and Webex's
/// own.
const CODES: [&str; 15] = [
    "invalid_grant",
    "expired_token",
    "access_denied",
    "login_required",
    "tokenlimit_reached",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "slow_down",
    "authorization_pending",
    "invalid_request",
];

/// Returns the known code that occurs as a word in `text`, ignoring case. Webex's API gateway
/// quotes the error of its identity broker within a sentence.
pub(crate) fn known_code(text: &str) -> Option<&'static str> {
    let text = without_urls(text);
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.find_map(|word| CODES.into_iter().find(|code| word.eq_ignore_ascii_case(code)))
}

/// Returns the known code in any string of a response. The codes for polling may also be written as
/// words ("slow down").
pub(crate) fn code_in(body: &Value) -> Option<&'static str> {
    let texts = texts(body);
    texts.iter().find_map(|text| known_code(text)).or_else(|| {
        let spaced = |text: &&str| without_urls(text).to_ascii_lowercase().replace(['-', '_'], " ");
        let texts: Vec<_> = texts.iter().map(spaced).collect();
        let says = |words| texts.iter().any(|text| text.contains(words));
        [("slow down", "slow_down"), ("authorization pending", "authorization_pending")]
            .into_iter()
            .find_map(|(words, code)| says(words).then_some(code))
    })
}

/// Removes URLs from `text`. Their query parameters look like codes but are not.
pub(crate) fn without_urls(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.contains("://"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The maximum number of strings that are read from a response. Webex's responses contain at most
/// four. A malicious response could contain a mebibyte of them.
const MAX_TEXTS: usize = 32;
/// The maximum number of characters that are read from each string.
const MAX_TEXT: usize = 2048;

/// Returns all strings that may contain the reason.
///
/// The known shapes are `{"error", "error_description"}`,
/// `{"message", "errors": [{"description"}]}`, and `{"code", "message"}`. Other shapes are searched
/// in the same way. Fields that may contain a secret or only an ID are skipped.
pub(crate) fn texts(body: &Value) -> Vec<&str> {
    fn gather<'a>(value: &'a Value, depth: usize, texts: &mut Vec<&'a str>) {
        match value {
            Value::String(text) if texts.len() < MAX_TEXTS && !text.trim().is_empty() => {
                let text = text.char_indices().nth(MAX_TEXT).map_or(text.as_str(), |(end, _)| &text[..end]);
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            Value::Array(items) if depth > 0 => items.iter().for_each(|item| gather(item, depth - 1, texts)),
            Value::Object(fields) if depth > 0 => {
                let telling = fields.iter().filter(|(name, _)| is_telling(name));
                telling.for_each(|(_, value)| gather(value, depth - 1, texts));
            }
            _ => {}
        }
    }

    let mut texts = Vec::new();
    for name in ["error", "error_description", "errors"] {
        body.get(name).into_iter().for_each(|value| gather(value, 4, &mut texts));
    }
    gather(body, 4, &mut texts);
    texts
}

/// Returns `true` if a field of this name may describe the error.
fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !["token", "secret", "password", "key", "jwt", "tracking", "code", "uri", "url"]
        .iter()
        .any(|word| name.contains(word))
}

/// Returns the server's description, without strings that consist of a code only.
pub(crate) fn description(texts: &[&str]) -> Option<String> {
    let told: Vec<_> = texts.iter().filter(|text| !CODES.contains(&text.trim())).copied().collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Returns the value of `error` if it is a single word: possibly a new code.
pub(crate) fn unknown_code(body: &Value) -> Option<String> {
    let word = body.get("error")?.as_str()?.trim();
    let is_word = !word.is_empty() && word.len() <= 60 && !word.contains(char::is_whitespace);
    is_word.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_large_error_body_are_bounded() {
        let many: Vec<_> = (0..100_000).map(|number| format!("s{number}")).collect();
        for body in [serde_json::json!({ "errors": many }), serde_json::json!({ "message": "ä".repeat(500_000) })] {
            let texts = texts(&body);
            assert!(texts.len() <= MAX_TEXTS && texts.iter().all(|text| text.len() <= 2 * MAX_TEXT));
            assert!(!texts.is_empty());
        }
    }
}
