//! Browser login for terminal programs, with a callback server on a loopback port (RFC 8252,
//! section 7.3).
//!
//! Requires the feature `loopback`. [`guide::terminals`](crate::guide::terminals) explains which
//! redirect URIs to register, and how to log in from containers, over SSH, and under WSL.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! use webex_oauth::BrowserLogin;
//! # use webex_oauth::testing::MockWebex;
//! #
//! # // Below the ephemeral port ranges, and different for each process.
//! # let ports = 20_000 + u16::try_from(std::process::id() % 4_000).unwrap()..30_000;
//! # let free = ports.into_iter().find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
//! # let mock = MockWebex::builder().redirect_uri(format!("http://127.0.0.1:{free}/callback")).start().await;
//! # let webex = mock.client();
//! // In an application, `webex` comes from `WebexOAuth::from_env()?`.
//! let login = BrowserLogin::new(&webex).application_name("Acme Rooms");
//! # let login = login.without_browser();
//! let waiting = login.begin()?; // the port is open now
//! println!("Sign in with your browser. If it did not open, visit\n{}", waiting.url());
//! # let (paste, back) = (waiting.paste_handle(), mock.approve(waiting.url()));
//! # paste.paste(&back)?;
//! let login = waiting.wait().await?;
//! # assert_eq!(mock.token_requests(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Steps
//!
//! 1. The callback server opens the port of the redirect URI. If several redirect URIs are set, it
//!    uses the first one whose port is free. The authorization URL is created afterwards, so that
//!    Webex never redirects to a closed port.
//! 2. The browser opens the authorization URL.
//! 3. The callback server responds to every request. A callback with this login's `state` completes
//!    the wait. Every other request receives an error page and changes nothing: other paths, other
//!    hosts, wrong states, forged errors, requests that are never completed.
//! 4. The code is exchanged while the browser waits, so that the page shows the actual result.
//! 5. The page is delivered, and the port is closed.

use std::time::Duration;
use std::{fmt, io};

use tokio::sync::oneshot;
use url::Url;

use crate::client::WebexOAuth;
use crate::client::login::Login;
use crate::error::{Error, ErrorKind, Result};
use crate::login::device::device_login::DeviceLogin;
use crate::login::loopback::listen::LoopbackRedirect;
use crate::login::loopback::receiver::{CallbackReceiver, WaitGuard};
use crate::login::loopback::server::{Browser, BrowserFailureHandler};
use crate::protocol::authorization::request::AuthorizationRequest;
use crate::protocol::authorization::url::AuthorizationUrl;
use crate::trace::event;

pub(crate) mod listen;
pub(crate) mod page;
pub(crate) mod pasted;
pub(crate) mod receiver;
pub(crate) mod connections;
pub(crate) mod server;

pub use crate::login::loopback::receiver::PasteHandle;
pub use crate::login::loopback::server::WaitingLogin;

// Modules:
//
// - `mod`: the builder. `server`: a login with open ports, the browser, and the timeout error.
// - `listen`: loopback redirect URIs and their listeners. `connections`: the open connections.
// - `receiver`: accepts the callback, from the browser or pasted.
// - `pasted`: parses a pasted callback.
// - `page`: HTML pages, and counts of rejected requests.

/// The default time limit for the callback.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The maximum length of an application name, in characters.
const MAX_APPLICATION_NAME_CHARS: usize = 100;

/// A change to the authorization request.
type RequestHook = Box<dyn FnOnce(AuthorizationRequest) -> AuthorizationRequest + Send>;

/// A builder for a login with the browser on this host. See the [module](self) for the steps.
///
/// # Example
///
/// A login in one call, with two redirect URIs and a customized authorization request:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::{BrowserLogin, Prompt};
/// # use webex_oauth::testing::MockWebex;
/// #
/// # let mut ports = 25_000 + u16::try_from(std::process::id() % 4_000).unwrap()..31_000;
/// # let mut port = || ports.find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
/// # let (first, second) = (format!("http://127.0.0.1:{}/cb", port()), format!("http://127.0.0.1:{}/cb", port()));
/// # let mock = MockWebex::builder().redirect_uri(&first).redirect_uri(&second).start().await;
/// # let (webex, browser) = (mock.client(), mock.clone());
/// # let (runtime, client) = (tokio::runtime::Handle::current(), reqwest::Client::builder().no_proxy().build().unwrap());
/// # let open = move |url: &webex_oauth::AuthorizationUrl| {
/// #     runtime.spawn(client.get(browser.approve(url)).send());
/// #     Ok(())
/// # };
///
/// let login = BrowserLogin::new(&webex)
///     // Both are registered, for example on ports 8765 and 8766.
///     .redirect_uris([first, second])
///     .customize_request(|request| {
///         request.scopes("spark:people_read").prompt(Prompt::SelectAccount)
///     })
///     .on_browser_failure(|url, _| println!("Open this page: {url}"))
/// #   .open_with(open)
///     .run()
///     .await?;
/// assert!(login.tokens().refresh_token().is_some());
/// # Ok(())
/// # }
/// ```
#[must_use = "the login starts with `begin()` or `run()`"]
pub struct BrowserLogin {
    webex: WebexOAuth,
    redirect_uris: Vec<String>,
    request_hook: Option<RequestHook>,
    time_limit: Duration,
    application: Option<String>,
    browser: Browser,
    on_browser_failure: Option<BrowserFailureHandler>,
}

