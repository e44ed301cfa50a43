//! Entries: an unencrypted head and a secret body.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::random;
use crate::secret::constant_time_eq_bytes;

/// A stored session.
///
/// Stores read and construct entries, so this struct is exhaustive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The part that stores compare and index. It is small and contains no secret.
    pub head: Head,
    /// The tokens and the application's data.
    pub body: Body,
}

/// The part of an [`Entry`] that is not secret.
///
/// A store saves it as [`to_text`](Self::to_text), compares the [`revision`](Self::revision), and,
/// if it can list keys, indexes [`due`](Self::due). The other fields coordinate the processes that
/// share the store.
///
/// Unknown fields are ignored and not written again: they describe a state that the next write
/// replaces. A version of this crate whose fields must not be dropped uses a higher `v`, which this
/// version rejects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    pub(crate) v: Version,
    pub(crate) revision: Revision,
    pub(crate) login: LoginId,
    pub(crate) generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claim: Option<Lease>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hold: Option<RefreshBlock>,
    /// `true` if a refresh of this generation was interrupted and may have lost newer tokens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) interrupted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_seconds")]
    pub(crate) due: Option<UnixTime>,
    /// The time when the session expires even if it is refreshed, if known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_seconds")]
    pub(crate) ends: Option<UnixTime>,
    /// The baseline for detecting whether refreshing extends the refresh token. If absent, the
    /// previous tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) anchor: Option<ExpiryBaseline>,
    /// The refreshes caused by a 401, counted across all processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unauthorized: Option<UnauthorizedRefreshes>,
    /// The number of times the refresh token of this generation was rejected without a reason.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) unexplained: u32,
}

/// The refreshes caused by a 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct UnauthorizedRefreshes {
    /// The number of refreshes less than a day apart.
    pub(crate) count: u32,
    /// The time of the last one.
    #[serde(with = "seconds")]
    pub(crate) at: UnixTime,
    /// The time of the last one that shortened a pause.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_seconds")]
    pub(crate) cut: Option<UnixTime>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The time when tokens were received, and the refresh token's expiry as of then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ExpiryBaseline {
    #[serde(with = "seconds")]
    pub(crate) at: UnixTime,
    #[serde(with = "seconds")]
    pub(crate) end: UnixTime,
}

/// The version of the format.
const VERSION: u64 = 1;

/// A marker that serializes as [`VERSION`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version;

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_u64(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            VERSION => Ok(Self),
            _ => Err(serde::de::Error::custom("unknown version")),
        }
    }
}

impl Head {
    /// Creates the head of a new session.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::RandomSource`]: the operating system's random number generator failed.
    #[allow(dead_code, reason = "used by the refresh task and the conformance suite")]
    pub(crate) fn new(due: Option<UnixTime>) -> Result<Self> {
        let (revision, login) = (Revision::new()?, LoginId::new()?);
        let (claim, hold, interrupted, ends, anchor) = (None, None, false, None, None);
        let (unauthorized, unexplained) = (None, 0);
        Ok(Self {
            v: Version,
            revision,
            login,
            generation: 0,
            claim,
            hold,
            interrupted,
            due,
            ends,
            anchor,
            unauthorized,
            unexplained,
        })
    }

    /// Removes everything that blocks refreshing, and returns `true` if there was anything. Also
    /// makes the session due for keep-alive.
    pub(crate) fn clear_block(&mut self, now: UnixTime) -> Result<bool> {
        let counts_something = self.unauthorized.take().is_some() | (std::mem::take(&mut self.unexplained) > 0);
        let had_one = self.hold.take().is_some() | counts_something;
        if had_one {
            self.revision = Revision::new()?;
            self.due.get_or_insert(now);
        }
        Ok(had_one)
    }

    /// Returns `true` if the refresh token of this generation was rejected.
    pub(crate) fn is_rejected(&self) -> bool {
        matches!(&self.hold, Some(RefreshBlock::Rejected { generation, .. }) if *generation == self.generation)
    }

    /// Returns the revision, which conditional writes compare.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns the time when keep-alive should process the session, if any.
    pub fn due(&self) -> Option<UnixTime> {
        self.due
    }

    /// Returns the number of refreshes since the login.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Converts the head to a JSON string.
    pub fn to_text(&self) -> String {
        // Numbers and strings only: converting them to JSON cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Parses a string created by [`to_text`](Self::to_text).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CorruptEntry`]: the string is damaged, or a newer version of this crate
    ///   created it.
    pub fn from_text(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }

        // The message of serde_json is left out: it may quote what a store returned in place of a head.
        let unreadable = |error: serde_json::Error| {
            let (line, column) = (error.line(), error.column());
            let message = format!(
                "corrupt session head: unreadable at line {line}, column {column}; restore the entry or remove it"
            );
            Error::new(ErrorKind::CorruptEntry, message)
        };
        let Versioned { v } = serde_json::from_str(text).map_err(unreadable)?;
        if v != VERSION {
            let message = format!("unsupported session head: version {v}; update webex-oauth");
            return Err(Error::new(ErrorKind::CorruptEntry, message).with_class(ErrorClass::Misconfigured));
        }
        serde_json::from_str(text).map_err(unreadable)
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $visibility:vis $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        $visibility struct $name([u8; 16]);

        impl $name {
            #[allow(dead_code, reason = "used by the refresh task and the conformance suite")]
            pub(crate) fn new() -> Result<Self> {
                let mut bytes = [0; 16];
                random::fill(&mut bytes)?;
                Ok(Self(bytes))
            }

            /// Returns the 128 bits.
            #[allow(dead_code, reason = "only stores and tests need the bytes of some IDs")]
            $visibility fn to_bytes(self) -> [u8; 16] {
                self.0
            }

            /// Creates a value from 128 bits.
            #[allow(dead_code, reason = "only stores and tests create some IDs from bytes")]
            $visibility fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", u128::from_be_bytes(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                let number = u128::from_str_radix(&text, 16).ok().filter(|_| is_hex);
                let number = number.ok_or_else(|| serde::de::Error::custom("expected 32 hexadecimal digits"))?;
                Ok(Self(number.to_be_bytes()))
            }
        }
    };
}

