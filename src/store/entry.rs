//! What is kept of a login: a head in the clear and a secret body.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretSlice};
use serde::{Deserialize, Serialize};

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::random;
use crate::secret::same_bytes;

/// A login as it is kept. Stores take it apart and put it together again, so it has these two parts for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What stores compare and index: small, and without a secret.
    pub head: Head,
    /// The tokens, and what the application keeps with them.
    pub body: Body,
}

/// The part of an [`Entry`] that is no secret.
///
/// A store writes it down with [`to_text`](Self::to_text), compares [`revision`](Self::revision), and, if it can list,
/// indexes [`due`](Self::due). The rest is between the processes that share the store.
///
/// A field that this version does not know is read past, and is not in what it writes next. Unlike a body's, a head's fields are
/// about one state of the login: whoever writes the next state knows only of its own fields whether they still hold, and
/// carried on, another would be a claim about a state that is gone. A later version takes a missing field for unknown,
/// and where it cannot, its heads have a higher `v`, which this version refuses.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Head {
    pub(super) v: Version,
    pub(crate) revision: Revision,
    pub(crate) login: LoginId,
    pub(crate) generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claim: Option<Lease>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hold: Option<RefreshBlock>,
    /// Whether somebody began to refresh the tokens of this generation and left nothing behind but a claim.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) interrupted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_seconds")]
    pub(crate) due: Option<UnixTime>,
    /// When the login ends whatever is done, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_seconds")]
    pub(crate) ends: Option<UnixTime>,
    /// What a refresh is compared with, to see whether it put that end off; the tokens before, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) anchor: Option<ExpiryBaseline>,
    /// The refreshes that a 401 of the API caused, so that all processes share their count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unauthorized: Option<UnauthorizedRefreshes>,
    /// How often the refresh token of this generation was rejected without a reason.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) unexplained: u32,
}

/// The refreshes that a 401 of the API caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct UnauthorizedRefreshes {
    /// How many there were, without a day between two of them.
    pub(crate) count: u32,
    /// The time of the last one.
    #[serde(with = "seconds")]
    pub(crate) at: UnixTime,
    /// The time of the last one that cut a pause short.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_seconds")]
    pub(crate) cut: Option<UnixTime>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// When tokens were received, and when their refresh token was to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ExpiryBaseline {
    #[serde(with = "seconds")]
    pub(crate) at: UnixTime,
    #[serde(with = "seconds")]
    pub(crate) end: UnixTime,
}

/// The version of heads so far.
const VERSION: u64 = 1;

/// [`VERSION`], which is all that a head in memory can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Version;

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_u64(VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            VERSION => Ok(Self),
            _ => Err(serde::de::Error::custom("this version is not known")),
        }
    }
}

impl Head {
    /// The head of a login that was just put into the store.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RandomSource`] when the operating system's generator failed.
    #[allow(dead_code, reason = "the keepers and the conformance suite begin logins")]
    pub(crate) fn begin(due: Option<UnixTime>) -> Result<Self> {
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

    /// Lifts what keeps others from refreshing; says whether there was anything. Keep-alive looks at it again, too.
    pub(crate) fn lift_hold(&mut self, now: UnixTime) -> Result<bool> {
        let counts_something = self.unauthorized.take().is_some() | (std::mem::take(&mut self.unexplained) > 0);
        let had_one = self.hold.take().is_some() | counts_something;
        if had_one {
            self.revision = Revision::new()?;
            self.due.get_or_insert(now);
        }
        Ok(had_one)
    }

    /// Whether the refresh token of this generation was rejected.
    pub(crate) fn is_rejected(&self) -> bool {
        matches!(&self.hold, Some(RefreshBlock::Rejected { generation, .. }) if *generation == self.generation)
    }

    /// What a change compares.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// When keep-alive should look at this login, if ever.
    pub fn due(&self) -> Option<UnixTime> {
        self.due
    }

    /// How often the tokens have changed since the login.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Writes it down, for a store.
    pub fn to_text(&self) -> String {
        // Numbers, hexadecimal texts and short codes: nothing in it can fail to be JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CorruptEntry`] when the text is damaged or of a later version.
    pub fn from_text(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u64,
        }

        let unreadable = |source| {
            Error::new(ErrorKind::CorruptEntry, "the head of a stored login cannot be read").with_source(source)
        };
        let Versioned { v } = serde_json::from_str(text).map_err(unreadable)?;
        if v != VERSION {
            let message = format!("a stored login is of version {v}: update webex-oauth to read it");
            return Err(Error::new(ErrorKind::CorruptEntry, message).with_remedy(Remedy::Registration));
        }
        serde_json::from_str(text).map_err(unreadable)
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            #[allow(dead_code, reason = "the keepers and the conformance suite mint them")]
            pub(crate) fn new() -> Result<Self> {
                let mut bytes = [0; 16];
                random::fill(&mut bytes)?;
                Ok(Self(bytes))
            }

            /// The 128 bits.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0
            }

            /// The 128 bits again.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
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
    /// The state of an entry, minted at random by whoever writes it: compared for equality, used once.
    Revision
}

random_id! {
    /// One login, from `put` to `forget`: a later login under the same key has another.
    LoginId
}

random_id! {
    /// One attempt to refresh.
    LeaseId
}

/// Somebody is refreshing this login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    pub(crate) id: LeaseId,
    #[serde(with = "seconds")]
    pub(crate) at: UnixTime,
    /// In seconds.
    #[serde(with = "duration")]
    pub(crate) lease: Duration,
}

