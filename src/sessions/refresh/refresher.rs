//! The coordinator: returns cached tokens, and starts or joins refresh tasks.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::error::{Error, ErrorClass, ErrorKind, Result, require_runtime};
use crate::secret::AccessToken;
use crate::sessions::refresh::cache_entry::{CacheEntry, CachedToken};
use crate::sessions::refresh::policy::MIN_BACKOFF;
use crate::sessions::refresh::rare_state::RefreshStatus;
use crate::sessions::refresh::shared::{Refresher, retryable_error};
use crate::sessions::refresh::steps::{TIMING, Urgency};
use crate::sessions::refresh::task::RefreshTask;
use crate::store::TokenKey;
use crate::store::entry::LeaseId;
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
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(150);

impl Refresher {
    /// Returns the cached token of a key if it needs neither a refresh nor a revalidation. This is
    /// the fast path of most calls.
    pub(crate) fn cached_if_fresh(&self, key: &TokenKey) -> Option<AccessToken> {
        let (now, elapsed) = (self.webex.now(), self.webex.clock().elapsed());
        self.cache.peek(key, |slot| {
            let current = slot.current();
            let current = current.as_ref().filter(|_| slot.is_pinned())?;
            let is_good = current.urgency(now, elapsed) == Urgency::None
                && !current.is_awaited
                && current.staleness(elapsed) < REVALIDATION_AGE;
            is_good.then(|| current.access_token.clone())
        })
    }

    /// Returns a valid access token: the cached one, or the result of a refresh.
    pub(crate) async fn access_token(self: &Arc<Self>, slot: &Arc<CacheEntry>) -> Result<AccessToken> {
        if slot.current().as_ref().is_some_and(|current| current.is_awaited)
            && let Some(rejected) = slot.take_rejected_token()
            && let Some(token) = self.replacement(slot, &rejected, false).await?
        {
            return Ok(token);
        }
        self.usable_token(slot).await
    }

    /// Returns an access token that has not expired, even if the API rejected it.
    pub(crate) async fn usable_token(self: &Arc<Self>, slot: &Arc<CacheEntry>) -> Result<AccessToken> {
        if let Some(token) = self.cached(slot, MAX_STALENESS) {
            return Ok(token);
        }
        self.revalidate(slot).await;
        match self.cached(slot, Duration::MAX) {
            Some(token) => Ok(token),
            None => self.await_refreshed_token(slot).await,
        }
    }

    /// Waits for the running refresh, or starts one, and returns its token.
    async fn await_refreshed_token(self: &Arc<Self>, slot: &Arc<CacheEntry>) -> Result<AccessToken> {
        if slot.current().is_some()
            && let Some(error) = self.client.denial_error(&self.refresh_candidate(slot), self.webex.clock().elapsed())
        {
            return Err(error);
        }
        // One more attempt for a task that was canceled with its runtime, and one for a session
        // that changed in the meantime.
        for _ in 0..3 {
            let mut running = self.start_or_join(slot)?;
            // The stored token may have been published while it was valid, and expired since.
            let is_pending = |status: &RefreshStatus| {
                status.is_waiting_for_token() || status.is_result_pending() && self.has_expired(slot)
            };
            let status = running.wait_for(|status| !is_pending(status));
            let Ok(status) = tokio::time::timeout(MAX_WAIT, status).await else {
                return Err(self.abandon_refresh(slot));
            };
            let Ok(status) = status else { continue };
            if let RefreshStatus::Failed(error) = &*status {
                return Err(error.clone());
            }
            let is_unsaved = matches!(*status, RefreshStatus::TokensReady);
            let has_ended = matches!(*status, RefreshStatus::Done(_));
            drop(status);
            if has_ended && self.has_expired(slot) {
                continue;
            }
            match slot.current().as_ref() {
                Some(current) if is_unsaved && self.is_exhausted(current) => return Err(unsaved_token_expired_error()),
                Some(current) if !current.is_withheld => return Ok(current.access_token.clone()),
                _ => {}
            }
        }
        Err(retryable_error("token refresh was interrupted; retry"))
    }

    fn has_expired(&self, slot: &CacheEntry) -> bool {
        let (now, elapsed) = (self.webex.now(), self.webex.clock().elapsed());
        slot.current().as_ref().is_some_and(|current| current.urgency_by_expiry(now, elapsed) == Urgency::Expired)
    }

    /// Returns the error of a caller that waited too long.
    ///
    /// The refresh task may belong to a runtime that is no longer driven. It is abandoned, so that
    /// it does not block other callers.
    pub(crate) fn abandon_refresh(&self, slot: &CacheEntry) -> Error {
        if !slot.active_refresh().is_some_and(|running| matches!(*running.borrow(), RefreshStatus::Queued)) {
            slot.abandon();
        }
        retryable_error("token refresh timed out; retry")
    }

    /// Revalidates a cache entry that has not been compared with the store for a while.
    ///
    /// Another process may have removed the session. Concurrent callers share one load. A failing
    /// store changes nothing.
    async fn revalidate(&self, slot: &Arc<CacheEntry>) {
        if !self.is_stale_entry(slot) || Handle::try_current().is_err() {
            return;
        }
        let (epoch, elapsed) = (slot.epoch(), self.webex.clock().elapsed());
        // The future that holds the lock may never be polled again.
        let Ok(_turn) = tokio::time::timeout(REVALIDATION_TIMEOUT, slot.lock_for_write()).await else {
            return slot.touch(epoch, elapsed);
        };
        if !self.is_stale_entry(slot) {
            return;
        }
        let epoch = slot.epoch();
        match self.load(&slot.key).await {
            Ok(known) => {
                slot.publish(epoch, known.map(|known| self.to_cached_token(slot, &known)));
            }
            Err(_) => slot.touch(epoch, elapsed),
        }
    }

