//! The token manager: stores, imports, lists, and removes sessions.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::client::WebexOAuth;
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::AccessToken;
use crate::sessions::refresh::cache::{CacheRef, EventListener, Refresher};
use crate::sessions::refresh::policy::after_login;
use crate::sessions::refresh::record::{SessionData, with_timeout};
use crate::sessions::refresh::steps::StoredLogin;
use crate::sessions::refresh::update::{CompareAndSwap, InvalidateOnDrop};
use crate::sessions::session::Session;
use crate::sessions::status::SessionEvent;
use crate::store::{Entry, Head, TokenIndex, TokenKey, TokenStore, traits};
use crate::token::token_set::ImportedTokens;
use crate::token::token_set::TokenSet;
use crate::trace::event;

/// The number of keys listed per page.
const PAGE_SIZE: usize = 256;

/// A manager for the stored sessions of one client.
///
/// The manager refreshes each session once, no matter how many tasks ask for its token. Processes
/// that share a [store](crate::store::TokenStore) coordinate through the store and need no other
/// channel.
///
/// Cloning is cheap: all clones share one cache, so there is no need to wrap a manager in an
/// [`Arc`]. Two managers over the same store behave like two processes.
///
/// # Client secret rotation
///
/// A rejected client secret (`invalid_client`) does not end any session. Valid access tokens are
/// still returned; once they expire, callers receive an error for which [`Error::is_misconfigured`]
/// returns `true`. The manager then retries with a single session, at intervals of up to five
/// minutes, until the secret is accepted. A rejection that concerns one session, such as
/// `invalid_scope`, pauses only that session, until a second session is rejected in the same way.
///
/// A client keeps the secret that it was built with. After regenerating the secret, build a new
/// [`WebexOAuth`] and a new manager over the same store. All sessions remain valid.
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
/// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
/// let key = TokenKey::new("jane")?;
/// manager.put(&key, login).await?;
///
/// let token = manager.access_token(&key).await?; // refreshed when necessary
/// # assert!(!token.expose().is_empty());
/// manager.wait_idle().await?; // before the program exits
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokenManager {
    refresher: Arc<Refresher>,
}

/// A builder for [`TokenManager`], created by [`TokenManager::builder`].
#[must_use = "a builder does nothing until `build()`"]
pub struct TokenManagerBuilder {
    webex: WebexOAuth,
    store: Arc<dyn TokenStore>,
    listener: Option<EventListener>,
}

/// Options for [`TokenManager::put_opts`].
///
/// # Example
///
/// ```
/// use webex_oauth::PutOptions;
///
/// let plan = serde_json::json!({ "plan": "free" });
/// let options = PutOptions::new().data(&plan).replace_account();
/// ```
#[derive(Default)]
#[must_use = "options do nothing until they are passed to `put_opts`"]
pub struct PutOptions {
    data: Option<Result<Box<RawValue>>>,
    replaces_account: bool,
}

impl std::fmt::Debug for PutOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The application's data may contain secrets.
        f.debug_struct("PutOptions")
            .field("has_data", &self.data.is_some())
            .field("replaces_account", &self.replaces_account)
            .finish()
    }
}

impl PutOptions {
    /// Creates the options that [`TokenManager::put`] uses.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the application's data, stored alongside the tokens as JSON.
    ///
    /// The data survives refreshes and is removed with the session. Read it with
    /// [`TokenManager::data`]. Without this option, the data of a replaced session of the same
    /// account is kept, unless [`replace_account`](Self::replace_account) is set.
    pub fn data(mut self, data: &impl Serialize) -> Self {
        self.data = Some(to_json(data));
        self
    }

    /// Allows the session to replace one of another account, or one that cannot be read. Its data
    /// is removed.
    pub fn replace_account(mut self) -> Self {
        self.replaces_account = true;
        self
    }
}

