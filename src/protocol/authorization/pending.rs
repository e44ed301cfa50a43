//! Pending authorizations, and their stored form.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::clock::{Clock, MAX_CLOCK_SKEW, UnixTime};
use crate::error::{Error, ErrorKind, Result};
use crate::json::is_deeper_than;
use crate::registration::ClientIdentity;
use crate::scope::Scopes;
use crate::secret::{StoredString, constant_time_eq};
use crate::service::pkce::{CodeVerifier, Pkce};
use crate::stored::{self, FormReader, FormWriter};

const STORED_NAME: &str = "pending authorization";

/// The maximum length of the stored form, in bytes. Encrypted and in base64, it fits into a cookie
/// of 4096 bytes.
const MAX_STORED_LEN: usize = 2867;

/// The maximum length of a payload, in bytes of JSON.
const MAX_PAYLOAD_LEN: usize = 1024;

/// The maximum nesting depth of a payload. A deeper payload could not be read back.
const MAX_PAYLOAD_DEPTH: usize = 30;

/// A login in progress, waiting for its callback.
///
/// **Treat it as a secret** and bind it to the browser that began the login: store it in the
/// server-side session, in an encrypted cookie, or in memory. It contains the `state` and the PKCE
/// code verifier. It is therefore not `Clone`, hides its contents in `Debug`, and does not
/// implement `Serialize`. To store it, use [`to_stored`](Self::to_stored).
///
/// Remove abandoned logins: compare [`begun_at`](Self::begun_at) with
/// [`WebexOAuth::pending_lifetime`](crate::WebexOAuth::pending_lifetime). As long as the value
/// stays in memory, its age is measured with the monotonic clock. After it was stored, its age is
/// measured with the wall clock. A stored login that appears to have begun more than 10 minutes in
/// the future has also expired.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::testing::MockWebex;
/// use webex_oauth::{Callback, PendingAuthorization};
///
/// let mock = MockWebex::start().await;
/// let webex = mock.client();
/// let (url, pending) = webex.authorize().begin()?;
/// let stored = pending.to_stored()?; // into an encrypted cookie, for example
///
/// // In the handler of the redirect URI:
/// let callback = Callback::parse(mock.approve(&url))?;
/// let pending = PendingAuthorization::from_stored(stored.expose())?;
/// assert_eq!(callback.pending_id(), Some(pending.id()));
/// let login = webex.login(pending, callback).await?;
/// assert!(login.tokens().refresh_token().is_some());
/// # Ok(())
/// # }
/// ```
pub struct PendingAuthorization {
    pub(crate) client: Arc<ClientIdentity>,
    pub(crate) state: SecretString,
    pub(crate) nonce: Option<SecretString>,
    /// The maximum age of the user's sign-in, verified against the ID token.
    pub(crate) max_age: Option<Duration>,
    pub(crate) verifier: CodeVerifier,
    pub(crate) redirect_uri: String,
    pub(crate) requested_scopes: Scopes,
    pub(crate) begun_at: UnixTime,
    /// `None` after loading from storage, because another process may have begun the login.
    pub(crate) stopwatch: Option<Stopwatch>,
    pub(crate) payload: Payload,
}

/// The time since a login began in this process. It uses the monotonic clock, so changes of the
/// wall clock have no effect.
#[derive(Clone, Debug)]
pub(crate) struct Stopwatch {
    clock: Arc<dyn Clock>,
    started: Duration,
}

impl Stopwatch {
    pub(crate) fn start(clock: Arc<dyn Clock>) -> Self {
        Self { started: clock.elapsed(), clock }
    }

    pub(crate) fn age(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.started)
    }
}

/// The ID of a pending authorization: a hash of its `state`.
///
/// The ID is not secret. It consists of 22 letters, digits, `-`, or `_`, and can be part of a
/// cookie name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PendingId(String);