impl BrowserLogin {
    /// Creates a login for `webex`.
    ///
    /// The redirect URI defaults to the client's. To set several, use
    /// [`redirect_uris`](Self::redirect_uris).
    pub fn new(webex: &WebexOAuth) -> Self {
        Self {
            webex: webex.clone(),
            redirect_uris: webex.redirect_uri().map(str::to_owned).into_iter().collect(),
            request_hook: None,
            time_limit: DEFAULT_TIMEOUT,
            application: None,
            browser: Browser::System,
            on_browser_failure: None,
        }
    }

    /// Sets the redirect URIs. The login uses the first one whose port is free.
    ///
    /// Each must be registered, and must match the registered string exactly. The host must be
    /// `localhost`, `127.0.0.1`, or `[::1]`, and the scheme `http`. Defaults to the client's
    /// redirect URI.
    pub fn redirect_uris(mut self, redirect_uris: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.redirect_uris = redirect_uris.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a function that customizes the authorization request, for example its scopes, login
    /// hint, or payload.
    ///
    /// The redirect URI is set afterwards.
    pub fn customize_request(
        mut self,
        change: impl FnOnce(AuthorizationRequest) -> AuthorizationRequest + Send + 'static,
    ) -> Self {
        self.request_hook = Some(Box::new(change));
        self
    }

    /// Sets the time limit for the callback, counted from [`begin`](Self::begin). Defaults to 5
    /// minutes.
    ///
    /// A timeout longer than the client's [`pending_lifetime`](WebexOAuth::pending_lifetime) is
    /// reduced to it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.time_limit = timeout;
        self
    }

