//! A login whose ports are open, from its URL to its end.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::authorization_url::AuthorizationUrl;
use crate::client::{Login, WebexOAuth};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::loopback::browser::{self, Browser};
use crate::loopback::crowd::Crowd;
use crate::loopback::desk::{Arrival, Desk, Waiter};
use crate::loopback::doors::Doors;
use crate::loopback::paste::PasteHandle;
use crate::loopback::report;
use crate::trace::{causes, event};

/// How long to wait after somebody could not be let in, for want of file handles for example.
const PAUSE: Duration = Duration::from_millis(100);

/// Is told that the browser could not be opened.
pub(super) type Lament = Box<dyn FnOnce(&AuthorizationUrl, &io::Error) + Send>;

/// A login that has begun: its port is open, and its [`url`](Self::url) is known. Made by
/// [`BrowserLogin::begin`](crate::BrowserLogin::begin).
///
/// The ports close when it ends, or when it or the future of [`wait`](Self::wait) is dropped.
#[must_use = "nobody can come back unless `wait()` waits"]
pub struct WaitingLogin {
    pub(super) webex: WebexOAuth,
    pub(super) url: AuthorizationUrl,
    pub(super) desk: Arc<Desk>,
    pub(super) waiter: Waiter,
    pub(super) arrival: oneshot::Receiver<Arrival>,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) browser: Browser,
    pub(super) lament: Option<Lament>,
    pub(super) limit: Duration,
    /// By the clock's `elapsed`.
    pub(super) deadline: Duration,
}

impl WaitingLogin {
    /// Where the user signs in. Print it: a browser that did not open cannot always be told from one that did.
    pub fn url(&self) -> &AuthorizationUrl {
        &self.url
    }

    /// The redirect URI that was chosen: the first one whose port was free.
    pub fn redirect_uri(&self) -> &str {
        self.desk.address().uri()
    }

    /// The way in for a callback that the user pastes, from a browser on another machine.
    pub fn paste_handle(&self) -> PasteHandle {
        PasteHandle::new(Arc::clone(&self.desk))
    }

    /// Opens the browser, waits for its callback, exchanges the code, and shows the browser how that went.
    ///
    /// The time limit is for the callback; the exchange has that of every request. Dropping the future closes the ports and
    /// ends the login; a code that is being exchanged is used up then.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CallbackTimeout`]: nobody came back in time. The message lists what Webex shows the user and tells nobody else.
    /// - [`ErrorKind::AuthorizationRejected`]: Webex, the user or an administrator refused; see [`Error::is_denied`].
    /// - Those of [`WebexOAuth::accept`] for a callback with this login's state and something wrong beside it, and those of
    ///   [`WebexOAuth::exchange`].
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// On a tokio runtime whose time or IO driver is off, tokio panics; nobody can ask it beforehand.
    pub async fn wait(self) -> Result<Login> {
        Handle::try_current().map_err(|_| {
            let message =
                "a callback can only be waited for within a tokio runtime: call this from an async fn run by one";
            Error::new(ErrorKind::NoRuntime, message)
        })?;
        let Self { webex, url, desk, waiter, arrival, listeners, browser, lament, limit, deadline } = self;
        let mut reception = Reception::open(&webex, &desk, listeners)?;
        event!(DEBUG, redirect_uri = desk.address().uri(), "waits for the browser");
        let opening = browser.open(&url);
        let mut no_browser = None;
        let arrival = tokio::select! {
            biased;
            arrival = arrival => arrival.ok(),
            () = until(deadline, webex.clock()) => None,
            never = reception.receive() => match never {},
            never = notice(opening, &url, lament, &mut no_browser) => match never {},
        };
        let outcome = match arrival {
            Some(Ok(code)) => tokio::select! {
                outcome = webex.exchange(code) => outcome,
                never = reception.receive() => match never {},
            },
            Some(Err(refused)) => Err(refused),
            None => Err(report::nobody_came(&webex, &desk, limit, no_browser)),
        };
        waiter.announce(&outcome);
        reception.close().await;
        outcome
    }
}

async fn until(deadline: Duration, clock: &Arc<dyn Clock>) {
    clock.sleep(deadline.saturating_sub(clock.elapsed())).await;
}

/// Takes note of a browser that could not be opened, and says so to who wants to know.
async fn notice(
    opening: Option<oneshot::Receiver<io::Result<()>>>,
    url: &AuthorizationUrl,
    lament: Option<Lament>,
    no_browser: &mut Option<io::Error>,
) -> Infallible {
    let why = browser::failure(opening).await;
    event!(DEBUG, error = causes(&why), "the browser could not be opened");
    if let Some(lament) = lament {
        lament(url, &why);
    }
    *no_browser = Some(why);
    std::future::pending().await
}

/// The open ports, and those who came in.
struct Reception {
    doors: Doors,
    crowd: Crowd,
    clock: Arc<dyn Clock>,
}

impl Reception {
    fn open(webex: &WebexOAuth, desk: &Arc<Desk>, listeners: Vec<TcpListener>) -> Result<Self> {
        let clock = Arc::clone(webex.clock());
        let crowd = Crowd::new(Arc::clone(desk), Arc::clone(&clock));
        Ok(Self { doors: Doors::open(listeners)?, crowd, clock })
    }

    /// Lets people in, until it is dropped; then it can be called again.
    async fn receive(&mut self) -> Infallible {
        loop {
            self.crowd.make_room().await;
            match self.doors.accept().await {
                Ok(stream) => {
                    self.crowd.admit(stream);
                    // Those inside are heard before more come in, or a crowd at the door would push out whoever had no chance
                    // to speak yet.
                    tokio::task::yield_now().await;
                }
                // Gone before they were let in.
                Err(why) if why.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(why) => {
                    event!(DEBUG, error = causes(&why), "somebody could not be let in");
                    self.clock.sleep(PAUSE).await;
                }
            }
        }
    }

    /// Lets the last ones out, and then closes the ports.
    async fn close(self) {
        self.crowd.leave().await;
        drop(self.doors);
    }
}

impl fmt::Debug for WaitingLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingLogin")
            .field("url", &self.url)
            .field("redirect_uri", &self.redirect_uri())
            .field("browser", &self.browser)
            .field("time_limit", &self.limit)
            .finish_non_exhaustive()
    }
}
