//! Showing the browser a page, on a thread of its own.

use std::fmt;
use std::io;
use std::thread;

use tokio::sync::oneshot;

use crate::authorization_url::AuthorizationUrl;

/// Shows the user a page.
pub(super) type Opening = Box<dyn FnOnce(&AuthorizationUrl) -> io::Result<()> + Send>;

/// Who shows the user Webex's page.
pub(super) enum Browser {
    /// The system's browser.
    System,
    /// The application, in its own way.
    Own(Opening),
    /// Nobody: the application has told the user where to go.
    Absent,
}

impl Browser {
    /// Opens the page. What comes of it is told once, and never if nothing was to be opened.
    ///
    /// A browser in the terminal is only back when the user has left it, so this takes a thread, and none of the runtime's:
    /// a runtime waits for those before it ends.
    pub(super) fn open(self, url: &AuthorizationUrl) -> Option<oneshot::Receiver<io::Result<()>>> {
        let opening: Opening = match self {
            Self::System => Box::new(|url| webbrowser::open(url.as_str())),
            Self::Own(opening) => opening,
            Self::Absent => return None,
        };
        let (tell, told) = oneshot::channel();
        let url = url.clone();
        // Without a thread to be had, the sender is dropped, and that is told.
        let _ = thread::Builder::new().name("webex-oauth browser".to_owned()).spawn(move || {
            // Nobody may be waiting any more.
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

/// What came of opening a page; waits for ever where all went well or nothing was to be opened.
pub(super) async fn failure(told: Option<oneshot::Receiver<io::Result<()>>>) -> io::Error {
    if let Some(told) = told {
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return why,
            Err(_) => return io::Error::other("whoever was to open the browser ended without a word"),
        }
    }
    std::future::pending().await
}
