//! A client with a simulated server and a simulated clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::json;
use tokio::runtime::Runtime;
use webex_oauth::clock::{Clock, UnixTime};
use webex_oauth::oidc::SigningAlgorithm;
use webex_oauth::transport::Transport;
use webex_oauth::{Callback, Error, Login, PendingAuthorization, Service, TokenSet, WebexOAuth};

use crate::signer;

pub(crate) const NOW: u64 = 1_700_000_000;
pub(crate) const ISSUER: &str = "https://idbroker.webex.com/idb";
pub(crate) const SUBJECT: &str = "0b3a7c3e-5a0a-4b4e-9d3c-1f5b1d7c0f11";
pub(crate) const CLIENT_ID: &str = "C1";

pub(crate) const STATE: &str = "PLANTED-state-6dHk2qvXn0pLr7tYw1zBc4eFg8hJ";
pub(crate) const NONCE: &str = "PLANTED-nonce-3mRs9uVx5aQe8iOp2kLz7nBd0fGh";
pub(crate) const CODE: &str = "PLANTED-code-Zm9vYmFyYmF6";
pub(crate) const ACCESS_TOKEN: &str = "PLANTED-access-token-Zm9v";
const VERIFIER: &str = "PLANTED-verifier-0123456789abcdefghijklmnopqrstuv";
const PAYLOAD: &str = "PLANTED payload";
pub(crate) const REFRESH_TOKEN: &str = "PLANTED-refresh-token-YmFy";
/// A secret that changes if it is not encoded, or encoded twice.
const CLIENT_SECRET: &str = "PLANTED p+s/w%rd:1 2&x=%20";
/// The client's credentials as Basic authentication writes them.
const CREDENTIALS: &str = "QzE6UExBTlRFRCtwJTJCcyUyRnclMjVyZCUzQTErMiUyNnglM0QlMjUyMA==";

/// All secrets of the fixture. No output may contain them.
pub(crate) const SECRETS: [&str; 9] =
    [STATE, NONCE, CODE, ACCESS_TOKEN, VERIFIER, PAYLOAD, REFRESH_TOKEN, CLIENT_SECRET, CREDENTIALS];

/// The secrets that each kind of error must not contain: those of a code exchange, of a refresh, of a callback, and of an ID
/// token. A malicious server may put the others into its response like any other string.
pub(crate) const EXCHANGE_SECRETS: [&str; 4] = [CODE, VERIFIER, CLIENT_SECRET, CREDENTIALS];
pub(crate) const REFRESH_SECRETS: [&str; 4] = [REFRESH_TOKEN, ACCESS_TOKEN, CLIENT_SECRET, CREDENTIALS];
pub(crate) const CALLBACK_SECRETS: [&str; 3] = [STATE, NONCE, VERIFIER];
pub(crate) const ID_TOKEN_SECRETS: [&str; 5] = [STATE, NONCE, VERIFIER, CODE, ACCESS_TOKEN];

/// The maximum number of sleeps. A call that sleeps more often hangs.
const MAX_SLEEPS: u64 = 100;

/// The endpoint of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Token,
    Jwks,
    UserInfo,
    Discovery,
    Person,
}

/// A client, its server, and its clock.
pub(crate) struct Fixture {
    pub(crate) webex: WebexOAuth,
    transport: MockTransport,
}

impl Fixture {
    /// Creates a fixture whose server issues tokens and publishes the keys of [`signer::key_set`].
    pub(crate) fn new() -> Self {
        Self::with_service(Service::webex())
    }

    pub(crate) fn with_service(service: Service) -> Self {
        let transport = MockTransport::default();
        let webex = WebexOAuth::builder()
            .service(service)
            .client_id(CLIENT_ID)
            .client_secret(CLIENT_SECRET)
            .redirect_uri("http://localhost:5000/callback")
            .scopes("spark:all openid email")
            .transport(transport.clone())
            .clock(SimulatedClock::default())
            .id_token_algorithms([SigningAlgorithm::Rs256, SigningAlgorithm::Es256])
            .build()
            .unwrap();
        Self { webex, transport }
    }

    /// Sets the response of an endpoint.
    pub(crate) fn set_response(&self, endpoint: Endpoint, response: Response<Bytes>) {
        let mut state = self.transport.0.lock().unwrap();
        state.responses.retain(|(other, _)| *other != endpoint);
        state.responses.push((endpoint, response));
    }

