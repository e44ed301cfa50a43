//! Validation of values that a person types, pastes, or configures: client IDs, secrets, scopes,
//! URLs, and tokens.
//!
//! Such a value may contain quotation marks, a line break, a `Bearer ` prefix, or an unreplaced
//! placeholder. A server rejects it without a reason. The check therefore reports the problem
//! before a request is sent.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind, Result};

/// The characters that are allowed in a kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Characters {
    /// Visible ASCII without quotation marks and brackets: client IDs, URLs, issuers, and host
    /// names.
    Word,
    /// Visible ASCII: access tokens.
    Visible,
    /// All characters except whitespace and control characters: refresh tokens, e-mail addresses,
    /// and their domains.
    NoSpace,
    /// All characters except control characters: client secrets.
    Any,
    /// Several words, separated by whitespace: scopes and issuers.
    List,
}

/// Pairs of quotation marks that may enclose a value.
const QUOTATION_MARK_PAIRS: [(char, char); 11] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{201d}', '\u{201d}'),
    ('\u{201e}', '\u{201c}'),
    ('\u{201e}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
    ('\u{201a}', '\u{2018}'),
    ('\u{ab}', '\u{bb}'),
    ('\u{bb}', '\u{ab}'),
];

/// Prefixes of a token in an HTTP header.
const HEADER_PREFIXES: [&str; 4] = ["authorization:", "bearer ", "basic ", "bearer:"];

/// Delimiters of placeholders in shells, templates, and deployment tools.
const PLACEHOLDERS: [(&str, &str); 4] = [("${", "}"), ("$(", ")"), ("{{", "}}"), ("<", ">")];

const QUOTED_MESSAGE: &str = "is in quotation marks: remove them";

/// Checks a value. The error calls it `what`.
pub(crate) fn check_value(kind: ErrorKind, what: &str, text: &str, characters: Characters) -> Result<()> {
    match value_problem(text, characters) {
        Some(why) => Err(Error::new(kind, format!("{what} {why}"))),
        None => Ok(()),
    }
}

/// Returns the problem with a value and the remedy, as a predicate to follow the name of the value.
///
/// The value is not quoted, because it may be a secret.
pub(crate) fn value_problem(text: &str, characters: Characters) -> Option<Cow<'static, str>> {
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
    enclosing_character_problem(trimmed).or_else(|| {
        let line_break = text.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
        if line_break && characters != Characters::List {
            return Some("contains a line break: copy it again on one line".into());
        }
        invisible_character_problem(text, characters)
            .or_else(|| whitespace_problem(text, characters))
            .or_else(|| disallowed_character_problem(text, characters))
    })
}

/// Returns the problem with characters that enclose the value.
fn enclosing_character_problem(text: &str) -> Option<Cow<'static, str>> {
    if ["\u{1b}[200~", "\u{1b}[201~", "[200~", "[201~"]
        .iter()
        .any(|mark| text.starts_with(mark) || text.ends_with(mark))
    {
        return Some("contains a bracketed paste sequence of the terminal (ESC [200~ or ESC [201~): remove it".into());
    }
    if QUOTATION_MARK_PAIRS.iter().any(|(open, close)| strip_pair(text, *open, *close).is_some()) {
        return Some(QUOTED_MESSAGE.into());
    }
    if PLACEHOLDERS
        .iter()
        .any(|(open, close)| text.len() > open.len() + close.len() && text.starts_with(open) && text.ends_with(close))
    {
        return Some("is a placeholder or in brackets: set the value itself, without brackets".into());
    }
    let label = HEADER_PREFIXES
        .iter()
        .find(|label| text.get(..label.len()).is_some_and(|head| head.eq_ignore_ascii_case(label)));
    label.map(|label| {
        let label = label.trim_end();
        format!("begins with \"{label}\", which is part of a request and not of the value: remove it").into()
    })
}

fn strip_pair(text: &str, open: char, close: char) -> Option<&str> {
    text.strip_prefix(open)?.strip_suffix(close)
}

/// Returns the problem with invisible characters, which no value contains.
fn invisible_character_problem(text: &str, characters: Characters) -> Option<Cow<'static, str>> {
    let is_separator = |c: char| characters == Characters::List && c.is_whitespace();
    let hidden = text.chars().find(|c| (c.is_control() && !is_separator(*c)) || is_invisible(*c))?;
    let kind = if hidden.is_control() { "a control character" } else { "an invisible character" };
    Some(format!("contains {kind} (U+{:04X}): copy it again", u32::from(hidden)).into())
}

