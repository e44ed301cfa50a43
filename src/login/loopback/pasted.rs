//! Parsing of pasted callback URLs, including characters added by terminals, chats, e-mail, and
//! shells.
//!
//! A valid URL is taken unchanged. Anything else is parsed in several ways, and a result counts
//! only if it has the `state` of this login (256 random bits). If two such results differ, the
//! input is rejected as ambiguous.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::authorization::callback::Callback;
use crate::service::url::has_only_url_characters;
use crate::value_check::{is_invisible, is_quotation_mark};

/// The maximum length of the input, in bytes.
const MAX_PASTED_LEN: usize = 16 * 1024;
/// The maximum number of pieces that are joined to a URL.
const MAX_PIECES: usize = 64;

/// The parameters that a callback can begin with.
const PARAMETERS: [&str; 6] = ["code=", "state=", "error=", "error_description=", "error_uri=", "iss="];

/// Opening characters before a URL, with their closing characters.
const BRACKETS: [(char, char); 6] = [('(', ')'), ('[', ']'), ('\'', '\''), ('*', '*'), ('_', '_'), ('~', '~')];

/// Remains of bracketed-paste markers when a program has consumed their first characters.
const PARTIAL_PASTE_STARTS: [&str; 4] = ["200~", "00~", "0~", "~"];
const PARTIAL_PASTE_ENDS: [&str; 4] = ["201~", "01~", "1~", "~"];

/// Parses a pasted string. Returns a callback that `is_own` rejects only if there is no other.
pub(crate) fn parse_pasted_callback(text: &str, is_own: impl Fn(&Callback) -> bool) -> Result<Callback> {
    let mut found = FoundCallbacks::default();
    if text.len() <= MAX_PASTED_LEN {
        let text = text.trim();
        for variant in decoded_variants(text) {
            if is_plain_url_or_query(&variant) {
                found.add(&variant, &is_own);
            }
            // Paste markers are removed first, so that they are not taken for parts of the URL.
            if variant != text || variant == remove_control_sequences(text) {
                search_string(&variant, &is_own, &mut found);
            }
            match found.own.len() {
                0 => {}
                1 => return Ok(found.own.remove(0)),
                _ => return Err(ambiguous_paste_error()),
            }
        }
    }
    if let Some(other) = found.other {
        return Ok(other);
    }
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let callback = Callback::parse(text.trim_matches(['"', '\'', '`', '<', '>']))?;
    if is_own(&callback) { Err(ambiguous_paste_error()) } else { Ok(callback) }
}

fn ambiguous_paste_error() -> Error {
    let message = "ambiguous pasted string: it is unclear which characters belong to the URL; paste only the URL, on one \
                   line, without a full stop, spaces, or quotation marks";
    Error::new(ErrorKind::InvalidCallback, message)
}

/// The callbacks found in a string.
#[derive(Default)]
struct FoundCallbacks {
    own: Vec<Callback>,
    /// The first callback of another login.
    other: Option<Callback>,
}

impl FoundCallbacks {
    fn add(&mut self, text: &str, is_own: &impl Fn(&Callback) -> bool) {
        let Ok(callback) = Callback::parse(text) else { return };
        if is_own(&callback) {
            let is_same =
                |own: &Callback| ["code", "error", "iss"].iter().all(|name| own.value(name) == callback.value(name));
            if !self.own.iter().any(is_same) {
                self.own.push(callback);
            }
        } else if self.other.is_none() && has_code_or_error(&callback) {
            self.other = Some(callback);
        }
    }
}

fn has_code_or_error(callback: &Callback) -> bool {
    callback.require_code_or_error().is_ok()
}

/// Returns `true` if a string is a URL or a query that needs no interpretation.
fn is_plain_url_or_query(text: &str) -> bool {
    let query = text.split_once('?').map_or(text, |(_, query)| query);
    has_only_url_characters(text) && !query.contains(['[', ']'])
}