impl TokenManagerBuilder {
    /// Registers a listener for session events.
    ///
    /// The listener runs in the task that refreshes the session, with no lock held. It must not
    /// block. A second call replaces the listener.
    pub fn on_event(mut self, listener: impl Fn(&SessionEvent) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Builds the manager.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the client has no client secret, which refreshing requires.
    /// - [`ErrorKind::RandomSource`]: the operating system's random number generator failed.
    pub fn build(self) -> Result<TokenManager> {
        self.webex.registration().require_secret()?;
        Ok(TokenManager { refresher: Arc::new(Refresher::new(self.webex, self.store, self.listener)?) })
    }
}

impl std::fmt::Debug for TokenManagerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenManagerBuilder")
            .field("webex", &self.webex)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl TokenManager {
    /// Creates a manager over `store`.
    ///
    /// # Errors
    ///
    /// The errors of [`TokenManagerBuilder::build`].
    pub fn new(webex: WebexOAuth, store: impl TokenStore) -> Result<Self> {
        Self::builder(webex, store).build()
    }

    /// Creates a builder, for example to register a listener.
    pub fn builder(webex: WebexOAuth, store: impl TokenStore) -> TokenManagerBuilder {
        TokenManagerBuilder { webex, store: Arc::new(store), listener: None }
    }

    /// Stores `tokens` under `key` and returns the session.
    ///
    /// A session that is already stored under `key` is replaced if it belongs to the same account;
    /// its application data is kept. To store data, or to replace the session of another account,
    /// use [`put_opts`](Self::put_opts).
    ///
    /// Accounts are compared by person ID, by ID token subject, by site and user of Webex Meetings,
    /// or by organization, using the values that are known for both. If only the stored account is
    /// known, the person is fetched from Webex first. If nothing is known about the stored account,
    /// it is replaced. Call [`WebexOAuth::identify`] before the first `put` to rule this out.
    /// [`Account::is_unverified`](crate::Account::is_unverified) reports such accounts.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AccountMismatch`]: the stored session belongs to another account.
    /// - [`ErrorKind::ClientMismatch`]: the tokens or the stored session belong to another client.
    /// - [`ErrorKind::CorruptEntry`]: the stored session cannot be read.
    /// - [`ErrorKind::Store`]: the store failed. The tokens may or may not have been stored.
    /// - The errors of [`WebexOAuth::person`], if the person was fetched.
    pub async fn put(&self, key: &TokenKey, tokens: impl Into<TokenSet>) -> Result<Session> {
        self.put_opts(key, tokens, PutOptions::new()).await
    }

    /// Stores `tokens` under `key` with options.
    ///
    /// # Errors
    ///
    /// The errors of [`put`](Self::put), and:
    ///
    /// - [`ErrorKind::InvalidInput`]: the data cannot be converted to JSON.
    pub async fn put_opts(&self, key: &TokenKey, tokens: impl Into<TokenSet>, options: PutOptions) -> Result<Session> {
        self.store_session(key, tokens.into(), options, None).await
    }

    /// Imports existing tokens, for example from another program's store, and returns the session.
    ///
    /// If `tokens` contains a valid access token, no request is sent. Otherwise the refresh token
    /// is used once to obtain one. A session that is already stored is replaced as by
    /// [`put`](Self::put).
    ///
    /// # Errors
    ///
    /// The errors of [`WebexOAuth::import`] and [`put`](Self::put).
    ///
    /// # Example
    ///
    /// ```no_run
    /// use webex_oauth::{ImportedTokens, RefreshToken, Session, TokenManager, store::TokenKey};
    ///
    /// async fn migrate(manager: &TokenManager, old: &str) -> webex_oauth::Result<Session> {
    ///     let tokens = ImportedTokens::new(RefreshToken::new(old)?);
    ///     manager.import(&TokenKey::new("jane")?, tokens).await
    /// }
    /// ```
    pub async fn import(&self, key: &TokenKey, tokens: ImportedTokens) -> Result<Session> {
        let webex = &self.refresher.webex;
        let tokens = webex.import(tokens).await?;
        // Without a known expiry of the refresh token, it is due at once: a refresh finds it out.
        self.store_session(key, tokens, PutOptions::new(), Some(webex.now())).await
    }

    /// Returns a handle for the session under `key`, without accessing the store.
    pub fn session(&self, key: &TokenKey) -> Session {
        Session::new(self.cache_ref(key))
    }

    /// Returns a valid access token for the session under `key`. See [`Session::access_token`].
    ///
    /// # Errors
    ///
    /// The errors of [`Session::access_token`].
    pub async fn access_token(&self, key: &TokenKey) -> Result<AccessToken> {
        match self.refresher.cached_if_fresh(key) {
            Some(token) => Ok(token),
            None => self.cache_ref(key).access_token().await,
        }
    }

    /// Reports that the API responded with 401 to `token`. See [`Session::invalidate`].
    pub fn invalidate(&self, key: &TokenKey, token: &AccessToken) {
        self.session(key).invalidate(token);
    }

    /// Returns the application's data of the session under `key`.
    ///
    /// Returns `None` if there is no session or no data.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the data cannot be deserialized into `T`.
    /// - [`ErrorKind::Store`]: the store failed.
    /// - [`ErrorKind::CorruptEntry`]: the stored session cannot be read.
    pub async fn data<T: DeserializeOwned>(&self, key: &TokenKey) -> Result<Option<T>> {
        let Some(entry) = self.refresher.store.load(key).await? else { return Ok(None) };
        let record = self.read_entry(&entry)?;
        let Some(data) = record.data else { return Ok(None) };
        // The message of serde_json may quote the data.
        serde_json::from_str(data.get()).map(Some).map_err(|_| {
            let message = "session data has a different type: read it as the type that was stored";
            Error::new(ErrorKind::InvalidInput, message)
        })
    }

    /// Replaces the application's data of the session under `key`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::SessionNotFound`]: there is no session.
    /// - [`ErrorKind::InvalidInput`]: the data cannot be converted to JSON.
    /// - [`ErrorKind::Store`]: the store failed. The data may or may not have been stored.
    /// - [`ErrorKind::CorruptEntry`]: the stored session cannot be read.
    pub async fn set_data(&self, key: &TokenKey, data: &impl Serialize) -> Result<()> {
        let data = to_json(data)?;
        let cache_ref = self.cache_ref(key);
        let update = |_: &Head, record: &mut SessionData| {
            record.data = Some(data.clone());
            true
        };
        if cache_ref.update_session_data(update).await? { Ok(()) } else { Err(cache_ref.not_found_error()) }
    }

    /// Removes the session under `key` from the store. A refresh in progress does not restore it.
    ///
    /// Webex is not notified, and the browser stays signed in to Webex. Begin the next login with
    /// [`Prompt::SelectAccount`](crate::Prompt::SelectAccount), or it may silently use the same
    /// account. To revoke the tokens as well, use [`Session::disconnect`].
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Store`]: the store failed. The session may or may not have been removed.
    pub async fn remove(&self, key: &TokenKey) -> Result<()> {
        self.cache_ref(key).remove().await?;
        Ok(())
    }

    /// Removes all sessions with exactly this root, and returns their number.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the store cannot list sessions.
    /// - [`ErrorKind::Store`]: the first error of the store, returned after all other sessions were
    ///   removed.
    pub async fn remove_all(&self, root: &str) -> Result<usize> {
        let index = self.index()?;
        let (mut removed, mut failure, mut cursor) = (0, None, None);
        loop {
            let page = with_timeout(index.keys(Some(root), cursor.as_ref(), PAGE_SIZE)).await?;
            for key in &page.keys {
                match self.remove(key).await {
                    Ok(()) => removed += 1,
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            // An empty page may have a successor.
            let Some(next) = page.next else { break };
            cursor = Some(next);
        }
        failure.map_or(Ok(removed), Err)
    }

    /// Clears everything that blocks refreshes of the session under `key`.
    ///
    /// Call this after an administrator has corrected the cause in Webex. It clears a rejected
    /// refresh token, a backoff, and the pauses between refreshes after a 401. The next call of
    /// [`Session::access_token`] refreshes the session if necessary.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Store`]: the store failed.
    /// - [`ErrorKind::RandomSource`]: the operating system's random number generator failed.
    pub async fn unblock(&self, key: &TokenKey) -> Result<()> {
        self.cache_ref(key).unblock().await
    }

