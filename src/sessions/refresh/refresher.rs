//! The coordinator: returns cached tokens, starts or joins refresh tasks, and replaces tokens on
//! request or after a 401.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::{Error, ErrorClass, ErrorKind, Result, require_runtime};
use crate::secret::AccessToken;
use crate::sessions::refresh::cache::{CacheRef, Refresher, retryable_error};
use crate::sessions::refresh::cache_entry::CachedToken;
use crate::sessions::refresh::policy::MIN_BACKOFF;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{RefreshStatus, StoredLogin, TIMING, Urgency};
use crate::sessions::refresh::task::RefreshTask;
use crate::store::TokenKey;
use crate::store::entry::{LeaseId, LoginId};
use crate::trace::event;

/// The age at which a cached token is revalidated against the store in the background.
const REVALIDATION_AGE: Duration = Duration::from_secs(30);
/// The maximum age of a cached token that is served without asking the store first.
const MAX_STALENESS: Duration = Duration::from_secs(5 * 60);

/// The maximum time that a caller waits for another caller's revalidation.
const REVALIDATION_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of checks after which [`Refresher::wait_idle`] gives up on unsaved tokens.
const MAX_SAVE_CHECKS: u32 = 3;
/// The time between these checks.
const SAVE_CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// The number of waits for running refreshes. Together they exceed the time limit of a refresh.
const MAX_IDLE_WAITS: u32 = 18;
/// The maximum time that a caller waits for a refresh.
///
/// It exceeds a wait for another process's lease plus a request. It is measured by the runtime's
/// own clock, because it protects against runtimes that are no longer driven.
const MAX_WAIT: Duration = Duration::from_secs(150);

impl Refresher {
    /// Returns the cached token of a key if it needs neither a refresh nor a revalidation. This is
    /// the fast path of most calls.
    pub(crate) fn cached_if_fresh(&self, key: &TokenKey) -> Option<AccessToken> {
        let (now, elapsed) = (self.webex.now(), self.elapsed());
        self.cache.peek(key, |entry| {
            let current = entry.current();
            let current = current.as_ref().filter(|_| entry.is_pinned())?;
            let is_fresh = current.urgency(now, elapsed) == Urgency::None
                && !current.is_awaited
                && current.staleness(elapsed) < REVALIDATION_AGE;
            is_fresh.then(|| current.access_token.clone())
        })
    }

    /// Waits until no task is running and all new tokens are saved.
    ///
    /// If the task that should save tokens is gone, because its runtime shut down or the store
    /// panicked, another task saves them.
    pub(crate) async fn wait_idle(self: &Arc<Self>) -> Result<()> {
        let mut active_tasks = self.active_tasks.subscribe();
        let (mut unsaved, mut checks, mut waits) = (self.unsaved(), 0, 0);
        if unsaved.is_empty() && *active_tasks.borrow() == 0 {
            return Ok(());
        }
        // Time limits need a runtime.
        require_runtime("tokens can only be saved")?;
        loop {
            for entry in &unsaved {
                entry.start_or_join()?;
            }
            // This value owns the sender, so the channel cannot be closed.
            let is_idle =
                tokio::time::timeout(SAVE_CHECK_INTERVAL, active_tasks.wait_for(|count| *count == 0)).await.is_ok();
            // Keep only entries that were unsaved at the last check as well. Others may have just
            // begun.
            unsaved.retain(|entry| entry.has_unsaved());
            if unsaved.is_empty() {
                (unsaved, checks) = (self.unsaved(), 0);
                if is_idle && unsaved.is_empty() {
                    return Ok(());
                }
                // A task may belong to a runtime that is no longer driven.
                waits += 1;
                if waits >= MAX_IDLE_WAITS {
                    return Err(retryable_error("timed out waiting for running refreshes; retry"));
                }
                continue;
            }
            checks += 1;
            if checks >= MAX_SAVE_CHECKS {
                return Err(unsaved_tokens_error(unsaved.len()));
            }
            if is_idle {
                // The task failed immediately, so the next one may fail as well.
                self.webex.clock().sleep(MIN_BACKOFF).await;
            }
        }
    }
}

