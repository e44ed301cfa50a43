//! One user's handle: an access token whenever one is needed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::account::Account;
use crate::call;
use crate::client::WebexOAuth;
use crate::disconnect::Disconnect;
use crate::error::{Error, ErrorKind, Result};
use crate::keeper::{Held, Keeper, LONGEST_HOLD};
use crate::meetings::SecurityContext;
#[cfg(feature = "oidc")]
use crate::oidc::UserInfo;
use crate::people::Person;
use crate::retry_after::retry_after;
use crate::scope::Scopes;
use crate::secret::AccessToken;
use crate::server_error::ServerError;
use crate::source::TokenSource;
use crate::status::{SessionState, SessionStatus};
use crate::store::{RefreshBlock, TokenKey};
use crate::token::TokenSet;
use crate::trace::event;

/// A kept login: asked for an access token, it has one.
///
/// Made by [`TokenManager`](crate::TokenManager). Clones are cheap and share everything; do not wrap it in an `Arc`.
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
/// webex.identify(&mut login).await?; // so that it is known whose login is kept
/// let session = manager.put(&TokenKey::new("jane")?, login).await?;
///
/// let token = session.access_token().await?; // now, and in every hour to come
/// assert_eq!(webex.person(&token).await?.email(), Some("jane@example.com"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    slot: Held,
}

impl Session {
    pub(crate) fn new(slot: Held) -> Self {
        Self { slot }
    }

    fn keeper(&self) -> &Arc<Keeper> {
        self.slot.keeper()
    }

    pub(crate) fn webex(&self) -> &WebexOAuth {
        &self.keeper().webex
    }

    /// The key that this login is kept under.
    pub fn key(&self) -> &TokenKey {
        &self.slot.key
    }

    /// An access token to use now.
    ///
    /// While the token at hand lives it is returned at once, and refreshed behind the callers' backs when three quarters
    /// of its life are over. Once it is dead, all callers wait for one refresh. Dropping this future cancels nothing.
    ///
    /// # Errors
    ///
    /// - [`is_login_required`](crate::Error::is_login_required): there is no login under the key, its refresh token is dead, or
    ///   its file was damaged ([`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry)).
    /// - [`is_retryable`](crate::Error::is_retryable): the token is dead, and Webex or the store cannot be reached.
    /// - [`is_misconfigured`](crate::Error::is_misconfigured): the token is dead, and the client's settings are wrong; or no token
    ///   is at hand, and what the store has is another client's
    ///   ([`ErrorKind::ClientMismatch`](crate::ErrorKind::ClientMismatch)) or cannot be read
    ///   ([`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry), see [`TokenStore`](crate::store::TokenStore#damage)).
    /// - [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime): a refresh was needed outside a tokio runtime.
    pub async fn access_token(&self) -> Result<AccessToken> {
        self.keeper().access_token(&self.slot).await
    }

    /// Refreshes the tokens before they are due: for example after an administrator has changed what the user may do. Other
    /// callers get the old token until the new one is there.
    ///
    /// Returns `Ok` without a request if the tokens were received less than 30 seconds ago (a tenth of their lifetime if that is
    /// less, at least 1 second). To find out whether the login is still valid, use [`check`](Self::check). If another process is
    /// refreshing, this waits for its tokens, for up to a minute and a half if that process was stopped in the middle.
    ///
    /// # Errors
    ///
    /// Those of [`access_token`](Self::access_token), also while the old token lives, and then it lives on.
    pub async fn refresh(&self) -> Result<()> {
        self.keeper().refresh(&self.slot).await
    }

