//! The content of a stored session, and the time limit of store operations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind, Result, Transience};
use crate::json::value::UntrustedObject;
use crate::registration::ClientIdentity;
use crate::secret::ZeroizingBuffer;
use crate::store::{Body, Entry, Head, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome};
use crate::token::token_set::TokenSet;

/// The content of a stored session.
#[derive(Clone)]
pub(crate) struct SessionData {
    pub(crate) tokens: TokenSet,
    /// The application's data as JSON. A refresh does not change it.
    pub(crate) data: Option<Box<RawValue>>,
    /// Unknown fields, written by a later version of this crate.
    pub(crate) unknown: Map<String, Value>,
}

impl fmt::Debug for SessionData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The other fields may contain secrets of the application or of a later version.
        f.debug_struct("SessionData").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct SerializedSession<'a> {
    v: u64,
    tokens: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(flatten)]
    unknown: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct DeserializedSession<'a> {
    v: u64,
    #[serde(borrow)]
    tokens: &'a RawValue,
    #[serde(default)]
    data: Option<Box<RawValue>>,
    #[serde(flatten)]
    unknown: UntrustedObject,
}

const VERSION: u64 = 1;

impl SessionData {
    /// Creates the content of a new session.
    pub(crate) fn new(tokens: TokenSet) -> Self {
        Self { tokens, data: None, unknown: Map::new() }
    }

    /// Serializes the record for the store.
    pub(crate) fn write(&self) -> Result<Body> {
        let failed = |source| Error::new(ErrorKind::CorruptEntry, "failed to serialize session").with_source(source);
        let stored = self.tokens.to_stored()?;
        let tokens = serde_json::from_str(stored.expose()).map_err(failed)?;
        let writing = SerializedSession { v: VERSION, tokens, data: self.data.as_deref(), unknown: &self.unknown };
        let length = stored.expose().len() + self.data.as_ref().map_or(0, |data| data.get().len()) + 64;
        let mut json = ZeroizingBuffer::with_capacity(length);
        serde_json::to_writer(&mut json, &writing).map_err(failed)?;
        Ok(Body::new(json.as_slice()))
    }

    /// Returns `new` with the data and account that were changed in `stored` during the refresh.
    pub(crate) fn merge_concurrent_changes(stored: &Self, mut new: Self) -> Self {
        new.data.clone_from(&stored.data);
        new.unknown.clone_from(&stored.unknown);
        let account = stored.tokens.account();
        if let Some(person) = &account.person {
            new.tokens.set_person(person.clone());
        }
        #[cfg(feature = "oidc")]
        if let Some(profile) = &account.profile {
            new.tokens.set_profile(profile.clone());
        }
        new
    }

    /// Reads a stored body. Only the client that wrote it can use it.
    pub(crate) fn read(body: &Body, owner: &ClientIdentity) -> Result<Self> {
        // serde_json's message is omitted, because it may quote the body.
        let damaged = |_| Error::new(ErrorKind::CorruptEntry, "invalid stored session: the entry is damaged");
        let reading: DeserializedSession<'_> = serde_json::from_slice(body.expose()).map_err(damaged)?;
        if reading.v != VERSION {
            let message = format!("unsupported stored session: its version is {}; update webex-oauth", reading.v);
            return Err(Error::new(ErrorKind::CorruptEntry, message));
        }
        let tokens = TokenSet::from_stored(reading.tokens.get())?;
        tokens.require_same_client(owner)?;
        Ok(Self { tokens, data: reading.data, unknown: reading.unknown.0 })
    }
}

/// The time limit of one store operation. The outcome of a write that exceeds it is unknown.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

/// The application's store with a time limit on each operation.
pub(crate) struct TimedStore(Arc<dyn TokenStore>);

impl TimedStore {
    pub(crate) fn new(store: Arc<dyn TokenStore>) -> Self {
        Self(store)
    }

    pub(crate) async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        with_timeout(self.0.load(key)).await
    }

    pub(crate) async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        with_timeout(self.0.save(key, entry, expect)).await
    }

    pub(crate) async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        with_timeout(self.0.save_head(key, head, expected)).await
    }

    pub(crate) fn as_index(&self) -> Option<&dyn TokenIndex> {
        self.0.as_index()
    }

    pub(crate) async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        with_timeout(self.0.delete(key, expect)).await
    }
}

impl fmt::Debug for TimedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Awaits a store operation with a time limit, by the runtime's own clock. Outside a Tokio runtime,
/// there is no limit.
pub(crate) async fn with_timeout<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    if Handle::try_current().is_err() {
        return call.await;
    }
    let too_late = |_| Err(Error::store("timed out after 30 seconds", Transience::Transient));
    tokio::time::timeout(STORE_TIMEOUT, call).await.unwrap_or_else(too_late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::value;

    const TOKENS: &str = r#"{"v":1,"service":"webex","client_id":"C1","access_token":"a","received_at":1700000000}"#;

    /// An object that serde_json's own `RawValue` support would parse as embedded JSON.
    const RAW_VALUE_OBJECT: &str = r#"{"$serde_json::private::RawValue":"boom"}"#;

    fn owner() -> ClientIdentity {
        ClientIdentity { service: "webex".into(), client_id: "C1".into() }
    }

    fn body(text: &str) -> Body {
        Body::new(text.as_bytes())
    }

    fn json(body: &Body) -> Value {
        value::parse_value(body.expose()).unwrap()
    }

    #[test]
    fn unknown_members_of_later_version_are_preserved() {
        let later = format!(
            r#"{{"v":1,"notes":{{"hunter2":[1],"o":{RAW_VALUE_OBJECT}}},"tokens":{TOKENS},"data":{{ "b":1,"a":2}},"seen":-7}}"#
        );
        let record = SessionData::read(&body(&later), &owner()).unwrap();
        assert!(!format!("{record:?}").contains("hunter2"), "{record:?}");

        let written = record.write().unwrap();

        let (written_json, later_json) = (json(&written), json(&body(&later)));
        for name in ["v", "notes", "data", "seen"] {
            assert_eq!(written_json[name], later_json[name], "{name}");
        }
        let text = std::str::from_utf8(written.expose()).unwrap();
        assert!(text.contains(r#""data":{ "b":1,"a":2}"#), "the application's data is unchanged: {text}");
        let again = SessionData::read(&written, &owner()).unwrap();
        assert_eq!(again.tokens.to_stored().unwrap(), record.tokens.to_stored().unwrap());
    }

    #[test]
    fn unreadable_record_returns_specific_error_without_content() {
        let whole = format!(r#"{{"v":1,"tokens":{TOKENS}}}"#);
        assert!(SessionData::read(&body(&whole), &owner()).is_ok());
        for (text, kind, hint) in [
            ("hunter2".to_owned(), ErrorKind::CorruptEntry, "damaged"),
            (whole[..whole.len() - 1].to_owned(), ErrorKind::CorruptEntry, "damaged"),
            (whole.replacen("\"v\":1", "\"hunter2\":1", 1), ErrorKind::CorruptEntry, "damaged"),
            (format!(r#"{{"v":1,"tokens":{TOKENS},"tokens":{TOKENS}}}"#), ErrorKind::CorruptEntry, "damaged"),
            (whole.replacen("\"v\":1", "\"v\":2", 1), ErrorKind::CorruptEntry, "update webex-oauth"),
            (whole.replace("C1", "C2"), ErrorKind::ClientMismatch, "C2"),
        ] {
            let error = SessionData::read(&body(&text), &owner()).unwrap_err();
            assert!(error.kind() == kind && error.is_misconfigured(), "{error:?}");
            assert!(error.to_string().contains(hint) && !format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
