//! A login in progress, from the authorization URL to the result.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io, thread};

use tokio::sync::oneshot;

use crate::client::WebexOAuth;
use crate::client::login::Login;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result, require_runtime};
use crate::login::loopback::connections::Connections;
use crate::login::loopback::listen::Listeners;
use crate::login::loopback::page::RejectedRequest;
use crate::login::loopback::receiver::{CallbackReceiver, PasteHandle, ReceivedCallback, WaitGuard};
use crate::protocol::authorization::url::AuthorizationUrl;
use crate::protocol::integration_id::ApplicationId;
use crate::trace::{as_dyn_error, event};

/// The delay after a connection could not be accepted, for example for lack of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// A callback that runs if the browser cannot be opened.
pub(crate) type BrowserFailureHandler = Box<dyn FnOnce(&AuthorizationUrl, &io::Error) + Send>;

/// A login in progress: its port is open, and its [`url`](Self::url) is known.
///
/// Created by [`BrowserLogin::begin`](crate::BrowserLogin::begin). The ports are closed when the
/// login completes, or when it or the future of [`wait`](Self::wait) is dropped.
#[must_use = "the callback is only received while `wait()` is awaited"]
pub struct WaitingLogin {
    pub(crate) webex: WebexOAuth,
    pub(crate) url: AuthorizationUrl,
    pub(crate) receiver: Arc<CallbackReceiver>,
    pub(crate) wait_guard: WaitGuard,
    pub(crate) callback: oneshot::Receiver<ReceivedCallback>,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) browser: Browser,
    pub(crate) on_browser_failure: Option<BrowserFailureHandler>,
    pub(crate) limit: Duration,
    /// The deadline for the callback, on the scale of [`Clock::elapsed`].
    pub(crate) deadline: Duration,
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
        self.receiver.address().uri()
    }

    /// Returns a handle that accepts a pasted callback URL, for a browser on another host.
    pub fn paste_handle(&self) -> PasteHandle {
        PasteHandle::new(Arc::clone(&self.receiver))
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
        require_runtime("a callback can only be received")?;
        let Self {
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
        } = self;
        let mut reception = CallbackServer::open(&webex, &receiver, listeners)?;
        event!(DEBUG, redirect_uri = receiver.address().uri(), "waiting for callback");
        let opening = browser.open(&url);
        let mut no_browser = None;
        let code = tokio::select! {
            biased;
            received = callback => received.ok(),
            () = sleep_until(deadline, webex.clock()) => None,
            never = reception.receive() => match never {},
            never = report_browser_failure(opening, &url, on_browser_failure, &mut no_browser) => match never {},
        };
        let outcome = match code {
            Some(Ok(code)) => tokio::select! {
                outcome = webex.exchange(code) => outcome,
                never = reception.receive() => match never {},
            },
            Some(Err(rejected)) => Err(rejected),
            None => Err(timeout_error(&webex, &receiver, limit, no_browser)),
        };
        wait_guard.send_result(&outcome);
        reception.close().await;
        outcome
    }
}

async fn sleep_until(deadline: Duration, clock: &Arc<dyn Clock>) {
    clock.sleep(deadline.saturating_sub(clock.elapsed())).await;
}

/// Reports a browser that could not be opened to the log and to the handler, and stores the error.
async fn report_browser_failure(
    opening: Option<oneshot::Receiver<io::Result<()>>>,
    url: &AuthorizationUrl,
    on_browser_failure: Option<BrowserFailureHandler>,
    no_browser: &mut Option<io::Error>,
) -> Infallible {
    let why = wait_for_failure(opening).await;
    event!(DEBUG, error = as_dyn_error(&why), "browser launch failed");
    if let Some(on_browser_failure) = on_browser_failure {
        on_browser_failure(url, &why);
    }
    *no_browser = Some(why);
    std::future::pending().await
}

/// The callback server: its listeners and open connections.
struct CallbackServer {
    listeners: Listeners,
    connections: Connections,
    clock: Arc<dyn Clock>,
}

impl CallbackServer {
    fn open(webex: &WebexOAuth, receiver: &Arc<CallbackReceiver>, listeners: Vec<TcpListener>) -> Result<Self> {
        let clock = Arc::clone(webex.clock());
        let crowd = Connections::new(Arc::clone(receiver), Arc::clone(&clock));
        Ok(Self { listeners: Listeners::open(listeners)?, connections: crowd, clock })
    }

