//! All logins of an application: kept in a store, and kept alive.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::client::WebexOAuth;
use crate::error::{Error, ErrorKind, Result};
use crate::keeper::{self, Change, Editing, Held, Keeper, Known, Listener, Record, SessionEvent};
use crate::secret::{AccessToken, RefreshToken};
use crate::session::Session;
use crate::store::{Entry, Head, TokenIndex, TokenKey, TokenStore};
use crate::token::TokenSet;
use crate::trace::event;

/// How many keys are listed at a time.
const PAGE: usize = 256;

/// Keeps the logins of one client in a store, and hands out their tokens.
///
/// Refreshing happens by itself: one refresh for each login however many ask, by compare and swap in the store, so that
/// processes that share a store share the work. See [`Session`] for what callers see.
///
/// Clones are cheap and share everything; do not wrap it in an `Arc`. Two managers over one store are as safe as two
/// processes, but they share no memory.
///
/// # A new client secret
///
/// A secret that Webex rejects (`invalid_client`) ends no login. Access tokens are returned until they expire; then their callers
/// get an error that [is a misconfiguration](Error::is_misconfigured), and for all logins together one refresh tries again,
/// after pauses of up to five minutes. A rejection that concerns one login, such as `invalid_scope`, pauses that login alone; when
/// Webex rejects a second login in the same way, all pause. A client keeps the secret that it was built with, so a regenerated one takes a new
/// [`WebexOAuth`] and a new manager over the same store: there every login goes on.
#[derive(Clone, Debug)]
pub struct TokenManager {
    keeper: Arc<Keeper>,
    index: Option<Arc<dyn TokenIndex>>,
}

/// Settings of a [`TokenManager`]; made by [`TokenManager::builder`].
#[must_use = "a builder does nothing until `build()`"]
pub struct TokenManagerBuilder {
    webex: WebexOAuth,
    store: Arc<dyn TokenStore>,
    index: Option<Arc<dyn TokenIndex>>,
    listener: Option<Listener>,
}