/// Returns the problem with whitespace that is not allowed.
fn whitespace_problem(text: &str, characters: Characters) -> Option<Cow<'static, str>> {
    let is_space = |c: char| match characters {
        Characters::List => false,
        // A secret may contain spaces (RFC 6749, appendix A.2).
        Characters::Any => c.is_whitespace() && c != ' ',
        Characters::Word | Characters::Visible | Characters::NoSpace => c.is_whitespace(),
    };
    if text.starts_with(is_space) || text.ends_with(is_space) {
        return Some("has leading or trailing whitespace: remove it".into());
    }
    text.contains(is_space).then(|| "contains whitespace: copy it again".into())
}

/// Returns the problem with characters that are not allowed in this kind of value.
fn disallowed_character_problem(text: &str, characters: Characters) -> Option<Cow<'static, str>> {
    let is_list_or_word = matches!(characters, Characters::Word | Characters::List);
    if is_list_or_word && text.contains(is_quotation_mark) {
        return Some("contains a quotation mark: remove it".into());
    }
    let must_be_ascii = is_list_or_word || characters == Characters::Visible;
    if must_be_ascii && !text.is_ascii() {
        return Some("contains a character that is not ASCII: copy it again".into());
    }
    let odd = text.chars().find(|c| is_list_or_word && "<>{}\\".contains(*c))?;
    Some(format!("contains \"{odd}\", which is not allowed: copy it again").into())
}

/// Returns `true` for straight and typographic quotation marks of any language.
pub(crate) fn is_quotation_mark(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\u{ab}' | '\u{bb}' | '\u{2018}'..='\u{201f}' | '\u{2039}' | '\u{203a}')
}