/// Returning tokens.
impl CacheRef {
    /// Returns a valid access token: the cached one, or the result of a refresh.
    pub(crate) async fn access_token(&self) -> Result<AccessToken> {
        if self.current().as_ref().is_some_and(|current| current.is_awaited)
            && let Some(rejected) = self.take_rejected_token()
            && let Some(token) = self.replacement(&rejected, false).await?
        {
            return Ok(token);
        }
        self.usable_token().await
    }

    /// Returns an access token that has not expired, even if the API rejected it.
    async fn usable_token(&self) -> Result<AccessToken> {
        if let Some(token) = self.cached(MAX_STALENESS) {
            return Ok(token);
        }
        self.revalidate().await;
        match self.cached(Duration::MAX) {
            Some(token) => Ok(token),
            None => self.refreshed_token().await,
        }
    }

    /// Returns the cached token if it is valid and was compared with the store less than
    /// `max_staleness` ago.
    ///
    /// Starts a refresh or revalidation in the background if one is needed.
    fn cached(&self, max_staleness: Duration) -> Option<AccessToken> {
        let current = self.current();
        let current = current.as_ref()?;
        let elapsed = self.refresher.elapsed();
        let staleness = current.staleness(elapsed);
        if staleness >= max_staleness {
            return None;
        }
        let wants_refresh = match current.urgency(self.refresher.webex.now(), elapsed) {
            Urgency::Expired => return None,
            Urgency::Due | Urgency::Requested => {
                !self.is_backing_off(elapsed)
                    && self.refresher.client.denial_error(&self.refresh_candidate(), elapsed).is_none()
            }
            Urgency::None => false,
        };
        if wants_refresh || staleness >= REVALIDATION_AGE {
            event!(DEBUG, key = ?self.key, generation = current.generation, "cached token served, checking in background");
            // Outside a runtime no task can be started, but the token is still valid.
            let _ = self.start_or_join();
        }
        Some(current.access_token.clone())
    }

    /// Revalidates a cache entry that has not been compared with the store for a while.
    ///
    /// Another process may have removed the session. Concurrent callers share one load. A failing
    /// store changes nothing.
    async fn revalidate(&self) {
        if !self.must_revalidate() || Handle::try_current().is_err() {
            return;
        }
        let (epoch, elapsed) = (self.epoch(), self.refresher.elapsed());
        // The future that holds the lock may never be polled again.
        let Ok(_guard) = tokio::time::timeout(REVALIDATION_TIMEOUT, self.lock_for_write()).await else {
            return self.touch(epoch, elapsed);
        };
        if !self.must_revalidate() {
            return;
        }
        let epoch = self.epoch();
        match self.load().await {
            Ok(session) => {
                self.publish(epoch, session.map(|session| self.to_cached_token(&session)));
            }
            Err(_) => self.touch(epoch, elapsed),
        }
    }

    /// Returns `true` if the token must be compared with the store before it is
    /// returned.
    ///
    /// For an expired token, the refresh asks the store anyway, unless refreshes are paused.
    fn must_revalidate(&self) -> bool {
        let (now, elapsed) = (self.refresher.webex.now(), self.refresher.elapsed());
        self.current().as_ref().is_some_and(|current| {
            let is_asked_anyway =
                current.urgency(now, elapsed) == Urgency::Expired && self.refresher.pause_error().is_none();
            current.staleness(elapsed) >= MAX_STALENESS && !is_asked_anyway
        })
    }

