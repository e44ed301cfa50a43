//! The `WWW-Authenticate` header (RFC 9110, section 11.6.1).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

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
        read_value(value.as_bytes(), &mut challenges);
    }
    challenges
}

/// Returns the first `error` parameter (RFC 6750, section 3).
pub(crate) fn webex_error(challenges: &[Challenge]) -> Option<&str> {
    challenges.iter().find_map(|challenge| challenge.parameter("error"))
}

fn read_value(mut rest: &[u8], challenges: &mut Vec<Challenge>) {
    loop {
        rest = skip(rest, |byte| is_space(byte) || byte == b',');
        if rest.is_empty() {
            return;
        }
        let (name, after) = split(rest, is_token);
        if name.is_empty() {
            rest = skip(rest, |byte| byte != b',');
            continue;
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if let Some(value) = skip(after, is_space).strip_prefix(b"=") {
            let (value, after) = parameter_value(skip(value, is_space));
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
        let (value, after) = split(text, |byte| !is_space(byte) && byte != b',');
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
    let (token, after) = split(skip(text, is_space), |byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
    let after = skip(skip(after, |byte| byte == b'='), is_space);
    // The caller skips what an empty token leaves in any case, as something without a name.
    let is_token68 = !token.is_empty() && after.first().is_none_or(|byte| *byte == b',');
    if is_token68 { after } else { text }
}

fn split(text: &[u8], is_part: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !is_part(*byte)).unwrap_or(text.len());
    text.split_at(end)
}

fn skip(text: &[u8], is_skipped: impl Fn(u8) -> bool) -> &[u8] {
    split(text, is_skipped).1
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Returns `true` for a token character (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(lines: &[&[u8]]) -> Vec<Challenge> {
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
            assert_eq!(read(lines), expected, "{:?}", String::from_utf8_lossy(&lines.concat()));
        }
        assert_eq!(read_challenges(&HeaderMap::new()), []);
    }

    #[test]
    fn quoted_string_content_is_not_parsed_as_challenge() {
        let found = read(&[b"Bearer realm=\"Basic, error=invalid_token\", scope=\"Basic\""]);
        assert!(!found.iter().any(Challenge::is_basic) && webex_error(&found).is_none(), "{found:?}");
        let found = read(&[b"Bearer error=\"first\", error=\"second\", Bearer error=\"third\""]);
        assert_eq!(webex_error(&found), Some("first"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn challenge_after_arbitrary_text_is_parsed(noise in "[ !#-\\[\\]-~]{0,40}", error in "[a-z_]{1,20}") {
            let line = format!("{noise}, Bearer error=\"{error}\"");
            let found = read(&[line.as_bytes()]);
            let last = found.last().and_then(|last| last.parameter("error"));
            proptest::prop_assert_eq!(last, Some(error.as_str()), "{}", line);
        }
    }
}
