//! A login for a program in a terminal: the browser at hand signs in, and comes back to a port of this machine
//! (RFC 8252 section 7.3).
//!
//! Needs the feature `loopback`. [`guide::terminals`](crate::guide::terminals) says what to register, and what to do in
//! containers, over ssh and under WSL.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! use webex_oauth::BrowserLogin;
//! # use webex_oauth::testing::MockWebex;
//! #
//! # // Below those that systems hand out by themselves, and another one for each process.
//! # let ports = 20_000 + u16::try_from(std::process::id() % 4_000).unwrap()..30_000;
//! # let free = ports.into_iter().find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
//! # let mock = MockWebex::builder().redirect_uri(format!("http://127.0.0.1:{free}/callback")).start().await;
//! # let webex = mock.client();
//! let login = BrowserLogin::new(&webex).application_name("Acme Rooms"); // webex: of WebexOAuth::from_env()?
//! # let login = login.without_browser();
//! let waiting = login.begin()?; // the port is open now
//! println!("Your browser shows Webex's sign-in page. If it does not, open\n{}", waiting.url());
//! # let (paste, back) = (waiting.paste_handle(), mock.approve(waiting.url()));
//! # paste.paste(&back)?;
//! let login = waiting.wait().await?;
//! # assert_eq!(mock.token_requests(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # How it goes
//!
//! 1. The port of the redirect URI is opened, and only then the authorization URL is made: nobody is sent to Webex who could
//!    not come back. With several redirect URIs, the first whose port is free is used.
//! 2. The browser is opened.
//! 3. Whoever comes to the port is answered. The callback with this login's state ends the wait; all else is answered with a
//!    small page, and changes nothing: other paths, other hosts, wrong states, forged refusals, requests that never end.
//! 4. The code is exchanged while the browser waits, so that its page tells the truth.
//! 5. The browser has its page; the port is closed.

// `mod` is the builder, `waiting` what it makes: a login with open ports. `address` is a redirect URI that can be listened for,
// `doors` its sockets, `crowd` those who are connected, and `desk` where they hand in what they brought, which is a callback or
// one of the `strays`; `paste` hands one in without a connection, and `pasted` reads it. `page` is what they see. `browser` opens one, and `report` says
// why nobody may have come.

use std::fmt;
use std::io;
use std::time::Duration;

use url::Url;

use crate::authorization_url::AuthorizationUrl;
use crate::authorize::AuthorizationRequest;
use crate::client::{Login, WebexOAuth};
use crate::error::{Error, ErrorKind, Result};

mod address;
mod doors;
mod strays;
mod page;
mod desk;
mod crowd;
mod pasted;
mod paste;
mod browser;
mod report;
mod waiting;

use self::address::Address;
use self::browser::Browser;
use self::desk::{Desk, Waiter};
use self::waiting::Lament;

pub use self::paste::PasteHandle;
pub use self::waiting::WaitingLogin;

/// The time for the user to sign in.
const TIME_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The longest name of an application on a page, in characters.
const LONGEST_NAME: usize = 100;

/// Changes what Webex is asked for.
type Change = Box<dyn FnOnce(AuthorizationRequest) -> AuthorizationRequest + Send>;

/// A login in the browser of whoever sits at this machine. See the [module](self) for how it goes.
///
/// # Example
///
/// All in one call, for a program that asks for more than its client does:
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
///     .redirect_uris([first, second]) // both registered: "http://localhost:8765/callback", "http://localhost:8766/callback"
///     .request(|request| request.scopes("spark:people_read").prompt(Prompt::SelectAccount))
///     .on_browser_failure(|url, _| println!("Open this page: {url}"))
/// #   .open_with(open)
///     .run()
///     .await?;
/// assert!(login.tokens().refresh_token().is_some());
/// # Ok(())
/// # }
/// ```
#[must_use = "a login begins with `begin()` or `run()`"]
pub struct BrowserLogin {
    webex: WebexOAuth,
    redirect_uris: Vec<String>,
    change: Option<Change>,
    time_limit: Duration,
    application: Option<String>,
    browser: Browser,
    lament: Option<Lament>,
}

impl BrowserLogin {
    /// A login with this client, by its own redirect URI unless [`redirect_uris`](Self::redirect_uris) says otherwise.
    pub fn new(webex: &WebexOAuth) -> Self {
        Self {
            webex: webex.clone(),
            redirect_uris: webex.redirect_uri().map(str::to_owned).into_iter().collect(),
            change: None,
            time_limit: TIME_LIMIT,
            application: None,
            browser: Browser::System,
            lament: None,
        }
    }

    /// The redirect URIs that are registered, in the order to try them in, where the port of one may be taken. Each leads to
    /// `http://localhost`, `http://127.0.0.1` or `http://[::1]`, with a port, and is written as it is registered.
    pub fn redirect_uris(mut self, redirect_uris: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.redirect_uris = redirect_uris.into_iter().map(Into::into).collect();
        self
    }

