//! Foreign text made fit to show: without secrets, control characters and excess length.

/// The longest run of token characters that is shown; opaque tokens and JWT parts are longer.
const LONGEST_WORD: usize = 32;

/// `text` with every one of `secrets` cut out, everything that looks like a token cut out, on one line and at most
/// `limit` characters long.
pub(crate) fn clean(text: &str, secrets: &[&str], limit: usize) -> String {
    // First of all, or a line break that stood for a secret's space would become one afterwards.
    let mut text = on_one_line(text);
    for spelling in secrets.iter().filter(|secret| !secret.is_empty()).flat_map(|secret| spellings(secret)) {
        text = text.replace(&spelling, "[secret]");
    }
    let mut cleaned = String::new();
    for part in text.split_inclusive(|c| !is_token_character(c)) {
        let word = part.trim_end_matches(|c| !is_token_character(c));
        cleaned.push_str(if word.len() > LONGEST_WORD { "[cut]" } else { word });
        cleaned.push_str(&part[word.len()..]);
    }
    shorten(cleaned.trim(), limit)
}

/// Whether one of `secrets` stands in `text`, in any spelling.
pub(crate) fn shows(text: &str, secrets: &[&str]) -> bool {
    let mut spellings = secrets.iter().filter(|secret| !secret.is_empty()).flat_map(|secret| spellings(secret));
    spellings.any(|spelling| text.contains(&spelling))
}

/// A secret as it is, and as it stands in forms and URLs.
fn spellings(secret: &str) -> [String; 5] {
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
    [on_one_line(secret), form, percent, lower_form, lower_percent]
}

fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if is_disruptive(c) { ' ' } else { c }).collect()
}

/// Characters that begin a new line or turn the direction of the text.
fn is_disruptive(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~+/=%".contains(c)
}

fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_tokens_and_line_breaks_do_not_survive() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl";
        for (text, shown) in [
            ("the refresh token hunter2 is bad", "the refresh token [secret] is bad"),
            ("token=a%2Fb+c&x=1", "token=[secret]&x=1"),
            (&format!("bearer {jwt}, sorry"), "bearer [cut], sorry"),
            ("one\r\ntwo\u{1b}[31m", "one  two [31m"),
            ("unsupported_grant_type", "unsupported_grant_type"),
            ("x=a%2fb%20c", "x=[secret]"),
            ("folded a/b\nc", "folded [secret]"),
            ("one\u{2028}two\u{202e}", "one two"),
        ] {
            assert_eq!(clean(text, &["hunter2", "a/b c", ""], 300), shown);
        }
    }

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        for (text, found) in [
            ("x-a/b c-x", true),
            ("a%2Fb+c", true),
            ("a%2fb%20c", true),
            ("a/b", false),
            ("hunter2", true),
            ("", false),
        ] {
            assert_eq!(shows(text, &["hunter2", "a/b c", ""]), found, "{text}");
        }
    }

    #[test]
    fn long_text_is_shortened_between_characters() {
        assert_eq!(clean("äöü äöü", &[], 3), "äöü…");
        assert_eq!(clean("äöü", &[], 3), "äöü");
    }
}
