//! The words of error responses: OAuth error codes, wherever a server writes them, and the texts around them.

use serde_json::Value;

/// The codes that are known, those of RFC 6749 section 5.2 and Webex's own.
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

/// A code as a word of a text, in any case: Webex's front passes on what its broker said within a sentence.
pub(crate) fn known_code(text: &str) -> Option<&'static str> {
    let text = without_urls(text);
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.find_map(|word| CODES.into_iter().find(|code| word.eq_ignore_ascii_case(code)))
}

/// The known code of an answer, wherever it stands; that a device has to wait may also be said in words.
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

/// A text without the addresses in it, whose parameters have telling names but say nothing.
pub(crate) fn without_urls(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.contains("://"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// What is looked at of an answer: Webex's have four texts at most, of a line each; a hostile one may be a mebibyte of them.
const MOST_TEXTS: usize = 32;
const LONGEST_TEXT: usize = 2048;

/// Every text that may say why. The known shapes are `{"error", "error_description"}`,
/// `{"message", "errors": [{"description"}]}` and `{"code", "message"}`; others are searched in the same way, except
/// for fields that could hold a secret or only an id.
pub(crate) fn texts(body: &Value) -> Vec<&str> {
    fn gather<'a>(value: &'a Value, depth: usize, texts: &mut Vec<&'a str>) {
        match value {
            Value::String(text) if texts.len() < MOST_TEXTS && !text.trim().is_empty() => {
                let text = text.char_indices().nth(LONGEST_TEXT).map_or(text.as_str(), |(end, _)| &text[..end]);
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

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !["token", "secret", "password", "key", "jwt", "tracking", "code", "uri", "url"]
        .iter()
        .any(|word| name.contains(word))
}

/// What the server said, without texts that are a code and nothing else.
pub(crate) fn description(texts: &[&str]) -> Option<String> {
    let told: Vec<_> = texts.iter().filter(|text| !CODES.contains(&text.trim())).copied().collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// A word in `error` that no standard knows.
pub(crate) fn unknown_code(body: &Value) -> Option<String> {
    let word = body.get("error")?.as_str()?.trim();
    let is_word = !word.is_empty() && word.len() <= 60 && !word.contains(char::is_whitespace);
    is_word.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mebibyte_of_texts_is_not_looked_at_to_its_end() {
        let many: Vec<_> = (0..100_000).map(|number| format!("s{number}")).collect();
        for body in [serde_json::json!({ "errors": many }), serde_json::json!({ "message": "ä".repeat(500_000) })] {
            let texts = texts(&body);
            assert!(texts.len() <= MOST_TEXTS && texts.iter().all(|text| text.len() <= 2 * LONGEST_TEXT));
            assert!(!texts.is_empty());
        }
    }
}