    /// Returns `true` if the store must be asked before the token is served.
    ///
    /// For an expired token, the refresh asks the store anyway, unless refreshes are paused.
    fn is_stale_entry(&self, slot: &CacheEntry) -> bool {
        let (now, elapsed) = (self.webex.now(), self.webex.clock().elapsed());
        slot.current().as_ref().is_some_and(|current| {
            let is_asked_anyway = current.urgency(now, elapsed) == Urgency::Expired && self.pause_error().is_none();
            current.staleness(elapsed) >= MAX_STALENESS && !is_asked_anyway
        })
    }

    /// Returns the cached token if it is valid and was compared with the store less than `unseen`
    /// ago.
    ///
    /// Starts a refresh or revalidation in the background if one is needed.
    fn cached(self: &Arc<Self>, slot: &Arc<CacheEntry>, unseen: Duration) -> Option<AccessToken> {
        let current = slot.current();
        let current = current.as_ref()?;
        let elapsed = self.webex.clock().elapsed();
        let age = current.staleness(elapsed);
        if age >= unseen {
            return None;
        }
        let wants_refresh = match current.urgency(self.webex.now(), elapsed) {
            Urgency::Expired => return None,
            Urgency::Due | Urgency::Requested => {
                !slot.is_backing_off(elapsed)
                    && self.client.denial_error(&self.refresh_candidate(slot), elapsed).is_none()
            }
            Urgency::None => false,
        };
        if wants_refresh || age >= REVALIDATION_AGE {
            event!(DEBUG, key = ?slot.key, generation = current.generation, "cached token served, checking in background");
            // Outside a runtime no task can be started, but the token is still valid.
            let _ = self.start_or_join(slot);
        }
        Some(current.access_token.clone())
    }

    /// Returns `true` if tokens that could not be saved have expired in the meantime.
    fn is_exhausted(&self, current: &CachedToken) -> bool {
        let elapsed = self.webex.clock().elapsed();
        current.urgency(self.webex.now(), elapsed) == Urgency::Expired
            && current.staleness(elapsed) > TIMING.send_timeout
    }

    /// Drops unused cache entries.
    pub(crate) fn release_unused(&self) {
        self.cache.release_unused(|slot| self.is_unused(slot));
    }

    /// Returns the progress of the running refresh of a cache entry, or starts a refresh task.
    pub(crate) fn start_or_join(self: &Arc<Self>, slot: &Arc<CacheEntry>) -> Result<watch::Receiver<RefreshStatus>> {
        let runtime = require_runtime("tokens can only be refreshed")?;
        let (running, start) = slot.join_or_register_refresh();
        if let Some(start) = start {
            // A random ID per refresh: a forked or cloned process must not share lease IDs.
            let lease = LeaseId::new().inspect_err(|_| self.release(slot))?;
            // A runtime that is shutting down drops the task immediately, which releases the cache
            // entry, so no lock may be held here.
            runtime.spawn(RefreshTask::new(self.track_task(), Arc::clone(slot), lease, start).run());
        }
        Ok(running)
    }

    /// Waits until no task is running and all new tokens are saved.
    ///
    /// If the task that should save tokens is gone, because its runtime shut down or the store
    /// panicked, another task saves them.
    pub(crate) async fn wait_idle(self: &Arc<Self>) -> Result<()> {
        let mut in_the_air = self.active_tasks.subscribe();
        let (mut unsaved, mut looks, mut waits) = (self.cache.unsaved(), 0, 0);
        if unsaved.is_empty() && *in_the_air.borrow() == 0 {
            return Ok(());
        }
        // Time limits need a runtime.
        require_runtime("tokens can only be saved")?;
        loop {
            for slot in &unsaved {
                self.start_or_join(slot)?;
            }
            // This value owns the sender, so the channel cannot be closed.
            let is_idle =
                tokio::time::timeout(SAVE_CHECK_INTERVAL, in_the_air.wait_for(|count| *count == 0)).await.is_ok();
            // Keep only entries that were unsaved at the last check as well. Others may have just
            // begun.
            unsaved.retain(|slot| slot.has_unsaved());
            if unsaved.is_empty() {
                (unsaved, looks) = (self.cache.unsaved(), 0);
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
            looks += 1;
            if looks >= MAX_SAVE_CHECKS {
                return Err(unsaved_tokens_error(unsaved.len()));
            }
            if is_idle {
                // The task failed immediately, so the next one may fail as well.
                self.webex.clock().sleep(MIN_BACKOFF).await;
            }
        }
    }
}

fn unsaved_token_expired_error() -> Error {
    let message = "access token expired: it cannot be refreshed until its refresh token is stored; retry later";
    Error::new(ErrorKind::Store, message).with_class(ErrorClass::Retryable)
}

fn unsaved_tokens_error(count: usize) -> Error {
    let message = format!("failed to store the new tokens of {count} sessions: only this process has them; retry");
    Error::new(ErrorKind::Store, message).with_class(ErrorClass::Retryable)
}
