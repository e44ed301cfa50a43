//! A token server in this process, a clock with Tokio's paused time, and a store with a full disk.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;
use webex_oauth::clock::{Clock, UnixTime};
use webex_oauth::store::{
    Entry, Head, MemoryStore, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
};
use webex_oauth::transport::Transport;
use webex_oauth::{Delivery, Error, Result, Rotation, Service, Transience, WebexOAuth};

use crate::fake_server::{Form, NOW, is_refresh};
use crate::support::{builder, save_head};

// --- the clock

/// A clock that follows Tokio's time, which advances while it is paused and all tasks wait.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedClock {
    start: Instant,
    /// The number of seconds by which the wall clock was set forward.
    offset: Arc<AtomicI64>,
}

impl SimulatedClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), offset: Arc::default() }
    }

    /// Sets the wall clock forward, or back, by this number of seconds.
    pub(crate) fn step(&self, seconds: i64) {
        self.offset.fetch_add(seconds, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for SimulatedClock {
    fn now(&self) -> UnixTime {
        let now = NOW + self.elapsed();
        UnixTime::from_secs(now.as_secs().saturating_add_signed(self.offset.load(Ordering::SeqCst)))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

// --- the server

/// The outcome of a request in place of new tokens.
#[derive(Clone, Debug)]
pub(crate) enum ServerFault {
    /// The server, or a gateway in front of it, sends this response.
    Respond(u16, String),
    /// The transport fails, and the server receives nothing.
    Fail(Error),
    /// The server issues new tokens, and its response is lost.
    LoseResponse,
}

/// A refresh request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefreshRequest {
    pub(crate) name: String,
    pub(crate) refresh_token: String,
    pub(crate) at: Duration,
    /// `true` if the refresh token had been replaced by a newer one.
    pub(crate) is_spent: bool,
}

#[derive(Default)]
struct TokenFamily {
    generation: u64,
    is_revoked: bool,
}

type FaultSelector = Box<dyn Fn(&str) -> Option<ServerFault> + Send + Sync>;

/// A token server that records which refresh tokens are valid. With strict rotation, a reused token
/// revokes its whole family (RFC 9700, section 4.14.2). Clones are the same server.
#[derive(Clone)]
pub(crate) struct TokenServer(Arc<State>);

struct State {
    clock: Arc<dyn Clock>,
    rotation: Rotation,
    families: Mutex<HashMap<String, TokenFamily>>,
    expires_in: Mutex<Value>,
    latency: Mutex<Duration>,
    faults: Mutex<Option<FaultSelector>>,
    refresh_requests: Mutex<Vec<RefreshRequest>>,
    in_progress: AtomicUsize,
    max_in_progress: AtomicUsize,
}

impl TokenServer {
    /// Creates a server that issues access tokens valid for an hour, and responds immediately.
    pub(crate) fn new(clock: &(impl Clock + Clone), rotation: Rotation) -> Self {
        Self(Arc::new(State {
            clock: Arc::new(clock.clone()),
            rotation,
            families: Mutex::default(),
            expires_in: Mutex::new(json!(3600)),
            latency: Mutex::default(),
            faults: Mutex::default(),
            refresh_requests: Mutex::default(),
            in_progress: AtomicUsize::new(0),
            max_in_progress: AtomicUsize::new(0),
        }))
    }

    /// Creates a client of this server, as each process has its own.
    pub(crate) fn client(&self, clock: &(impl Clock + Clone)) -> WebexOAuth {
        let service = Service::webex().with_rotation(self.0.rotation);
        builder(service).transport(self.clone()).clock(clock.clone()).build().unwrap()
    }

    /// Sets the `expires_in` of the following responses, or omits it for the string `absent`.
    pub(crate) fn set_expires_in(&self, expires_in: impl Into<Value>) {
        *self.0.expires_in.lock().unwrap() = expires_in.into();
    }

    /// Sets the latency of the server.
    pub(crate) fn set_latency(&self, latency: Duration) {
        *self.0.latency.lock().unwrap() = latency;
    }

    /// Sets the outcome of the refreshes of the session with this name.
    pub(crate) fn set_faults(&self, faults: impl Fn(&str) -> Option<ServerFault> + Send + Sync + 'static) {
        *self.0.faults.lock().unwrap() = Some(Box::new(faults));
    }

    pub(crate) fn clear_faults(&self) {
        *self.0.faults.lock().unwrap() = None;
    }

    /// Returns all refresh requests, in order.
    pub(crate) fn refresh_requests(&self) -> Vec<RefreshRequest> {
        self.0.refresh_requests.lock().unwrap().clone()
    }

    /// Returns the number of refresh requests.
    pub(crate) fn refreshes(&self) -> usize {
        self.0.refresh_requests.lock().unwrap().len()
    }

    /// Returns the number of refresh requests of one session.
    pub(crate) fn refreshes_for(&self, name: &str) -> usize {
        self.0.refresh_requests.lock().unwrap().iter().filter(|presented| presented.name == name).count()
    }

    /// Returns the largest number of concurrent refresh requests.
    pub(crate) fn max_in_progress(&self) -> usize {
        self.0.max_in_progress.load(Ordering::SeqCst)
    }

    /// Returns the newest refresh token of a session.
    pub(crate) fn refresh_token(&self, name: &str) -> String {
        refresh_token(name, self.0.families.lock().unwrap()[name].generation)
    }

    /// Returns the newest access token of a session.
    pub(crate) fn access_token(&self, name: &str) -> String {
        access_token(name, self.0.families.lock().unwrap()[name].generation)
    }

    /// Asserts that no refresh token was reused.
    pub(crate) fn assert_none_spent(&self, context: &str) {
        let spent: Vec<_> = self.refresh_requests().into_iter().filter(|presented| presented.is_spent).collect();
        assert!(spent.is_empty(), "{context}: spent refresh tokens were presented: {spent:?}");
    }

    fn begin(&self, name: &str) -> (u16, String) {
        self.0.families.lock().unwrap().insert(name.to_owned(), TokenFamily::default());
        self.token_response(name, 0)
    }

    fn refresh(&self, name: &str, presented: &str) -> (u16, String) {
        let mut families = self.0.families.lock().unwrap();
        let rejected = (400, r#"{"error":"invalid_grant"}"#.to_owned());
        let Some(family) = families.get_mut(name) else { return rejected };
        if self.0.rotation == Rotation::Strict && presented != refresh_token(name, family.generation) {
            family.is_revoked = true;
        }
        if family.is_revoked {
            return rejected;
        }
        family.generation += 1;
        let generation = family.generation;
        drop(families);
        self.token_response(name, generation)
    }

    fn token_response(&self, name: &str, generation: u64) -> (u16, String) {
        let mut body = json!({
            "access_token": access_token(name, generation),
            "refresh_token": refresh_token(name, generation),
            "token_type": "Bearer",
        });
        let expires_in = self.0.expires_in.lock().unwrap().clone();
        if expires_in != "absent" {
            body["expires_in"] = expires_in;
        }
        (200, body.to_string())
    }

    fn record_request(&self, name: &str, refresh_token: &str) {
        let mut presented = self.0.refresh_requests.lock().unwrap();
        presented.push(RefreshRequest {
            name: name.to_owned(),
            refresh_token: refresh_token.to_owned(),
            at: self.0.clock.elapsed(),
            is_spent: refresh_token != self.refresh_token(name),
        });
    }
}

fn access_token(name: &str, generation: u64) -> String {
    format!("access-{generation}-of-{name}.")
}

/// Ends with a period, so that no refresh token is a prefix of another one.
fn refresh_token(name: &str, generation: u64) -> String {
    format!("refresh-{generation}-of-{name}.")
}

impl std::fmt::Debug for TokenServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenServer")
    }
}

/// Counts a request for as long as it is in progress.
struct InProgress<'a>(&'a State);

impl<'a> InProgress<'a> {
    fn new(state: &'a State) -> Self {
        let now = state.in_progress.fetch_add(1, Ordering::SeqCst) + 1;
        state.max_in_progress.fetch_max(now, Ordering::SeqCst);
        Self(state)
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Transport for TokenServer {
    async fn exchange(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        let form: Form = form_urlencoded::parse(request.body()).into_owned().collect();
        let (status, body) = if is_refresh(&form) {
            let _in_progress = InProgress::new(&self.0);
            let token = &form["refresh_token"];
            let name = token.split_once("-of-").map_or(token.as_str(), |(_, name)| name).trim_end_matches('.');
            self.record_request(name, token);
            let fault = self.0.faults.lock().unwrap().as_ref().and_then(|faults| faults(name));
            let response = match &fault {
                Some(ServerFault::Respond(status, body)) => (*status, body.clone()),
                Some(ServerFault::Fail(_)) => (0, String::new()),
                Some(ServerFault::LoseResponse) | None => self.refresh(name, token),
            };
            tokio::task::yield_now().await;
            let latency = *self.0.latency.lock().unwrap();
            if !latency.is_zero() {
                self.0.clock.sleep(latency).await;
            }
            match fault {
                Some(ServerFault::Fail(error)) => return Err(error),
                Some(ServerFault::LoseResponse) => return Err(Error::transport(Delivery::Unknown, "connection lost")),
                _ => response,
            }
        } else {
            self.begin(&form["code"])
        };
        let response = http::Response::builder().status(status).header("content-type", "application/json");
        Ok(response.body(Bytes::from(body)).unwrap())
    }
}

// --- the store

/// A store in memory that can become full, and records all saves. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulatedDisk(Arc<SimulatedDiskState>);

#[derive(Debug, Default)]
struct SimulatedDiskState {
    entries: MemoryStore,
    is_full: AtomicBool,
    /// The number of saves after which the disk becomes full.
    saves_left: Mutex<Option<usize>>,
    /// The number of saves of tokens that panic.
    panics: AtomicUsize,
    /// `true` if saves of tokens never return.
    hangs: AtomicBool,
    /// The heads of all saves, successful or not, and their times.
    saves: Mutex<Vec<(String, Instant)>>,
    became_full: tokio::sync::Notify,
}

impl SimulatedDisk {
    pub(crate) fn set_full(&self, is_full: bool) {
        self.0.is_full.store(is_full, Ordering::SeqCst);
    }

    /// Becomes full after this number of further saves, and waits until then.
    pub(crate) async fn become_full_after(&self, saves: usize) {
        if saves == 0 {
            return self.set_full(true);
        }
        let became_full = self.0.became_full.notified();
        *self.0.saves_left.lock().unwrap() = Some(saves);
        became_full.await;
    }

    /// Makes the next save of tokens panic.
    pub(crate) fn panic_once(&self) {
        self.0.panics.store(1, Ordering::SeqCst);
    }

    /// Sets whether saves of tokens never return.
    pub(crate) fn set_hanging(&self, hangs: bool) {
        self.0.hangs.store(hangs, Ordering::SeqCst);
    }

    /// Returns the heads and the times of all attempted saves.
    pub(crate) fn saves(&self) -> Vec<(Value, Instant)> {
        let saves = self.0.saves.lock().unwrap();
        saves.iter().map(|(head, at)| (serde_json::from_str(head).unwrap(), *at)).collect()
    }

    /// Returns the times of all attempted saves of tokens.
    pub(crate) fn token_saves(&self) -> Vec<Instant> {
        self.saves().into_iter().filter(|(head, _)| head["claim"].is_null()).map(|(_, at)| at).collect()
    }

    /// Returns the IDs of all saved leases, in order.
    pub(crate) fn lease_ids(&self) -> Vec<String> {
        self.saves().into_iter().filter_map(|(head, _)| head["claim"]["id"].as_str().map(str::to_owned)).collect()
    }
}

#[async_trait]
impl TokenStore for SimulatedDisk {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        self.0.entries.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        let head = entry.head.to_text();
        let has_tokens = !head.contains("\"claim\"");
        self.0.saves.lock().unwrap().push((head, Instant::now()));
        if has_tokens && self.0.panics.swap(0, Ordering::SeqCst) > 0 {
            panic!("the store panics, as requested by the test");
        }
        if has_tokens && self.0.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.0.is_full.load(Ordering::SeqCst) {
            return Err(Error::store("no space left on device", Transience::Transient));
        }
        let saved = self.0.entries.save(key, entry, expect).await;
        if let Some(left) = self.0.saves_left.lock().unwrap().as_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.set_full(true);
                self.0.became_full.notify_waiters();
            }
        }
        self.0.saves_left.lock().unwrap().take_if(|left| *left == 0);
        if !has_tokens {
            // The test may shut down the runtime here, before the request is sent.
            tokio::task::yield_now().await;
        }
        saved
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        save_head(self, &self.0.entries, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        self.0.entries.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

/// Asserts that these tokens are stored.
pub(crate) async fn assert_stored(store: &impl TokenStore, key: &TokenKey, refresh_token: &str, context: &str) {
    let entry = store.load(key).await.unwrap().unwrap();
    let body = String::from_utf8_lossy(entry.body.expose()).into_owned();
    assert!(body.contains(refresh_token), "{context}: {refresh_token} is not stored, but {body}");
}
