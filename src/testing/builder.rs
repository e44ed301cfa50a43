//! What a mock is like before it starts.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::service::Rotation;
use crate::testing::devices::Devices;
use crate::testing::expect::Verdict;
use crate::testing::http::{self, Desk, Server};
use crate::testing::integration::MockIntegration;
use crate::testing::ledger::Recording;
use crate::testing::rotation::Succession;
use crate::testing::service::{Lifetimes, MockService};
use crate::testing::state::State;
use crate::testing::user::MockUser;
use crate::testing::{MockWebex, opaque};

/// Says what a [`MockWebex`] is like.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use webex_oauth::testing::{MockService, MockUser, MockWebex};
///
/// let mock = MockWebex::builder()
///     .service(MockService::Meetings)
///     .redirect_uri("http://localhost:1234/callback")
///     .scopes("all_read meeting_modify")
///     .user(MockUser::new("jane@example.com").name("Jane Doe").site("acme"))
///     .user(MockUser::new("bob@example.com"))
///     .access_token_lifetime(Duration::from_secs(60))
///     .start()
///     .await;
/// assert!(mock.uri().ends_with("/v1/oauth2"));
/// # }
/// ```
#[must_use]
pub struct MockWebexBuilder {
    service: MockService,
    integration: MockIntegration,
    client_id: Option<String>,
    client_secret: Option<String>,
    integrations: Vec<MockIntegration>,
    users: Vec<MockUser>,
    access_token_lifetime: Option<Duration>,
    refresh_token_lifetime: Option<Duration>,
    renews_refresh_tokens: bool,
    writes_at_hash: bool,
    devices: Devices,
    succession: Succession,
    recording: Recording,
    is_relayed: bool,
    clock: Arc<dyn Clock>,
    port: u16,
}

impl MockWebexBuilder {
    pub(super) fn new() -> Self {
        Self {
            service: MockService::default(),
            integration: MockIntegration::new("Integration under test"),
            client_id: None,
            client_secret: None,
            integrations: Vec::new(),
            users: Vec::new(),
            access_token_lifetime: None,
            refresh_token_lifetime: None,
            renews_refresh_tokens: false,
            writes_at_hash: false,
            devices: Devices::default(),
            succession: Succession::default(),
            recording: Recording::Off,
            is_relayed: false,
            clock: Arc::new(SystemClock::new()),
            port: 0,
        }
    }

    /// Which service to play; [`MockService::Webex`] by default.
    pub fn service(mut self, service: MockService) -> Self {
        self.service = service;
        self
    }

    /// The integration's client id; by default a new one.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// The integration's client secret; by default a new one.
    pub fn client_secret(mut self, client_secret: impl Into<String>) -> Self {
        self.client_secret = Some(client_secret.into());
        self
    }

    /// Registers a redirect URI; call it again for another. Without any, `http://localhost:8080/callback` is registered.
    pub fn redirect_uri(mut self, redirect_uri: impl Into<String>) -> Self {
        self.integration = self.integration.redirect_uri(redirect_uri);
        self
    }

    /// The scopes that the integration is registered with, separated by spaces; by default `spark:all spark:people_read`,
    /// for Webex Meetings all but `setting_modify`.
    pub fn scopes(mut self, scopes: impl Into<String>) -> Self {
        self.integration = self.integration.scopes(scopes);
        self
    }

    /// Registers another integration; [`MockWebex::client_of`] is its client.
    pub fn integration(mut self, integration: MockIntegration) -> Self {
        self.integrations.push(integration);
        self
    }

    /// Adds a user; the first is the one who signs in unless told otherwise. Without any, there is jane@example.com.
    pub fn user(mut self, user: MockUser) -> Self {
        self.users.push(user);
        self
    }

