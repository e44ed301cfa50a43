//! Configuration of a mock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::service::Rotation;
use crate::testing::model::devices::Devices;
use crate::testing::model::state::{RotationPolicy, State};
use crate::testing::registry::{Lifetimes, MockIntegration, MockService, MockUser};
use crate::testing::request_log::Recording;
use crate::testing::{server, token_codec};

/// A builder for [`MockWebex`](crate::testing::MockWebex), created by [`MockWebex::builder`](crate::testing::MockWebex::builder).
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
    rotation_policy: RotationPolicy,
    recording: Recording,
    pub(crate) is_relayed: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) port: u16,
}

impl MockWebexBuilder {
    pub(crate) fn new() -> Self {
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
            rotation_policy: RotationPolicy::default(),
            recording: Recording::Off,
            is_relayed: false,
            clock: Arc::new(SystemClock::new()),
            port: 0,
        }
    }

    /// Sets the service to simulate. Defaults to [`MockService::Webex`].
    pub fn service(mut self, service: MockService) -> Self {
        self.service = service;
        self
    }

    /// Sets the integration's client ID. Defaults to a random one.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = Some(client_id.into());
        self
    }

    /// Sets the integration's client secret. Defaults to a random one.
    pub fn client_secret(mut self, client_secret: impl Into<String>) -> Self {
        self.client_secret = Some(client_secret.into());
        self
    }

    /// Registers a redirect URI. May be called several times. Defaults to
    /// `http://localhost:8080/callback`.
    pub fn redirect_uri(mut self, redirect_uri: impl Into<String>) -> Self {
        self.integration = self.integration.redirect_uri(redirect_uri);
        self
    }

    /// Sets the integration's registered scopes, separated by spaces.
    ///
    /// Defaults to `spark:all spark:people_read`. For Webex Meetings, the default is all scopes
    /// except `setting_modify`.
    pub fn scopes(mut self, scopes: impl Into<String>) -> Self {
        self.integration = self.integration.scopes(scopes);
        self
    }

    /// Registers another integration. [`MockWebex::client_for`](crate::testing::MockWebex::client_for) creates a client for it.
    pub fn integration(mut self, integration: MockIntegration) -> Self {
        self.integrations.push(integration);
        self
    }

    /// Adds a user. The first user signs in by default.
    ///
    /// A mock without configured users has one, jane@example.com.
    pub fn user(mut self, user: MockUser) -> Self {
        self.users.push(user);
        self
    }

    /// Sets the lifetime of access tokens, in whole seconds. Defaults to the lifetime that the
    /// service uses.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.access_token_lifetime = Some(lifetime);
        self
    }

    /// Sets the lifetime of refresh tokens from the first login, in whole seconds. Defaults to the
    /// lifetime that the service uses.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.refresh_token_lifetime = Some(lifetime);
        self
    }

    /// Enables renewal of refresh tokens: each refresh restarts their lifetime. By default, the
    /// expiry stays fixed from the first login.
    ///
    /// There is evidence for both. The documentation of Webex's Authorizations API states that
    /// tokens in use are renewed. In Cisco's contact center samples, the lifetime counts down.
    pub fn renew_refresh_tokens(mut self) -> Self {
        self.renews_refresh_tokens = true;
        self
    }

    /// Adds `at_hash`, the hash of the access token, to ID tokens from the token endpoint and the
    /// implicit flow.
    ///
    /// By default it is missing, because Webex does not document it. This crate rejects an access
    /// token that arrives through a browser with an ID token without `at_hash`
    /// ([`WebexOAuthBuilder::insecure_accept_missing_at_hash`]).
    ///
    /// [`WebexOAuthBuilder::insecure_accept_missing_at_hash`]: crate::WebexOAuthBuilder::insecure_accept_missing_at_hash
    pub fn at_hash(mut self) -> Self {
        self.writes_at_hash = true;
        self
    }

    /// Sets the rotation of refresh tokens. Defaults to [`Rotation::Lenient`], like Webex.
    ///
    /// With [`Rotation::Strict`], every refresh issues a new refresh token, and the used one
    /// becomes invalid immediately. Using it again is rejected like any invalid refresh token and
    /// has no other effect. Each login then has its own refresh token. [`MockWebex::service`](crate::testing::MockWebex::service) is
    /// configured accordingly.
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.rotation_policy.rotation = rotation;
        self
    }

    /// Enables strict rotation with reuse detection (RFC 9700, section 4.14.2).
    ///
    /// If a spent refresh token is used again, the newest refresh token and all access tokens of
    /// that login are revoked. Each login has its own token family.
    pub fn detect_reuse(mut self) -> Self {
        (self.rotation_policy.rotation, self.rotation_policy.revokes_families) = (Rotation::Strict, true);
        self
    }

    /// Enables strict rotation with a grace period for spent refresh tokens, in whole seconds from
    /// their first use.
    ///
    /// Within the grace period, using a spent refresh token returns the same successor again.
    /// Afterwards it is rejected. With [`detect_reuse`](Self::detect_reuse), a rejected
    /// use also revokes the family.
    pub fn rotation_grace(mut self, grace: Duration) -> Self {
        (self.rotation_policy.rotation, self.rotation_policy.grace) = (Rotation::Strict, grace);
        self
    }

    /// Sets the period in which another refresh returns the same access token with its remaining
    /// lifetime, in whole seconds.
    ///
    /// By default every refresh issues a new access token. Some Webex servers return the same token
    /// for a day.
    pub fn same_access_token_within(mut self, window: Duration) -> Self {
        self.rotation_policy.access_token_reuse_window = window;
        self
    }

    /// Stores the last 1024 requests for [`MockWebex::received`](crate::testing::MockWebex::received). By default, requests are only
    /// counted.
    ///
    /// Values that may be secret are replaced by `[redacted]`. About 16 KiB of each request is
    /// stored ([`MockRequest::is_truncated`](crate::testing::MockRequest::is_truncated)).
    pub fn record_requests(mut self) -> Self {
        self.recording = Recording::Redacted;
        self
    }

    /// Stores the last 1024 requests, including their secrets. Otherwise identical to
    /// [`record_requests`](Self::record_requests).
    pub fn record_secrets(mut self) -> Self {
        self.recording = Recording::WithSecrets;
        self
    }

    /// Adds a relay in front of the mock, for faults that an HTTP server cannot produce.
    ///
    /// The relay can truncate a response, reset its connection, or slow it down
    /// ([`Fault::truncated`], [`reset`], [`stalled`], [`dripping`]). It can also reject connections
    /// ([`MockWebex::go_offline`](crate::testing::MockWebex::go_offline)). It supports HTTP/1 and adds about 0.1 ms to each request.
    ///
    /// [`Fault::truncated`]: crate::testing::Fault::truncated
    /// [`reset`]: crate::testing::Fault::reset
    /// [`stalled`]: crate::testing::Fault::stalled
    /// [`dripping`]: crate::testing::Fault::dripping
    pub fn relay(mut self) -> Self {
        self.is_relayed = true;
        self
    }

    /// Sets the lifetime of device codes, in whole seconds. Defaults to 5 minutes, like Webex.
    pub fn device_code_lifetime(mut self, lifetime: Duration) -> Self {
        self.devices.lifetime = lifetime;
        self
    }

    /// Sets the minimum interval between two polls of a device, in whole seconds. Defaults to 2
    /// seconds, like Webex.
    ///
    /// A poll that comes too early increases the interval by 5 seconds (RFC 8628, section 3.5).
    /// With zero, polls are not limited.
    pub fn device_interval(mut self, interval: Duration) -> Self {
        self.devices.interval = interval;
        self
    }

    /// Requires the four redirect URIs of Webex's device helper to be registered before users can
    /// log in on devices. By default, none is required.
    ///
    /// They are `https://oauth-helper-a.wbx2.com/helperservice/v1/actions/device/callback` and the
    /// same URI with `-d`, `-k`, and `-r` in place of `-a`.
    ///
    /// If one is missing, the device receives a code, but its user sees an error page, as with
    /// Webex (<https://github.com/wr-org/webex-rust/issues/23>). [`MockWebex::approve_device`](crate::testing::MockWebex::approve_device)
    /// panics in this case.
    pub fn require_device_redirects(mut self) -> Self {
        self.devices.requires_helper_redirects = true;
        self
    }

    /// Sets the clock for the expiry of codes and tokens. Defaults to the system clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the port on `127.0.0.1`. Defaults to 0, which selects a free port.
    ///
    /// Use a fixed port if a program must know the address in advance.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    #[expect(clippy::panic, reason = "an invalid region is a mistake in the test")]
    pub(crate) fn state(mut self, origin: String) -> State {
        if self.users.is_empty() {
            self.users.push(MockUser::new("jane@example.com").name("Jane Doe"));
        }
        let is_label = |region: &str| region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if let Some(user) = self.users.iter().find(|user| !is_label(user.region())) {
            panic!("invalid region {:?}: use only ASCII letters, digits, and \"-\"", user.region());
        }
        let usual = self.service.default_lifetimes();
        let lifetimes = Lifetimes {
            access_token: self.access_token_lifetime.unwrap_or(usual.access_token),
            refresh_token: self.refresh_token_lifetime.unwrap_or(usual.refresh_token),
            is_renewed: self.renews_refresh_tokens,
        };
        let own = self
            .integration
            .client_id(self.client_id.unwrap_or_else(|| format!("C{}", token_codec::hex(&server::random_bytes()))))
            .client_secret(self.client_secret.unwrap_or_else(|| token_codec::hex(&server::random_bytes())));
        let mut state = State::new(
            self.service,
            origin,
            self.users,
            own.into_integration(self.service),
            lifetimes,
            server::random_bytes(),
        );
        state.integrations.extend(self.integrations.into_iter().map(|other| other.into_integration(self.service)));
        (state.writes_at_hash, state.rotation_policy, state.devices) =
            (self.writes_at_hash, self.rotation_policy, self.devices);
        state.request_log.recording = self.recording;
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
