//! A handle to a stored session, and its disconnection.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::client::WebexOAuth;
use crate::error::{Error, ErrorClass, ErrorKind, Result, ServerError, require_runtime};
use crate::protocol::api_request;
use crate::protocol::authorization::request::{AuthorizationRequest, Prompt};
use crate::protocol::meetings::SecurityContext;
#[cfg(feature = "oidc")]
use crate::protocol::oidc::UserInfo;
use crate::protocol::person::Person;
use crate::protocol::revocation::RevocationScope;
use crate::scope::Scopes;
use crate::secret::AccessToken;
use crate::sessions::refresh::cache::CacheRef;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{MAX_BLOCK, StoredLogin};
use crate::sessions::status::{SessionState, SessionStatus};
use crate::source::TokenSource;
use crate::store::TokenKey;
use crate::store::entry::RefreshBlock;
use crate::token::account::Account;
use crate::token::token_set::TokenSet;
use crate::trace::event;
use crate::transport::retry::retry_after;

/// A stored session that always yields a valid access token.
///
/// Created by [`TokenManager::put`](crate::TokenManager::put) and
/// [`TokenManager::session`](crate::TokenManager::session). Cloning is cheap: all clones share one
/// cache.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::store::{MemoryStore, TokenKey};
/// use webex_oauth::testing::MockWebex;
/// use webex_oauth::{Callback, TokenManager};
///
/// let mock = MockWebex::start().await;
/// let webex = mock.client();
/// let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
///
/// let (url, pending) = webex.authorize().begin()?;
/// let mut login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
/// webex.identify(&mut login).await?; // to store the account with the session
/// let session = manager.put(&TokenKey::new("jane")?, login).await?;
///
/// let token = session.access_token().await?; // refreshed when necessary
/// assert_eq!(webex.person(&token).await?.email(), Some("jane@example.com"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    cache_ref: CacheRef,
}

impl Session {
    pub(crate) fn new(cache_ref: CacheRef) -> Self {
        Self { cache_ref }
    }

    pub(crate) fn webex(&self) -> &WebexOAuth {
        &self.cache_ref.refresher.webex
    }

    /// Returns the key under which the session is stored.
    pub fn key(&self) -> &TokenKey {
        &self.cache_ref.key
    }

    /// Returns a valid access token, refreshing it if necessary.
    ///
    /// A valid token is returned immediately. After about 75 % of its lifetime it is still
    /// returned, and a refresh starts in the background. Once the token has expired, all callers
    /// wait for the same refresh.
    ///
    /// # Cancellation
    ///
    /// Dropping the future does not cancel a refresh in progress.
    ///
    /// # Errors
    ///
    /// - [`is_login_required`](Error::is_login_required): there is no session for this key, its
    ///   refresh token was rejected, or its file was damaged
    ///   ([`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry)).
    /// - [`is_retryable`](Error::is_retryable): the token has expired, and Webex or the store is
    ///   unavailable.
    /// - [`is_misconfigured`](Error::is_misconfigured): the token has expired, and the client ID or
    ///   client secret was rejected; or the stored session belongs to another client
    ///   ([`ErrorKind::ClientMismatch`](crate::ErrorKind::ClientMismatch)) or cannot be read
    ///   ([`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry)).
    /// - [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime): a refresh was required outside a
    ///   Tokio runtime.
    pub async fn access_token(&self) -> Result<AccessToken> {
        self.cache_ref.access_token().await
    }

    /// Refreshes the tokens before they are due, for example after an administrator has changed the
    /// user's permissions.
    ///
    /// Other callers receive the current token until the new one is available. If another process
    /// is refreshing, this waits for its tokens, up to 90 seconds if that process was interrupted.
    ///
    /// Returns `Ok` without a request if the tokens were received less than 30 seconds ago (at most
    /// a tenth of their lifetime, at least 1 second). To verify that the session is still valid,
    /// use [`check`](Self::check).
    ///
    /// # Errors
    ///
    /// The errors of [`access_token`](Self::access_token), even while the current token is valid.
    /// Other callers still receive that token.
    pub async fn refresh(&self) -> Result<()> {
        self.cache_ref.refresh().await
    }