random_id! {
    /// The revision of an entry: 128 random bits chosen by the writer, used once and compared for
    /// equality.
    pub Revision
}

random_id! {
    /// The identity of a session, from `put` to `remove`. A later session under the same key has
    /// another.
    pub(crate) LoginId
}

random_id! {
    /// The identity of a lease. Each refresh has its own.
    pub(crate) LeaseId
}

/// A lease held by the task that is refreshing the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) id: LeaseId,
    #[serde(with = "seconds")]
    pub(crate) at: UnixTime,
    /// In seconds.
    #[serde(with = "duration")]
    pub(crate) lease: Duration,
}

/// The reason why a session must not be refreshed now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefreshBlock {
    /// The last refresh failed. The next attempt may start at this time.
    RetryAt(#[serde(with = "seconds")] UnixTime),
    /// The refresh token of this generation was rejected.
    Rejected {
        /// The generation.
        generation: u64,
        /// The error code, if the server returned one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// The time of the rejection, by the clock of the host that received it.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_seconds")]
        at: Option<UnixTime>,
        /// `true` if the access token is invalid as well: it expired, or the API rejected it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_dead: bool,
    },
}

impl RefreshBlock {
    /// Returns `true` if neither token of this generation can be used.
    pub(crate) fn is_final_for(&self, kept: u64) -> bool {
        matches!(self, Self::Rejected { generation, is_dead: true, .. } if *generation == kept)
    }
}

/// The secret part of an [`Entry`]. Only this crate interprets its bytes. Cloning is cheap.
#[derive(Clone)]
pub struct Body(Arc<SecretSlice<u8>>);

impl Body {
    /// Creates a body from the bytes that a store loaded.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(Arc::new(SecretSlice::from(Vec::from(bytes.into()))))
    }

    /// Returns the bytes, for a store to save. **They contain all secrets of the session.**
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq_bytes(self.expose(), other.expose())
    }
}

impl Eq for Body {}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body([secret], {} bytes)", self.expose().len())
    }
}

mod seconds {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::clock::UnixTime;

    pub(crate) fn serialize<S: Serializer>(time: &UnixTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixTime, D::Error> {
        u64::deserialize(deserializer).map(UnixTime::from_secs)
    }
}

mod optional_seconds {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::clock::UnixTime;

    pub(crate) fn serialize<S: Serializer>(time: &Option<UnixTime>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(UnixTime::as_secs).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixTime>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(UnixTime::from_secs))
    }
}

mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_round_trips_through_json() {
        let time = UnixTime::from_secs(1_700_000_000);
        let mut head = Head::new(Some(time)).unwrap();
        assert_eq!(Head::from_text(&head.to_text()).unwrap(), head);
        head.claim = Some(Lease { id: LeaseId::new().unwrap(), at: time, lease: Duration::from_secs(60) });
        head.hold = Some(RefreshBlock::Rejected {
            generation: 3,
            code: Some("invalid_grant".into()),
            at: Some(time),
            is_dead: true,
        });
        assert_eq!(Head::from_text(&head.to_text()).unwrap(), head);
        head.hold = Some(RefreshBlock::RetryAt(time));
        head.interrupted = true;
        head.due = None;
        head.unauthorized = Some(UnauthorizedRefreshes { count: 2, at: time, cut: None });
        head.unexplained = 3;
        assert_eq!(Head::from_text(&head.to_text()).unwrap(), head);
    }

    #[test]
    fn unknown_head_members_of_later_version_are_dropped() {
        let head = Head::new(Some(UnixTime::from_secs(1_700_000_000))).unwrap();
        let later = head.to_text().replacen('{', "{\"later\":{\"x\":[1]},", 1);
        assert_eq!(Head::from_text(&later).unwrap(), head);
        assert_eq!(Head::from_text(&later).unwrap().to_text(), head.to_text());
    }

    #[test]
    fn corrupt_and_later_heads_are_rejected() {
        let text = Head::new(None).unwrap().to_text();
        for (bad, hint) in [
            (text.replace("\"v\":1", "\"v\":2"), "update webex-oauth"),
            (text[..20].to_owned(), "corrupt session head"),
            (text.replace("\"revision\":\"", "\"revision\":\"+"), "corrupt session head"),
            (String::new(), "corrupt session head"),
            (text.replace("\"generation\":0", "\"generation\":\"hunter2\""), "corrupt session head"),
        ] {
            let error = Head::from_text(&bad).unwrap_err();
            assert!(error.kind() == ErrorKind::CorruptEntry && error.to_string().contains(hint), "{error}");
            assert!(!format!("{error:?} {error:#?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn bodies_are_compared_by_content_and_redacted_in_debug() {
        let body = Body::new(*b"hunter2");
        assert_eq!(body, Body::new(*b"hunter2"));
        assert_ne!(body, Body::new(*b"hunter3"));
        assert_eq!(format!("{body:?}"), "Body([secret], 7 bytes)");
    }
}
