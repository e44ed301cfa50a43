//! Error codes, descriptions, and challenges of error responses.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use serde_json::Value;

/// The known error codes: those of RFC 6749, section 5.2, and RFC 8628, section 3.5, and Webex's
/// own.
const KNOWN_CODES: [&str; 15] = [
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
    words.find_map(|word| KNOWN_CODES.into_iter().find(|code| word.eq_ignore_ascii_case(code)))
}

/// Returns the known code in any string of a response. The codes for polling may also be written as
/// words ("slow down").
pub(crate) fn known_code_in(body: &Value) -> Option<&'static str> {
    let texts = error_strings(body);
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
const MAX_STRINGS: usize = 32;
/// The maximum number of characters that are read from each string.
const MAX_STRING_LEN: usize = 2048;

/// Returns all strings that may contain the reason.
///
/// The known shapes are `{"error", "error_description"}`,
/// `{"message", "errors": [{"description"}]}`, and `{"code", "message"}`. Other shapes are searched
/// in the same way. Fields that may contain a secret or only an ID are skipped.
pub(crate) fn error_strings(body: &Value) -> Vec<&str> {
    fn collect_strings<'a>(value: &'a Value, depth: usize, texts: &mut Vec<&'a str>) {
        match value {
            Value::String(text) if texts.len() < MAX_STRINGS && !text.trim().is_empty() => {
                let text = text.char_indices().nth(MAX_STRING_LEN).map_or(text.as_str(), |(end, _)| &text[..end]);
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            Value::Array(items) if depth > 0 => items.iter().for_each(|item| collect_strings(item, depth - 1, texts)),
            Value::Object(fields) if depth > 0 => {
                let telling = fields.iter().filter(|(name, _)| is_descriptive_field(name));
                telling.for_each(|(_, value)| collect_strings(value, depth - 1, texts));
            }
            _ => {}
        }
    }

    let mut texts = Vec::new();
    for name in ["error", "error_description", "errors"] {
        body.get(name).into_iter().for_each(|value| collect_strings(value, 4, &mut texts));
    }
    collect_strings(body, 4, &mut texts);
    texts
}

/// Returns `true` if a field of this name may describe the error.
fn is_descriptive_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !["token", "secret", "password", "key", "jwt", "tracking", "code", "uri", "url"]
        .iter()
        .any(|word| name.contains(word))
}

/// Returns the server's description, without strings that consist of a code only.
pub(crate) fn error_description(texts: &[&str]) -> Option<String> {
    let reported: Vec<_> = texts.iter().filter(|text| !KNOWN_CODES.contains(&text.trim())).copied().collect();
    (!reported.is_empty()).then(|| reported.join("; "))
}

/// Returns the value of `error` if it is a single word: possibly a new code.
pub(crate) fn unknown_code(body: &Value) -> Option<String> {
    let word = body.get("error")?.as_str()?.trim();
    let is_word = !word.is_empty() && word.len() <= 60 && !word.contains(char::is_whitespace);
    is_word.then(|| word.to_owned())
}

/// A challenge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// The authentication scheme in lower case.
    scheme: String,
    /// The parameters: names in lower case, and values.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// Returns `true` if the server requires HTTP Basic authentication: a client ID and a client
    /// secret.
    pub(crate) fn is_basic(&self) -> bool {
        self.scheme == "basic"
    }

    /// Returns the value of a parameter, the first if it is repeated.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Reads all challenges of a response.
///
/// Several headers count as one list (RFC 9110, section 5.3). Malformed input is skipped up to the
/// next comma.
pub(crate) fn read_challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        read_header_value(value.as_bytes(), &mut challenges);
    }
    challenges
}

/// Returns the first `error` parameter (RFC 6750, section 3).
pub(crate) fn bearer_error(challenges: &[Challenge]) -> Option<&str> {
    challenges.iter().find_map(|challenge| challenge.parameter("error"))
}

fn read_header_value(mut rest: &[u8], challenges: &mut Vec<Challenge>) {
    loop {
        rest = skip_while(rest, |byte| is_space(byte) || byte == b',');
        if rest.is_empty() {
            return;
        }
        let (name, after) = split_while(rest, is_tchar);
        if name.is_empty() {
            rest = skip_while(rest, |byte| byte != b',');
            continue;
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if let Some(value) = skip_while(after, is_space).strip_prefix(b"=") {
            let (value, after) = parameter_value(skip_while(value, is_space));
            challenges.last_mut().into_iter().for_each(|last| last.parameters.push((name.clone(), value.clone())));
            rest = after;
        } else {
            challenges.push(Challenge { scheme: name, parameters: Vec::new() });
            rest = skip_token68(after);
        }
    }
}

/// Reads a quoted string or a token. A token may contain characters that RFC 9110 allows in quoted
/// strings only.
fn parameter_value(text: &[u8]) -> (String, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let (value, after) = split_while(text, |byte| !is_space(byte) && byte != b',');
        return (String::from_utf8_lossy(value).into_owned(), after);
    };
    let (mut value, mut bytes) = (Vec::new(), quoted.iter());
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => value.extend(bytes.next()),
            byte => value.push(*byte),
        }
    }
    (String::from_utf8_lossy(&value).into_owned(), bytes.as_slice())
}