    /// Reports that the API responded with 401 to `token`.
    ///
    /// Each report lets one later call of [`access_token`](Self::access_token) wait for the
    /// refresh. Other calls return this token until there is a newer one. Does nothing if the token
    /// has already been replaced. To send a request again, use [`send`](Self::send) or
    /// [`with_token`](Self::with_token), which wait for the refresh themselves.
    ///
    /// A 401 does not always cause a refresh, because some endpoints respond with 401 to every
    /// token:
    ///
    /// - A token younger than 30 seconds (at most a tenth of its lifetime, at least 1 second) is
    ///   not refreshed.
    /// - The first refresh starts immediately, the second no earlier than 5 minutes later. The
    ///   pause then doubles, up to 6 hours. All processes that share the store share the count.
    /// - A day without such a refresh, a new login, or
    ///   [`TokenManager::unblock`](crate::TokenManager::unblock) resets it.
    ///
    /// During a pause, `access_token` returns the same token. Treat a second 401 as specific to the
    /// endpoint.
    ///
    /// Do not call this after a 403: a new token of the same session has the same permissions.
    pub fn invalidate(&self, token: &AccessToken) {
        if self.cache_ref.mark_unauthorized(token, false) {
            self.cache_ref.await_replacement(token);
            event!(DEBUG, key = ?self.cache_ref.key, "access token rejected by the API");
        }
    }

    /// Calls `call` with a token, and once more with a new token if `is_unauthorized` returns
    /// `true` for the result.
    ///
    /// If there is no new token (see [`invalidate`](Self::invalidate)), the result of the first
    /// call is returned. `call` builds the whole request each time. Use any client and any body,
    /// and send the token to Webex only.
    ///
    /// # Errors
    ///
    /// The errors of [`access_token`](Self::access_token), converted to the error type of `call`.
    /// After a rejected first call, only errors for which
    /// [`is_login_required`](Error::is_login_required) returns `true`.
    pub async fn with_token<T, E, F>(
        &self,
        call: impl FnMut(AccessToken) -> F,
        is_unauthorized: impl Fn(&Result<T, E>) -> bool,
    ) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        self.call_with_retry(call, is_unauthorized, false).await
    }

    /// Implements [`with_token`](Self::with_token). `may_shorten_pause` is set for endpoints that
    /// accept every valid token.
    async fn call_with_retry<T, E, F>(
        &self,
        mut call: impl FnMut(AccessToken) -> F,
        is_unauthorized: impl Fn(&Result<T, E>) -> bool,
        may_shorten_pause: bool,
    ) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        let token = self.access_token().await?;
        let response = call(token.clone()).await;
        if !is_unauthorized(&response) {
            return response;
        }
        event!(DEBUG, key = ?self.cache_ref.key, "access token rejected by the API");
        match self.cache_ref.replacement(&token, may_shorten_pause).await {
            Ok(Some(newer)) => call(newer).await,
            Ok(None) => response,
            // More specific than the 401 that caused the refresh.
            Err(error) => Err(error.into()),
        }
    }
}