    /// Accepts connections. The future may be dropped, and the method called again.
    async fn receive(&mut self) -> Infallible {
        loop {
            self.connections.wait_for_capacity().await;
            match self.listeners.accept().await {
                Ok(stream) => {
                    self.connections.spawn(stream);
                    // Let the accepted connections send their requests first. A flood of new
                    // connections would otherwise evict them before they are read.
                    tokio::task::yield_now().await;
                }
                // The peer closed the connection before it was accepted.
                Err(why) if why.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(why) => {
                    event!(DEBUG, error = as_dyn_error(&why), "failed to accept connection");
                    self.clock.sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    /// Delivers the remaining pages, then closes the ports.
    async fn close(self) {
        self.connections.shutdown().await;
        drop(self.listeners);
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

/// The cluster of integrations in Webex for Government, as observed.
const GOVERNMENT_CLUSTER: (&str, &str) = ("webex-gov", "urn:TEAM:us-gov-west-1_a1");

/// Remedies for requests that indicate why no callback arrived.
const ADVICE: [(RejectedRequest, &str); 3] = [
    (
        RejectedRequest::Tls,
        "a TLS connection was attempted, probably by a browser that enforces HTTPS: replace https:// with http:// in its \
         address bar, exclude this address from its HTTPS-only mode, or paste the URL into the application",
    ),
    (
        RejectedRequest::TooLarge,
        "a request had too many or too large headers: delete the browser's cookies for this host, or paste the URL into \
         the application",
    ),
    (
        RejectedRequest::Malformed,
        "a request was incomplete or invalid HTTP: check for a proxy or another program between the browser and this \
         port, or paste the URL into the application",
    ),
];

/// Returns the error for a login that received no callback within `limit`.
pub(crate) fn timeout_error(
    webex: &WebexOAuth,
    receiver: &CallbackReceiver,
    limit: Duration,
    no_browser: Option<io::Error>,
) -> Error {
    let (uri, id, service) = (receiver.address().uri(), webex.client_id(), webex.service().id());
    let mut message = format!("login timed out: no callback arrived at {uri} within {} s", limit.as_secs());
    for (rejected, advice) in ADVICE {
        if receiver.rejections().has(rejected) {
            message += "; ";
            message += advice;
        }
    }
    message += &format!(
        "; if the browser shows a Webex error page, check that the redirect URI is registered exactly as {uri} and \
         that {service} has an integration with the client ID {id}"
    );
    if webex.service().person_endpoint().is_some() {
        message += "; an administrator may have to approve the integration in Control Hub";
        if let Some(id) = integration_id(id, &service) {
            message += &format!(" (integration ID {id})");
        }
    }
    if no_browser.is_some() {
        message += "; the browser could not be opened";
    }
    if let Some(strays) = receiver.rejections().summary() {
        message += &format!("; {strays}");
    }
    let error = Error::new(ErrorKind::CallbackTimeout, message);
    match no_browser {
        Some(why) => error.with_source(why),
        None => error,
    }
}

fn integration_id(client_id: &str, service: &str) -> Option<ApplicationId> {
    let id = ApplicationId::new(client_id).ok()?;
    let (government, cluster) = GOVERNMENT_CLUSTER;
    if service.starts_with(government) { id.with_cluster(cluster).ok() } else { Some(id) }
}

/// A function that opens the authorization URL.
pub(crate) type OpenFn = Box<dyn FnOnce(&AuthorizationUrl) -> io::Result<()> + Send>;

/// The means of showing the authorization page to the user.
pub(crate) enum Browser {
    /// The default browser of the system.
    System,
    /// A function of the application.
    Custom(OpenFn),
    /// No browser: the application shows the URL to the user.
    Disabled,
}

impl Browser {
    /// Opens the page and returns a receiver for the result, or `None` if there is no browser to
    /// open.
    ///
    /// The call blocks until the user exits a text browser, so it needs a thread. A thread of the
    /// runtime would delay the runtime's shutdown.
    pub(crate) fn open(self, url: &AuthorizationUrl) -> Option<oneshot::Receiver<io::Result<()>>> {
        let opening: OpenFn = match self {
            Self::System => Box::new(|url| webbrowser::open(url.as_str())),
            Self::Custom(opening) => opening,
            Self::Disabled => return None,
        };
        let (report, reported) = oneshot::channel();
        let url = url.clone();
        // If no thread can be started, the sender is dropped, which `failure` reports.
        let _ = thread::Builder::new().name("webex-oauth browser".to_owned()).spawn(move || {
            // The receiver may have been dropped.
            let _ = report.send(opening(&url));
        });
        Some(reported)
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Custom(_) => "Own",
            Self::Disabled => "Absent",
        })
    }
}

/// Waits for the browser to fail to open, and returns the error. Never completes otherwise.
pub(crate) async fn wait_for_failure(reported: Option<oneshot::Receiver<io::Result<()>>>) -> io::Error {
    if let Some(reported) = reported {
        match reported.await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return why,
            Err(_) => return io::Error::other("the browser launcher panicked or could not be started"),
        }
    }
    std::future::pending().await
}
