//! Untrusted strings for a terminal.

/// Replaces control characters and bidirectional overrides, except line breaks. Users choose their
/// own names.
pub(crate) fn printable(text: &str) -> String {
    let is_unprintable = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.replace(|c| c != '\n' && is_unprintable(c), "?")
}