/// Returns the string and its decoded variants, the least decoded first.
fn decoded_variants(text: &str) -> Vec<String> {
    let clean = remove_control_sequences(text);
    let plain = remove_escapes(&clean).into_owned();
    let mut variants = vec![text.to_owned(), clean, plain.clone()];
    let html = decode_html_entities(&plain);
    let mail = plain.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=").replace("=3d", "=");
    let mut percent = html.clone();
    variants.extend([html, mail]);
    // A link inside a link: a forwarding service may have encoded it again.
    for _ in 0..2 {
        percent = decode_html_entities(&percent_decode_utf8(&percent));
        variants.push(percent.clone());
    }
    // Keep the first of equal variants.
    let mut seen: Vec<String> = Vec::new();
    for variant in variants {
        if !seen.contains(&variant) {
            seen.push(variant);
        }
    }
    seen
}

/// Removes bracketed-paste markers, other control sequences, and invisible characters.
fn remove_control_sequences(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_sequence = c == '\u{9b}' || (c == '\u{1b}' && chars.next_if_eq(&'[').is_some());
        if is_sequence {
            while chars.next_if(|c| matches!(c, '0'..='9' | ';' | '?')).is_some() {}
            // Final characters: paste marker, color, erase line.
            chars.next_if(|c| matches!(c, '~' | 'm' | 'K'));
        } else if c.is_whitespace() || !(c.is_control() || is_invisible(c)) {
            clean.push(c);
        }
    }
    for mark in ["^[[200~", "^[[201~", "[200~", "[201~"] {
        clean = clean.replace(mark, "");
    }
    clean.trim().to_owned()
}

/// Removes the escapes of shells and of JSON.
fn remove_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '^']) {
        return text.into();
    }
    let mut plain = text.to_owned();
    for (escape, meant) in [("\\u0026", "&"), ("\\u003d", "="), ("\\u003D", "="), ("\\\r\n", ""), ("\\\n", "")] {
        plain = plain.replace(escape, meant);
    }
    plain.retain(|c| !matches!(c, '\\' | '^'));
    plain.into()
}

/// Replaces HTML entities.
fn decode_html_entities(text: &str) -> String {
    let mut plain = text.to_owned();
    for (entity, meant) in [
        ("&amp;", "&"),
        ("&AMP;", "&"),
        ("&#38;", "&"),
        ("&#x26;", "&"),
        ("&#61;", "="),
        ("&#x3D;", "="),
        ("&#x3d;", "="),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
    ] {
        plain = plain.replace(entity, meant);
    }
    plain
}

/// Decodes `%XX` only. Returns the input unchanged if the result is not UTF-8.
fn percent_decode_utf8(text: &str) -> String {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
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
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// Returns `true` for characters that never occur in a URL and therefore terminate it.
fn is_delimiter(c: char) -> bool {
    (is_quotation_mark(c) && c != '\'')
        || matches!(c, '<' | '>' | '{' | '}' | '|' | '\u{2500}'..='\u{257f}' | '\u{3000}'..='\u{303f}')
}

/// Searches a string for URLs: first with the lines of a wrapped URL joined, then line by line.
fn search_string(text: &str, is_own: &impl Fn(&Callback) -> bool, found: &mut FoundCallbacks) {
    for text in [join_wrapped_lines(text), text.to_owned()] {
        if found.own.is_empty() {
            search_lines(&text, is_own, found);
        }
    }
}

fn search_lines(text: &str, is_own: &impl Fn(&Callback) -> bool, found: &mut FoundCallbacks) {
    for region in text.split(is_delimiter) {
        let words: Vec<_> = region.split_whitespace().collect();
        let is_start = |word: &str| word.contains('?') || PARAMETERS.iter().any(|name| word.contains(name));
        // The usual case: one word, with text before and after it.
        for (at, word) in words.iter().enumerate().filter(|(_, word)| is_start(word)) {
            let stored = found.own.len();
            search_word(word, is_own, found);
            // A single following word may be the rest of a broken URL. Several words are text.
            if found.own.len() > stored && at + 2 == words.len() {
                search_word(&words[at..].concat(), is_own, found);
            }
        }
        if found.own.is_empty() {
            for at in (0..words.len()).filter(|at| is_start(words[*at])) {
                for end in at + 1..words.len().min(at + MAX_PIECES) {
                    search_word(&words[at..=end].concat(), is_own, found);
                }
            }
        }
    }
}

/// Joins the lines of a wrapped URL: a line is appended if it is one word and follows a part of a
/// URL. Quote markers and frame characters are removed.
fn join_wrapped_lines(text: &str) -> String {
    let is_frame = |c: char| c.is_whitespace() || matches!(c, '>' | '|' | '\u{2500}'..='\u{257f}');
    let mut joined = String::with_capacity(text.len());
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        let line = if number == 0 { line.trim_end() } else { line.trim_start_matches(is_frame).trim_end() };
        let line = line.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '|' | '\u{2500}'..='\u{257f}'));
        let is_word = !line.is_empty() && !line.contains(char::is_whitespace);
        if number > 0 && !(is_open && is_word && !line.contains("://")) {
            joined.push('\n');
        }
        let last = line.rsplit(char::is_whitespace).next().unwrap_or_default();
        is_open = last.contains("://") || last.contains('?') || (is_open && is_word);
        joined.push_str(line);
    }
    joined
}

