//! OpenFn the browser, on a separate thread.

use std::fmt;
use std::io;
use std::thread;

use tokio::sync::oneshot;

use crate::authorization_url::AuthorizationUrl;

/// A function that opens the authorization URL.
pub(super) type OpenFn = Box<dyn FnOnce(&AuthorizationUrl) -> io::Result<()> + Send>;

/// The means of showing the authorization page to the user.
pub(super) enum Browser {
    /// The default browser of the system.
    System,
    /// A function of the application.
    Own(OpenFn),
    /// No browser: the application shows the URL to the user.
    Absent,
}

impl Browser {
    /// Opens the page and returns a receiver for the result, or `None` if there is no browser to
    /// open.
    ///
    /// The call blocks until the user exits a text browser, so it needs a thread. A thread of the
    /// runtime would delay the runtime's shutdown.
    pub(super) fn open(self, url: &AuthorizationUrl) -> Option<oneshot::Receiver<io::Result<()>>> {
        let opening: OpenFn = match self {
            Self::System => Box::new(|url| webbrowser::open(url.as_str())),
            Self::Own(opening) => opening,
            Self::Absent => return None,
        };
        let (tell, told) = oneshot::channel();
        let url = url.clone();
        // If no thread can be started, the sender is dropped, which `failure` reports.
        let _ = thread::Builder::new().name("webex-oauth browser".to_owned()).spawn(move || {
            // The receiver may have been dropped.
            let _ = tell.send(opening(&url));
        });
        Some(told)
    }
}

impl fmt::Debug for Browser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Own(_) => "Own",
            Self::Absent => "Absent",
        })
    }
}

/// Waits for the browser to fail to open, and returns the error. Never completes otherwise.
pub(super) async fn failure(told: Option<oneshot::Receiver<io::Result<()>>>) -> io::Error {
    if let Some(told) = told {
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return why,
            Err(_) => return io::Error::other("the browser launcher panicked or could not be started"),
        }
    }
    std::future::pending().await
}
