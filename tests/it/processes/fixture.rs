//! The fixture of the process tests: a server with users, and a store with their sessions.

use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;
use webex_oauth::store::{Entry, FileStore, TokenKey, TokenStore as _};
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{AccessToken, Callback, Rotation, TokenManager, TokenSet, WebexOAuth};

use super::shared_clock::SharedClock;
use super::worker::Task;
use crate::support::TempDir;

/// The ID of the service, which is the same at every address.
pub(super) const SERVICE: &str = "webex of these stories";

/// The lifetime of an access token by the server's clock.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The time after which it has expired by every clock, however wrong.
pub(super) const TOKEN_LIFETIME_WITH_SKEW: Duration = Duration::from_secs(60 * 60 + 11 * 60);
/// More than the duration of a lease.
pub(super) const LEASE_WITH_MARGIN: Duration = Duration::from_secs(61);

/// A server, a store, and the same sessions in both.
pub(super) struct Fixture {
    pub(super) runtime: Runtime,
    pub(super) folder: TempDir,
    pub(super) clock: SharedClock,
    pub(super) store: FileStore,
    pub(super) mock: MockWebex,
    pub(super) webex: WebexOAuth,
    pub(super) manager: TokenManager,
    pub(super) users: Vec<String>,
    rotation: Rotation,
}

/// The stored session of a key.
#[derive(Debug)]
pub(super) struct StoredLogin {
    pub(super) login: String,
    pub(super) generation: u64,
    pub(super) tokens: TokenSet,
    pub(super) has_lease_or_block: bool,
}

impl Fixture {
    /// Creates a fixture with this number of logged-in users.
    pub(super) fn new(users: usize, rotation: Rotation) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let folder = TempDir::in_memory();
        let store = folder.store();
        let clock = SharedClock::new(&folder.0.join("clock"));
        let users: Vec<_> = (0..users).map(|number| format!("user{number:02}@example.com")).collect();
        let builder =
            MockWebex::builder().clock(clock.clone()).rotation(rotation).access_token_lifetime(TOKEN_LIFETIME);
        let builder = builder.refresh_token_lifetime(TOKEN_LIFETIME * 1_000_000);
        let builder = users.iter().fold(builder, |builder, user| builder.user(MockUser::new(user)));
        let mock = runtime.block_on(builder.start());
        let webex = mock.client_builder().service(mock.service().with_id(SERVICE)).build().unwrap();
        let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
        let environment = Self { runtime, folder, clock, store, mock, webex, manager, users, rotation };
        (0..environment.users.len()).for_each(|user| environment.log_in(user));
        environment
    }

    /// Logs a user in, and replaces an existing session.
    pub(super) fn log_in(&self, user: usize) {
        let (url, pending) = self.webex.authorize().begin().unwrap();
        let callback = Callback::parse(self.mock.approve_as(&url, &self.users[user])).unwrap();
        self.runtime.block_on(async {
            let login = self.webex.login(pending, callback).await.unwrap();
            self.manager.put(&self.key(user), login).await.unwrap();
        });
    }

    pub(super) fn log_out(&self, user: usize) {
        self.runtime.block_on(self.manager.remove(&self.key(user))).unwrap();
    }

    pub(super) fn key(&self, user: usize) -> TokenKey {
        TokenKey::new("acme").unwrap().child(&self.users[user]).unwrap()
    }

    /// Returns the task of a process in this fixture. The process connects directly to the server.
    pub(super) fn task(&self, name: &str) -> Task {
        Task {
            name: name.to_owned(),
            folder: self.folder.0.clone(),
            clock: self.folder.0.join("clock"),
            skew: 0,
            is_alone: false,
            server: self.mock.uri(),
            rotates: self.rotation == Rotation::Strict,
            client_id: self.mock.client_id(),
            client_secret: self.mock.client_secret(),
            keys: self.users.iter().map(|user| ("acme".to_owned(), user.clone())).collect(),
        }
    }

    /// Returns the complete stored session of a user.
    pub(super) fn stored_login(&self, user: usize) -> Option<StoredLogin> {
        let loaded = self.runtime.block_on(self.store.load(&self.key(user)));
        let entry = loaded.unwrap_or_else(|error| panic!("the session of {} is damaged: {error}", self.users[user]))?;
        Some(StoredLogin::from_entry(&entry))
    }

    /// Returns `true` if the server accepts an access token.
    pub(super) fn is_access_token_valid(&self, access_token: &str) -> bool {
        let token = AccessToken::new(access_token).unwrap();
        self.runtime.block_on(self.webex.person(&token)).is_ok()
    }

    /// Returns `true` if the server would refresh the stored tokens.
    pub(super) fn is_refreshable(&self, kept: &StoredLogin) -> bool {
        self.mock.is_refresh_token_valid(kept.tokens.refresh_token().unwrap().expose())
    }
}

impl StoredLogin {
    fn from_entry(entry: &Entry) -> Self {
        let head: Value = serde_json::from_str(&entry.head.to_text()).unwrap();
        let body: Value = serde_json::from_slice(entry.body.expose()).unwrap();
        Self {
            login: head["login"].as_str().unwrap().to_owned(),
            generation: entry.head.generation(),
            tokens: TokenSet::from_stored(&body["tokens"].to_string()).unwrap(),
            has_lease_or_block: ["claim", "hold", "interrupted"].iter().any(|mark| head.get(mark).is_some()),
        }
    }
}