    /// Reports that the API responded with 401 to this token. Each report lets one call of
    /// [`access_token`](Self::access_token), by any task, wait for the refresh; other calls return this token until there is a
    /// newer one. If you repeat a request, use [`send`](Self::send) or [`with_token`](Self::with_token), which wait for the
    /// refresh themselves.
    ///
    /// Does nothing if the token was replaced meanwhile. A new token is not always to be had: a token younger than 30 seconds (a
    /// tenth of its lifetime, if that is less, but at least a second) is not refreshed, and an endpoint that responds with 401 to
    /// every token must not cause a refresh each time. The first refresh for a 401 happens at once, the second not before 5
    /// minutes have passed, and each pause is twice as long as the one before, up to 6 hours. All processes that share the store
    /// share the count; a day without such a refresh, a new login and [`retry`](crate::TokenManager::retry) reset it. In a pause
    /// `access_token` returns the same token: treat a second 401 as the endpoint's own.
    ///
    /// Do not call this for a 403: a new token of the same login has the same rights.
    pub fn invalidate(&self, token: &AccessToken) {
        if self.slot.mark_unauthorized(token, false) {
            self.slot.await_replacement(token);
            event!(DEBUG, key = %self.slot.key, "refused by the API");
        }
    }

    /// Makes a call with a token, and once more with a new one if `is_unauthorized` says that the first was rejected.
    ///
    /// If no new token is to be had, the outcome of the first call is returned as it is; see [`invalidate`](Self::invalidate) for
    /// when that is. `call` makes its whole request anew each time. Any client and any body will do; send the token to Webex alone.
    ///
    /// # Errors
    ///
    /// Those of [`access_token`](Self::access_token), in the type of the call's own errors. After a first call that was rejected,
    /// only those that [call the user](Error::is_login_required).
    pub async fn with_token<T, E, F>(
        &self,
        call: impl FnMut(AccessToken) -> F,
        is_unauthorized: impl Fn(&Result<T, E>) -> bool,
    ) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        self.call_again(call, is_unauthorized, false).await
    }

    /// [`with_token`](Self::with_token); `may_cut_pause` is set for endpoints that accept every valid token.
    async fn call_again<T, E, F>(
        &self,
        mut call: impl FnMut(AccessToken) -> F,
        is_unauthorized: impl Fn(&Result<T, E>) -> bool,
        may_cut_pause: bool,
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
        event!(DEBUG, key = %self.slot.key, "refused by the API");
        match self.keeper().replacement(&self.slot, &token, may_cut_pause).await {
            Ok(Some(newer)) => call(newer).await,
            Ok(None) => response,
            // It says more than the 401 that it follows from.
            Err(error) => Err(error.into()),
        }
    }
}