/// Why nobody should refresh this login now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefreshBlock {
    /// The last attempt failed in passing.
    RetryAt(#[serde(with = "seconds")] UnixTime),
    /// The refresh token of this generation was refused.
    Rejected {
        /// The generation.
        generation: u64,
        /// The server's code, where it gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Since when this is known, by the clock of whoever found it out.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "optional_seconds")]
        at: Option<UnixTime>,
        /// Whether the access token was no good any more either: the API had refused it, or it had ended.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_dead: bool,
    },
}

impl RefreshBlock {
    /// Whether tokens of this generation are of no use to anybody.
    pub(crate) fn is_the_end_of(&self, kept: u64) -> bool {
        matches!(self, Self::Rejected { generation, is_dead: true, .. } if *generation == kept)
    }
}

/// The secret part of an [`Entry`]: bytes that only this crate reads. Cloning it copies nothing.
#[derive(Clone)]
pub struct Body(Arc<SecretSlice<u8>>);

impl Body {
    /// Takes the bytes that a store kept.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(Arc::new(SecretSlice::from(Vec::from(bytes.into()))))
    }

    /// The bytes, for a store to keep. **They hold every secret of the login.**
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        same_bytes(self.expose(), other.expose())
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

    pub(super) fn serialize<S: Serializer>(time: &UnixTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixTime, D::Error> {
        u64::deserialize(deserializer).map(UnixTime::from_secs)
    }
}

mod optional_seconds {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use crate::clock::UnixTime;

    pub(super) fn serialize<S: Serializer>(time: &Option<UnixTime>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(UnixTime::as_secs).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<UnixTime>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(UnixTime::from_secs))
    }
}

mod duration {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was_written() {
        let time = UnixTime::from_secs(1_700_000_000);
        let mut head = Head::begin(Some(time)).unwrap();
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
    fn what_a_later_version_says_of_one_state_is_not_said_of_the_next() {
        let head = Head::begin(Some(UnixTime::from_secs(1_700_000_000))).unwrap();
        let later = head.to_text().replacen('{', "{\"later\":{\"x\":[1]},", 1);
        assert_eq!(Head::from_text(&later).unwrap(), head);
        assert_eq!(Head::from_text(&later).unwrap().to_text(), head.to_text());
    }

    #[test]
    fn damaged_and_later_heads_are_refused() {
        let text = Head::begin(None).unwrap().to_text();
        for (bad, hint) in [
            (text.replace("\"v\":1", "\"v\":2"), "update webex-oauth"),
            (text[..20].to_owned(), "cannot be read"),
            (text.replace("\"revision\":\"", "\"revision\":\"+"), "cannot be read"),
            (String::new(), "cannot be read"),
        ] {
            let error = Head::from_text(&bad).unwrap_err();
            assert!(error.kind() == ErrorKind::CorruptEntry && error.to_string().contains(hint), "{error}");
        }
    }

    #[test]
    fn bodies_are_compared_by_content_and_never_shown() {
        let body = Body::new(*b"hunter2");
        assert_eq!(body, Body::new(*b"hunter2"));
        assert_ne!(body, Body::new(*b"hunter3"));
        assert_eq!(format!("{body:?}"), "Body([secret], 7 bytes)");
    }
}
