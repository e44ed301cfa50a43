//! Disconnection: the removal of a session and the revocation of its tokens.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::client::WebexOAuth;
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::protocol::authorization::request::{AuthorizationRequest, Prompt};
use crate::protocol::revocation::RevocationScope;
use crate::sessions::refresh::cache::CacheRef;

/// The result of disconnecting a session, returned by
/// [`Session::disconnect`](crate::Session::disconnect).
#[derive(Debug)]
#[non_exhaustive]
pub struct Disconnected {
    /// The outcome of the revocation. The session is removed from the store regardless.
    pub revocation: Revocation,
    webex: WebexOAuth,
}

/// The outcome of a token revocation (RFC 7009).
#[derive(Debug)]
#[non_exhaustive]
pub enum Revocation {
    /// The server revoked the token, or it was already invalid.
    Revoked,
    /// The service has no revocation endpoint, as is usual for Webex. The tokens stay valid until
    /// they expire.
    Unsupported,
    /// The request failed, or no session was stored. The tokens may stay valid until they expire.
    Failed(Error),
}

impl Disconnected {
    /// Begins the next login in the same browser, with [`Prompt::SelectAccount`].
    ///
    /// The browser is still signed in to Webex. Without the prompt, the next login may silently use
    /// the same account.
    ///
    /// # Example
    ///
    /// ```
    /// # async fn leave(session: webex_oauth::Session) -> webex_oauth::Result<()> {
    /// let disconnected = session.disconnect().await?;
    /// let (url, pending) = disconnected.login_again().begin()?; // continue as with any login
    /// # Ok(())
    /// # }
    /// ```
    pub fn login_again(&self) -> AuthorizationRequest {
        self.webex.authorize().prompt(Prompt::SelectAccount)
    }
}

/// Removes the session and revokes its tokens, in a separate task: once begun, it completes even
/// if the caller's future is dropped, because only this task has the tokens to revoke.
pub(crate) async fn disconnect(cache_ref: CacheRef, scope: RevocationScope) -> Result<Disconnected> {
    let Ok(runtime) = Handle::try_current() else {
        let message = "no Tokio runtime: disconnect a session from within a runtime";
        return Err(Error::new(ErrorKind::NoRuntime, message));
    };
    let refresher = Arc::clone(&cache_ref.refresher);
    let task = runtime.spawn(refresher.track_future(remove_and_revoke(cache_ref, scope)));
    task.await.unwrap_or_else(|_| {
        let message = "disconnecting was interrupted: the runtime shut down; check whether the session is still stored";
        Err(Error::new(ErrorKind::SessionBusy, message).with_class(ErrorClass::Retryable))
    })
}

async fn remove_and_revoke(cache_ref: CacheRef, scope: RevocationScope) -> Result<Disconnected> {
    let webex = &cache_ref.refresher.webex;
    cache_ref.wait_for_refresh().await;
    let revoked = match cache_ref.remove().await? {
        Some(Ok(record)) => webex.revoke(&record.tokens, scope).await,
        Some(Err(unreadable)) => Err(unreadable),
        None => Err(Error::new(ErrorKind::SessionNotFound, "no stored session: there is nothing to revoke")),
    };
    let revocation = match revoked {
        Ok(()) => Revocation::Revoked,
        Err(error) if error.kind() == ErrorKind::Unsupported => Revocation::Unsupported,
        Err(error) => Revocation::Failed(error),
    };
    Ok(Disconnected { revocation, webex: webex.clone() })
}
