//! Names and contents of session files.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::zeroize::Zeroizing;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::store::entry::{Body, Entry, Head};
use crate::store::key::TokenKey;

/// The subfolder of the store. A later layout will use another name.
pub(crate) const ROOT: &str = "webex-logins-v1";

/// The number of subfolders of [`ROOT`], `00` to `ff`.
pub(crate) const SHARDS: usize = 256;

/// The name of the lock file in each subfolder.
pub(crate) const LOCK_FILE_NAME: &str = "lock";

/// The name prefix of temporary files.
pub(crate) const TEMP_FILE_PREFIX: &str = ".tmp-";

/// The age after which a temporary file is considered abandoned and is removed.
pub(crate) const MAX_TEMP_FILE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The location of one session: 64 hexadecimal digits, the first two of which name the subfolder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryPath {
    shard: u8,
    name: String,
}

impl EntryPath {
    /// Returns the place of a key: the SHA-256 of its parts, each preceded by its length in one
    /// byte.
    pub(crate) fn of(key: &TokenKey) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(key.root()).chain(key.child_name()) {
            // No part is longer than 255 bytes.
            hash.update([u8::try_from(part.len()).unwrap_or(u8::MAX)]);
            hash.update(part);
        }
        let hash = hash.finalize();
        Self { shard: hash[0], name: Hex(&hash).to_string() }
    }

    /// Returns the place with this name, or `None` if it is not the name of a session file.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_name = name.len() == 64 && name.bytes().all(is_digit);
        let shard = u8::from_str_radix(name.get(..2)?, 16).ok().filter(|_| is_name)?;
        Some(Self { shard, name: name.to_owned() })
    }

    pub(crate) fn shard(&self) -> usize {
        usize::from(self.shard)
    }

    /// Returns the file name. [`named`](Self::named) parses it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn folder(&self, root: &Path) -> PathBuf {
        shard_folder(root, self.shard())
    }

    pub(crate) fn file(&self, root: &Path) -> PathBuf {
        self.folder(root).join(&self.name)
    }
}

pub(crate) fn shard_folder(root: &Path, shard: usize) -> PathBuf {
    root.join(format!("{shard:02x}"))
}

/// The conventions of an operating system.
#[derive(Clone, Copy, Debug)]
enum Platform {
    Freedesktop,
    Apple,
    Windows,
}

/// Returns the folder of an application in the data folder of the current user. If there is no data
/// folder, the error recommends to call `instead`.
pub(crate) fn application_folder(application: &str, instead: &str) -> Result<PathBuf> {
    let platform = match () {
        () if cfg!(windows) => Platform::Windows,
        () if cfg!(target_vendor = "apple") => Platform::Apple,
        () => Platform::Freedesktop,
    };
    let folder = data_folder(platform, &|name| std::env::var_os(name), std::env::home_dir(), instead)?;
    Ok(folder.join(check_application_name(application)?))
}

fn data_folder(
    platform: Platform,
    variable: &dyn Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
    instead: &str,
) -> Result<PathBuf> {
    // The XDG Base Directory Specification requires relative paths to be ignored.
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let variable = |name| variable(name).map(PathBuf::from).and_then(absolute);
    let home = home.and_then(absolute);
    let (folder, missing) = match platform {
        Platform::Windows => (variable("LOCALAPPDATA"), "LOCALAPPDATA"),
        Platform::Apple => (home.map(|home| home.join("Library/Application Support")), "HOME"),
        Platform::Freedesktop => {
            (variable("XDG_DATA_HOME").or_else(|| home.map(|home| home.join(".local/share"))), "HOME")
        }
    };
    folder.ok_or_else(|| {
        let message = format!("no data folder: the environment variable {missing} is not set; use {instead}");
        Error::new(ErrorKind::Configuration, message)
    })
}

