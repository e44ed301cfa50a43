//! A refresher with a token server and a store in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::client::WebexOAuth;
use crate::clock::{Clock as _, ManualClock, UnixTime};
use crate::error::{Error, ErrorClass, ErrorKind, Result, Transience};
use crate::scope::Scopes;
use crate::secret::AccessToken;
use crate::service::Service;
use crate::sessions::refresh::cache::{CacheRef, Refresher};
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::StoredLogin;
use crate::sessions::status::SessionEvent;
use crate::store::entry::LoginId;
use crate::store::{Entry, Head, MemoryStore, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome};
use crate::token::response::TokenResponse;
use crate::token::token_set::{Provenance, TokenSet};
use crate::transport::Transport;

pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// A token server that responds immediately, with new tokens or with the next queued response. A
/// response with status 429 contains a `Retry-After` of 30 seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server(Arc<Responses>);

#[derive(Debug, Default)]
struct Responses {
    queued: Mutex<VecDeque<(u16, &'static str)>>,
    requests: AtomicUsize,
    latency: Mutex<Option<(ManualClock, Duration)>>,
}

impl Server {
    pub(crate) fn respond(&self, status: u16, body: &'static str) {
        self.0.queued.lock().unwrap().push_back((status, body));
    }

    /// Sets the latency of each response.
    pub(crate) fn set_latency(&self, clock: &ManualClock, latency: Duration) {
        *self.0.latency.lock().unwrap() = Some((clock.clone(), latency));
    }