    /// Changes what Webex is asked for: scopes, a login hint, a payload. The redirect URI is set afterwards.
    pub fn request(
        mut self,
        change: impl FnOnce(AuthorizationRequest) -> AuthorizationRequest + Send + 'static,
    ) -> Self {
        self.change = Some(Box::new(change));
        self
    }

    /// How long to wait for the callback, from [`begin`](Self::begin) on: 5 minutes unless set, and at most the client's
    /// [`pending_lifetime`](WebexOAuth::pending_lifetime), which a longer one is cut to.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.time_limit = timeout;
        self
    }

    /// Who the page in the browser sends the user back to; "the application" unless set. At most 100 characters.
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application = Some(name.into());
        self
    }

    /// Opens no browser: the application shows the user [`WaitingLogin::url`] in a way of its own.
    pub fn without_browser(mut self) -> Self {
        self.browser = Browser::Absent;
        self
    }

    /// Opens the browser in a way of your own, on a thread of its own. An error is no end of the login, as with the system's
    /// browser; it is told to [`on_browser_failure`](Self::on_browser_failure).
    ///
    /// The system's browser is opened by the crate [webbrowser](https://docs.rs/webbrowser): the variable `BROWSER` names it,
    /// or else the desktop's settings; its output is dropped. **One that runs in the terminal, such as lynx, takes the terminal
    /// over** until the user leaves it. The URL, which has the login's state in it, is then among the arguments of a process,
    /// where other users of the machine may see it, and in the log of that crate at the level DEBUG.
    pub fn open_with(mut self, open: impl FnOnce(&AuthorizationUrl) -> io::Result<()> + Send + 'static) -> Self {
        self.browser = Browser::Own(Box::new(open));
        self
    }

    /// Is called when the browser could not be opened, as far as can be known: tell the user the URL then, if you have not yet.
    /// The login waits on.
    pub fn on_browser_failure(mut self, tell: impl FnOnce(&AuthorizationUrl, &io::Error) + Send + 'static) -> Self {
        self.lament = Some(Box::new(tell));
        self
    }

    /// Opens the port and makes the authorization URL. The browser is opened by [`WaitingLogin::wait`].
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: no redirect URI, or one that does not lead to this machine; a time limit of zero; and as
    ///   [`AuthorizationRequest::begin`] says.
    /// - [`ErrorKind::CallbackServer`]: no redirect URI's port can be had. The message says of each why, and what to do.
    /// - [`ErrorKind::InvalidInput`]: a name that is too long, a `response_mode` other than `query`; and as [`AuthorizationRequest::begin`] says.
    /// - [`ErrorKind::Unsupported`], [`ErrorKind::RandomSource`]: as [`AuthorizationRequest::begin`] says.
    pub fn begin(self) -> Result<WaitingLogin> {
        let limit = self.checked_limit()?;
        if self.application.as_ref().is_some_and(|name| name.chars().count() > LONGEST_NAME) {
            let message = format!("an application's name can have {LONGEST_NAME} characters, and no more");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let (address, listeners) = doors::listen(self.addresses()?)?;
        let Self { webex, change, application, browser, lament, .. } = self;
        let request = webex.authorize();
        let request = if let Some(change) = change { change(request) } else { request };
        let deadline = webex.clock().elapsed().saturating_add(limit);
        let (url, pending) = request.redirect_uri(address.uri()).begin()?;
        require_query(&url)?;
        let (desk, arrival) = Desk::new(webex.clone(), address, application, pending);
        let waiter = Waiter::at(&desk);
        Ok(WaitingLogin { webex, url, desk, waiter, arrival, listeners, browser, lament, limit, deadline })
    }

    /// [`begin`](Self::begin) and [`wait`](WaitingLogin::wait) in one, for programs that have a browser for sure: who is to be told
    /// the URL in any case is told by the two steps.
    ///
    /// # Errors
    ///
    /// Those of the two.
    ///
    /// # Panics
    ///
    /// As [`wait`](WaitingLogin::wait).
    pub async fn run(self) -> Result<Login> {
        self.begin()?.wait().await
    }

    fn checked_limit(&self) -> Result<Duration> {
        if self.time_limit.is_zero() {
            return Err(Error::new(ErrorKind::Configuration, "the time limit of a login must be longer than zero"));
        }
        Ok(self.time_limit.min(self.webex.pending_lifetime()))
    }

    fn addresses(&self) -> Result<Vec<Address>> {
        if self.redirect_uris.is_empty() {
            let message = "no redirect URI is set: give the client the one that is registered, such as \
                           http://localhost:8765/callback, or several to `redirect_uris(..)`";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let insecure_hosts = &self.webex.registration().insecure_hosts;
        self.redirect_uris.iter().map(|uri| Address::parse(uri, insecure_hosts)).collect()
    }
}

/// Refuses an answer that would come as a form or in the fragment, which nobody here waits for.
fn require_query(url: &AuthorizationUrl) -> Result<()> {
    let url = Url::from(url.clone());
    let other = url.query_pairs().find(|(name, value)| name == "response_mode" && value != "query");
    if other.is_some() {
        let message = "a login by a browser on this machine comes back by query: leave out `response_mode`";
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
