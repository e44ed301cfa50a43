//! Fixtures of keep-alive tests: a Webex in this process, faulty stores, and an event listener.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Notify;
use webex_oauth::clock::{Clock as _, ManualClock, UnixTime};
use webex_oauth::store::{
    Cursor, Entry, Head, Page, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
};
use webex_oauth::transport::Transport;
use webex_oauth::{
    Callback, Error, KeepAlive, Service, SessionEvent, SweepReport, TokenManager, TokenSet, Transience, WebexOAuth,
};

use crate::support::{builder, parameter, save_head};

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The lifetime of an access token at Webex.
pub(crate) const TWO_WEEKS: Duration = Duration::from_secs(14 * 24 * 60 * 60);

pub(crate) fn key(text: &str) -> TokenKey {
    TokenKey::new(text).unwrap()
}

// --- the server

/// The form of a request, and the status and body of its response.
pub(crate) type Form = HashMap<String, String>;
pub(crate) type FakeResponse = (u16, String);

/// A Webex in this process that computes its responses from the form. Clones share the state.
#[derive(Clone)]
pub(crate) struct FakeServer {
    respond: Arc<dyn Fn(&Form) -> FakeResponse + Send + Sync>,
    /// The refresh tokens that were received.
    refresh_tokens: Arc<Mutex<Vec<String>>>,
}

impl FakeServer {
    pub(crate) fn new(response: impl Fn(&Form) -> FakeResponse + Send + Sync + 'static) -> Self {
        Self { respond: Arc::new(response), refresh_tokens: Arc::default() }
    }

    /// Each refresh extends the lifetime to ninety days, except for users named `bad..`: their
    /// organization forbids the integration. Sets the lifetime of access tokens.
    pub(crate) fn with_sliding_expiry(access: Duration) -> Self {
        let number = AtomicUsize::new(0);
        Self::new(move |form| match session_name(form) {
            bad if is_refresh(form) && bad.starts_with("bad") => {
                (403, r#"{"message":"Your organization does not allow this."}"#.to_owned())
            }
            name => {
                let token = format!("access-{}-of-{name}", number.fetch_add(1, Ordering::SeqCst));
                token_response((&token, access), (name, DAY * 90))
            }
        })
    }

    /// Each login ends at this age, regardless of refreshes. Sets the lifetime of access tokens.
    pub(crate) fn with_fixed_expiry(clock: &ManualClock, access: Duration, lifetime: Duration) -> Self {
        let (clock, ends, number) = (clock.clone(), Mutex::new(HashMap::new()), AtomicUsize::new(0));
        Self::new(move |form| {
            let (name, now) = (session_name(form), clock.now());
            let mut ends = ends.lock().unwrap();
            if !is_refresh(form) {
                ends.insert(name.to_owned(), now + lifetime);
            }
            let rest = ends[name].since(now);
            let token = format!("access-{}-of-{name}", number.fetch_add(1, Ordering::SeqCst));
            if rest.is_zero() { invalid_grant_response() } else { token_response((&token, access), (name, rest)) }
        })
    }

    pub(crate) fn client(&self, clock: &ManualClock) -> WebexOAuth {
        builder(Service::webex()).transport(self.clone()).clock(clock.clone()).build().unwrap()
    }

    /// Returns the users of the received refresh tokens, in order.
    pub(crate) fn refresh_tokens(&self) -> Vec<String> {
        self.refresh_tokens.lock().unwrap().clone()
    }

    pub(crate) fn refreshes(&self) -> usize {
        self.refresh_tokens.lock().unwrap().len()
    }
}

impl std::fmt::Debug for FakeServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

#[async_trait]
impl Transport for FakeServer {
    async fn exchange(&self, request: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        tokio::task::yield_now().await;
        let form: Form = form_urlencoded::parse(request.body()).into_owned().collect();
        if is_refresh(&form) {
            self.refresh_tokens.lock().unwrap().push(session_name(&form).to_owned());
        }
        let (status, body) = (self.respond)(&form);
        let response = http::Response::builder().status(status).header("content-type", "application/json");
        Ok(response.body(Bytes::from(body)).unwrap())
    }
}

pub(crate) fn is_refresh(form: &Form) -> bool {
    form["grant_type"] == "refresh_token"
}

/// Returns the user, which is the value of the code and the refresh token.
fn session_name(form: &Form) -> &str {
    &form[if is_refresh(form) { "refresh_token" } else { "code" }]
}

/// Returns two tokens with these lifetimes.
pub(crate) fn token_response(access: (&str, Duration), refresh: (&str, Duration)) -> FakeResponse {
    let body = serde_json::json!({
        "access_token": access.0,
        "expires_in": access.1.as_secs(),
        "refresh_token": refresh.0,
        "refresh_token_expires_in": refresh.1.as_secs(),
        "token_type": "Bearer",
    });
    (200, body.to_string())
}

/// The refresh token is invalid.
pub(crate) fn invalid_grant_response() -> FakeResponse {
    (400, r#"{"error":"invalid_grant"}"#.to_owned())
}

/// A login with this name as code and refresh token.
pub(crate) async fn log_in(webex: &WebexOAuth, name: &str) -> TokenSet {
    let (url, pending) = webex.authorize().begin().unwrap();
    let state = parameter(url.as_str(), "state");
    let callback = Callback::parse(format!("code={name}&state={state}")).unwrap();
    webex.login(pending, callback).await.unwrap().into_tokens()
}

// --- the stores

/// A store that lists its keys in order. Each key has one part.
#[derive(Clone, Debug, Default)]
pub(crate) struct SortedStore(Arc<Mutex<BTreeMap<TokenKey, Entry>>>);

impl SortedStore {
    fn list(&self, after: Option<&Cursor>, limit: usize, is_wanted: impl Fn(&TokenKey, &Entry) -> bool) -> Page {
        let map = self.0.lock().unwrap();
        let is_behind = |key: &TokenKey| after.is_none_or(|after| key.root() > after.as_str());
        let mut wanted = map.iter().filter(|(key, entry)| is_behind(key) && is_wanted(key, entry)).map(|(key, _)| key);
        let mut page = Page::default();
        page.keys.extend(wanted.by_ref().take(limit).cloned());
        page.next = page.keys.last().filter(|_| wanted.next().is_some()).map(|last| Cursor::new(last.root()));
        page
    }
}

#[async_trait]
impl TokenStore for SortedStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        let mut map = self.0.lock().unwrap();
        if !expect.matches(map.get(key).map(|kept| kept.head.revision())) {
            return Ok(WriteOutcome::Conflict);
        }
        map.insert(key.clone(), entry.clone());
        Ok(WriteOutcome::Committed)
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, self, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        let mut map = self.0.lock().unwrap();
        if !expect.matches(map.get(key).map(|kept| kept.head.revision())) {
            return Ok(WriteOutcome::Conflict);
        }
        map.remove(key);
        Ok(WriteOutcome::Committed)
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        Some(self)
    }
}

