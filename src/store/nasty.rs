//! Keys that incorrect stores confuse or cannot store.

use super::TokenKey;
use crate::error::Result;

/// Parts of a key. All of them differ byte by byte.
#[rustfmt::skip]
const PARTS: &[&str] = &[
    // Paths and names that some file systems reject or treat as equal.
    "a", "A", "b", "ab", "a/b", "a\\b", "/", "//", ".", "..", "../a", "a/../b", "./a", "a.", "CON", "nul", "lock",
    // Characters that may be trimmed or may terminate a string.
    " ", " a", "a ", "\0", "a\0", "a\0b", "\n", "a\n", "a\r\n", "\t", "\u{7f}", "\u{1b}[0m", "\u{feff}a", "a\u{200b}",
    // Strings that are equal after normalization or case folding.
    "é", "e\u{301}", "É", "ß", "ss", "SS", "ſ", "s", "i", "İ", "ı", "K", "\u{212a}", "k", "ﬁ", "fi", "\u{1f600}",
    // Strings with a special meaning in other languages and formats.
    "%", "a%2Fb", "%2e%2e", "*", "a*", "?", "a:b", "a|b", "a,b", "a\u{1f}b", "'", "\"", "'; DROP TABLE tokens; --", "$a", "~",
    "-", "--help", "null", "None", "0", "00", "10", "1e1", "{}", "[\"a\",\"b\"]", "conformance",
];

/// Pairs of parts that collide with other keys when concatenated.
#[rustfmt::skip]
const PAIRS: &[(&str, &str)] = &[
    ("a", "b"), ("a", "B"), ("A", "b"), ("b", "a"), ("a", "bc"), ("ab", "c"), ("a", "/b"), ("a/", "b"), ("a", "a"), ("a", "b/c"),
    ("a/b", "c"), ("a:", "b"), ("a", ":b"), ("a\0", "b"), ("a", "\0b"), ("a", "\0"), (".", "."), ("..", ".."), ("é", "é"),
    ("e\u{301}", "é"),
];

/// Returns all keys of the suite, including keys of the maximum length.
pub(super) fn keys() -> Result<Vec<TokenKey>> {
    let (long, nearly) = ("x".repeat(255), format!("{}y", "x".repeat(254)));
    let (long, nearly) = (long.as_str(), nearly.as_str());
    let parts = PARTS.iter().copied().chain([long, nearly]).map(TokenKey::new);
    let longest = [(long, long), (long, nearly), (nearly, long), (long, "x"), ("x", long)];
    let pairs = PAIRS.iter().chain(&longest).map(|(tenant, user)| TokenKey::new(tenant)?.child(user));
    parts.chain(pairs).collect()
}