    /// Waits until no refresh is running and all new tokens are stored.
    ///
    /// Call it before the program exits, after stopping [`KeepAlive`](crate::KeepAlive) and all
    /// tasks that use tokens. It also stores tokens whose refresh was interrupted because its
    /// runtime ended or the store panicked. It waits for at most three minutes.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Store`], retryable: new tokens could not be stored for about 30 seconds. They
    ///   exist only in the memory of this process, which continues to retry.
    /// - [`ErrorKind::SessionBusy`], retryable: a refresh is still running after three minutes.
    /// - [`ErrorKind::NoRuntime`]: there is something to store, and there is no Tokio runtime.
    pub async fn wait_idle(&self) -> Result<()> {
        self.refresher.wait_idle().await
    }

    pub(crate) fn refresher(&self) -> &Arc<Refresher> {
        &self.refresher
    }

    pub(crate) fn index(&self) -> Result<&dyn TokenIndex> {
        self.refresher.store.as_index().ok_or_else(traits::cannot_list_error)
    }

    async fn store_session(
        &self,
        key: &TokenKey,
        tokens: TokenSet,
        options: PutOptions,
        due: Option<UnixTime>,
    ) -> Result<Session> {
        let PutOptions { data, replaces_account } = options;
        let data = data.transpose()?;
        tokens.require_same_client(&self.refresher.webex.registration().client)?;
        let cache_ref = self.cache_ref(key);
        let mut record = SessionData::new(tokens);
        let guard = cache_ref.lock_for_write_with_timeout().await?;
        let mut change = None;
        let mut swap = CompareAndSwap::new(&self.refresher.store, key);
        loop {
            let before = swap.load().await?;
            let kept = match &before {
                Some(before) if !replaces_account => self.require_same_account(key, &mut record, before).await?.data,
                _ => None,
            };
            record.data = data.clone().or(kept);
            let entry = Entry { head: Head::new(after_login(&record.tokens).due.or(due))?, body: record.write()? };
            // Not earlier: rejected tokens change nothing.
            let started = change.take().unwrap_or_else(|| InvalidateOnDrop::begin(&cache_ref));
            if swap.save(&entry).await? {
                let stored = StoredLogin { head: entry.head, tokens: record };
                started.confirm(Some(cache_ref.to_cached_token(&stored)));
                drop(guard);
                event!(INFO, key = ?key, "session stored");
                return Ok(Session::new(cache_ref.clone()));
            }
            change = Some(started);
        }
    }