/// Checks that an application name is a valid folder name on every platform.
pub(crate) fn check_application_name(application: &str) -> Result<&str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    let is_edge = |c: char| matches!(c, '.' | ' ');
    let is_name = (1..=64).contains(&application.len())
        && application.chars().all(is_plain)
        && !application.starts_with(is_edge)
        && !application.ends_with(is_edge);
    if is_name {
        return Ok(application);
    }
    let message = format!(
        "invalid application name {application:?}: use 1 to 64 ASCII letters, digits, `-`, `_`, and, except at the start \
         and end, `.` and spaces"
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

const TITLE: &str = "webex-oauth login v";
const VERSION: u64 = 1;

/// The reason why a record cannot be read.
#[derive(Debug)]
pub(crate) enum UnreadableRecord {
    /// The record is damaged. Contains the reason.
    Damaged(&'static str),
    /// The record is intact, but has another version.
    UnsupportedVersion(Error),
}

/// Writes a record.
pub(crate) fn write_record(key: &TokenKey, entry: &Entry) -> Zeroizing<Vec<u8>> {
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
pub(crate) fn read_record(record: &[u8]) -> Result<(TokenKey, Entry), UnreadableRecord> {
    let (title, rest) = split_line(record).ok_or(UnreadableRecord::Damaged("missing title"))?;
    let version = title.strip_prefix(TITLE).and_then(|version| version.parse().ok());
    match version {
        None => return Err(UnreadableRecord::Damaged("invalid title")),
        Some(VERSION) => {}
        Some(later) => return Err(UnreadableRecord::UnsupportedVersion(unsupported_version_error(later))),
    }
    let (sum, content) = split_line(rest).ok_or(UnreadableRecord::Damaged("truncated"))?;
    if sum != Hex(&Sha256::digest(content)).to_string() {
        return Err(UnreadableRecord::Damaged("checksum mismatch"));
    }
    // The checksum matches, so the content is intact. If it cannot be read, its version is unknown.
    let (parts, rest) = split_line(content).ok_or_else(unknown_format)?;
    let (head, body) = split_line(rest).ok_or_else(unknown_format)?;
    let head = Head::from_text(head).map_err(UnreadableRecord::UnsupportedVersion)?;
    Ok((parse_key(parts).ok_or_else(unknown_format)?, Entry { head, body: Body::new(body) }))
}

/// Bytes that are displayed as lower-case hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn split_line(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&text[..end]).ok()?, &text[end + 1..]))
}

fn parse_key(parts: &str) -> Option<TokenKey> {
    match serde_json::from_str::<Vec<String>>(parts).ok()?.as_slice() {
        [tenant] => TokenKey::new(tenant).ok(),
        [tenant, user] => TokenKey::new(tenant).ok()?.child(user).ok(),
        _ => None,
    }
}

fn unsupported_version_error(version: u64) -> Error {
    let message = format!("stored session has version {version}: update webex-oauth");
    Error::new(ErrorKind::CorruptEntry, message).with_class(ErrorClass::Misconfigured)
}

fn unknown_format() -> UnreadableRecord {
    UnreadableRecord::UnsupportedVersion(Error::new(
        ErrorKind::CorruptEntry,
        "stored session has an unknown format: update webex-oauth",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_path_of_key_is_stable() {
        let jane = TokenKey::new("cust10001").unwrap().child("jane@example.com").unwrap();
        let file = EntryPath::of(&jane).file(Path::new("R"));
        // printf '\011cust10001\020jane@example.com' | sha256sum
        let name = "4268503a96f2f6f9c8d584eed88956da7ab411e888f38374bb74363f40ffd6d3";
        assert_eq!(file, Path::new("R").join(&name[..2]).join(name));
        assert_eq!(EntryPath::from_name(name), Some(EntryPath::of(&jane)));
    }

    #[test]
    fn only_session_file_names_map_to_entry_paths() {
        let name = "0f".repeat(32);
        assert_eq!(EntryPath::from_name(&name).unwrap().shard(), 15);
        let damaged = format!("{name}.damaged-1");
        for other in ["", "lock", ".tmp-x", &name[1..], &name.to_uppercase(), &damaged, &"é".repeat(32)] {
            assert_eq!(EntryPath::from_name(other), None, "{other}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn data_folder_depends_on_platform() {
        let home = || Some(PathBuf::from("/home/jane"));
        let none = |_: &str| None;
        let set = |name: &str| matches!(name, "XDG_DATA_HOME" | "LOCALAPPDATA").then(|| OsString::from("/data"));
        let relative = |_: &str| Some(OsString::from("data"));
        for (platform, variables, expected) in [
            (Platform::Freedesktop, &none as &dyn Fn(&str) -> Option<OsString>, "/home/jane/.local/share"),
            (Platform::Freedesktop, &set, "/data"),
            (Platform::Freedesktop, &relative, "/home/jane/.local/share"),
            (Platform::Apple, &set, "/home/jane/Library/Application Support"),
            (Platform::Windows, &set, "/data"),
        ] {
            assert_eq!(data_folder(platform, variables, home(), "").unwrap(), Path::new(expected), "{platform:?}");
        }
        for (platform, hint) in [(Platform::Freedesktop, "HOME"), (Platform::Windows, "LOCALAPPDATA")] {
            let error = data_folder(platform, &none, None, "open(folder)").unwrap_err();
            let said = error.to_string();
            assert!(error.is_misconfigured() && said.contains(hint) && said.ends_with("use open(folder)"), "{said}");
        }
    }

    #[test]
    fn application_name_allows_only_portable_characters() {
        for good in ["acme-rooms", "com.example.Rooms 2"] {
            assert_eq!(check_application_name(good).unwrap(), good);
        }
        for bad in ["", ".", "..", "a/b", "a\\b", ".hidden", "dot.", " a", "C:", "naïve", &"x".repeat(65)] {
            assert_eq!(check_application_name(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }

    fn sample() -> (TokenKey, Entry) {
        let key = TokenKey::new("c\"ust\n\0").unwrap().child("jä/..").unwrap();
        (key, Entry { head: Head::new(None).unwrap(), body: Body::new(*b"line\n\xff\0") })
    }

    #[test]
    fn record_round_trips_through_bytes() {
        let (key, entry) = sample();
        assert_eq!(read_record(&write_record(&key, &entry)).unwrap(), (key, entry));
    }

    #[test]
    fn damaged_record_is_rejected() {
        let (key, entry) = sample();
        let whole = write_record(&key, &entry);
        for length in 0..whole.len() {
            assert!(
                matches!(read_record(&whole[..length]), Err(UnreadableRecord::Damaged(_))),
                "cut to {length} bytes"
            );
        }
        for position in 0..whole.len() {
            let mut bad = whole.to_vec();
            bad[position] ^= 1;
            assert!(read_record(&bad).is_err(), "byte {position} was changed");
        }
        assert!(read_record(&[whole.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn record_of_later_version_is_not_reported_as_damaged() {
        let (key, entry) = sample();
        let later = |content: &str| {
            let sum = Sha256::digest(content);
            read_record(format!("{TITLE}1\n{}\n{content}", Hex(&sum)).as_bytes()).unwrap_err()
        };
        let title = String::from_utf8_lossy(&write_record(&key, &entry)).replace("login v1", "login v2");
        let head = format!("[\"a\"]\n{}\n", entry.head.to_text().replace("\"v\":1", "\"v\":2"));
        for unreadable in [read_record(title.as_bytes()).unwrap_err(), later(&head)] {
            let UnreadableRecord::UnsupportedVersion(error) = unreadable else { panic!("{unreadable:?}") };
            assert!(error.is_misconfigured() && error.to_string().contains("version 2"), "{error}");
        }
        assert!(matches!(later("[\"a\",\"b\",\"c\"]\n"), UnreadableRecord::UnsupportedVersion(_)));
    }
}