impl PendingId {
    pub(crate) fn from_state(state: &str) -> Self {
        let hash = Sha256::new().chain_update(b"webex-oauth pending authorization\0").chain_update(state).finalize();
        Self(URL_SAFE_NO_PAD.encode(&hash[..16]))
    }

    /// Returns the ID as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PendingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PendingAuthorization {
    /// Returns the ID, which equals [`Callback::pending_id`](crate::Callback::pending_id) of the
    /// matching callback.
    ///
    /// Use it as the key for pending authorizations, so that one browser can have several logins in
    /// progress.
    pub fn id(&self) -> PendingId {
        PendingId::from_state(self.state.expose_secret())
    }

    /// Returns the time at which the login began.
    pub fn begun_at(&self) -> UnixTime {
        self.begun_at
    }

    /// Returns the redirect URI of this login.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Returns the payload that was set with
    /// [`AuthorizationRequest::payload`](crate::AuthorizationRequest::payload), or `None` if none
    /// was set.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the payload cannot be deserialized into `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.payload.read()
    }

    /// Converts the pending authorization into versioned JSON.
    ///
    /// **The result contains secrets.** Keep it on the server or encrypt it. It is at most 2,867
    /// bytes long, so that it fits into a cookie when encrypted.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the result would be too long. Request fewer scopes, or use a
    ///   shorter payload or redirect URI.
    pub fn to_stored(&self) -> Result<StoredString> {
        let text = stored::serialize_form(STORED_NAME, &StoredPendingAuthorization(self))?;
        let length = text.expose().len();
        if length > MAX_STORED_LEN {
            let message = format!(
                "pending authorization is too long: {length} bytes exceed the limit of {MAX_STORED_LEN} bytes for an \
                 encrypted cookie; request fewer scopes, or use a shorter payload or redirect URI"
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(text)
    }

    /// Reads a pending authorization written by [`to_stored`](Self::to_stored).
    ///
    /// **Delete the stored form before exchanging the code.** Otherwise the same login could be
    /// read twice and its code used twice.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CorruptEntry`]: `text` is damaged or was written by a later version. The
    ///   error does not quote `text`.
    pub fn from_stored(text: &str) -> Result<Self> {
        read_pending_authorization(text)
    }

    /// Returns `true` if `state` equals the state of this login. Compares in constant time.
    pub(crate) fn has_state(&self, state: &str) -> bool {
        constant_time_eq(self.state.expose_secret(), state)
    }

    /// Checks that the login has not expired.
    pub(crate) fn check_age(&self, lifetime: Duration, now: UnixTime) -> Result<()> {
        let seconds = lifetime.as_secs();
        let message = match &self.stopwatch {
            Some(stopwatch) if stopwatch.age() <= lifetime => return Ok(()),
            Some(_) => format!("login expired: it began more than {seconds} seconds ago; begin a new login"),
            None => match age_of_stored(self.begun_at, now) {
                Some(age) if age <= lifetime => return Ok(()),
                Some(_) => format!(
                    "login expired: it began more than {seconds} seconds ago by this host's clock; begin a new login, \
                     and check the clock if it began just now"
                ),
                None => format!(
                    "login expired: it began {} seconds in the future by this host's clock; begin a new login, \
                     and check the clocks of all hosts",
                    self.begun_at.since(now).as_secs()
                ),
            },
        };
        Err(Error::new(ErrorKind::PendingExpired, message))
    }
}

/// Returns the age of a stored value by the wall clock.
///
/// A time up to [`MAX_CLOCK_SKEW`] in the future counts as now. Returns `None` for later times.
pub(crate) fn age_of_stored(written_at: UnixTime, now: UnixTime) -> Option<Duration> {
    (written_at.since(now) <= MAX_CLOCK_SKEW).then(|| now.since(written_at))
}

impl crate::stored::sealed::Sealed for PendingAuthorization {}

impl crate::stored::StringForm for PendingAuthorization {
    fn to_text(&self) -> Result<StoredString> {
        self.to_stored()
    }

    fn from_text(text: &str) -> Result<Self> {
        Self::from_stored(text)
    }
}

impl fmt::Debug for PendingAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingAuthorization")
            .field("id", &self.id())
            .field("service_id", &self.client.service)
            .field("client_id", &self.client.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .field("scopes", &self.requested_scopes)
            .field("begun_at", &self.begun_at)
            .finish_non_exhaustive()
    }
}