    /// Sets a token response with this ID token.
    pub(crate) fn set_id_token(&self, id_token: &str) {
        let tokens = json!({"access_token": ACCESS_TOKEN, "expires_in": 1000, "refresh_token": REFRESH_TOKEN,
            "id_token": id_token});
        self.set_response(Endpoint::Token, Response::new(tokens.to_string().into()));
    }

    /// Returns the number of requests to an endpoint.
    pub(crate) fn request_count(&self, endpoint: Endpoint) -> usize {
        self.transport.0.lock().unwrap().requests.iter().filter(|other| **other == endpoint).count()
    }

    /// Returns a pending authorization. With a nonce, it requires an ID token.
    pub(crate) fn pending(&self, nonce: Option<&str>) -> PendingAuthorization {
        let stored = json!({"v": 1, "service": self.webex.service().id(), "client_id": CLIENT_ID, "state": STATE,
            "nonce": nonce, "code_verifier": VERIFIER, "code_challenge_method": "S256", "payload": PAYLOAD,
            "redirect_uri": "http://localhost:5000/callback", "scope": "spark:all", "begun_at": NOW - 10});
        PendingAuthorization::from_stored(&stored.to_string()).unwrap()
    }

    /// Completes a login with a valid callback.
    pub(crate) fn log_in(&self, nonce: Option<&str>) -> Result<Login, Error> {
        let callback = Callback::parse(format!("code={CODE}&state={STATE}")).unwrap();
        block_on(self.webex.login(self.pending(nonce), callback))
    }

    /// Returns the tokens of an earlier login.
    pub(crate) fn tokens(&self) -> TokenSet {
        let stored = json!({"v": 1, "service": self.webex.service().id(), "client_id": CLIENT_ID,
            "access_token": ACCESS_TOKEN, "refresh_token": REFRESH_TOKEN, "received_at": NOW - 1000});
        TokenSet::from_stored(&stored.to_string()).unwrap()
    }
}

/// Runs a future to completion. No future of the fixture waits for real I/O or time.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());
    RUNTIME.block_on(future)
}

/// A transport that returns the configured response of each endpoint, or 404.
#[derive(Clone, Debug)]
struct MockTransport(Arc<Mutex<TransportState>>);

#[derive(Debug)]
struct TransportState {
    responses: Vec<(Endpoint, Response<Bytes>)>,
    requests: Vec<Endpoint>,
}

impl Default for MockTransport {
    fn default() -> Self {
        static KEYS: LazyLock<Bytes> = LazyLock::new(|| signer::key_set().to_string().into());
        let tokens = json!({"access_token": ACCESS_TOKEN, "expires_in": 1000, "refresh_token": REFRESH_TOKEN});
        let responses = vec![
            (Endpoint::Token, Response::new(tokens.to_string().into())),
            (Endpoint::Jwks, Response::new(KEYS.clone())),
        ];
        Self(Arc::new(Mutex::new(TransportState { responses, requests: Vec::new() })))
    }
}

#[async_trait]
impl Transport for MockTransport {
    async fn exchange(&self, request: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        let endpoint = match request.uri().path() {
            path if path.ends_with("/access_token") => Endpoint::Token,
            path if path.ends_with("/userinfo") => Endpoint::UserInfo,
            path if path.contains("verification") => Endpoint::Jwks,
            path if path.contains("/.well-known/") => Endpoint::Discovery,
            _ => Endpoint::Person,
        };
        if endpoint == Endpoint::Token {
            assert_eq!(request.headers()["authorization"], format!("Basic {CREDENTIALS}"));
        }
        let mut state = self.0.lock().unwrap();
        state.requests.push(endpoint);
        let response =
            state.responses.iter().find(|(other, _)| *other == endpoint).map(|(_, response)| response.clone());
        Ok(response.unwrap_or_else(|| {
            let mut not_found = Response::new(Bytes::from_static(b"{}"));
            *not_found.status_mut() = http::StatusCode::NOT_FOUND;
            not_found
        }))
    }
}

/// A clock that advances only by sleeping.
#[derive(Debug, Default)]
struct SimulatedClock {
    slept: Mutex<Duration>,
    sleep_count: AtomicU64,
}

#[async_trait]
impl Clock for SimulatedClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(NOW) + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        *self.slept.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        assert!(self.sleep_count.fetch_add(1, Ordering::Relaxed) < MAX_SLEEPS, "more than {MAX_SLEEPS} sleeps");
        let mut slept = self.slept.lock().unwrap();
        *slept = slept.saturating_add(duration);
    }
}