/// Returns `true` for invisible characters that editors and chat programs insert: direction marks,
/// joiners, soft hyphens, and byte order marks.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_CHARACTER_KINDS: [Characters; 5] =
        [Characters::Word, Characters::Visible, Characters::NoSpace, Characters::Any, Characters::List];

    #[test]
    fn surrounding_text_is_named_for_every_kind() {
        for (text, named) in [
            ("\"hunter2\"", "in quotation marks"),
            ("'hunter2'", "in quotation marks"),
            ("`hunter2`", "in quotation marks"),
            ("\u{201c}hunter2\u{201d}", "in quotation marks"),
            ("\u{201e}hunter2\u{201c}", "in quotation marks"),
            ("\u{2018}hunter2\u{2019}", "in quotation marks"),
            ("\u{ab}hunter2\u{bb}", "in quotation marks"),
            ("\"hunter2\"\n", "in quotation marks"),
            ("\u{feff}\"hunter2\"", "in quotation marks"),
            ("\"\"", "in quotation marks"),
            ("<hunter2>", "placeholder"),
            ("${HUNTER2}", "placeholder"),
            ("{{ hunter2 }}", "placeholder"),
            ("$(cat hunter2)", "placeholder"),
            ("Bearer hunter2", "begins with \"bearer\""),
            ("bearer hunter2", "begins with \"bearer\""),
            ("Authorization: Bearer hunter2", "begins with \"authorization:\""),
            ("\u{1b}[200~hunter2\u{1b}[201~", "bracketed paste"),
            ("[200~hunter2[201~", "bracketed paste"),
            ("hunter2\u{1b}[201~", "bracketed paste"),
            ("hunter\u{0}2", "a control character (U+0000)"),
            ("hunter2\u{7f}", "a control character (U+007F)"),
            ("\u{feff}hunter2", "an invisible character (U+FEFF)"),
            ("hunter\u{200b}2", "an invisible character (U+200B)"),
        ] {
            for characters in ALL_CHARACTER_KINDS {
                let found = value_problem(text, characters).unwrap_or_else(|| panic!("{text:?} as {characters:?}"));
                assert!(found.contains(named) && found.contains(": "), "{text:?} as {characters:?}: {found}");
                assert!(!found.to_lowercase().contains("hunter"), "{found}");
            }
        }
    }

    #[test]
    fn disallowed_character_is_named_for_each_kind() {
        use Characters::{Any, List, NoSpace, Visible, Word};
        for (text, named, kinds) in [
            ("a\nb", "line break", &[Word, Visible, NoSpace, Any][..]),
            ("ab\r\n", "line break", &[Word, Visible, NoSpace, Any]),
            ("a\tb", "control character (U+0009)", &[Word, Visible, NoSpace, Any]),
            ("ab ", "leading or trailing", &[Word, Visible, NoSpace]),
            ("ab\u{a0}", "leading or trailing", &[Word, Visible, NoSpace, Any]),
            ("a b", "contains whitespace", &[Word, Visible, NoSpace]),
            ("a'b", "quotation mark", &[Word, List]),
            ("\"ab", "quotation mark", &[Word, List]),
            ("'a b", "quotation mark", &[List]),
            ("tök", "not ASCII", &[Word, Visible, List]),
            ("a<b", "contains \"<\"", &[Word, List]),
            ("a\\b", "contains \"\\\"", &[Word, List]),
        ] {
            for characters in kinds {
                let found = value_problem(text, *characters);
                assert!(
                    found.as_ref().is_some_and(|found| found.contains(named)),
                    "{text:?} {characters:?}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn value_in_quotation_marks_of_any_language_is_named() {
        for (open, close) in QUOTATION_MARK_PAIRS {
            for characters in ALL_CHARACTER_KINDS {
                let found = value_problem(&format!("{open}hunter2{close}"), characters);
                assert_eq!(found.as_deref(), Some(QUOTED_MESSAGE), "{open}{close} as {characters:?}");
            }
        }
        for text in ["basic hunter2", "Bearer:hunter2"] {
            let found = value_problem(text, Characters::Any);
            assert!(found.as_ref().is_some_and(|found| found.contains("part of a request")), "{text}: {found:?}");
        }
        for text in ["\u{1b}[200~x", "x\u{1b}[200~", "[200~x", "x[201~", "[201~x"] {
            let found = value_problem(text, Characters::Any);
            assert!(found.as_ref().is_some_and(|found| found.contains("bracketed paste")), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn character_at_range_boundary_is_named() {
        let marks = "\"'`\u{ab}\u{bb}\u{2018}\u{201b}\u{201c}\u{201f}\u{2039}\u{203a}";
        let invisible = "\u{ad}\u{200b}\u{200f}\u{202a}\u{202e}\u{2060}\u{2069}\u{feff}";
        for c in marks.chars() {
            let found = value_problem(&format!("a{c}b"), Characters::Word);
            assert!(found.as_ref().is_some_and(|found| found.contains("quotation mark")), "{c:?}: {found:?}");
        }
        for c in invisible.chars() {
            let found = value_problem(&format!("a{c}b"), Characters::Any);
            assert!(found.as_ref().is_some_and(|found| found.contains("an invisible character")), "{c:?}: {found:?}");
        }
        for c in "<>{}\\".chars() {
            let found = value_problem(&format!("a{c}b"), Characters::Word);
            assert!(found.as_ref().is_some_and(|found| found.contains("which is not allowed")), "{c:?}: {found:?}");
        }
        for text in [" ab", "\u{a0}ab", "\u{3000}ab"] {
            let found = value_problem(text, Characters::Word);
            assert!(found.as_ref().is_some_and(|found| found.contains("leading or trailing")), "{text:?}: {found:?}");
        }
        assert_eq!(value_problem("a\u{2017}b\u{2020}", Characters::NoSpace), None, "neither a mark nor invisible");
    }

    #[test]
    fn valid_value_has_no_problem() {
        for (text, characters) in [
            ("C0e8d6adbe3c6d919cc2c33611a330d67035d086119bcb8f8d0d3ecd8484468ea", Characters::Word),
            ("https://idbroker.webex.com/idb", Characters::Word),
            ("my-client_1.apps.example", Characters::Word),
            ("ZmFrZQ_PF84_1eb65fdf-9643-417f-9974-ad72cae0e10f", Characters::Visible),
            ("a+/b==~.'(\"", Characters::Visible),
            ("site_tök", Characters::NoSpace),
            ("p+s/w%rd:1 2&x=%20<'\"> ", Characters::Any),
            (" pass wörd ", Characters::Any),
            ("\"", Characters::Any),
            ("<>", Characters::Any),
            ("bearer", Characters::Word),
            ("spark:all\n  spark:kms\tspark:rooms_read ", Characters::List),
            ("", Characters::Word),
        ] {
            assert_eq!(value_problem(text, characters), None, "{text:?}");
        }
    }
}
