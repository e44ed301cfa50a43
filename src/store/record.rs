//! The file format of a session: four lines, and the body to the end of the file.
//!
//! ```text
//! webex-oauth login v1
//! <SHA-256, in hexadecimal, of everything after this line>
//! ["cust10001","jane@example.com"]
//! {"v":1,"revision":"…","login":"…","generation":3,"due":1700000000}
//! <body: bytes>
//! ```
//!
//! Every version starts with the first line, so that older programs recognize files of later
//! versions.

use std::fmt;

use secrecy::zeroize::Zeroizing;
use sha2::{Digest as _, Sha256};

use super::{Body, Entry, Head, TokenKey};
use crate::error::{Error, ErrorKind, Remedy, Result};

const TITLE: &str = "webex-oauth login v";
const VERSION: u64 = 1;

/// The reason why a record cannot be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The record is damaged. Contains the reason.
    Damaged(&'static str),
    /// The record is intact, but has another version.
    Foreign(Error),
}

/// Writes a record.
pub(super) fn write(key: &TokenKey, entry: &Entry) -> Zeroizing<Vec<u8>> {
    let parts: Vec<_> = std::iter::once(key.root()).chain(key.child_name()).collect();
    // Serializing strings cannot fail.
    let parts = serde_json::to_string(&parts).unwrap_or_default();
    let (head, body) = (entry.head.to_text(), entry.body.expose());
    let content = [parts.as_bytes(), b"\n", head.as_bytes(), b"\n", body];
    let sum = content.iter().fold(Sha256::new(), |sum, part| sum.chain_update(part)).finalize();
    let title = format!("{TITLE}{VERSION}\n{}\n", Hex(&sum));
    // Allocated with the full length: growing would leave unwiped copies.
    let mut record =
        Zeroizing::new(Vec::with_capacity(title.len() + content.iter().map(|part| part.len()).sum::<usize>()));
    record.extend_from_slice(title.as_bytes());
    content.iter().for_each(|part| record.extend_from_slice(part));
    record
}

/// Reads a record that [`write`] wrote.
pub(super) fn read(record: &[u8]) -> Result<(TokenKey, Entry), Unreadable> {
    let (title, rest) = line(record).ok_or(Unreadable::Damaged("missing title"))?;
    let version = title.strip_prefix(TITLE).and_then(|version| version.parse().ok());
    match version {
        None => return Err(Unreadable::Damaged("invalid title")),
        Some(VERSION) => {}
        Some(later) => return Err(Unreadable::Foreign(of_version(later))),
    }
    let (sum, content) = line(rest).ok_or(Unreadable::Damaged("truncated"))?;
    if sum != Hex(&Sha256::digest(content)).to_string() {
        return Err(Unreadable::Damaged("checksum mismatch"));
    }
    // The checksum matches, so the content is intact. If it cannot be read, its version is unknown.
    let (parts, rest) = line(content).ok_or_else(unknown)?;
    let (head, body) = line(rest).ok_or_else(unknown)?;
    let head = Head::from_text(head).map_err(Unreadable::Foreign)?;
    Ok((key(parts).ok_or_else(unknown)?, Entry { head, body: Body::new(body) }))
}

/// Bytes that are displayed as lower-case hexadecimal digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn line(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&text[..end]).ok()?, &text[end + 1..]))
}

fn key(parts: &str) -> Option<TokenKey> {
    match serde_json::from_str::<Vec<String>>(parts).ok()?.as_slice() {
        [tenant] => TokenKey::new(tenant).ok(),
        [tenant, user] => TokenKey::new(tenant).ok()?.child(user).ok(),
        _ => None,
    }
}

fn of_version(version: u64) -> Error {
    let message = format!("stored session has version {version}: update webex-oauth");
    Error::new(ErrorKind::CorruptEntry, message).with_remedy(Remedy::Registration)
}

fn unknown() -> Unreadable {
    Unreadable::Foreign(Error::new(ErrorKind::CorruptEntry, "stored session has an unknown format: update webex-oauth"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (TokenKey, Entry) {
        let key = TokenKey::new("c\"ust\n\0").unwrap().child("jä/..").unwrap();
        (key, Entry { head: Head::begin(None).unwrap(), body: Body::new(*b"line\n\xff\0") })
    }

    #[test]
    fn record_round_trips_through_bytes() {
        let (key, entry) = sample();
        assert_eq!(read(&write(&key, &entry)).unwrap(), (key, entry));
    }

    #[test]
    fn damaged_record_is_rejected() {
        let (key, entry) = sample();
        let whole = write(&key, &entry);
        for length in 0..whole.len() {
            assert!(matches!(read(&whole[..length]), Err(Unreadable::Damaged(_))), "cut to {length} bytes");
        }
        for place in 0..whole.len() {
            let mut bad = whole.to_vec();
            bad[place] ^= 1;
            assert!(read(&bad).is_err(), "byte {place} was changed");
        }
        assert!(read(&[whole.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn record_of_later_version_is_not_reported_as_damaged() {
        let (key, entry) = sample();
        let later = |content: &str| {
            let sum = Sha256::digest(content);
            read(format!("{TITLE}1\n{}\n{content}", Hex(&sum)).as_bytes()).unwrap_err()
        };
        let title = String::from_utf8_lossy(&write(&key, &entry)).replace("login v1", "login v2");
        let head = format!("[\"a\"]\n{}\n", entry.head.to_text().replace("\"v\":1", "\"v\":2"));
        for unreadable in [read(title.as_bytes()).unwrap_err(), later(&head)] {
            let Unreadable::Foreign(error) = unreadable else { panic!("{unreadable:?}") };
            assert!(error.is_misconfigured() && error.to_string().contains("version 2"), "{error}");
        }
        assert!(matches!(later("[\"a\",\"b\",\"c\"]\n"), Unreadable::Foreign(_)));
    }
}