/// Examines a word that may contain a URL, with characters before or after it.
fn search_word(word: &str, is_own: &impl Fn(&Callback) -> bool, found: &mut FoundCallbacks) {
    let Some(start) = first_parameter(word) else { return };
    let (before, form) = word.split_at(start);
    for form in candidate_queries(before, form) {
        if has_only_url_characters(form) {
            found.add(form, is_own);
        }
    }
}

/// Returns the index of the first parameter.
fn first_parameter(word: &str) -> Option<usize> {
    let begins = |at: &usize| word[..*at].chars().next_back().is_none_or(|c| "?&(['*,~".contains(c));
    let places = PARAMETERS.iter().flat_map(|name| word.match_indices(name).map(|(at, _)| at));
    places.filter(begins).min()
}

/// Returns the possible parameter strings without trailing characters. If an opening character
/// precedes the URL, it determines the only one.
fn candidate_queries<'a>(before: &str, form: &'a str) -> Vec<&'a str> {
    let scheme = before
        .rfind("://")
        .map_or(before.len(), |at| before[..at].rfind(|c: char| !c.is_ascii_alphanumeric()).map_or(0, |sign| sign + 1));
    let opening = before[..scheme].chars().next_back();
    let bracket = BRACKETS.iter().find(|(open, _)| opening == Some(*open));
    let is_torn = PARTIAL_PASTE_STARTS.iter().any(|torn| before[..scheme] == **torn);
    if is_torn {
        let stripped = PARTIAL_PASTE_ENDS.iter().find_map(|torn| form.strip_suffix(torn));
        return vec![stripped.unwrap_or(form)];
    }
    if let Some((_, close)) = bracket {
        let end = if matches!(close, ')' | ']') { form.find(*close) } else { form.rfind(*close) };
        if let Some(end) = end {
            return vec![form[..end].trim_end_matches(*close)];
        }
    }
    let mut forms = vec![form];
    let mut rest = form;
    while let Some(shorter) = rest.strip_suffix(['.', ',', ';', ':', '!', '?', '\'', ')', ']']) {
        forms.push(shorter);
        rest = shorter;
        if forms.len() > 5 {
            break;
        }
    }
    forms.extend(PARTIAL_PASTE_ENDS.iter().filter_map(|torn| form.strip_suffix(torn)));
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATE: &str = "s_-S4Yw1zBc4eFg8hJ6dHk2qvXn0pLr7tq3mRs9uVx5a";
    const CODE: &str = "ZmFrZQ-c0de_PF84_1eb65fdf-9643-417f-9974-ad72cae0e10f";

    fn is_own(callback: &Callback) -> bool {
        has_code_or_error(callback) && callback.value("state") == Some(STATE)
    }

    /// Returns the parsed code, or the kind of the error.
    fn code_in(text: &str) -> Result<String, ErrorKind> {
        let callback = parse_pasted_callback(text, is_own).map_err(|error| error.kind())?;
        if !is_own(&callback) {
            return Err(ErrorKind::StateMismatch);
        }
        Ok(callback.value("code").unwrap_or_default().to_owned())
    }

    /// A URL with `state` last, and one with `code` last.
    fn addresses() -> [String; 2] {
        let base = "http://localhost:5000/auth/cisco/callback";
        [format!("{base}?code={CODE}&state={STATE}"), format!("{base}?state={STATE}&code={CODE}")]
    }

    #[test]
    fn callback_url_with_surrounding_text_is_extracted() {
        type UrlChange = fn(&str) -> String;
        let changes: [(&str, UrlChange); 42] = [
            ("bracketed paste", |a| format!("\u{1b}[200~{a}\u{1b}[201~")),
            ("bracketed paste with C1", |a| format!("\u{9b}200~{a}\u{9b}201~")),
            ("escapes lost", |a| format!("[200~{a}[201~")),
            ("caret notation", |a| format!("^[[200~{a}^[[201~")),
            ("first bracket alone", |a| format!("\u{1b}[200~{a}")),
            ("last bracket alone", |a| format!("{a}\u{1b}[201~")),
            ("last bracket without its escape", |a| format!("{a}[201~")),
            ("last bracket torn", |a| format!("{a}\u{1b}[20")),
            ("both torn", |a| format!("0~{a}1~")),
            ("both torn otherwise", |a| format!("200~{a}201~")),
            ("first torn", |a| format!("00~{a}")),
            ("colours", |a| format!("\u{1b}[4;34m{a}\u{1b}[0m\u{1b}[K")),
            ("delete at the end", |a| format!("{a}\u{7f}")),
            ("NUL and escape", |a| format!("\u{0}{a}\u{1b}")),
            ("byte order mark", |a| format!("\u{feff}{a}\u{200b}")),
            ("soft hyphens", |a| a.replace('-', "\u{ad}-")),
            ("whitespace", |a| format!(" \t{a}\r\n")),
            ("quotes", |a| format!("\"{a}\"")),
            ("single quotes", |a| format!("'{a}'")),
            ("backticks", |a| format!("`{a}`")),
            ("typographic quotes", |a| format!("\u{201c}{a}\u{201d}")),
            ("German quotes", |a| format!("\u{201e}{a}\u{201c}")),
            ("French quotes", |a| format!("\u{ab}\u{a0}{a}\u{a0}\u{bb}")),
            ("angle brackets", |a| format!("<{a}>")),
            ("parentheses", |a| format!("({a})")),
            ("Markdown link", |a| format!("[the page]({a})")),
            ("Markdown link of itself", |a| format!("[{a}]({a})")),
            ("Markdown in bold", |a| format!("**{a}**")),
            ("HTML entities", |a| a.replace('&', "&amp;")),
            ("numeric entities", |a| a.replace('&', "&#38;")),
            ("HTML attribute", |a| format!("<a href=\"{}\">here</a>", a.replace('&', "&amp;"))),
            ("shell backslashes", |a| a.replace('?', "\\?").replace('=', "\\=").replace('&', "\\&")),
            ("cmd carets", |a| a.replace('&', "^&")),
            ("JSON", |a| format!("{{\"url\":\"{}\"}}", a.replace('/', "\\/").replace('&', "\\u0026"))),
            ("text before", |a| format!("Here it is: {a}")),
            ("text before and after", |a| format!("It says {a} and then nothing happens")),
            ("text without ASCII", |a| format!("Größe: {a} ist die Adresse")),
            ("lines before and after", |a| {
                format!("This site can't be reached\n{a}\nERR_CONNECTION_REFUSED at localhost")
            }),
            ("wrapped", |a| format!("{}\n{}\r\n  {}", &a[..40], &a[40..80], &a[80..])),
            ("wrapped in a quoted mail", |a| format!("> {}\n> {}", &a[..40], &a[40..])),
            ("percent-encoded", |a| form_urlencoded::byte_serialize(a.as_bytes()).collect()),
            ("safe link", |a| {
                let inner: String = form_urlencoded::byte_serialize(a.as_bytes()).collect();
                format!("https://safelinks.example/?url={inner}&data=05%7C01&reserved=0")
            }),
        ];
        for (name, change) in changes {
            for address in addresses() {
                assert_eq!(code_in(&change(&address)).as_deref(), Ok(CODE), "{name}: {:?}", change(&address));
            }
        }
    }

    #[test]
    fn callback_url_with_text_after_state_is_extracted() {
        let [address, _] = addresses();
        for after in [".", ",", "!", "?", ";", ")", "'", "\".", "1~", "201~", "\nthanks", " thanks", "\u{201d}.", "..."]
        {
            assert_eq!(code_in(&format!("{address}{after}")).as_deref(), Ok(CODE), "{after:?}");
        }
        let broken = format!("{} {}", &address[..60], &address[60..]);
        assert_eq!(code_in(&broken).as_deref(), Ok(CODE), "a space in the code, before the state");
    }

    #[test]
    fn callback_url_with_ambiguous_code_end_is_rejected() {
        let [_, address] = addresses();
        for text in [format!("see {address}. Thanks"), format!("{address} x"), format!("{address}\u{e4}")] {
            assert_eq!(code_in(&text), Err(ErrorKind::InvalidCallback), "{text}");
        }
        let error = parse_pasted_callback(&format!("{address} x"), is_own).unwrap_err();
        assert!(error.to_string().contains("paste only the URL"), "{error}");
    }

    #[test]
    fn callback_url_of_another_login_is_returned_unchanged() {
        for text in ["", "y", "http://localhost:5000/cb", "?code=a", "see http://localhost/cb?code=a&state=other now"] {
            assert!(parse_pasted_callback(text, is_own).is_ok_and(|callback| !is_own(&callback)), "{text}");
        }
        let other = parse_pasted_callback("see http://localhost/cb?code=a&state=other now", is_own).unwrap();
        assert_eq!((other.value("code"), other.value("state")), (Some("a"), Some("other")));
    }

    #[test]
    fn callback_url_encoded_by_mail_or_forwarder_is_decoded() {
        for address in addresses() {
            let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let quoted_printable = address.replace('=', "=3D");
            for text in [
                encoded(&encoded(&address)),
                quoted_printable.clone(),
                format!("{}=\r\n{}", &quoted_printable[..60], &quoted_printable[60..]),
                format!("{}=\n{}", &quoted_printable[..60], &quoted_printable[60..]),
                quoted_printable.replace("=3D", "=3d"),
                address.replace('&', "&AMP;"),
                address.replace('&', "&#x26;"),
                address.replace('=', "&#61;"),
                address.replace('=', "&#x3D;"),
                address.replace('=', "&#x3d;"),
                address.replace('=', "\\u003d"),
                address.replace('=', "\\u003D"),
                format!("{}\\\n{}", &address[..60], &address[60..]),
                format!("{}\\\r\n{}", &address[..60], &address[60..]),
                format!("x=&quot;{address}&quot;>"),
                format!("x=&#34;{address}&#34;>"),
                format!("x=&#39;{address}&#39;>"),
                format!("&lt;{address}&gt;"),
                format!("\u{9b}4m{address}\u{9b}0m\u{9b}K"),
                format!("see {}", address.replace('?', "?zipcode=1&")),
            ] {
                assert_eq!(code_in(&text).as_deref(), Ok(CODE), "{text:?}");
            }
        }
        // A character that the server encoded is decoded once.
        let address = format!("http://localhost:5000/cb?code=a%2Bb&amp;state={STATE}");
        assert_eq!(code_in(&address).as_deref(), Ok("a+b"));
    }

    #[test]
    fn callback_url_wrapped_in_quoted_lines_is_joined() {
        for address in addresses() {
            let pair = &address[address.find('?').unwrap()..];
            for text in [
                format!("> {}\n> {}", &address[..60], &address[60..]),
                format!("> {}\n> {}\n> {}", &address[..60], &address[60..100], &address[100..]),
                format!("> {}\n> {}", &pair[..30], &pair[30..]),
                format!("\u{2502} {} \u{2502}\n\u{2502} {} \u{2502}", &address[..60], &address[60..]),
                format!("| {} |\n| {} |", &address[..60], &address[60..]),
            ] {
                assert_eq!(code_in(&text).as_deref(), Ok(CODE), "{text:?}");
            }
        }
    }

    #[test]
    fn unrelated_line_after_callback_url_is_not_joined() {
        let [_, address] = addresses();
        for after in ["\n\nx", "\nhttps://example.com/"] {
            assert_eq!(code_in(&format!("{address}{after}")), Err(ErrorKind::InvalidCallback), "{after:?}");
        }
    }

    #[test]
    fn callback_url_split_over_many_lines_is_joined() {
        let pair = format!("?state={STATE}&code={CODE}");
        let lines: Vec<_> = pair.chars().map(String::from).collect();
        assert_eq!(code_in(&lines.join("\n")).as_deref(), Ok(CODE));
        assert_eq!(code_in(&format!("(http://localhost:5000/\nauth/cb{pair})")).as_deref(), Ok(CODE));
    }

    #[test]
    fn character_invalid_in_url_ends_callback_url() {
        let [address, other] = addresses();
        for sign in ["<br>", "{x}", "|x", "\u{2502}x", "\u{3002}", "\u{201d}x", ">x"] {
            for address in [&address, &other] {
                assert_eq!(code_in(&format!("{address}{sign}")).as_deref(), Ok(CODE), "{sign}");
            }
        }
        for (open, close) in BRACKETS {
            assert_eq!(code_in(&format!("go: {open}{other}{close}")).as_deref(), Ok(CODE), "{open}{close}");
        }
        // An apostrophe may be part of a code.
        let address = format!("see http://localhost:5000/cb?code=ab'cd&x=1&state={STATE} there");
        assert_eq!(code_in(&address).as_deref(), Ok("ab'cd"));
    }

    #[test]
    fn callback_url_with_trailing_punctuation_is_unchanged() {
        for end in [".", ",", ")", "'", "!", ";", "~", "201~"] {
            let address = format!("http://localhost:5000/cb?state={STATE}&code=ab{end}");
            assert_eq!(code_in(&address), Ok(format!("ab{end}")), "{address}");
        }
    }

    #[test]
    fn pasted_text_too_long_or_with_two_responses_is_rejected() {
        let [address, _] = addresses();
        let text = format!("{} {address}", "word ".repeat(MAX_PASTED_LEN / 5));
        assert_eq!(code_in(&text), Err(ErrorKind::InvalidCallback));
        let other = parse_pasted_callback("x?code=q http://localhost/cb?code=a&state=other", is_own).unwrap();
        assert_eq!((other.value("code"), other.value("state")), (Some("a"), Some("other")));
        let first = parse_pasted_callback("?code=a&state=one ?code=b&state=two", is_own).unwrap();
        assert_eq!(first.value("code"), Some("a"));
        let (one, two) = (format!("?code=a&iss=x&state={STATE}"), format!("?code=a&iss=y&state={STATE}"));
        for (one, two) in [(one.clone(), two), (one, format!("?code=b&iss=x&state={STATE}"))] {
            assert_eq!(code_in(&format!("{one} or {two} here")), Err(ErrorKind::InvalidCallback), "{one} {two}");
        }
        let (one, two) = (format!("?error=a&state={STATE}"), format!("?error=b&state={STATE}"));
        assert_eq!(code_in(&format!("{one} or {two} here")), Err(ErrorKind::InvalidCallback));
    }

    proptest! {
        /// Servers percent-encode values, and browsers keep them. Paths and other parameters are
        /// arbitrary.
        #[test]
        fn valid_callback_url_is_parsed_unchanged(
            code in "[!-~]{1,60}",
            extra in "[a-z]{0,8}",
            path in "[a-z0-9/._~-]{0,20}",
            is_state_first in any::<bool>(),
            is_raw in any::<bool>(),
        ) {
            // Unencoded, or form-encoded.
            let is_unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~!$'()*,;:@/?".contains(c);
            let raw: String = code.chars().filter(|c| is_unreserved(*c)).collect();
            let encoded: String = form_urlencoded::byte_serialize(code.as_bytes()).collect();
            let (code, written) = if is_raw && !raw.is_empty() { (raw.clone(), raw) } else { (code, encoded) };
            let pairs = if is_state_first {
                format!("state={STATE}&x={extra}&code={written}")
            } else {
                format!("code={written}&x={extra}&state={STATE}")
            };
            for address in [format!("http://localhost:5000/{path}?{pairs}"), format!("?{pairs}"), pairs] {
                let pasted = parse_pasted_callback(&address, is_own).unwrap();
                let parsed = Callback::parse(&address).unwrap();
                for name in ["code", "state", "error", "iss"] {
                    prop_assert_eq!(pasted.value(name), parsed.value(name), "{}", address);
                }
                prop_assert_eq!(pasted.value("code"), Some(&*code), "{}", address);
            }
        }

        /// No input panics, and a callback of this login has its `state`.
        #[test]
        fn arbitrary_pasted_text_does_not_panic(text in "(\u{1b}\\[|[ -~]|\\PC|%3[dD]|&amp;|state=|code=|\n|\\?){0,60}") {
            if let Ok(callback) = parse_pasted_callback(&text, is_own) {
                prop_assert_eq!(is_own(&callback), callback.value("state") == Some(STATE) && has_code_or_error(&callback));
            }
        }
    }
}