/// Skips the `token68` value that some schemes use instead of parameters.
fn skip_token68(text: &[u8]) -> &[u8] {
    let (token, after) =
        split_while(skip_while(text, is_space), |byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
    let after = skip_while(skip_while(after, |byte| byte == b'='), is_space);
    // The caller skips what an empty token leaves in any case, as something without a name.
    let is_token68 = !token.is_empty() && after.first().is_none_or(|byte| *byte == b',');
    if is_token68 { after } else { text }
}

fn split_while(text: &[u8], is_part: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !is_part(*byte)).unwrap_or(text.len());
    text.split_at(end)
}

fn skip_while(text: &[u8], is_skipped: impl Fn(u8) -> bool) -> &[u8] {
    split_while(text, is_skipped).1
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Returns `true` for a token character (RFC 9110, section 5.6.2).
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn texts_of_large_error_body_are_bounded() {
        let many: Vec<_> = (0..100_000).map(|number| format!("s{number}")).collect();
        for body in [serde_json::json!({ "errors": many }), serde_json::json!({ "message": "ä".repeat(500_000) })] {
            let texts = error_strings(&body);
            assert!(texts.len() <= MAX_STRINGS && texts.iter().all(|text| text.len() <= 2 * MAX_STRING_LEN));
            assert!(!texts.is_empty());
        }
    }

    fn read_header_lines(lines: &[&[u8]]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(line).unwrap());
        }
        read_challenges(&headers)
    }

    fn challenge(scheme: &str, parameters: &[(&str, &str)]) -> Challenge {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Challenge { scheme: scheme.to_owned(), parameters }
    }

    #[test]
    fn challenges_are_parsed_per_rfc_9110() {
        let bearer = |error| challenge("bearer", &[("error", error)]);
        for (lines, expected) in [
            (&[&b"Basic"[..]][..], vec![challenge("basic", &[])]),
            (&[b"BASIC realm=\"x\""], vec![challenge("basic", &[("realm", "x")])]),
            (&[b"Bearer error=invalid_token"], vec![bearer("invalid_token")]),
            (&[b"Bearer\terror\t=\t\"x\"\t,\tBasic"], vec![bearer("x"), challenge("basic", &[])]),
            (&[b"bearer ERROR = \"invalid_token\""], vec![bearer("invalid_token")]),
            (&[b"Bearer   error=\"a\\\"b\\\\\""], vec![bearer("a\"b\\")]),
            (
                &[b"Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", Basic realm=\"simple\""],
                vec![
                    challenge("newauth", &[("realm", "apps"), ("type", "1"), ("title", "Login to \"apps\"")]),
                    challenge("basic", &[("realm", "simple")]),
                ],
            ),
            (
                &[b"Negotiate abc+/~==, Bearer error=\"x\"", b"NTLM", b"Basic realm=\"a, b=c\", charset=\"UTF-8\""],
                vec![
                    challenge("negotiate", &[]),
                    bearer("x"),
                    challenge("ntlm", &[]),
                    challenge("basic", &[("realm", "a, b=c"), ("charset", "UTF-8")]),
                ],
            ),
            // Lists may have empty members and continue in another header.
            (
                &[b" , ,Bearer,, realm=\"x\" ,", b"error=\"y\""],
                vec![challenge("bearer", &[("realm", "x"), ("error", "y")])],
            ),
            // Some servers omit commas or quotes, or use characters that are not allowed in tokens.
            (&[b"Bearer realm=\"x\" error=\"y\""], vec![challenge("bearer", &[("realm", "x"), ("error", "y")])]),
            (
                &[b"Bearer resource_metadata=https://example.com/a?b=c, error=x"],
                vec![challenge("bearer", &[("resource_metadata", "https://example.com/a?b=c"), ("error", "x")])],
            ),
            (&[b"Bearer Basic realm=\"x\""], vec![challenge("bearer", &[]), challenge("basic", &[("realm", "x")])]),
            (&[b"Bearer error=\"cut off"], vec![bearer("cut off")]),
            (&[b"Bearer error=\"cut off\\"], vec![bearer("cut off")]),
            (&[b"Bearer @@ error, error=x"], vec![bearer("x")]),
            (&[b"Bearer error=\"J\xf6rg\""], vec![bearer("J\u{fffd}rg")]),
            (&[b"error=\"of no challenge\", Basic"], vec![challenge("basic", &[])]),
            (&[b"", b" ", b",", b"=", b"\"Basic\""], vec![]),
        ] {
            assert_eq!(read_header_lines(lines), expected, "{:?}", String::from_utf8_lossy(&lines.concat()));
        }
        assert_eq!(read_challenges(&HeaderMap::new()), []);
    }

    #[test]
    fn quoted_string_content_is_not_parsed_as_challenge() {
        let found = read_header_lines(&[b"Bearer realm=\"Basic, error=invalid_token\", scope=\"Basic\""]);
        assert!(!found.iter().any(Challenge::is_basic) && bearer_error(&found).is_none(), "{found:?}");
        let found = read_header_lines(&[b"Bearer error=\"first\", error=\"second\", Bearer error=\"third\""]);
        assert_eq!(bearer_error(&found), Some("first"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn challenge_after_arbitrary_text_is_parsed(noise in "[ !#-\\[\\]-~]{0,40}", error in "[a-z_]{1,20}") {
            let line = format!("{noise}, Bearer error=\"{error}\"");
            let found = read_header_lines(&[line.as_bytes()]);
            let last = found.last().and_then(|last| last.parameter("error"));
            proptest::prop_assert_eq!(last, Some(error.as_str()), "{}", line);
        }
    }
}