impl Session {
    /// Sends a request to the Webex API with a token, and once more with a new token if the
    /// response is 401.
    ///
    /// Every other response is returned as received, including redirects and errors. A 401 is
    /// returned if there is no new token (see [`invalidate`](Self::invalidate)) or if it is the
    /// second one. For a 429 or 423, [`retry_after`](Self::retry_after) returns the time to wait.
    /// The response body may be up to 16 MiB long.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): the host of the request is
    ///   not an API host of the service. Nothing was sent.
    /// - [`ErrorKind::Transport`](crate::ErrorKind::Transport): the request failed, or the response
    ///   is too long. [`Error::delivery`] reports whether the request may have been processed.
    /// - The errors of [`access_token`](Self::access_token). After a 401, only errors for which
    ///   [`is_login_required`](Error::is_login_required) returns `true`.
    ///
    /// # Example
    ///
    /// ```
    /// use webex_oauth::bytes::Bytes;
    /// use webex_oauth::{Session, http};
    ///
    /// async fn list_rooms(session: &Session) -> webex_oauth::Result<Bytes> {
    ///     let request = http::Request::get("https://webexapis.com/v1/rooms").body(Bytes::new());
    ///     let response = session.send(request.expect("a valid URL")).await?;
    ///     Ok(response.into_body())
    /// }
    /// ```
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        self.send_with_token(&request).await.map(|(response, _)| response)
    }

    /// Implements [`send`](Self::send). Also returns the access token of the last attempt.
    pub(crate) async fn send_with_token(&self, request: &Request<Bytes>) -> Result<(Response<Bytes>, AccessToken)> {
        let webex = self.webex();
        api_request::check_token_destination(webex.registration(), request.uri())?;
        let call = |token: AccessToken| {
            let request = request.clone();
            async move { Ok((webex.send_api_request(request, &token).await?, token)) }
        };
        let is_unauthorized = |reply: &Result<(Response<Bytes>, AccessToken)>| {
            reply.as_ref().is_ok_and(|(response, _)| response.status() == StatusCode::UNAUTHORIZED)
        };
        self.with_token(call, is_unauthorized).await
    }

    /// Returns the `Retry-After` duration of a response, clamped to between 1 second and 1 hour.
    ///
    /// A malformed value counts as 15 seconds. Returns `None` if the header is missing.
    pub fn retry_after<T>(&self, reply: &Response<T>) -> Option<Duration> {
        retry_after(reply.headers(), self.webex().now())
    }

    /// Returns the status of the session without a request to Webex, or `None` if no session is
    /// stored.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Store`](crate::ErrorKind::Store): the store failed.
    /// - [`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry): the stored session cannot be
    ///   read.
    /// - [`ErrorKind::ClientMismatch`](crate::ErrorKind::ClientMismatch): the stored session
    ///   belongs to another client.
    pub async fn status(&self) -> Result<Option<SessionStatus>> {
        let Some(session) = self.cache_ref.load().await? else { return Ok(None) };
        // New tokens are used before they are saved.
        let unsaved = self.cache_ref.unsaved().filter(|unsaved| unsaved.is_newer_than(&session.head));
        let StoredLogin { head, tokens: SessionData { tokens, .. } } = unsaved.unwrap_or(session);
        let now = self.webex().now();
        let state = match head.hold {
            Some(RefreshBlock::Rejected { generation, code, at, .. }) if generation == head.generation => {
                SessionState::LoginRequired { code, since: at, was_interrupted: head.interrupted }
            }
            Some(RefreshBlock::RetryAt(until)) if until > now && until.since(now) <= MAX_BLOCK => {
                SessionState::BackingOff { until }
            }
            _ => SessionState::from_tokens(&tokens, now),
        };
        // A pause of the whole client concerns every session that could be refreshed.
        let own = self.cache_ref.last_error();
        let is_over = own.as_ref().is_some_and(Error::is_login_required);
        let last_error = self.cache_ref.refresher.pause_error().filter(|_| !is_over).or(own);
        Ok(Some(SessionStatus::new(state, last_error, head.ends, &tokens)))
    }

    /// Verifies with Webex that the session is valid, and returns its status.
    ///
    /// Use it for a "Check connection" button. This method fetches the person, with one refresh if
    /// the access token is rejected. The refresh may shorten a pause between refreshes after a 401
    /// once, until a request succeeds or 6 hours have passed. Webex Meetings has no such endpoint,
    /// so its sessions are [refreshed](Self::refresh) instead. A session that requires a new login
    /// is not an error: see [`SessionStatus::state`].
    ///
    /// # Errors
    ///
    /// The errors of [`status`](Self::status) and [`person`](Self::person), except those that
    /// require a login. If [`is_token_rejected`](Error::is_token_rejected) returns `true`, there is
    /// no newer token yet: check again later.
    pub async fn check(&self) -> Result<Option<SessionStatus>> {
        let requested = match self.webex().service().person_endpoint() {
            Some(_) => self.person().await.map(drop),
            None => self.refresh().await,
        };
        match requested {
            // Webex accepted the token and rejected the request, for example because a scope is
            // missing. A proxy did not see it.
            Err(error)
                if error.kind() == ErrorKind::PersonRequest
                    && error.is_misconfigured()
                    && !error.server().is_some_and(ServerError::is_from_intermediary) => {}
            Err(error) if !error.is_login_required() => return Err(error),
            _ => {}
        }
        self.status().await
    }

    /// Fetches the person who logged in, and stores their account with the session.
    ///
    /// From then on, [`account`](Self::account) and [`status`](Self::status) return it without a
    /// request.
    ///
    /// # Errors
    ///
    /// The errors of [`WebexOAuth::person`](crate::WebexOAuth::person) and
    /// [`access_token`](Self::access_token).
    pub async fn person(&self) -> Result<Person> {
        let webex = self.webex();
        let call = |token: AccessToken| async move {
            let login = self.cache_ref.login_of(&token);
            let person = webex.person(&token).await?;
            Ok::<_, Error>((login, person))
        };
        let is_refused = |reply: &Result<_>| reply.as_ref().is_err_and(Error::is_token_rejected);
        let (login, person) = self.call_with_retry(call, is_refused, true).await?;
        self.cache_ref.record_token_accepted();
        if let Some(login) = login {
            let identity = person.identity();
            let update = move |tokens: &mut TokenSet| {
                // A different person is not stored over a known one.
                let is_another = tokens.account().person_id().is_some_and(|id| id != identity.id);
                !is_another && tokens.set_person(identity.clone())
            };
            self.cache_ref.save_account(login, update).await;
        }
        Ok(person)
    }

    /// Fetches the userinfo claims of the user identified by the session's ID token.
    ///
    /// Name and e-mail address are stored with the session, as by [`person`](Self::person).
    ///
    /// # Errors
    ///
    /// The errors of [`WebexOAuth::user_info_for`](crate::WebexOAuth::user_info_for),
    /// [`access_token`](Self::access_token), and [`account`](Self::account).
    #[cfg(feature = "oidc")]
    pub async fn user_info(&self) -> Result<UserInfo> {
        let webex = self.webex();
        let stored = self.cache_ref.load().await?.ok_or_else(|| self.cache_ref.not_found_error())?;
        let account = stored.tokens.tokens.account();
        let is_refused = |reply: &Result<_>| reply.as_ref().is_err_and(Error::is_token_rejected);
        let call = |token: AccessToken| async move { webex.user_info_of_account(account, &token).await };
        let info = self.call_with_retry(call, is_refused, true).await?;
        self.cache_ref.record_token_accepted();
        let profile = info.profile();
        self.cache_ref.save_account(stored.head.login, move |tokens| tokens.set_profile(profile.clone())).await;
        Ok(info)
    }

    /// Returns the account of the session, to the extent that it is known without a request.
    ///
    /// # Errors
    ///
    /// The errors of [`status`](Self::status), and:
    ///
    /// - [`ErrorKind::SessionNotFound`](crate::ErrorKind::SessionNotFound): no session is stored.
    pub async fn account(&self) -> Result<Account> {
        Ok(self.stored_status().await?.account)
    }

    /// Returns the scopes in `wanted` that were not granted, or `None` if the granted scopes are
    /// unknown.
    ///
    /// They are unknown for [imported](crate::TokenManager::import) tokens whose scopes neither the
    /// importer nor a response named. A refresh does not add scopes: use
    /// [`request_scopes`](Self::request_scopes) for a new login.
    ///
    /// # Errors
    ///
    /// The errors of [`account`](Self::account).
    pub async fn missing_scopes(&self, wanted: &Scopes) -> Result<Option<Scopes>> {
        Ok(self.stored_status().await?.scopes.map(|granted| wanted.without(&granted)))
    }

    /// Begins a login that requests `wanted` in addition to the granted scopes, or to the client's
    /// scopes if the granted ones are unknown.
    ///
    /// The request contains the account's e-mail address as login hint, if it is known. Store the
    /// new tokens under the same key.
    ///
    /// # Errors
    ///
    /// The errors of [`account`](Self::account).
    pub async fn request_scopes(&self, wanted: &Scopes) -> Result<AuthorizationRequest> {
        let status = self.stored_status().await?;
        let request = self.webex().authorize();
        let request = match &status.scopes {
            Some(granted) => {
                let scopes: Scopes = granted.iter().chain(wanted.iter()).cloned().collect();
                request.scopes(scopes.to_string())
            }
            None => wanted.iter().cloned().fold(request, AuthorizationRequest::scope),
        };
        Ok(match status.account.email() {
            Some(email) => request.login_hint(email),
            None => request,
        })
    }

    /// Returns the security context element for the XML API of Webex Meetings, with a valid access
    /// token.
    ///
    /// # Errors
    ///
    /// The errors of [`access_token`](Self::access_token) and [`SecurityContext::from_tokens`]. For
    /// a session of another service, that is
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub async fn security_context(&self) -> Result<SecurityContext> {
        let token = self.access_token().await?;
        SecurityContext::from_account(&self.account().await?, &token)
    }

    /// Removes the session from the store and revokes its access token, if the service supports it.
    ///
    /// The browser stays signed in to Webex. Begin its next login with
    /// [`Disconnected::login_again`], or it may silently use the same account.
    ///
    /// # Cancellation
    ///
    /// Once begun, disconnecting completes even if the future is dropped.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Store`](crate::ErrorKind::Store): the store failed. The session may still be
    ///   stored, and nothing was revoked.
    /// - [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime): called outside a Tokio runtime.
    ///
    /// # Example
    ///
    /// ```
    /// use webex_oauth::Revocation;
    ///
    /// # async fn leave(session: webex_oauth::Session) -> webex_oauth::Result<()> {
    /// match session.disconnect().await?.revocation {
    ///     Revocation::Revoked => println!("disconnected, token revoked"),
    ///     Revocation::Failed(error) => println!("disconnected; revocation failed: {error}"),
    ///     _ => println!("disconnected"), // Webex's documented services cannot revoke tokens
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn disconnect(&self) -> Result<Disconnected> {
        disconnect(self.cache_ref.clone(), RevocationScope::ThisSession).await
    }

    /// Removes the session from the store and revokes its refresh token, if the service supports
    /// it.
    ///
    /// This ends all sessions of this user with this client, on every device and in every
    /// application with the same client ID, because Webex issues the same refresh token to each of
    /// them.
    ///
    /// # Errors
    ///
    /// The errors of [`disconnect`](Self::disconnect).
    pub async fn disconnect_everywhere(&self) -> Result<Disconnected> {
        disconnect(self.cache_ref.clone(), RevocationScope::AllSessions).await
    }

    async fn stored_status(&self) -> Result<SessionStatus> {
        self.status().await?.ok_or_else(|| self.cache_ref.not_found_error())
    }
}

#[async_trait]
impl TokenSource for Session {
    async fn access_token(&self) -> Result<AccessToken> {
        Session::access_token(self).await
    }

    async fn invalidate(&self, token: &AccessToken) {
        // `access_token` reports an error that requires a login.
        let _ = self.cache_ref.replacement(token, false).await;
    }
}

/// The result of disconnecting a session, returned by
/// [`Session::disconnect`].
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
async fn disconnect(cache_ref: CacheRef, scope: RevocationScope) -> Result<Disconnected> {
    let runtime = require_runtime("a session can only be disconnected")?;
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