/// The payload that an application attaches to a login.
#[derive(Clone, Default)]
pub(crate) struct Payload(Option<Value>);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Payload([secret])" } else { "Payload(none)" })
    }
}

impl Payload {
    pub(crate) fn new(value: &impl Serialize) -> Result<Self> {
        let reject = |why| Error::new(ErrorKind::InvalidInput, format!("invalid payload: {why}"));
        let no_json = |source| reject("it cannot be serialized as JSON").with_source(source);
        let too_long =
            || reject("it is longer than 1,024 bytes; store the value on the server and use its key as the payload");
        // Checked before `to_value`, which parses raw JSON and any strings nested in it.
        if serde_json::to_string(value).map_err(no_json)?.len() > MAX_PAYLOAD_LEN {
            return Err(too_long());
        }
        let value = serde_json::to_value(value).map_err(no_json)?;
        if is_deeper_than(&value, MAX_PAYLOAD_DEPTH) {
            return Err(reject("it is nested more than 30 levels deep"));
        }
        if value.to_string().len() > MAX_PAYLOAD_LEN {
            return Err(too_long());
        }
        Ok(Self(Some(value)))
    }

    /// Creates a payload from a stored [`value`](Self::value).
    pub(crate) fn from_stored(value: Option<Value>) -> Self {
        Self(value)
    }

    pub(crate) fn value(&self) -> Option<&Value> {
        self.0.as_ref()
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        // The message of serde_json may quote the payload, which may be secret.
        self.0.as_ref().map(T::deserialize).transpose().map_err(|_| {
            let message = "payload has a different type: read it as the type that was passed to `payload(..)`";
            Error::new(ErrorKind::InvalidInput, message)
        })
    }
}

struct StoredPendingAuthorization<'a>(&'a PendingAuthorization);

impl Serialize for StoredPendingAuthorization<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(pending) = self;
        let mut form = FormWriter::new(serializer)?;
        form.put("service", &pending.client.service)?;
        form.put("client_id", &pending.client.client_id)?;
        form.put("state", pending.state.expose_secret())?;
        form.put_some("nonce", pending.nonce.as_ref().map(|nonce| nonce.expose_secret()))?;
        form.put_some("max_age", pending.max_age.map(|max_age| max_age.as_secs()))?;
        form.put("code_verifier", pending.verifier.expose())?;
        form.put("code_challenge_method", pending.verifier.method().name())?;
        form.put("redirect_uri", &pending.redirect_uri)?;
        form.put_some("scope", Some(pending.requested_scopes.to_string()).filter(|scope| !scope.is_empty()))?;
        form.put("begun_at", pending.begun_at.as_secs())?;
        form.put_some("payload", pending.payload.value())?;
        form.end()
    }
}

