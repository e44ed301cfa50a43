//! A login in progress, from the authorization URL to the result.

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
use crate::loopback::crowd::Connections;
use crate::loopback::desk::{CallbackReceiver, ReceivedCallback, WaitGuard};
use crate::loopback::doors::Listeners;
use crate::loopback::paste::PasteHandle;
use crate::loopback::report;
use crate::trace::{causes, event};

/// The delay after a connection could not be accepted, for example for lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A callback that runs if the browser cannot be opened.
pub(super) type BrowserFailureHandler = Box<dyn FnOnce(&AuthorizationUrl, &io::Error) + Send>;

/// A login in progress: its port is open, and its [`url`](Self::url) is known.
///
/// Created by [`BrowserLogin::begin`](crate::BrowserLogin::begin). The ports are closed when the
/// login completes, or when it or the future of [`wait`](Self::wait) is dropped.
#[must_use = "the callback is only received while `wait()` is awaited"]
pub struct WaitingLogin {
    pub(super) webex: WebexOAuth,
    pub(super) url: AuthorizationUrl,
    pub(super) desk: Arc<CallbackReceiver>,
    pub(super) waiter: WaitGuard,
    pub(super) arrival: oneshot::Receiver<ReceivedCallback>,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) browser: Browser,
    pub(super) lament: Option<BrowserFailureHandler>,
    pub(super) limit: Duration,
    /// The deadline for the callback, on the scale of [`Clock::elapsed`].
    pub(super) deadline: Duration,
}

impl WaitingLogin {
    /// Returns the authorization URL, where the user signs in.
    ///
    /// Print it: a browser that fails to open cannot always be detected.
    pub fn url(&self) -> &AuthorizationUrl {
        &self.url
    }

    /// Returns the redirect URI in use: the first one whose port was free.
    pub fn redirect_uri(&self) -> &str {
        self.desk.address().uri()
    }

    /// Returns a handle that accepts a pasted callback URL, for a browser on another host.
    pub fn paste_handle(&self) -> PasteHandle {
        PasteHandle::new(Arc::clone(&self.desk))
    }

    /// Waits for the callback and exchanges the code. Opens the browser first, and displays the
    /// result in it.
    ///
    /// The timeout of the login applies to the callback. The exchange has the client's request
    /// timeout.
    ///
    /// # Cancellation
    ///
    /// Dropping the future closes the ports and cancels the login. An authorization code that is
    /// being exchanged cannot be used again.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CallbackTimeout`]: no callback arrived in time. The message lists possible
    ///   causes, because Webex shows some errors only to the user.
    /// - [`ErrorKind::AuthorizationRejected`]: Webex, the user, or an administrator denied the
    ///   authorization. See [`Error::is_denied`].
    /// - The errors of [`WebexOAuth::accept`]: a callback has this login's `state` but is otherwise
    ///   invalid.
    /// - The errors of [`WebexOAuth::exchange`].
    /// - [`ErrorKind::NoRuntime`]: the future was polled outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn wait(self) -> Result<Login> {
        Handle::try_current().map_err(|_| {
            let message = "no Tokio runtime: a callback can only be received within one; call this from an async task";
            Error::new(ErrorKind::NoRuntime, message)
        })?;
        let Self { webex, url, desk, waiter, arrival, listeners, browser, lament, limit, deadline } = self;
        let mut reception = CallbackServer::open(&webex, &desk, listeners)?;
        event!(DEBUG, redirect_uri = desk.address().uri(), "waiting for callback");
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

/// Reports a browser that could not be opened to the log and to `lament`, and stores the error.
async fn notice(
    opening: Option<oneshot::Receiver<io::Result<()>>>,
    url: &AuthorizationUrl,
    lament: Option<BrowserFailureHandler>,
    no_browser: &mut Option<io::Error>,
) -> Infallible {
    let why = browser::failure(opening).await;
    event!(DEBUG, error = causes(&why), "browser launch failed");
    if let Some(lament) = lament {
        lament(url, &why);
    }
    *no_browser = Some(why);
    std::future::pending().await
}

/// The callback server: its listeners and open connections.
struct CallbackServer {
    doors: Listeners,
    crowd: Connections,
    clock: Arc<dyn Clock>,
}

impl CallbackServer {
    fn open(webex: &WebexOAuth, desk: &Arc<CallbackReceiver>, listeners: Vec<TcpListener>) -> Result<Self> {
        let clock = Arc::clone(webex.clock());
        let crowd = Connections::new(Arc::clone(desk), Arc::clone(&clock));
        Ok(Self { doors: Listeners::open(listeners)?, crowd, clock })
    }

    /// Accepts connections. The future may be dropped, and the method called again.
    async fn receive(&mut self) -> Infallible {
        loop {
            self.crowd.make_room().await;
            match self.doors.accept().await {
                Ok(stream) => {
                    self.crowd.admit(stream);
                    // Let the accepted connections send their requests first. A flood of new
                    // connections would otherwise evict them before they are read.
                    tokio::task::yield_now().await;
                }
                // The peer closed the connection before it was accepted.
                Err(why) if why.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(why) => {
                    event!(DEBUG, error = causes(&why), "failed to accept connection");
                    self.clock.sleep(PAUSE).await;
                }
            }
        }
    }

    /// Delivers the remaining pages, then closes the ports.
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
