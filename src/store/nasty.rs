//! Keys that careless stores mix up, or cannot keep at all.

use super::TokenKey;
use crate::error::Result;

/// Parts of a key. All are texts that differ in their bytes.
#[rustfmt::skip]
const PARTS: &[&str] = &[
    // Parts of paths and names that some file systems refuse or take for each other.
    "a", "A", "b", "ab", "a/b", "a\\b", "/", "//", ".", "..", "../a", "a/../b", "./a", "a.", "CON", "nul", "lock",
    // What is trimmed, or ends a text.
    " ", " a", "a ", "\0", "a\0", "a\0b", "\n", "a\n", "a\r\n", "\t", "\u{7f}", "\u{1b}[0m", "\u{feff}a", "a\u{200b}",
    // What is the same after normalizing, or in another case.
    "é", "e\u{301}", "É", "ß", "ss", "SS", "ſ", "s", "i", "İ", "ı", "K", "\u{212a}", "k", "ﬁ", "fi", "\u{1f600}",
    // What has a meaning somewhere.
    "%", "a%2Fb", "%2e%2e", "*", "a*", "?", "a:b", "a|b", "a,b", "a\u{1f}b", "'", "\"", "'; DROP TABLE tokens; --", "$a", "~",
    "-", "--help", "null", "None", "0", "00", "10", "1e1", "{}", "[\"a\",\"b\"]", "conformance",
];

/// Two parts that together look like others.
#[rustfmt::skip]
const PAIRS: &[(&str, &str)] = &[
    ("a", "b"), ("a", "B"), ("A", "b"), ("b", "a"), ("a", "bc"), ("ab", "c"), ("a", "/b"), ("a/", "b"), ("a", "a"), ("a", "b/c"),
    ("a/b", "c"), ("a:", "b"), ("a", ":b"), ("a\0", "b"), ("a", "\0b"), ("a", "\0"), (".", "."), ("..", ".."), ("é", "é"),
    ("e\u{301}", "é"),
];

/// All of them, and the longest that there can be.
pub(super) fn keys() -> Result<Vec<TokenKey>> {
    let (long, nearly) = ("x".repeat(255), format!("{}y", "x".repeat(254)));
    let (long, nearly) = (long.as_str(), nearly.as_str());
    let parts = PARTS.iter().copied().chain([long, nearly]).map(TokenKey::new);
    let longest = [(long, long), (long, nearly), (nearly, long), (long, "x"), ("x", long)];
    let pairs = PAIRS.iter().chain(&longest).map(|(tenant, user)| TokenKey::new(tenant)?.user(user));
    parts.chain(pairs).collect()
}