fn read_pending_authorization(text: &str) -> Result<PendingAuthorization> {
    let mut form = FormReader::new(STORED_NAME, text)?;
    let client = ClientIdentity { service: form.require("service")?, client_id: form.require("client_id")? };
    let method = Pkce::from_name(&form.require::<String>("code_challenge_method")?)
        .ok_or_else(|| form.error("unknown `code_challenge_method`"))?;
    let verifier = SecretString::from(form.require::<String>("code_verifier")?);
    let verifier = CodeVerifier::from_stored(verifier.expose_secret(), method)
        .ok_or_else(|| form.error("invalid length or character in `code_verifier`"))?;
    let pending = PendingAuthorization {
        client: Arc::new(client),
        state: form.require::<String>("state")?.into(),
        nonce: form.take::<String>("nonce")?.map(SecretString::from),
        max_age: form.take("max_age")?.map(Duration::from_secs),
        verifier,
        redirect_uri: form.require("redirect_uri")?,
        requested_scopes: form.take::<String>("scope")?.map(|text| Scopes::from_server(&text)).unwrap_or_default(),
        begun_at: UnixTime::from_secs(form.require("begun_at")?),
        stopwatch: None,
        payload: Payload::from_stored(form.take_any("payload")?),
    };
    form.finish()?;
    Ok(pending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn pending(payload: Payload, scopes: &str) -> PendingAuthorization {
        PendingAuthorization {
            client: Arc::new(ClientIdentity { service: "webex".into(), client_id: format!("C{}", "0".repeat(64)) }),
            state: format!("{}.{}", "s".repeat(43), "x".repeat(64)).into(),
            nonce: Some("n".repeat(43).into()),
            max_age: Some(Duration::from_secs(86_400)),
            verifier: CodeVerifier::from_random(random::url_safe_string().unwrap(), Pkce::S256),
            redirect_uri: format!("https://example.com/{}", "r".repeat(230)),
            requested_scopes: scopes.parse().unwrap(),
            begun_at: UnixTime::from_secs(1_700_000_000),
            stopwatch: None,
            payload,
        }
    }

    #[test]
    fn stored_login_with_longest_payload_fits_in_cookie() {
        let payload = Payload::new(&"p".repeat(MAX_PAYLOAD_LEN - 2)).unwrap();
        let scopes: String = (0..28).map(|n| format!("spark-admin:some_scope_{n:02} ")).collect();
        let stored = pending(payload, &scopes).to_stored().unwrap();
        assert!(stored.expose().len() <= MAX_STORED_LEN);
    }

    #[test]
    fn oversized_stored_login_is_rejected_with_hint() {
        let deep = (0..40).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        assert!(Payload::new(&deep).is_err_and(|error| error.to_string().contains("30 levels")));
        assert!(Payload::new(&"p".repeat(MAX_PAYLOAD_LEN)).is_err_and(|error| error.kind() == ErrorKind::InvalidInput));
        let scopes: String = (0..100).map(|n| format!("spark-admin:some_scope_{n:03} ")).collect();
        let error = pending(Payload::default(), &scopes).to_stored().unwrap_err();
        assert!(error.to_string().contains("fewer scopes"), "{error}");
    }

    #[test]
    fn payload_private_name_round_trips_and_raw_json_is_bounded() {
        let odd = std::collections::HashMap::from([("$serde_json::private::RawValue".to_owned(), "boom".to_owned())]);
        let before = pending(Payload::new(&odd).unwrap(), "spark:all");
        let after = PendingAuthorization::from_stored(before.to_stored().unwrap().expose()).unwrap();
        assert_eq!(after.payload().unwrap(), Some(odd));
        let mut bomb = "1".to_owned();
        while bomb.len() < 100_000 {
            let quoted = serde_json::to_string(&bomb).unwrap();
            let (open, close) = ("[".repeat(120), "]".repeat(120));
            bomb = format!("{open}{{\"$serde_json::private::RawValue\":{quoted}}}{close}");
        }
        let bomb = serde_json::value::RawValue::from_string(bomb).unwrap();
        assert!(Payload::new(&bomb).is_err_and(|error| error.to_string().contains("1,024 bytes")));
    }

    #[test]
    fn stored_login_round_trips() {
        let payload = Payload::new(&serde_json::json!({"tenant": "cust10001"})).unwrap();
        let before = pending(payload, "spark:all openid");
        let after = PendingAuthorization::from_stored(before.to_stored().unwrap().expose()).unwrap();
        assert_eq!(
            (after.id(), after.begun_at(), after.redirect_uri()),
            (before.id(), before.begun_at(), before.redirect_uri())
        );
        assert_eq!(
            (after.verifier.expose(), &after.requested_scopes),
            (before.verifier.expose(), &before.requested_scopes)
        );
        assert_eq!(after.max_age, before.max_age);
        assert_eq!(after.nonce.unwrap().expose_secret(), before.nonce.unwrap().expose_secret());
        let payload: Option<Value> = after.payload.read().unwrap();
        assert_eq!(payload.unwrap()["tenant"], "cust10001");
    }

    #[test]
    fn stored_login_longer_than_limit_is_rejected() {
        let mut pending = pending(Payload::default(), "spark:all");
        let length = pending.to_stored().unwrap().expose().len();
        pending.redirect_uri.push_str(&"r".repeat(MAX_STORED_LEN - length));
        assert_eq!(pending.to_stored().unwrap().expose().len(), MAX_STORED_LEN);
        pending.redirect_uri.push('r');
        assert!(pending.to_stored().is_err_and(|error| error.kind() == ErrorKind::InvalidInput));
    }

    #[test]
    fn payload_depth_and_serialized_length_are_limited() {
        let nested = |depth: usize| (0..depth).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        assert!(Payload::new(&nested(MAX_PAYLOAD_DEPTH)).is_ok());
        assert!(
            Payload::new(&nested(MAX_PAYLOAD_DEPTH + 1)).is_err_and(|error| error.to_string().contains("30 levels"))
        );
        let raw = |text: String| serde_json::value::RawValue::from_string(text).unwrap();
        // Whitespace counts, and so do the digits that an exponent expands to.
        for text in [format!("[1{}]", " ".repeat(MAX_PAYLOAD_LEN)), format!("[1E9{}]", ",1E9".repeat(200))] {
            let error = Payload::new(&raw(text.clone())).unwrap_err();
            assert!(error.to_string().contains("1,024 bytes"), "{text}: {error}");
        }
    }

    #[test]
    fn in_process_login_expires_only_after_lifetime() {
        let clock = crate::clock::ManualClock::new(UnixTime::from_secs(1_700_000_000));
        let mut pending = pending(Payload::default(), "");
        pending.stopwatch = Some(Stopwatch::start(Arc::new(clock.clone())));
        let (lifetime, now) = (Duration::from_secs(600), UnixTime::from_secs(0));
        clock.advance(lifetime);
        assert!(pending.check_age(lifetime, now).is_ok());
        clock.advance(Duration::from_millis(1));
        assert!(pending.check_age(lifetime, now).is_err_and(|error| error.kind() == ErrorKind::PendingExpired));
    }

    #[test]
    fn stored_login_without_scopes_round_trips() {
        let stored = pending(Payload::default(), "").to_stored().unwrap();
        assert!(PendingAuthorization::from_stored(stored.expose()).unwrap().requested_scopes.is_empty());
    }

    #[test]
    fn damaged_or_newer_stored_login_is_rejected() {
        let stored = pending(Payload::default(), "spark:all").to_stored().unwrap();
        let text = stored.expose();
        for (bad, hint) in [
            (text[..40].to_owned(), "invalid JSON"),
            (text.replace("\"v\":1", "\"v\":7"), "update webex-oauth"),
            (text.replace("S256", "S512"), "code_challenge_method"),
            (text.replace("\"code_verifier\":\"", "\"code_verifier\":\" "), "code_verifier"),
            (text.replace("\"state\"", "\"etats\""), "`state` is missing"),
        ] {
            let error = PendingAuthorization::from_stored(&bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CorruptEntry);
            assert!(error.to_string().contains(hint), "{error}");
        }
    }

    #[test]
    fn pending_login_debug_output_has_no_secret() {
        let pending = pending(Payload::new(&"hunter2").unwrap(), "spark:all");
        let displayed = format!("{pending:?}");
        for secret in ["sssss", "nnnnn", "hunter2", pending.verifier.expose()] {
            assert!(!displayed.contains(secret), "{displayed}");
        }
    }

    #[test]
    fn payload_of_another_type_is_rejected_and_not_quoted() {
        let error = Payload::new(&"hunter2").unwrap().read::<u32>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