    pub(crate) fn requests(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Transport for Server {
    async fn exchange(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        let number = self.0.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let set = self.0.queued.lock().unwrap().pop_front();
        let latency = self.0.latency.lock().unwrap().clone();
        if let Some((clock, latency)) = latency {
            clock.sleep(latency).await;
        }
        let (status, body) = set.map_or_else(
            || (200, format!(r#"{{"access_token":"a{number}","refresh_token":"r{number}","expires_in":3600}}"#)),
            |(status, body)| (status, body.to_owned()),
        );
        let mut response = http::Response::builder().status(status).header("content-type", "application/json");
        if status == 429 {
            response = response.header("retry-after", "30");
        }
        Ok(response.body(Bytes::from(body)).unwrap())
    }
}

/// A store in memory that counts its loads and can be made unavailable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store(Arc<State>);

#[derive(Debug, Default)]
struct State {
    entries: MemoryStore,
    loads: AtomicUsize,
    is_down: AtomicBool,
    is_panicking: AtomicBool,
}

impl Store {
    pub(crate) fn loads(&self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.0.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Makes each following save panic.
    pub(crate) fn set_panicking(&self) {
        self.0.is_panicking.store(true, Ordering::SeqCst);
    }

    fn check_available(&self) -> Result<()> {
        if self.0.is_down.load(Ordering::SeqCst) { Err(Error::store("down", Transience::Transient)) } else { Ok(()) }
    }
}

#[async_trait]
impl TokenStore for Store {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.check_available()?;
        self.0.entries.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        self.check_available()?;
        assert!(!self.0.is_panicking.load(Ordering::SeqCst), "the store panics, as requested by the test");
        self.0.entries.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        self.check_available()?;
        assert!(!self.0.is_panicking.load(Ordering::SeqCst), "the store panics, as requested by the test");
        self.0.entries.save_head(key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        self.check_available()?;
        self.0.entries.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

/// Jane's session, which is stored and not cached yet. Its access token `a0` expires after an hour.
pub(crate) struct Fixture {
    pub(crate) clock: ManualClock,
    pub(crate) server: Server,
    pub(crate) store: Store,
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) entry: CacheRef,
    pub(crate) session: StoredLogin<SessionData>,
    events: Arc<Mutex<Vec<SessionEvent>>>,
}

pub(crate) fn key(name: &str) -> TokenKey {
    TokenKey::new(name).unwrap()
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let (clock, server, store) = (ManualClock::new(NOW), Server::default(), Store::default());
        let webex = WebexOAuth::builder()
            .service(Service::webex())
            .client_id("C1")
            .client_secret("secret")
            .redirect_uri("http://localhost:5000/callback")
            .scopes("spark:all")
            .transport(server.clone())
            .clock(clock.clone())
            .build()
            .unwrap();
        let events: Arc<Mutex<Vec<SessionEvent>>> = Arc::default();
        let received = Arc::clone(&events);
        let listener = move |event: &SessionEvent| received.lock().unwrap().push(event.clone());
        let refresher = Arc::new(Refresher::new(webex, Arc::new(store.clone()), Some(Box::new(listener))).unwrap());
        let entry = CacheRef::new(&refresher, &key("jane"));
        let mut head = Head::new(None).unwrap();
        head.login = LoginId::from_bytes([1; 16]);
        let session = StoredLogin { head, tokens: SessionData::new(tokens(&refresher, "a0", NOW)) };
        let fixture = Self { clock, server, store, refresher, entry, session, events };
        fixture.replace_externally(&fixture.session).await;
        fixture
    }

    /// Replaces the stored session, as another process would.
    pub(crate) async fn replace_externally(&self, session: &StoredLogin<SessionData>) {
        let entry = Entry { head: session.head.clone(), body: session.tokens.write().unwrap() };
        self.remove_externally().await;
        assert_eq!(
            self.store.0.entries.save(&self.entry.key, &entry, Precondition::Absent).await.unwrap(),
            WriteOutcome::Committed
        );
    }

    /// Removes the stored session, as another process would.
    pub(crate) async fn remove_externally(&self) {
        if let Some(entry) = self.load_stored().await {
            let expect = Precondition::Revision(entry.head.revision());
            assert_eq!(self.store.0.entries.delete(&self.entry.key, expect).await.unwrap(), WriteOutcome::Committed);
        }
    }

    pub(crate) async fn load_stored(&self) -> Option<Entry> {
        self.store.0.entries.load(&self.entry.key).await.unwrap()
    }

    /// Returns the session after a refresh, with another access token.
    pub(crate) fn next_session(&self, token: &str) -> StoredLogin<SessionData> {
        let mut session = self.session.clone();
        session.head.generation += 1;
        session.head.revision = Revision::new().unwrap();
        session.tokens = SessionData::new(tokens(&self.refresher, token, self.clock.now()));
        session
    }

    pub(crate) async fn token(&self) -> Result<String> {
        let token = self.entry.access_token().await?;
        Ok(token.expose().to_owned())
    }

    /// Starts a caller in a separate task and runs all ready tasks.
    pub(crate) async fn spawn_caller(&self) -> tokio::task::JoinHandle<Result<AccessToken>> {
        let entry = self.entry.clone();
        let caller = tokio::spawn(async move { entry.access_token().await });
        run_ready_tasks().await;
        caller
    }

    /// Returns the number of `RefreshFailed` events.
    pub(crate) fn refresh_failed_events(&self) -> usize {
        let events = self.events.lock().unwrap();
        events.iter().filter(|event| matches!(event, SessionEvent::RefreshFailed { .. })).count()
    }

    /// Advances the clock, so that the cached token becomes older.
    pub(crate) fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Advances the clock, and marks the cached token as just compared with the store.
    pub(crate) fn advance_and_revalidate(&self, time: Duration) {
        self.clock.advance(time);
        self.entry.touch(self.entry.epoch(), self.clock.elapsed());
    }

    /// Pauses the client because of another session.
    pub(crate) fn pause_client(&self) {
        let error = Error::new(ErrorKind::Refresh, "wrong client secret").with_class(ErrorClass::Misconfigured);
        let elapsed = self.clock.elapsed();
        self.refresher.client.begin_pause(&key("joe"), &error, elapsed, elapsed);
    }
}

pub(crate) fn tokens(refresher: &Refresher, token: &str, now: UnixTime) -> TokenSet {
    let (owner, service) = (Arc::clone(&refresher.webex.registration().client), Service::webex());
    let receipt = Provenance { client: owner, service: &service, requested_scopes: Scopes::new(), exchange: None, now };
    let json = format!(r#"{{"access_token":"{token}","refresh_token":"r0","expires_in":3600}}"#);
    TokenSet::from_response(TokenResponse::read(json.as_bytes()).ok().unwrap(), receipt)
}

/// Runs all ready tasks.
pub(crate) async fn run_ready_tasks() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
