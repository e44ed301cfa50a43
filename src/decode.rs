//! Lenient decoding of JSON from servers, before it is parsed.
//!
//! serde_json rejects a whole document if any string is not valid Unicode. A user name in another
//! encoding must not make the tokens in the same response unusable. Go and JavaScript also decode
//! invalid sequences to U+FFFD.

use secrecy::zeroize::Zeroizing;

/// U+FEFF in UTF-8. A parser may ignore it (RFC 8259, section 8.1).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Removes a byte order mark, replaces invalid sequences with U+FFFD, and replaces numbers that
/// exceed the range of `f64` with 1e308.
///
/// The returned copy is zeroized on drop, because it may contain tokens.
pub(crate) fn decode(json: &[u8]) -> Zeroizing<Vec<u8>> {
    let json = json.strip_prefix(BYTE_ORDER_MARK).unwrap_or(json);
    let invalid = json.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
    // A growing buffer would leave copies that are not zeroized.
    let mut text = Zeroizing::new(Vec::with_capacity(json.len() + invalid * char::REPLACEMENT_CHARACTER.len_utf8()));
    for chunk in json.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            text.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    repair(&mut text);
    text
}

/// Returns `true` if a part of `text` could not be decoded.
///
/// Different originals may decode to the same string. Every comparison that decides about access
/// must therefore reject it.
pub(crate) fn is_damaged(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}

/// Replaces lone surrogates and oversized numbers in place. Neither replacement is longer than the
/// original.
fn repair(text: &mut [u8]) {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at = match byte {
            b'"' => repair_string(text, at + 1),
            b'0'..=b'9' => repair_number(text, at),
            _ => at + 1,
        };
    }
}

/// Replaces lone surrogates in the string that begins at `at`, and returns the position after it.
fn repair_string(text: &mut [u8], mut at: usize) -> usize {
    while let Some(byte) = text.get(at) {
        at += match (byte, code_unit(text, at)) {
            (b'"', _) => return at + 1,
            (b'\\', Some(0xd800..=0xdbff)) if matches!(code_unit(text, at + ESCAPE), Some(0xdc00..=0xdfff)) => {
                2 * ESCAPE
            }
            (b'\\', Some(0xd800..=0xdfff)) => {
                if let Some(digits) = text.get_mut(at + 2..at + ESCAPE) {
                    digits.copy_from_slice(b"fffd");
                }
                ESCAPE
            }
            (b'\\', None) => 2,
            _ => 1,
        };
    }
    at
}

/// The length of `\uXXXX`.
const ESCAPE: usize = 6;

/// Returns the UTF-16 code unit of the `\uXXXX` escape at this position.
fn code_unit(text: &[u8], at: usize) -> Option<u16> {
    let digits = text.get(at..at.checked_add(ESCAPE)?)?.strip_prefix(b"\\u")?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

/// Replaces the number at `at` if it is oversized, and returns the position after it.
fn repair_number(text: &mut [u8], at: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    let Some(number) = text.get_mut(at..) else { return at };
    let length = number.iter().position(|byte| !is_part(byte)).unwrap_or(number.len());
    let Some(number) = number.get_mut(..length) else { return at };
    let value = std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
    if value.is_some_and(f64::is_infinite) {
        let replacement = LARGEST.iter().chain(std::iter::repeat(&b' '));
        number.iter_mut().zip(replacement).for_each(|(byte, replacement)| *byte = *replacement);
    }
    at + length
}

/// The replacement for oversized numbers. It fits, because the shortest oversized number is
/// `2e308`.
const LARGEST: &[u8] = b"1e308";

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn decoded(json: &[u8]) -> String {
        String::from_utf8(decode(json).to_vec()).unwrap()
    }

    #[test]
    fn unicode_escape_with_sign_is_invalid() {
        assert_eq!([&br"\u+041"[..], br"\u0041"].map(|text| code_unit(text, 0)), [None, Some(0x41)]);
    }

    #[test]
    fn well_formed_text_is_unchanged_by_decode() {
        for json in [
            "",
            "{}",
            r#"{"a":"\"\\\u0041\ud83d\ude00\\ud800\/","é\n":[1,-2,3.5,1e3,1e308,-1E+308,1e-999,0]}"#,
            r#"["\uD83D\uDE00","\\\\","\\\"",{"x":"1e999"}]"#,
            "<html>9e999",
            "not json \"",
            "\"\\",
            "\"\\u",
            "\"\\ud8",
            "-",
        ] {
            let expected = json.replace("9e999", "1e308");
            assert_eq!(decoded(json.as_bytes()), expected, "{json}");
        }
    }

    #[test]
    fn undecodable_text_becomes_replacement_character() {
        for (json, text) in [
            (&b"\"J\xf6rg\""[..], "J\u{fffd}rg"),
            (b"\"J\xc3\"", "J\u{fffd}"),
            (b"\"\xe2\x82\"", "\u{fffd}"),
            (b"\"\xff\xfe\"", "\u{fffd}\u{fffd}"),
            (b"\"a\xed\xa0\x80z\"", "a\u{fffd}\u{fffd}\u{fffd}z"),
            (br#""\ud800""#, "\u{fffd}"),
            (br#""\uDFFFx""#, "\u{fffd}x"),
            (br#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (br#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (br#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}"),
            (br#""\ud83d\\ude00""#, "\u{fffd}\\ude00"),
            (br#""\ud83d\n""#, "\u{fffd}\n"),
            (br#""\\\ud800""#, "\\\u{fffd}"),
            (b"\xef\xbb\xbf\"x\"", "x"),
        ] {
            let value: Value = serde_json::from_slice(&decode(json)).unwrap();
            assert_eq!(value, text, "{}", String::from_utf8_lossy(json));
            assert_eq!(is_damaged(text), text != "x");
        }
    }

    #[test]
    fn number_beyond_float_range_becomes_largest_power_of_ten() {
        let long = format!("-{}.5", "9".repeat(400));
        for (json, expected) in
            [("1e999", 1e308), ("-1e999", -1e308), ("2e308", 1e308), ("17976931348623157e400", 1e308), (&*long, -1e308)]
        {
            for json in [json.to_owned(), format!("[{json},7]"), format!(r#"{{"a":{json}}}"#)] {
                let value: Value = serde_json::from_slice(&decode(json.as_bytes())).unwrap();
                let found = value.get("a").or(value.get(0)).unwrap_or(&value);
                assert_eq!(found.as_f64(), Some(expected), "{json}");
            }
        }
    }

    #[test]
    fn leading_byte_order_mark_is_removed_once() {
        assert_eq!(decoded(b"\xef\xbb\xbf{}"), "{}");
        assert_eq!(decoded(b"\xef\xbb\xbf\xef\xbb\xbf{}"), "\u{feff}{}");
        assert_eq!(decoded(b" \xef\xbb\xbf{}"), " \u{feff}{}");
        assert_eq!(decoded(b"\xef\xbb"), "\u{fffd}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn decode_returns_utf_8_and_is_idempotent(json in proptest::collection::vec(
            proptest::prop_oneof![proptest::sample::select(br#""\ud8cefDC09-+.{}[]:, "#.to_vec()), proptest::prelude::any::<u8>()],
            0..64,
        )) {
            let once = decode(&json);
            let text = std::str::from_utf8(&once).unwrap();
            if !text.starts_with('\u{feff}') {
                proptest::prop_assert_eq!(&*decode(&once), &*once);
            }
        }
    }
}