impl Session {
    /// Sends one request to the Webex API with a token, and once more with a new one if the answer is 401.
    ///
    /// A 401 for which no new token is to be had, a second 401, and every other answer are handed back as they are, redirects and
    /// refusals included; [`invalidate`](Self::invalidate) says when there is a new token. Of a 429 or 423,
    /// [`retry_after`](Self::retry_after) reads how long Webex asks to be left alone. The answer may be 16 MiB long.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): the request's host may not see a token. Nothing was sent.
    /// - [`ErrorKind::Transport`](crate::ErrorKind::Transport): the request or its answer was lost, or the answer is too long;
    ///   [`Error::delivery`] says how far it got.
    /// - Those of [`access_token`](Self::access_token). After a 401, only an error that
    ///   [requires a login](Error::is_login_required) is returned; any other failure of the refresh returns the 401.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        let webex = self.webex();
        call::check(webex.registration(), request.uri())?;
        let call = |token: AccessToken| {
            let request = request.clone();
            async move { webex.call(request, &token).await }
        };
        let is_unauthorized = |answer: &Result<Response<Bytes>>| {
            answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::UNAUTHORIZED)
        };
        self.with_token(call, is_unauthorized).await
    }

    /// How long an answer asks to be left alone: between one second and one hour, 15 seconds where it cannot be read.
    pub fn retry_after<T>(&self, answer: &Response<T>) -> Option<Duration> {
        retry_after(answer.headers(), self.webex().now())
    }

    /// What is known of this login without asking Webex; `None` when none is kept.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store) and [`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry).
    pub async fn status(&self) -> Result<Option<SessionStatus>> {
        let Some(known) = self.keeper().load(&self.slot.key).await? else { return Ok(None) };
        // New tokens serve before they are saved.
        let unsaved = self.slot.unsaved().filter(|unsaved| unsaved.is_newer_than(&known.head));
        let known = unsaved.unwrap_or(known);
        let now = self.webex().now();
        let state = match known.head.hold {
            Some(RefreshBlock::Rejected { generation, code, at, .. }) if generation == known.head.generation => {
                SessionState::LoginRequired { code, since: at, was_interrupted: known.head.interrupted }
            }
            Some(RefreshBlock::RetryAt(until)) if until > now && until.since(now) <= LONGEST_HOLD => {
                SessionState::Waiting(until)
            }
            _ => SessionState::of(&known.tokens.tokens, now),
        };
        // A pause for all concerns every login that could go on.
        let own = self.slot.trouble();
        let is_over = own.as_ref().is_some_and(Error::is_login_required);
        let trouble = self.keeper().halted().filter(|_| !is_over).or(own);
        Ok(Some(SessionStatus::new(state, trouble, known.head.ends, &known.tokens.tokens)))
    }

    /// [`status`](Self::status), after asking Webex whether the login is still good: for the button "Check connection".
    ///
    /// It asks who the person is, with one refresh if the access token is refused, also in a pause between two such refreshes
    /// (once until it succeeds, or six hours have passed). Webex Meetings cannot be asked that,
    /// so there the login is refreshed ([`refresh`](Self::refresh)). That the login is dead is an answer, in
    /// [`SessionStatus::state`].
    ///
    /// # Errors
    ///
    /// Those of [`status`](Self::status), and those of [`person`](Self::person) that do not require a login. An error that
    /// [is a rejected access token](Error::is_token_rejected) means that there is no newer token for now: it is younger
    /// than 30 seconds, or refreshes after a 401 are paused. Check again later.
    pub async fn check(&self) -> Result<Option<SessionStatus>> {
        let asked = match self.webex().service().person_endpoint() {
            Some(_) => self.person().await.map(drop),
            None => self.refresh().await,
        };
        match asked {
            // Webex knows the token, and has its reasons not to say whose it is: a scope is missing. A proxy knows nothing.
            Err(error)
                if error.kind() == ErrorKind::PersonRequest
                    && error.is_misconfigured()
                    && !error.server().is_some_and(ServerError::is_from_intermediary) => {}
            Err(error) if !error.is_login_required() => return Err(error),
            _ => {}
        }
        self.status().await
    }

    /// Asks Webex who the person is, and notes the answer with the login: from then on [`account`](Self::account) and
    /// [`status`](Self::status) know it without asking.
    ///
    /// # Errors
    ///
    /// Those of [`WebexOAuth::person`](crate::WebexOAuth::person) and [`access_token`](Self::access_token).
    pub async fn person(&self) -> Result<Person> {
        let webex = self.webex();
        let call = |token: AccessToken| async move {
            let login = self.keeper().login_of(&self.slot, &token);
            let person = webex.person(&token).await?;
            Ok::<_, Error>((login, person))
        };
        let is_refused = |answer: &Result<_>| answer.as_ref().is_err_and(Error::is_token_rejected);
        let (login, person) = self.call_again(call, is_refused, true).await?;
        self.slot.note_accepted();
        if let Some(login) = login {
            let identity = person.identity();
            let note = move |tokens: &mut TokenSet| {
                // Whoever is known already is nobody else.
                let is_another = tokens.account().person_id().is_some_and(|known| known != identity.id);
                !is_another && tokens.identify(identity.clone())
            };
            self.keeper().note(&self.slot, login, note).await;
        }
        Ok(person)
    }

    /// Asks Webex for the claims about the user whom this login's ID token proved, also long after the login, and notes name and
    /// e-mail address with it, as [`person`](Self::person) does.
    ///
    /// # Errors
    ///
    /// Those of [`WebexOAuth::user_info_of`](crate::WebexOAuth::user_info_of), [`access_token`](Self::access_token) and
    /// [`account`](Self::account).
    #[cfg(feature = "oidc")]
    pub async fn user_info(&self) -> Result<UserInfo> {
        let webex = &self.keeper().webex;
        let known = self.keeper().load(&self.slot.key).await?.ok_or_else(|| self.slot.absent())?;
        let account = known.tokens.tokens.account();
        let is_refused = |answer: &Result<_>| answer.as_ref().is_err_and(Error::is_token_rejected);
        let call = |token: AccessToken| async move { webex.user_info_about(account, &token).await };
        let info = self.call_again(call, is_refused, true).await?;
        self.slot.note_accepted();
        let profile = info.profile();
        self.keeper().note(&self.slot, known.head.login, move |tokens| tokens.describe(profile.clone())).await;
        Ok(info)
    }

    /// Whose login this is, as far as it is known without asking Webex.
    ///
    /// # Errors
    ///
    /// Those of [`status`](Self::status), and [`ErrorKind::SessionNotFound`](crate::ErrorKind::SessionNotFound) when no login is kept.
    pub async fn account(&self) -> Result<Account> {
        Ok(self.kept_status().await?.account)
    }

    /// Those of `wanted` that this login may not use: a refresh keeps the old scopes, so new ones need a new login.
    ///
    /// # Errors
    ///
    /// Those of [`status`](Self::status), and [`ErrorKind::SessionNotFound`](crate::ErrorKind::SessionNotFound) when no login is kept.
    pub async fn missing_scopes(&self, wanted: &Scopes) -> Result<Scopes> {
        Ok(wanted.without(&self.kept_status().await?.scopes))
    }

    /// The element that says who asks the XML API of Webex Meetings, with a token to use now.
    ///
    /// # Errors
    ///
    /// Those of [`access_token`](Self::access_token) and [`SecurityContext::from_tokens`]:
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for the login of another service, whose tokens name no site.
    pub async fn security_context(&self) -> Result<SecurityContext> {
        let token = self.access_token().await?;
        SecurityContext::of_account(&self.account().await?, &token)
    }

    /// Ends this login: it is forgotten here, in any case, and Webex is told if it can be
    /// ([`Service::with_revocation_endpoint`](crate::Service::with_revocation_endpoint)).
    ///
    /// Only this login's access token is ended at Webex; [`everywhere`](Disconnect::everywhere) ends every login of this
    /// user with this integration. The browser stays signed in at Webex: begin its next login with
    /// [`login_again`](crate::Disconnected::login_again), or it may silently be the same user's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`](crate::ErrorKind::Store): the login may still be kept here, and Webex was not told.
    ///
    /// # Example
    ///
    /// ```
    /// # use webex_oauth::ErrorKind;
    /// # async fn leave(session: webex_oauth::Session) -> webex_oauth::Result<()> {
    /// let disconnected = session.disconnect().await?;
    /// match disconnected.told {
    ///     Err(why) if why.kind() == ErrorKind::Unsupported => {} // as with Webex's documented services
    ///     Err(why) => println!("Webex was not told: {why}"),
    ///     Ok(()) => println!("ended at Webex, too"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn disconnect(&self) -> Disconnect {
        Disconnect::new(self.slot.clone())
    }

    async fn kept_status(&self) -> Result<SessionStatus> {
        self.status().await?.ok_or_else(|| self.slot.absent())
    }
}

#[async_trait]
impl TokenSource for Session {
    async fn access_token(&self) -> Result<AccessToken> {
        Session::access_token(self).await
    }

    async fn reject(&self, token: &AccessToken) {
        // That the user must log in is what `access_token` says next.
        let _ = self.keeper().replacement(&self.slot, token, false).await;
    }
}