#[async_trait]
impl TokenIndex for SortedStore {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> webex_oauth::Result<Page> {
        Ok(self.list(after, limit, |_, entry| entry.head.due().is_some_and(|due| due <= before)))
    }

    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> webex_oauth::Result<Page> {
        Ok(self.list(after, limit, |key, _| tenant.is_none_or(|tenant| key.root() == tenant)))
    }
}

/// A store that a test can block, make unavailable, or let panic. Clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyStore<S> {
    inner: S,
    state: Arc<FaultState>,
}

#[derive(Debug, Default)]
struct FaultState {
    holds_next: AtomicBool,
    held: Notify,
    released: Notify,
    is_down: AtomicBool,
    /// Blocks the thread of the next load until the handle is dropped.
    blocks_next: Mutex<Option<mpsc::Receiver<()>>>,
    panics_next: AtomicBool,
    loads: AtomicUsize,
    listings: AtomicUsize,
}

impl<S> FaultyStore<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// The result of the next load is delayed.
    pub(crate) fn hold_next_load(&self) {
        self.state.holds_next.store(true, Ordering::SeqCst);
    }

    /// Blocks the thread of the next load, with its result, until the returned handle is dropped.
    pub(crate) fn block_next_load(&self) -> mpsc::Sender<()> {
        let (sender, receiver) = mpsc::channel();
        *self.state.blocks_next.lock().unwrap() = Some(receiver);
        sender
    }

    /// Waits until a load is blocked, for a limited time.
    pub(crate) async fn wait_until_held(&self) {
        let held = tokio::time::timeout(Duration::from_secs(20), self.state.held.notified()).await;
        assert!(held.is_ok(), "no load was started");
    }

    pub(crate) fn release_load(&self) {
        self.state.released.notify_one();
    }

    /// Makes all following loads and saves fail.
    pub(crate) fn go_offline(&self) {
        self.state.is_down.store(true, Ordering::SeqCst);
    }

    pub(crate) fn go_online(&self) {
        self.state.is_down.store(false, Ordering::SeqCst);
    }

    pub(crate) fn panic_at_next_listing(&self) {
        self.state.panics_next.store(true, Ordering::SeqCst);
    }

    pub(crate) fn loads(&self) -> usize {
        self.state.loads.load(Ordering::SeqCst)
    }

    /// Returns the number of listings of due sessions.
    pub(crate) fn listings(&self) -> usize {
        self.state.listings.load(Ordering::SeqCst)
    }

    fn check(&self) -> webex_oauth::Result<()> {
        match self.state.is_down.load(Ordering::SeqCst) {
            true => Err(Error::store("it is down", Transience::Transient)),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl<S: TokenStore> TokenStore for FaultyStore<S> {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        self.state.loads.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        let loaded = self.inner.load(key).await;
        if self.state.holds_next.swap(false, Ordering::SeqCst) {
            self.state.held.notify_one();
            self.state.released.notified().await;
        }
        let blocks = self.state.blocks_next.lock().unwrap().take();
        if let Some(blocks) = blocks {
            self.state.held.notify_one();
            let _ = blocks.recv();
        }
        loaded
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.check()?;
        self.inner.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.inner, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.inner.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        self.inner.as_index().map(|_| self as &dyn TokenIndex)
    }
}

#[async_trait]
impl<S: TokenStore> TokenIndex for FaultyStore<S> {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> webex_oauth::Result<Page> {
        self.state.listings.fetch_add(1, Ordering::SeqCst);
        assert!(!self.state.panics_next.swap(false, Ordering::SeqCst), "the store panics, as requested by the test");
        self.inner.as_index().unwrap().due(before, after, limit).await
    }

    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> webex_oauth::Result<Page> {
        self.inner.as_index().unwrap().keys(tenant, after, limit).await
    }
}

// --- the managers

pub(crate) fn manager(webex: &WebexOAuth, store: &(impl TokenIndex + Clone)) -> TokenManager {
    TokenManager::builder(webex.clone(), store.clone()).build().unwrap()
}

/// The events that a listener received, in order, such as `refreshed jane`.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventLog(Arc<Mutex<Vec<String>>>);

impl EventLog {
    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|received| *received == what).count()
    }

    /// Returns all events except refreshes.
    pub(crate) fn events_except_refreshes(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|received| !received.starts_with("refreshed")).cloned().collect()
    }
}

