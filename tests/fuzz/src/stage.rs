//! A client whose server answers as it was told, at a time that stands still.

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

/// What nothing may show.
pub(crate) const SECRETS: [&str; 9] =
    [STATE, NONCE, CODE, ACCESS_TOKEN, VERIFIER, PAYLOAD, REFRESH_TOKEN, CLIENT_SECRET, CREDENTIALS];

/// What the exchange of a code sends, what a refresh does, what the browser brings, and what an ID token
/// comes with: a hostile server may write the
/// others into its answers as well as any other word.
pub(crate) const OF_EXCHANGE: [&str; 4] = [CODE, VERIFIER, CLIENT_SECRET, CREDENTIALS];
pub(crate) const OF_REFRESH: [&str; 4] = [REFRESH_TOKEN, ACCESS_TOKEN, CLIENT_SECRET, CREDENTIALS];
pub(crate) const OF_CALLBACK: [&str; 3] = [STATE, NONCE, VERIFIER];
pub(crate) const OF_ID_TOKEN: [&str; 5] = [STATE, NONCE, VERIFIER, CODE, ACCESS_TOKEN];

/// The maximum number of sleeps. A call that sleeps more often hangs.
const MAX_SLEEPS: u64 = 100;

/// Where a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Token,
    Keys,
    UserInfo,
    Discovery,
    Person,
}

/// One client, one server, one moment.
pub(crate) struct Stage {
    pub(crate) webex: WebexOAuth,
    server: Server,
}

impl Stage {
    /// With a server that hands out tokens, and the keys of [`signer::key_set`].
    pub(crate) fn new() -> Self {
        Self::at(Service::webex())
    }

    pub(crate) fn at(service: Service) -> Self {
        let server = Server::default();
        let webex = WebexOAuth::builder()
            .service(service)
            .client_id(CLIENT_ID)
            .client_secret(CLIENT_SECRET)
            .redirect_uri("http://localhost:5000/callback")
            .scopes("spark:all openid email")
            .transport(server.clone())
            .clock(Still::default())
            .id_token_algorithms([SigningAlgorithm::Rs256, SigningAlgorithm::Es256])
            .build()
            .unwrap();
        Self { webex, server }
    }

    /// Answers so from now on.
    pub(crate) fn answer(&self, place: Place, answer: Response<Bytes>) {
        self.server.0.lock().unwrap().answers.retain(|(other, _)| *other != place);
        self.server.0.lock().unwrap().answers.push((place, answer));
    }

    /// Answers the token endpoint with tokens and this ID token.
    pub(crate) fn grant(&self, id_token: &str) {
        let tokens = json!({"access_token": ACCESS_TOKEN, "expires_in": 1000, "refresh_token": REFRESH_TOKEN,
            "id_token": id_token});
        self.answer(Place::Token, Response::new(tokens.to_string().into()));
    }

    /// How many requests went to a place.
    pub(crate) fn requests(&self, place: Place) -> usize {
        self.server.0.lock().unwrap().requests.iter().filter(|other| **other == place).count()
    }

    /// A login that waits for its callback; with a nonce, it waits for an ID token, too.
    pub(crate) fn pending(&self, nonce: Option<&str>) -> PendingAuthorization {
        let stored = json!({"v": 1, "service": self.webex.service().id(), "client_id": CLIENT_ID, "state": STATE,
            "nonce": nonce, "code_verifier": VERIFIER, "code_challenge_method": "S256", "payload": PAYLOAD,
            "redirect_uri": "http://localhost:5000/callback", "scope": "spark:all", "begun_at": NOW - 10});
        PendingAuthorization::from_stored(&stored.to_string()).unwrap()
    }

    /// What becomes of a login whose callback is as it should be.
    pub(crate) fn log_in(&self, nonce: Option<&str>) -> Result<Login, Error> {
        let callback = Callback::parse(format!("code={CODE}&state={STATE}")).unwrap();
        wait(self.webex.login(self.pending(nonce), callback))
    }

    /// The tokens of an earlier login.
    pub(crate) fn tokens(&self) -> TokenSet {
        let stored = json!({"v": 1, "service": self.webex.service().id(), "client_id": CLIENT_ID,
            "access_token": ACCESS_TOKEN, "refresh_token": REFRESH_TOKEN, "received_at": NOW - 1000});
        TokenSet::from_stored(&stored.to_string()).unwrap()
    }
}

/// Runs a future to its end; nothing in here waits for anything but itself.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());
    RUNTIME.block_on(future)
}

/// Answers each place as it was told.
#[derive(Clone, Debug)]
struct Server(Arc<Mutex<Desk>>);

#[derive(Debug)]
struct Desk {
    answers: Vec<(Place, Response<Bytes>)>,
    requests: Vec<Place>,
}

impl Default for Server {
    fn default() -> Self {
        static KEYS: LazyLock<Bytes> = LazyLock::new(|| signer::key_set().to_string().into());
        let tokens = json!({"access_token": ACCESS_TOKEN, "expires_in": 1000, "refresh_token": REFRESH_TOKEN});
        let answers =
            vec![(Place::Token, Response::new(tokens.to_string().into())), (Place::Keys, Response::new(KEYS.clone()))];
        Self(Arc::new(Mutex::new(Desk { answers, requests: Vec::new() })))
    }
}

#[async_trait]
impl Transport for Server {
    async fn exchange(&self, request: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        let place = match request.uri().path() {
            path if path.ends_with("/access_token") => Place::Token,
            path if path.ends_with("/userinfo") => Place::UserInfo,
            path if path.contains("verification") => Place::Keys,
            path if path.contains("/.well-known/") => Place::Discovery,
            _ => Place::Person,
        };
        if place == Place::Token {
            assert_eq!(request.headers()["authorization"], format!("Basic {CREDENTIALS}"));
        }
        let mut desk = self.0.lock().unwrap();
        desk.requests.push(place);
        let answer = desk.answers.iter().find(|(other, _)| *other == place).map(|(_, answer)| answer.clone());
        Ok(answer.unwrap_or_else(|| {
            let mut absent = Response::new(Bytes::from_static(b"{}"));
            *absent.status_mut() = http::StatusCode::NOT_FOUND;
            absent
        }))
    }
}

/// A clock that only those who sleep move.
#[derive(Debug, Default)]
struct Still {
    slept: Mutex<Duration>,
    sleeps: AtomicU64,
}

#[async_trait]
impl Clock for Still {
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(NOW) + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        *self.slept.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        assert!(self.sleeps.fetch_add(1, Ordering::Relaxed) < MAX_SLEEPS, "a call sleeps without end");
        let mut slept = self.slept.lock().unwrap();
        *slept = slept.saturating_add(duration);
    }
}