    /// Waits for the running refresh, or starts one, and returns its token.
    async fn refreshed_token(&self) -> Result<AccessToken> {
        if self.current().is_some()
            && let Some(error) = self.refresher.client.denial_error(&self.refresh_candidate(), self.refresher.elapsed())
        {
            return Err(error);
        }
        // One more attempt for a task that was canceled with its runtime, and one for a session
        // that changed in the meantime.
        for _ in 0..3 {
            // The stored token may have been published while it was valid, and expired since.
            let has_token = |status: &RefreshStatus| match status {
                RefreshStatus::Cached => !self.has_expired(),
                _ => !status.is_result_pending(),
            };
            let Some(status) = self.wait_for_refresh_status(has_token).await? else { continue };
            if let RefreshStatus::Failed(error) = status {
                return Err(error);
            }
            if matches!(status, RefreshStatus::Done(_)) && self.has_expired() {
                continue;
            }
            match self.current().as_ref() {
                Some(current) if matches!(status, RefreshStatus::TokensReady) && self.is_exhausted(current) => {
                    return Err(unsaved_token_expired_error());
                }
                Some(current) if !current.is_withheld => return Ok(current.access_token.clone()),
                _ => {}
            }
        }
        Err(interrupted_error())
    }

    fn has_expired(&self) -> bool {
        let (now, elapsed) = (self.refresher.webex.now(), self.refresher.elapsed());
        self.current().as_ref().is_some_and(|current| current.urgency_by_expiry(now, elapsed) == Urgency::Expired)
    }

    /// Returns `true` if tokens that could not be saved have expired in the meantime.
    fn is_exhausted(&self, current: &CachedToken) -> bool {
        let elapsed = self.refresher.elapsed();
        current.urgency(self.refresher.webex.now(), elapsed) == Urgency::Expired
            && current.staleness(elapsed) > TIMING.send_timeout
    }

    /// Returns the status of the running refresh, or starts a refresh task.
    pub(crate) fn start_or_join(&self) -> Result<watch::Receiver<RefreshStatus>> {
        let runtime = require_runtime("tokens can only be refreshed")?;
        let (status, new) = self.join_or_register_refresh();
        if let Some(new) = new {
            // A random ID per refresh: a forked or cloned process must not share lease IDs.
            let task = RefreshTask::new(self.clone(), LeaseId::new()?, new);
            // A runtime that is shutting down drops the task immediately, which releases the cache
            // entry, so no lock may be held here.
            runtime.spawn(self.refresher.track_future(task.run()));
        }
        Ok(status)
    }

    /// Starts or joins a refresh and waits until its status fulfills `is_ready`.
    ///
    /// Returns `None` if the task was canceled with its runtime.
    async fn wait_for_refresh_status(
        &self,
        is_ready: impl FnMut(&RefreshStatus) -> bool,
    ) -> Result<Option<RefreshStatus>> {
        let mut running = self.start_or_join()?;
        match tokio::time::timeout(MAX_WAIT, running.wait_for(is_ready)).await {
            Ok(status) => Ok(status.ok().map(|status| status.clone())),
            Err(_) => {
                // The task may belong to a runtime that is no longer driven. It is abandoned, so
                // that it does not block other callers.
                let running = self.active_refresh();
                if !running.is_some_and(|status| matches!(*status.borrow(), RefreshStatus::Queued)) {
                    self.abandon();
                }
                Err(retryable_error("token refresh timed out; retry"))
            }
        }
    }
}

/// Replacing tokens.
impl CacheRef {
    /// Refreshes a valid token now. It is served until the new token arrives.
    ///
    /// Tokens younger than the minimum interval are not refreshed.
    pub(crate) async fn refresh(&self) -> Result<()> {
        let token = self.access_token().await?;
        self.request_new_tokens(&token, Urgency::Requested, self.cached_generation()).await?;
        Ok(())
    }

    /// Refreshes a loaded session for keep-alive. Returns `true` if there are new tokens, possibly
    /// from another process.
    ///
    /// `epoch` was read before the session was loaded, so a later logout or login takes precedence.
    pub(crate) async fn refresh_if_needed(&self, epoch: u64, session: &StoredLogin<SessionData>) -> Result<bool> {
        if !self.publish_same_login(epoch, self.to_cached_token(session)) {
            return Ok(false);
        }
        let token = session.tokens.tokens.access_token();
        // Do not wait for a refresh by another process.
        self.request_new_tokens(token, Urgency::Due, Some((session.head.login, session.head.generation))).await
    }