/// Creates a manager with an event listener.
pub(crate) fn manager_with_events(webex: &WebexOAuth, store: &(impl TokenIndex + Clone)) -> (TokenManager, EventLog) {
    let received = EventLog::default();
    let ear = received.clone();
    let manager = TokenManager::builder(webex.clone(), store.clone())
        .on_event(move |event| {
            let what = match event {
                SessionEvent::Refreshed { key } => format!("refreshed {}", key.root()),
                SessionEvent::Expiring { key, .. } => format!("expiring {}", key.root()),
                SessionEvent::LoginRequired { key, .. } => format!("required {}", key.root()),
                SessionEvent::RefreshFailed { key, .. } => format!("failed {}", key.root()),
                SessionEvent::SweepFailed { .. } => "sweep failed".to_owned(),
                other => format!("{other:?}"),
            };
            ear.0.lock().unwrap().push(what);
        })
        .build()
        .unwrap();
    (manager, received)
}

/// Creates a keep-alive that does not wait for a clock that is not advanced.
pub(crate) fn keep_alive_without_delay(manager: &TokenManager) -> KeepAlive {
    KeepAlive::new(manager).unwrap().delay_between(Duration::ZERO)
}

/// Returns the numbers of refreshed, ended, and failed sessions, and whether the sweep is complete.
pub(crate) fn sweep_counts(swept: SweepReport) -> (usize, usize, usize, bool) {
    (swept.refreshed, swept.login_required, swept.failed, swept.is_complete)
}

/// Waits until an idle manager has no cache entry. Entries are released shortly after a refresh.
pub(crate) async fn is_cache_empty(manager: &TokenManager) -> bool {
    manager.wait_idle().await.unwrap();
    for _ in 0..10_000 {
        if format!("{manager:?}").contains("keys: 0,") {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}