    /// How long access tokens live, in whole seconds; by default as long as the service's.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = Some(lifetime);
        self
    }

    /// How long refresh tokens live, from the first login on, in whole seconds; by default as long as the service's.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.refresh_token_lifetime = Some(lifetime);
        self
    }

    /// Each refresh gives the refresh token its whole life again. By default its end stays where the first login put it. There
    /// is evidence for both: the documentation of Webex's Authorizations API says that tokens in use are renewed, and the
    /// answers that Cisco's contact centre samples show count down.
    pub fn renewing_refresh_tokens(mut self) -> Self {
        self.renews_refresh_tokens = true;
        self
    }

    /// Puts `at_hash`, which ties an ID token to the access token beside it, into ID tokens: of the token endpoint and of the
    /// implicit flow. Without it there is none, since Webex documents none, and this crate accepts no access token beside an
    /// ID token from a browser ([`WebexOAuthBuilder::insecure_accept_missing_at_hash`]).
    ///
    /// [`WebexOAuthBuilder::insecure_accept_missing_at_hash`]: crate::client::WebexOAuthBuilder::insecure_accept_missing_at_hash
    pub fn at_hash(mut self) -> Self {
        self.writes_at_hash = true;
        self
    }

    /// What a refresh does to the refresh token. Webex leaves it as it is ([`Rotation::Lenient`], the default). A strict
    /// server gives another with each refresh, and the one that was used is dead at once: the next refresh with it is
    /// refused, in the words for any dead refresh token, and harms nobody else. Each login has a refresh token of its own
    /// then. [`MockWebex::service`] says which it is.
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.succession.rotation = rotation;
        self
    }

    /// Makes the rotation strict, and a refresh token that is used again after it was spent ends its whole login: the newest
    /// refresh token, and every access token that came of them (RFC 9700 section 4.14.2). Each login is a family of its own.
    pub fn revoking_families(mut self) -> Self {
        (self.succession.rotation, self.succession.revokes_families) = (Rotation::Strict, true);
        self
    }

    /// Makes the rotation strict, and a spent refresh token good for so long after it was first used, in whole seconds: who
    /// uses it again is given its successor again. After that it is refused, and ends its family where
    /// [`revoking_families`](Self::revoking_families) says so.
    pub fn rotation_grace(mut self, grace: Duration) -> Self {
        (self.succession.rotation, self.succession.grace) = (Rotation::Strict, grace);
        self
    }

    /// A refresh brings the access token of the refresh before again, if that is not so long ago, in whole seconds, with what
    /// is left of its life. Some of Webex's servers do this within a day; by default each refresh brings a new one.
    pub fn same_access_token_within(mut self, window: Duration) -> Self {
        self.succession.repeats_within = window;
        self
    }

    /// Keeps the last 1024 requests for [`MockWebex::received`], with `[redacted]` for what may be a secret, and of each about
    /// 16 KiB ([`MockRequest::is_cut`](crate::testing::MockRequest::is_cut)). Without it they are counted and forgotten.
    pub fn recording(mut self) -> Self {
        self.recording = Recording::Redacted;
        self
    }

    /// Keeps the last 1024 requests, as much of each, secrets and all: for a test of what is sent.
    pub fn recording_secrets(mut self) -> Self {
        self.recording = Recording::WithSecrets;
        self
    }

    /// Puts a relay before the mock that can do what HTTP servers cannot: cut an answer short, reset its connection, let it
    /// drip ([`Fault::truncated`], [`reset`], [`stalled`], [`dripping`]), and refuse connections ([`MockWebex::go_offline`]).
    /// It carries each byte once more, which costs about 0.1 ms a request; nothing else changes. It speaks HTTP/1.
    ///
    /// [`Fault::truncated`]: crate::testing::Fault::truncated
    /// [`reset`]: crate::testing::Fault::reset
    /// [`stalled`]: crate::testing::Fault::stalled
    /// [`dripping`]: crate::testing::Fault::dripping
    pub fn relay(mut self) -> Self {
        self.is_relayed = true;
        self
    }

    /// How long a device's code is good, in whole seconds; 5 minutes by default, as Webex's.
    pub fn device_code_lifetime(mut self, lifetime: Duration) -> Self {
        self.devices.lifetime = lifetime;
        self
    }

    /// How long a device must wait between two requests for its tokens, in whole seconds; 2 seconds by default, as at Webex.
    /// Who asks sooner must wait 5 seconds longer from then on. With zero, everybody may ask at once, once.
    pub fn device_interval(mut self, interval: Duration) -> Self {
        self.devices.interval = interval;
        self
    }

    /// Wants the redirect URIs of Webex's own helper registered before it lets devices log in, all four of them:
    /// `https://oauth-helper-a.wbx2.com/helperservice/v1/actions/device/callback`, and `-d`, `-k` and `-r`.
    ///
    /// Without one, a device gets its code, and then its user gets a page with an error, as at Webex
    /// (<https://github.com/wr-org/webex-rust/issues/23>), and [`MockWebex::approve_device`] panics. By default none is needed.
    pub fn requiring_device_redirects(mut self) -> Self {
        self.devices.wants_helpers = true;
        self
    }

    /// The clock that codes and tokens expire by; the machine's by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Listens on this port of `127.0.0.1`, for programs that are told the address beforehand; 0 is a free one, as by
    /// default.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts it on a loopback port.
    ///
    /// # Panics
    ///
    /// When the port cannot be had, this process has too many handles open (a mock holds five, and two more for each
    /// connection), a scope cannot be one, a redirect URI could not be sent in a header, or a user's home
    /// could not stand in a path.
    pub async fn start(self) -> MockWebex {
        let (clock, is_relayed) = (self.clock.clone(), self.is_relayed);
        let (listener, origin) = http::listen(self.port);
        let state = Arc::new(Mutex::new(self.state(origin)));
        let server = Server::start(Desk::new(state.clone(), clock.clone()), listener, is_relayed).await;
        MockWebex { _verdict: Verdict::on(state.clone()), server, state, clock }
    }

    #[expect(clippy::panic, reason = "a home that no address could have is a mistake in the test")]
    fn state(mut self, origin: String) -> State {
        if self.users.is_empty() {
            self.users.push(MockUser::new("jane@example.com").name("Jane Doe"));
        }
        let is_label = |home: &str| home.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if let Some(user) = self.users.iter().find(|user| !is_label(user.region())) {
            panic!("MockWebex cannot be home to {:?}: a region is letters, digits and \"-\"", user.region());
        }
        let usual = self.service.usual_lifetimes();
        let lifetimes = Lifetimes {
            access_token: self.access_token_lifetime.unwrap_or(usual.access_token),
            refresh_token: self.refresh_token_lifetime.unwrap_or(usual.refresh_token),
            is_renewed: self.renews_refresh_tokens,
        };
        let own = self
            .integration
            .client_id(self.client_id.unwrap_or_else(|| format!("C{}", opaque::hex(&http::random()))))
            .client_secret(self.client_secret.unwrap_or_else(|| opaque::hex(&http::random())));
        let mut state =
            State::new(self.service, origin, self.users, own.registered(self.service), lifetimes, http::random());
        state.integrations.extend(self.integrations.into_iter().map(|other| other.registered(self.service)));
        (state.writes_at_hash, state.succession, state.devices) = (self.writes_at_hash, self.succession, self.devices);
        state.ledger.recording = self.recording;
        state
    }
}

impl fmt::Debug for MockWebexBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("MockWebexBuilder");
        debug.field("service", &self.service).field("integration", &self.integration).field("users", &self.users);
        debug.finish_non_exhaustive()
    }
}