    /// Requests a newer token than `token` and waits for it. Returns `false` if no refresh is due.
    async fn request_new_tokens(
        &self,
        token: &AccessToken,
        urgency: Urgency,
        generation: Option<(LoginId, u64)>,
    ) -> Result<bool> {
        self.request_refresh(token, urgency);
        let is_new = self.wait_for_new_tokens(generation).await?;
        if !is_new {
            self.cancel_refresh_request(token);
        }
        Ok(is_new)
    }

    /// Returns a replacement for an access token that the API rejected with 401.
    ///
    /// This is a newer token if there is one, or the result of one refresh shared by all callers,
    /// or `None`. In the meantime, other callers still receive the rejected token. `may_shorten_pause`
    /// is set for endpoints that accept every valid token.
    ///
    /// # Errors
    ///
    /// Only errors for which [`is_login_required`](crate::Error::is_login_required) returns `true`.
    /// After any other failure, the API's own response is more useful to the caller.
    pub(crate) async fn replacement(
        &self,
        rejected: &AccessToken,
        may_shorten_pause: bool,
    ) -> Result<Option<AccessToken>> {
        let only_login_required = |error: Error| if error.is_login_required() { Err(error) } else { Ok(None) };
        if self.current().as_ref().is_none_or(|current| current.access_token != *rejected) {
            return Box::pin(self.access_token()).await.map(Some).or_else(only_login_required);
        }
        self.mark_unauthorized(rejected, may_shorten_pause);
        if !may_shorten_pause && self.is_denied(self.refresher.elapsed()) {
            return Ok(None);
        }
        if let Err(error) = self.wait_for_new_tokens(self.cached_generation()).await {
            return only_login_required(error);
        }
        let newer = self.current().as_ref().map(|current| current.access_token.clone());
        let newer = newer.filter(|token| token != rejected);
        if newer.is_none() {
            self.record_denial(self.refresher.elapsed());
        }
        Ok(newer)
    }

    /// Waits until there are tokens of another generation. Returns `false` if no refresh is due.
    async fn wait_for_new_tokens(&self, generation: Option<(LoginId, u64)>) -> Result<bool> {
        let mut first_error: Option<Error> = None;
        // One more attempt after a refresh that was already running and did not know about this
        // caller.
        for is_last in [false, true] {
            let is_final = is_last || self.active_refresh().is_none();
            let Some(status) = self.wait_for_refresh_status(|status| !status.is_result_pending()).await? else {
                continue;
            };
            match status {
                RefreshStatus::Failed(error) | RefreshStatus::Done(Some(error)) if is_final => {
                    // The error from the stored block has less detail than the original response.
                    let is_from_block = error.is_login_required() && error.server().is_none();
                    let first_error = first_error.filter(|first| is_from_block && first.is_login_required());
                    return Err(first_error.unwrap_or(error));
                }
                RefreshStatus::Failed(error) | RefreshStatus::Done(Some(error)) => first_error = Some(error),
                _ if self.cached_generation() != generation => return Ok(true),
                _ if is_final => return Ok(false),
                _ => {}
            }
        }
        Err(interrupted_error())
    }
}

fn interrupted_error() -> Error {
    retryable_error("token refresh was interrupted; retry")
}

fn unsaved_token_expired_error() -> Error {
    let message = "access token expired: it cannot be refreshed until its refresh token is stored; retry later";
    Error::new(ErrorKind::Store, message).with_class(ErrorClass::Retryable)
}

fn unsaved_tokens_error(count: usize) -> Error {
    let message = format!("failed to store the new tokens of {count} sessions: only this process has them; retry");
    Error::new(ErrorKind::Store, message).with_class(ErrorClass::Retryable)
}