    /// Sets the application name that the page in the browser shows. Defaults to "the application".
    ///
    /// At most 100 characters.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application = Some(name.into());
        self
    }

    /// Disables opening the browser. The application shows [`WaitingLogin::url`] to the user
    /// instead.
    pub fn without_browser(mut self) -> Self {
        self.browser = Browser::Disabled;
        self
    }

    /// Sets a function that opens the browser. It runs on a separate thread.
    ///
    /// An error does not stop the login. It is passed to
    /// [`on_browser_failure`](Self::on_browser_failure).
    ///
    /// By default, the crate [webbrowser](https://docs.rs/webbrowser) opens the browser named by
    /// the environment variable `BROWSER`, or the default browser of the desktop. The output of the
    /// browser is discarded. **A text browser such as lynx takes over the terminal** until the user
    /// exits it.
    ///
    /// # Security
    ///
    /// The default passes the URL, which contains the `state`, as a process argument. Other users
    /// of the host may see it there. The crate webbrowser also logs the URL at level DEBUG.
    pub fn open_with(mut self, open: impl FnOnce(&AuthorizationUrl) -> io::Result<()> + Send + 'static) -> Self {
        self.browser = Browser::Custom(Box::new(open));
        self
    }

    /// Sets a callback that runs if the browser cannot be opened, for example to show the URL to
    /// the user.
    ///
    /// The login continues to wait. Not every failure can be detected.
    pub fn on_browser_failure(mut self, report: impl FnOnce(&AuthorizationUrl, &io::Error) + Send + 'static) -> Self {
        self.on_browser_failure = Some(Box::new(report));
        self
    }

    /// Opens the callback port and creates the authorization URL.
    ///
    /// The browser is opened by [`WaitingLogin::wait`].
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the redirect URI is missing or is not a loopback address, or
    ///   the timeout is zero.
    /// - [`ErrorKind::CallbackServer`]: no port of the redirect URIs could be opened. The message
    ///   contains the reason for each and the remedy.
    /// - [`ErrorKind::InvalidInput`]: the application name is too long, or `response_mode` is not
    ///   `query`.
    /// - The errors of [`AuthorizationRequest::begin`].
    pub fn begin(self) -> Result<WaitingLogin> {
        let limit = self.effective_timeout()?;
        if self.application.as_ref().is_some_and(|name| name.chars().count() > MAX_APPLICATION_NAME_CHARS) {
            let message = format!("application name is too long: use at most {MAX_APPLICATION_NAME_CHARS} characters");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let (address, listeners) = listen::listen_on_first_free(self.loopback_redirects()?)?;
        let Self { webex, request_hook: change, application, browser, on_browser_failure, .. } = self;
        let request = webex.authorize();
        let request = if let Some(change) = change { change(request) } else { request };
        let deadline = webex.clock().elapsed().saturating_add(limit);
        let (url, pending) = request.redirect_uri(address.uri()).begin()?;
        require_query_response_mode(&url)?;
        let (receiver, callback) = CallbackReceiver::new(webex.clone(), address, application, pending);
        let wait_guard = WaitGuard::new(&receiver);
        Ok(WaitingLogin {
            webex,
            url,
            receiver,
            wait_guard,
            callback,
            listeners,
            browser,
            on_browser_failure,
            limit,
            deadline,
        })
    }

    /// Starts the login and waits for it to complete: [`begin`](Self::begin), then
    /// [`wait`](WaitingLogin::wait).
    ///
    /// To always show the URL to the user, call the two methods separately.
    ///
    /// # Errors
    ///
    /// - The errors of [`begin`](Self::begin).
    /// - The errors of [`wait`](WaitingLogin::wait).
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`wait`](WaitingLogin::wait).
    pub async fn run(self) -> Result<Login> {
        self.begin()?.wait().await
    }

    /// Logs in with the browser on this host, or with a [device code](DeviceLogin) if there is none.
    ///
    /// `show_code` shows [`DeviceLogin::verification_uri`] and [`DeviceLogin::user_code`] to the
    /// user. It is called if
    ///
    /// - the program runs over SSH (`SSH_CONNECTION` is set), unless
    ///   [`open_with`](Self::open_with) was called,
    /// - [`without_browser`](Self::without_browser) was called,
    /// - the browser cannot be opened, or
    /// - no port of the redirect URIs is free.
    ///
    /// The device login requests the scopes of the client: changes by
    /// [`customize_request`](Self::customize_request) do not apply to it. It requires four more
    /// redirect URIs, see [`guide::devices`](crate::guide::devices).
    ///
    /// # Errors
    ///
    /// - The errors of [`run`](Self::run), except those that lead to a device login.
    /// - The errors of [`DeviceLogin::start`] and [`DeviceLogin::wait`].
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`wait`](WaitingLogin::wait).
    ///
    /// # Example
    ///
    /// ```no_run
    /// use webex_oauth::{BrowserLogin, WebexOAuth};
    ///
    /// # async fn log_in(webex: &WebexOAuth) -> webex_oauth::Result<()> {
    /// let login = BrowserLogin::new(webex)
    ///     .run_or_device(|device| {
    ///         println!("Open {} and enter {}", device.verification_uri(), device.user_code());
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run_or_device(mut self, show_code: impl FnOnce(&DeviceLogin)) -> Result<Login> {
        let webex = self.webex.clone();
        if !self.is_without_local_browser() {
            let (report, failed) = oneshot::channel();
            let handler = self.on_browser_failure.take();
            self.on_browser_failure = Some(Box::new(move |url, error| {
                if let Some(handler) = handler {
                    handler(url, error);
                }
                _ = report.send(());
            }));
            match self.begin() {
                Ok(waiting) => tokio::select! {
                    biased;
                    outcome = waiting.wait() => return outcome,
                    // Without a failure, the sender is dropped, and this branch is disabled.
                    Ok(()) = failed => {}
                },
                Err(error) if error.kind() == ErrorKind::CallbackServer => {}
                Err(error) => return Err(error),
            }
        }
        event!(DEBUG, "no browser on this host: starting a device login");
        let mut device = DeviceLogin::start(&webex).await?;
        show_code(&device);
        device.wait().await
    }

    /// Returns `true` if a browser that is opened here would not be visible to the user.
    fn is_without_local_browser(&self) -> bool {
        match self.browser {
            Browser::System => std::env::var_os("SSH_CONNECTION").is_some(),
            Browser::Custom(_) => false,
            Browser::Disabled => true,
        }
    }

    fn effective_timeout(&self) -> Result<Duration> {
        if self.time_limit.is_zero() {
            return Err(Error::new(ErrorKind::Configuration, "invalid timeout: it must be longer than zero"));
        }
        Ok(self.time_limit.min(self.webex.pending_lifetime()))
    }

    fn loopback_redirects(&self) -> Result<Vec<LoopbackRedirect>> {
        if self.redirect_uris.is_empty() {
            let message = "missing redirect URI: set the registered one on the client, for example \
                           http://localhost:8765/callback, or pass several to `redirect_uris(..)`";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let insecure_hosts = &self.webex.registration().insecure_hosts;
        self.redirect_uris.iter().map(|uri| LoopbackRedirect::parse(uri, insecure_hosts)).collect()
    }
}

/// Rejects response modes other than `query`: the callback server receives no form and no fragment.
fn require_query_response_mode(url: &AuthorizationUrl) -> Result<()> {
    let url = Url::from(url.clone());
    let other = url.query_pairs().find(|(name, value)| name == "response_mode" && value != "query");
    if other.is_some() {
        let message = "unsupported `response_mode`: a loopback login requires `query`; remove the parameter";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Ok(())
}

impl fmt::Debug for BrowserLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrowserLogin")
            .field("webex", &self.webex)
            .field("redirect_uris", &self.redirect_uris)
            .field("time_limit", &self.time_limit)
            .field("application_name", &self.application)
            .field("browser", &self.browser)
            .finish_non_exhaustive()
    }
}