    /// Returns the stored session, unless it belongs to another account. If only the stored account
    /// is known, the person is fetched from Webex.
    async fn require_same_account(
        &self,
        key: &TokenKey,
        record: &mut SessionData,
        before: &Entry,
    ) -> Result<SessionData> {
        let before = self.read_entry(before)?;
        let is_known = |record: &SessionData| record.tokens.account().person.is_some();
        if is_known(&before) && !is_known(record) {
            let person = self.refresher.webex.person(record.tokens.access_token()).await?;
            record.tokens.set_person(person.identity());
        }
        let is_verified = |record: &SessionData| record.tokens.account().subject().is_some();
        if is_verified(&before) && !is_known(&before) && !is_verified(record) {
            let message = format!(
                "account mismatch: the session stored under {key:?} was verified by an ID token, and the new tokens contain \
                 none; request the scope `openid` again, or use `PutOptions::replace_account()`"
            );
            return Err(Error::new(ErrorKind::AccountMismatch, message));
        }
        if !record.tokens.belongs_to_other_account(&before.tokens) {
            return Ok(before);
        }
        let message = format!(
            "account mismatch: the session stored under {key:?} belongs to another account; use another key, or \
             `PutOptions::replace_account()`"
        );
        Err(Error::new(ErrorKind::AccountMismatch, message))
    }

    fn cache_ref(&self, key: &TokenKey) -> CacheRef {
        CacheRef::new(&self.refresher, key)
    }

    fn read_entry(&self, entry: &Entry) -> Result<SessionData> {
        SessionData::read(&entry.body, &self.refresher.webex.registration().client)
    }
}

fn to_json(data: &impl Serialize) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(data).map_err(|source| {
        Error::new(ErrorKind::InvalidInput, "invalid session data: it cannot be converted to JSON").with_source(source)
    })
}
