//! Redaction of untrusted strings: removes secrets and control characters, and limits the length.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

/// The number of consecutive characters of a secret that cannot be a coincidence.
const MIN_SECRET_RUN: usize = 12;

/// The maximum length of a word that is shown. Opaque tokens and the parts of a JWT are longer.
const MAX_WORD_LEN: usize = 32;

/// Removes `secrets`, words that look like tokens, and line breaks from `text`, and truncates it to
/// `limit` characters.
///
/// A string that still [contains a part of a secret](tells) is replaced entirely.
pub(crate) fn redact_secrets(text: &str, secrets: &[&str], limit: usize) -> String {
    // Must be first: replacing a line break with a space later could restore a secret that contains
    // a space.
    let mut text = to_single_line(text);
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        for spelling in encoded_forms(secret) {
            text = replace_secret(&text, &spelling);
        }
    }
    if contains_secret(&text, secrets) {
        return "[secret]".to_owned();
    }
    let mut cleaned = String::new();
    for part in text.split_inclusive(|c| !is_token_character(c)) {
        let word = part.trim_end_matches(|c| !is_token_character(c));
        cleaned.push_str(if word.len() > MAX_WORD_LEN { "[cut]" } else { word });
        cleaned.push_str(&part[word.len()..]);
    }
    truncate_text(cleaned.trim(), limit)
}

/// Returns `true` if `text` contains a secret, or [`MIN_SECRET_RUN`] consecutive characters of one.
///
/// The comparison ignores case and whitespace, and recognizes percent-encoding and base64.
pub(crate) fn contains_secret(text: &str, secrets: &[&str]) -> bool {
    let needles: Vec<_> = secrets.iter().flat_map(|secret| secret_patterns(secret)).collect();
    let (runs, short): (Vec<_>, Vec<_>) = needles.iter().partition(|needle| needle.len() >= MIN_SECRET_RUN);
    let runs: HashSet<_> = runs.iter().flat_map(|needle| needle.windows(MIN_SECRET_RUN)).collect();
    let plain = without_space(text.as_bytes());
    [without_space(&percent_decode_bytes(&plain)), plain].iter().any(|text| {
        text.windows(MIN_SECRET_RUN).any(|window| runs.contains(window))
            || short.iter().any(|needle| text.windows(needle.len()).any(|window| window == needle.as_slice()))
    })
}

/// Returns the lower-case strings to search for: the secret, and its base64 at each of the three
/// possible alignments.
fn secret_patterns(secret: &str) -> impl Iterator<Item = Vec<u8>> {
    let encoded = (0..3).flat_map(move |before| {
        let bytes = [&b"   "[..before], secret.as_bytes()].concat();
        [BASE64_STANDARD_NO_PAD.encode(&bytes), BASE64_URL_SAFE_NO_PAD.encode(&bytes)].map(|text| {
            // The first and last characters may contain bits of adjacent bytes.
            let first = (before * 8).div_ceil(6);
            text.as_bytes()[first..text.len() - 1].to_ascii_lowercase()
        })
    });
    let encoded = encoded.filter(|needle| needle.len() >= 8);
    (!secret.is_empty())
        .then_some(encoded)
        .into_iter()
        .flatten()
        .chain([without_space(secret.as_bytes())])
        .filter(|needle| !needle.is_empty())
}

/// Converts to lower case, and removes whitespace and `+`, which represents a space in forms.
fn without_space(text: &[u8]) -> Vec<u8> {
    text.iter().filter(|byte| !byte.is_ascii_whitespace() && **byte != b'+').map(u8::to_ascii_lowercase).collect()
}

fn percent_decode_bytes(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.extend(u8::try_from(high * 16 + low));
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Replaces `secret` in `text`, ignoring case.
fn replace_secret(text: &str, secret: &str) -> String {
    let (lower, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut kept = String::with_capacity(text.len());
    let mut end = 0;
    for (begin, found) in lower.match_indices(&secret) {
        kept.push_str(&text[end..begin]);
        kept.push_str("[secret]");
        end = begin + found.len();
    }
    kept + &text[end..]
}

/// Replaces control characters and characters that change the text direction with spaces.
pub(crate) fn to_single_line(text: &str) -> String {
    text.chars().map(|c| if is_line_or_direction_control(c) { ' ' } else { c }).collect()
}

/// Returns a secret as it is, and as encoded in forms and URLs.
fn encoded_forms(secret: &str) -> [String; 5] {
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let percent = form.replace('+', "%20").replace('*', "%2A");
    let lower = |text: &str| {
        let mut parts = text.split('%');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            let (digits, rest) = part.split_at(part.len().min(2));
            format!("{text}%{}{rest}", digits.to_ascii_lowercase())
        })
    };
    let (lower_form, lower_percent) = (lower(&form), lower(&percent).replace('~', "%7e"));
    [to_single_line(secret), form, percent, lower_form, lower_percent]
}

/// Returns `true` for characters that begin a new line or change the text direction.
fn is_line_or_direction_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~+/=%".contains(c)
}

fn truncate_text(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_tokens_and_line_breaks_are_removed() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl";
        for (text, displayed) in [
            ("the refresh token hunter2 is bad", "the refresh token [secret] is bad"),
            ("token=a%2Fb+c&x=1", "token=[secret]&x=1"),
            (&format!("bearer {jwt}, sorry"), "bearer [cut], sorry"),
            ("one\r\ntwo\u{1b}[31m", "one  two [31m"),
            ("unsupported_grant_type", "unsupported_grant_type"),
            ("x=a%2fb%20c", "x=[secret]"),
            ("folded a/b\nc", "folded [secret]"),
            ("one\u{2028}two\u{202e}", "one two"),
        ] {
            assert_eq!(redact_secrets(text, &["hunter2", "a/b c", ""], 300), displayed);
        }
    }

    #[test]
    fn secret_is_detected_if_encoded_or_partial() {
        let secret = "PLANTED-refresh-token-4";
        let halves = format!("{} {}", &secret[..12], &secret[12..]);
        let spaced: String = secret.chars().flat_map(|c| [c, ' ']).collect();
        let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let within = BASE64_STANDARD_NO_PAD.encode(format!("C1:{secret}"));
        let encoded = BASE64_STANDARD_NO_PAD.encode(secret);
        for spelling in [&halves, &spaced, &percent, &within, &encoded, &encoded.to_lowercase(), &secret[..20]] {
            assert_eq!(redact_secrets(&format!("bad: {spelling}"), &[secret], 300), "[secret]");
        }
        let odd = "PLANTED p+s/w%rd:1 2&x=%20";
        for spelling in ["PLANTED+p%2Bs%2Fw%25rd%3A1+2%26x%3D%2520", "planted+p+s/w%rd:1+2&x=%20"] {
            assert!(contains_secret(&format!("x{spelling}x"), &[odd]), "{spelling}");
        }
        assert_eq!(redact_secrets("bad: planted-REFRESH-token-4", &[secret], 300), "bad: [secret]");
        for innocent in ["the refresh token is expired", "ROUTER_65F0A1B2-0000-01BB-009C-1A2B3C4D5E6F", "", "%zz%"] {
            assert!(!contains_secret(innocent, &[secret, "", "x y"]), "{innocent}");
        }
    }

    #[test]
    fn long_text_is_truncated_at_character_boundary() {
        assert_eq!(redact_secrets("äöü äöü", &[], 3), "äöü…");
        assert_eq!(redact_secrets("äöü", &[], 3), "äöü");
    }
}