impl TokenManagerBuilder {
    /// Hears what happens to the logins. The listener is called by the refreshing task, with no lock held; it should not
    /// block.
    pub fn on_event(mut self, listener: impl Fn(&SessionEvent) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Makes the manager.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when the client has no secret, without which nothing can be refreshed, and
    /// [`ErrorKind::RandomSource`] when the operating system's generator failed.
    pub fn build(self) -> Result<TokenManager> {
        self.webex.registration().require_secret()?;
        let keeper = Arc::new(Keeper::new(self.webex, self.store, self.listener)?);
        Ok(TokenManager { keeper, index: self.index })
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
    /// A manager without a listener.
    ///
    /// # Errors
    ///
    /// Those of [`TokenManagerBuilder::build`].
    pub fn new(webex: WebexOAuth, store: impl TokenStore) -> Result<Self> {
        Self::builder(webex, store).build()
    }

    /// Begins a manager.
    pub fn builder(webex: WebexOAuth, store: impl TokenStore) -> TokenManagerBuilder {
        TokenManagerBuilder { webex, store: Arc::new(store), index: None, listener: None }
    }

    /// Begins a manager over a store that can list what it keeps, for [`remove_all`](Self::remove_all) and
    /// [`KeepAlive`](crate::KeepAlive).
    pub fn with_index(webex: WebexOAuth, store: impl TokenIndex) -> TokenManagerBuilder {
        let index: Arc<dyn TokenIndex> = Arc::new(store);
        let store: Arc<dyn TokenStore> = Arc::clone(&index) as _;
        TokenManagerBuilder { webex, store, index: Some(index), listener: None }
    }

    /// Keeps a login under a key, in place of an earlier one of the same account, whose [data](Self::put_with) stays.
    ///
    /// Two accounts are told apart by what both logins know: the person that Webex named to
    /// [`WebexOAuth::identify`] or [`Session::person`], the subject of an ID token, the user and site of Webex Meetings,
    /// the organization in the tokens. Where the kept login's person is known and the new one's is not, Webex is asked. Where
    /// nothing is known of the kept one, the new one is believed: ask `identify` before you keep a login for the first time.
    /// [`Account::is_unverified`] says which logins nobody asked about.
    ///
    /// [`Account::is_unverified`]: crate::Account::is_unverified
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ClientMismatch`]: another client's tokens, or another client's login is kept there.
    /// - [`ErrorKind::CorruptEntry`]: what is kept there cannot be read, so it may be anybody's.
    /// - [`ErrorKind::AccountMismatch`]: another account's login is kept there; see [`replace`](Self::replace).
    /// - Those of [`WebexOAuth::person`], where Webex had to be asked who it is.
    /// - [`ErrorKind::Store`]: the store failed; the login may have been kept or not.
    pub async fn put(&self, key: &TokenKey, login: impl Into<TokenSet>) -> Result<Session> {
        self.keep(key, login.into(), None, Replace::SameAccount).await
    }

    /// [`put`](Self::put), with a value of the application's own that stays with the login through all refreshes and is
    /// removed with it.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), and [`ErrorKind::InvalidInput`] when the value cannot be JSON.
    pub async fn put_with(&self, key: &TokenKey, login: impl Into<TokenSet>, data: &impl Serialize) -> Result<Session> {
        let data = json(data)?;
        self.keep(key, login.into(), Some(data), Replace::SameAccount).await
    }

    /// [`put`](Self::put), also in place of another account's login; what the application kept with that is gone.
    ///
    /// # Errors
    ///
    /// Those of [`put`](Self::put), except for another account.
    pub async fn replace(&self, key: &TokenKey, login: impl Into<TokenSet>) -> Result<Session> {
        self.keep(key, login.into(), None, Replace::AnyAccount).await
    }

    /// [`replace`](Self::replace), with a value of the application's own, as [`put_with`](Self::put_with).
    ///
    /// # Errors
    ///
    /// Those of [`replace`](Self::replace), and [`ErrorKind::InvalidInput`] when the value cannot be JSON.
    pub async fn replace_with(
        &self,
        key: &TokenKey,
        login: impl Into<TokenSet>,
        data: &impl Serialize,
    ) -> Result<Session> {
        let data = json(data)?;
        self.keep(key, login.into(), Some(data), Replace::AnyAccount).await
    }

    /// Keeps a login of which there is only a refresh token, from another program's store for example; it is used once to
    /// fetch the rest. See [`WebexOAuth::adopt`] for `site`.
    ///
    /// # Errors
    ///
    /// Those of [`WebexOAuth::adopt`] and [`put`](Self::put).
    pub async fn adopt(&self, key: &TokenKey, refresh_token: &RefreshToken, site: Option<&str>) -> Result<Session> {
        let tokens = self.keeper.webex.adopt(refresh_token, site).await?;
        self.put(key, tokens).await
    }

    /// The handle of a key; whether a login is kept there turns out when it is used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RandomSource`] when the operating system's generator failed.
    pub fn session(&self, key: &TokenKey) -> Result<Session> {
        Ok(Session::new(self.slot(key)?))
    }

    /// An access token of the login under a key; see [`Session::access_token`].
    ///
    /// # Errors
    ///
    /// Those of [`Session::access_token`].
    pub async fn access_token(&self, key: &TokenKey) -> Result<AccessToken> {
        match self.keeper.at_rest(key) {
            Some(token) => Ok(token),
            None => self.keeper.access_token(&*self.slot(key)?).await,
        }
    }

    /// Reports that the API responded with 401 to this token; see [`Session::invalidate`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RandomSource`] when the operating system's generator failed.
    pub fn invalidate(&self, key: &TokenKey, token: &AccessToken) -> Result<()> {
        self.session(key)?.invalidate(token);
        Ok(())
    }

    /// What the application keeps with a login; `None` when there is no login or no value.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the value is not a `T`, [`ErrorKind::Store`] and [`ErrorKind::CorruptEntry`].
    pub async fn data<T: DeserializeOwned>(&self, key: &TokenKey) -> Result<Option<T>> {
        let Some(entry) = self.keeper.store.load(key).await? else { return Ok(None) };
        let record = self.read(&entry)?;
        let Some(data) = record.data else { return Ok(None) };
        serde_json::from_str(data.get()).map(Some).map_err(|_| {
            Error::new(
                ErrorKind::InvalidInput,
                "the data is not of the type that was asked for: read it as what was put in",
            )
        })
    }

    /// Keeps another value with a login, in place of the one that is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::SessionNotFound`] when no login is kept, [`ErrorKind::InvalidInput`] when the value cannot be JSON, [`ErrorKind::Store`]
    /// and [`ErrorKind::CorruptEntry`].
    pub async fn set_data(&self, key: &TokenKey, data: &impl Serialize) -> Result<()> {
        let data = json(data)?;
        let slot = self.slot(key)?;
        let amend = |_: &Head, record: &mut Record| {
            record.data = Some(data.clone());
            true
        };
        if self.keeper.amend(&slot, amend).await? { Ok(()) } else { Err(slot.absent()) }
    }

    /// Ends a login here: nothing of it is left, and a refresh under way brings nothing back. Webex is not told, and the
    /// browser stays signed in there: begin its next login with [`Prompt::SelectAccount`](crate::Prompt::SelectAccount), or it
    /// may silently be the same user's again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`]: the store failed; the login may be gone or not.
    pub async fn remove(&self, key: &TokenKey) -> Result<()> {
        self.keeper.remove(&*self.slot(key)?).await?;
        Ok(())
    }

    /// Ends every login whose key's first part is exactly `tenant`; says how many there were.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when the manager was not made by [`with_index`](Self::with_index); those of
    /// [`remove`](Self::remove), the first of them, after all that could be ended was.
    pub async fn remove_all(&self, tenant: &str) -> Result<usize> {
        let index = self.index()?;
        let (mut ended, mut trouble, mut place) = (0, None, None);
        loop {
            let page = keeper::in_time(index.keys(Some(tenant), place.as_ref(), PAGE)).await?;
            for key in &page.keys {
                match self.remove(key).await {
                    Ok(()) => ended += 1,
                    Err(error) => trouble = trouble.or(Some(error)),
                }
            }
            // An empty page is not the end; only a missing cursor is.
            let Some(next) = page.next else { break };
            place = Some(next);
        }
        trouble.map_or(Ok(ended), Err)
    }

    /// Lets a login try again that was marked as rejected or told to wait: after an administrator has fixed something at Webex. It
    /// also resets the pauses between refreshes after a 401.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`], and [`ErrorKind::RandomSource`] when the operating system's generator failed.
    pub async fn retry(&self, key: &TokenKey) -> Result<()> {
        self.keeper.retry(&*self.slot(key)?).await
    }

    /// Waits until no refresh is under way and all new tokens are saved. Call it before the end of `main`, after stopping
    /// [`KeepAlive`](crate::KeepAlive) and whatever asks for tokens.
    ///
    /// Also saves tokens whose refresh was cut off, because its runtime ended or the store panicked. It waits
    /// for three minutes at most.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`], retryable, if new tokens could not be saved for about 30 seconds: only the memory of this process has
    /// them, and the manager continues to try for as long as the process runs. [`ErrorKind::SessionNotFound`], retryable, if a refresh is
    /// still under way after three minutes. [`ErrorKind::NoRuntime`] outside a tokio runtime, if
    /// something is left to do.
    pub async fn wait_idle(&self) -> Result<()> {
        self.keeper.wait_idle().await
    }

    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// The store as one that can list.
    pub(crate) fn index(&self) -> Result<&Arc<dyn TokenIndex>> {
        self.index.as_ref().ok_or_else(|| {
            let message = "this manager cannot list its logins: make it with `TokenManager::with_index(..)`";
            Error::new(ErrorKind::Configuration, message)
        })
    }

    async fn keep(
        &self,
        key: &TokenKey,
        tokens: TokenSet,
        data: Option<Box<RawValue>>,
        replace: Replace,
    ) -> Result<Session> {
        tokens.require_owner(&self.keeper.webex.registration().owner)?;
        let slot = self.slot(key)?;
        let mut record = Record::new(tokens);
        let turn = slot.turn_in_time().await?;
        let mut change = None;
        let mut editing = Editing::new(&self.keeper, key);
        loop {
            let before = editing.look().await?;
            let kept = match (&before, replace) {
                (Some(before), Replace::SameAccount) => self.same_account(key, &mut record, before).await?.data,
                _ => None,
            };
            record.data = data.clone().or(kept);
            let entry = Entry { head: Head::begin(keeper::begun(&record.tokens).due)?, body: record.write()? };
            // Not before: a login that is refused changes nothing.
            let begun = change.take().unwrap_or_else(|| Change::begin(&slot));
            if editing.save(&entry).await? {
                begun.confirm(Some(self.keeper.current(&slot, &Known { head: entry.head, tokens: record })));
                drop(turn);
                event!(INFO, key = %key, "put");
                return Ok(Session::new(slot.clone()));
            }
            change = Some(begun);
        }
    }

    /// The login that is kept, unless it is another account's. What cannot be read, another client's login for example, may
    /// be somebody's: it takes `replace` to write over it. Where the kept one is known and the new one is not, Webex is asked.
    async fn same_account(&self, key: &TokenKey, record: &mut Record, before: &Entry) -> Result<Record> {
        let before = self.read(before)?;
        let is_known = |record: &Record| record.tokens.account().person.is_some();
        if is_known(&before) && !is_known(record) {
            let person = self.keeper.webex.person(record.tokens.access_token()).await?;
            record.tokens.identify(person.identity());
        }
        let is_proven = |record: &Record| record.tokens.account().subject().is_some();
        if is_proven(&before) && !is_known(&before) && !is_proven(record) {
            let message = format!(
                "an ID token proved whose login is kept under {key}, and the new one has none to compare: ask for the scope \
                 `openid` again, or use `replace(..)`"
            );
            return Err(Error::new(ErrorKind::AccountMismatch, message));
        }
        if !record.tokens.is_of_another_account(&before.tokens) {
            return Ok(before);
        }
        let message = format!("another account's login is kept under {key}: use another key, or `replace(..)`");
        Err(Error::new(ErrorKind::AccountMismatch, message))
    }

    fn slot(&self, key: &TokenKey) -> Result<Held> {
        Held::new(&self.keeper, key)
    }

    fn read(&self, entry: &Entry) -> Result<Record> {
        Record::read(&entry.body, &self.keeper.webex.registration().owner)
    }
}

/// What may be overwritten.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replace {
    SameAccount,
    AnyAccount,
}

fn json(data: &impl Serialize) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(data)
        .map_err(|source| Error::new(ErrorKind::InvalidInput, "the data cannot be JSON").with_source(source))
}
