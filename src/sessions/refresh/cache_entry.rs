//! A cache entry: the cached token of a session, and the refresh in progress.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorClass, ErrorKind};
use crate::secret::AccessToken;
use crate::sessions::refresh::policy::Expiry;
use crate::sessions::refresh::rare_state::{MonotonicNanos, RareState, RefreshStatus};
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{ForeignLease, StoredLogin, Urgency};
use crate::store::entry::{LeaseId, LoginId};
use crate::store::{Head, TokenKey};

/// The cache entry of one session. It has many readers, and one refresh at a time changes it.
pub(crate) struct CacheEntry {
    pub(crate) key: TokenKey,
    current: ArcSwapOption<CachedToken>,
    inner: Mutex<Inner>,
    pub(crate) ref_count: RefCount,
    /// The jitter of this entry, as a fraction of `u16::MAX`.
    jitter: u16,
    /// `true` if a caller other than keep-alive uses the entry.
    is_pinned: AtomicBool,
}

/// A cached access token with its expiry. Everything else stays in the store, because there may be
/// a million entries.
#[derive(Clone, Debug)]
pub(crate) struct CachedToken {
    pub(crate) access_token: AccessToken,
    pub(crate) login: LoginId,
    pub(crate) generation: u64,
    pub(crate) expiry: Expiry,
    /// The expiry by the monotonic clock, in case the wall clock is set back.
    pub(crate) expires_elapsed: MonotonicNanos,
    /// The last time at which the token was compared with the store.
    pub(crate) revalidated_at: MonotonicNanos,
    /// `true` if the API rejected the token and the server rejected its refresh token, so that it
    /// must not be served.
    pub(crate) is_withheld: bool,
    /// The requested urgency of a refresh while the token is valid.
    pub(crate) requested_urgency: Urgency,
    /// `true` if the API rejected the token, and the next caller should wait for a replacement.
    pub(crate) is_awaited: bool,
    /// `true` if a pause between refreshes after a 401 was recently cut short.
    pub(crate) was_pause_cut: bool,
}

impl CachedToken {
    pub(crate) fn urgency(&self, now: UnixTime, elapsed: Duration) -> Urgency {
        if self.is_withheld {
            Urgency::Expired
        } else {
            self.urgency_by_expiry(now, elapsed).max(self.requested_urgency)
        }
    }

    /// Returns the urgency of a refresh by expiry alone.
    pub(crate) fn urgency_by_expiry(&self, now: UnixTime, elapsed: Duration) -> Urgency {
        if elapsed >= Duration::from(self.expires_elapsed) { Urgency::Expired } else { self.expiry.urgency(now) }
    }

    /// Returns the time since the token was last compared with the store.
    pub(crate) fn staleness(&self, elapsed: Duration) -> Duration {
        elapsed.saturating_sub(self.revalidated_at.into())
    }
}

struct Inner {
    /// The number of logouts and new logins. A refresh that began in an earlier epoch publishes
    /// nothing. The epoch is never reset, so it is not part of the rarely used state.
    epoch: u64,
    rare_state: Option<Box<RareState>>,
}

impl Inner {
    /// Reads or changes the rarely used state, which takes memory only while it is not empty.
    fn with_rare_state<T>(&mut self, change: impl FnOnce(&mut RareState) -> T) -> T {
        let Some(rare) = &mut self.rare_state else {
            let mut rare = RareState::default();
            let outcome = change(&mut rare);
            self.rare_state = (!rare.is_empty()).then(|| Box::new(rare));
            return outcome;
        };
        let outcome = change(rare);
        self.rare_state.take_if(|rare| rare.is_empty());
        outcome
    }
}

/// The inputs of a new refresh task.
pub(crate) struct NewRefresh {
    pub(crate) epoch: u64,
    pub(crate) cancelled_lease: Option<LeaseId>,
    pub(crate) foreign_lease: Option<ForeignLease>,
    pub(crate) unsaved: Option<StoredLogin<SessionData>>,
    pub(crate) sender: watch::Sender<RefreshStatus>,
}

impl CacheEntry {
    pub(crate) fn new(key: TokenKey, seed: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        (seed, &key).hash(&mut hasher);
        Self {
            // The lowest 16 bits.
            jitter: hasher.finish() as u16,
            key,
            current: ArcSwapOption::empty(),
            inner: Mutex::new(Inner { epoch: 0, rare_state: None }),
            ref_count: RefCount::default(),
            is_pinned: AtomicBool::new(false),
        }
    }

    /// Returns the jitter of this entry, from 0 to 1.
    pub(crate) fn jitter(&self) -> f64 {
        f64::from(self.jitter) / f64::from(u16::MAX)
    }

    /// Returns the error for a session that does not exist.
    pub(crate) fn not_found_error(&self) -> Error {
        let message = format!("no session stored under {:?}: the user must log in", self.key);
        Error::new(ErrorKind::SessionNotFound, message).with_class(ErrorClass::LoginRequired)
    }

    pub(crate) fn has_current(&self) -> bool {
        self.current.load().is_some()
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Option<Arc<CachedToken>>> {
        self.current.load()
    }

    /// Keeps the entry in memory, because a caller uses it.
    pub(crate) fn pin(&self) {
        self.is_pinned.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if a caller other than keep-alive uses the entry.
    pub(crate) fn is_pinned(&self) -> bool {
        self.is_pinned.load(Ordering::Relaxed)
    }

    /// Returns `true` if the entry should stay in memory: a caller may ask for its token, or it has
    /// unsaved tokens.
    pub(crate) fn is_needed(&self) -> bool {
        self.has_unsaved() || self.current().is_some() && self.is_pinned()
    }

    /// Frees the rarely used state if it is empty.
    pub(crate) fn shrink(&self) {
        self.with_rare_state(|_| ());
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.lock_inner().epoch
    }

    /// Publishes new tokens of a login, unless another login was published in the meantime. Returns
    /// `true` if they were published.
    pub(crate) fn publish_same_login(&self, epoch: u64, new: CachedToken) -> bool {
        let is_of_another = self.current.load().as_ref().is_some_and(|old| old.login != new.login);
        !is_of_another && self.publish(epoch, Some(new))
    }

    /// Publishes `current`, unless the epoch has changed or newer tokens were published. Returns
    /// `true` if it was published.
    pub(crate) fn publish(&self, epoch: u64, current: Option<CachedToken>) -> bool {
        let publish = |rare: &mut RareState| {
            let Some(mut new) = current else {
                self.current.store(None);
                return true;
            };
            if let Some(old) = self.current.load().as_ref() {
                if old.login == new.login && old.generation > new.generation {
                    return false;
                }
                if (old.login, old.generation) != (new.login, new.generation) {
                    // The token was replaced, here or by another process, so its 401 is resolved.
                    rare.clear_unauthorized();
                    // 401s of the previous login do not count for another one.
                    rare.unauthorized.take_if(|_| old.login != new.login);
                    rare.requested_refresh = None;
                } else if old.access_token == new.access_token {
                    // The wall clock may have been set back, so keep the earlier expiry.
                    new.expires_elapsed = new.expires_elapsed.min(old.expires_elapsed);
                }
            }
            new.is_awaited = rare.is_unauthorized(&new.access_token)
                && rare.unauthorized.as_ref().is_some_and(|unauthorized| unauthorized.waiting_callers > 0);
            new.requested_urgency = new.requested_urgency.max(rare.requested_urgency(&new.access_token));
            self.current.store(Some(Arc::new(new)));
            true
        };
        self.with_rare_state_at(epoch, publish).unwrap_or(false)
    }

    /// Records an attempt to compare the token with the store, so that a failing store is not asked
    /// again immediately.
    pub(crate) fn touch(&self, epoch: u64, elapsed: Duration) {
        self.with_inner_at(epoch, |_| self.update_current(|current| current.revalidated_at = elapsed.into()));
    }

    /// Begins a new epoch after a logout or a new login. Refreshes from earlier epochs publish
    /// nothing.
    pub(crate) fn reset(&self, current: Option<CachedToken>) {
        let mut guarded = self.lock_inner();
        guarded.with_rare_state(|rare| rare.unsaved = None);
        self.begin_epoch(&mut guarded, current);
    }

    /// Begins a new epoch and drops the cached token, because the store may be changing.
    ///
    /// Unsaved tokens are kept. The next refresh drops them if the store has another login or newer
    /// tokens.
    pub(crate) fn invalidate(&self) {
        self.begin_epoch(&mut self.lock_inner(), None);
    }

    fn begin_epoch(&self, guarded: &mut Inner, current: Option<CachedToken>) {
        guarded.epoch += 1;
        guarded.with_rare_state(RareState::reset);
        self.current.store(current.map(Arc::new));
    }

    /// Abandons a refresh task that does not end. It publishes nothing, and its lease counts as
    /// that of another process.
    pub(crate) fn abandon(&self) {
        let mut guarded = self.lock_inner();
        guarded.epoch += 1;
        guarded.with_rare_state(|rare| rare.refresh_status = None);
    }

    /// Withdraws the request for a newer token than `token`.
    pub(crate) fn cancel_refresh_request(&self, token: &AccessToken) {
        self.with_rare_state(|rare| {
            rare.requested_refresh.take_if(|(outdated, _)| outdated == token);
            self.update_current(|current| {
                if current.access_token == *token {
                    current.requested_urgency = Urgency::None;
                }
            });
        });
    }

    /// Requests a newer token than `token`. The highest requested urgency applies.
    pub(crate) fn request_refresh(&self, token: &AccessToken, requested: Urgency) {
        self.with_rare_state(|rare| {
            let requested = requested.max(rare.requested_urgency(token));
            rare.requested_refresh = Some((token.clone(), requested));
            self.update_current(|current| {
                if current.access_token == *token {
                    current.requested_urgency = requested;
                }
            });
        });
    }

    /// Returns the running refresh, or registers a new one.
    pub(crate) fn join_or_register_refresh(&self) -> (watch::Receiver<RefreshStatus>, Option<NewRefresh>) {
        let mut guarded = self.lock_inner();
        let epoch = guarded.epoch;
        guarded.with_rare_state(|rare| {
            if let Some(running) = rare.active_refresh() {
                return (running.clone(), None);
            }
            let (sender, receiver) = watch::channel(RefreshStatus::Running);
            rare.refresh_status = Some(receiver.clone());
            self.ref_count.increment();
            let (cancelled, rival) = (rare.cancelled_lease.as_deref().copied(), rare.foreign_lease);
            let unsaved = rare.unsaved.as_deref().cloned();
            (receiver, Some(NewRefresh { epoch, cancelled_lease: cancelled, foreign_lease: rival, unsaved, sender }))
        })
    }

    /// Keeps new tokens until they are saved. If this task cannot save them, the next one tries.
    pub(crate) fn set_unsaved(&self, epoch: u64, known: &StoredLogin<SessionData>) {
        self.with_rare_state_at(epoch, |rare| {
            rare.unsaved = Some(Box::new(known.clone()));
            rare.reset_errors();
            rare.requested_refresh = None;
            rare.reported_rejection = None;
            rare.is_client_rejected = false;
            if rare.is_unauthorized(known.tokens.tokens.access_token()) {
                rare.clear_unauthorized();
            }
            if let Some(undated) = &mut rare.undated_token {
                undated.is_refreshed = true;
            }
        });
    }

    /// Returns `true` if the store does not have the newest tokens yet.
    pub(crate) fn has_unsaved(&self) -> bool {
        self.with_rare_state(|rare| rare.unsaved.is_some())
    }

    /// Returns new tokens that the store does not have yet.
    pub(crate) fn unsaved(&self) -> Option<StoredLogin<SessionData>> {
        self.with_rare_state(|rare| rare.unsaved.as_deref().cloned())
    }

    /// Drops superseded unsaved tokens: the session was removed or replaced, or the store has newer
    /// ones.
    pub(crate) fn drop_superseded(&self, epoch: u64, stored: Option<&Head>) {
        self.with_rare_state_at(epoch, |rare| {
            rare.unsaved.take_if(|unsaved| !stored.is_some_and(|stored| unsaved.is_newer_than(stored)));
        });
    }

    /// Clears failures and unsaved tokens: the store has the newest tokens.
    pub(crate) fn record_success(&self, epoch: u64) {
        self.with_rare_state_at(epoch, |rare| {
            rare.unsaved = None;
            rare.foreign_lease = None;
            rare.cancelled_lease = None;
            rare.reset_errors();
        });
    }

    pub(crate) fn set_foreign_lease(&self, epoch: u64, rival: Option<ForeignLease>) {
        self.with_rare_state_at(epoch, |rare| rare.foreign_lease = rival);
    }

    /// Returns the running refresh, if there is one.
    pub(crate) fn active_refresh(&self) -> Option<watch::Receiver<RefreshStatus>> {
        self.with_rare_state(|rare| rare.active_refresh().cloned())
    }

    /// Changes the cached token, if there is one. The caller holds the lock.
    pub(crate) fn update_current(&self, amend: impl FnOnce(&mut CachedToken)) {
        if let Some(mut current) = self.current.load().as_deref().cloned() {
            amend(&mut current);
            self.current.store(Some(Arc::new(current)));
        }
    }

    /// Applies a change of a refresh, unless the epoch has changed.
    fn with_inner_at<T>(&self, epoch: u64, change: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        let mut guarded = self.lock_inner();
        (guarded.epoch == epoch).then(|| change(&mut guarded))
    }

    pub(crate) fn with_rare_state_at<T>(&self, epoch: u64, change: impl FnOnce(&mut RareState) -> T) -> Option<T> {
        self.with_inner_at(epoch, |guarded| guarded.with_rare_state(change))
    }

    pub(crate) fn with_rare_state<T>(&self, change: impl FnOnce(&mut RareState) -> T) -> T {
        self.lock_inner().with_rare_state(change)
    }

    /// Returns `true` if the rarely used state takes no memory.
    #[cfg(test)]
    pub(crate) fn has_no_rare_state(&self) -> bool {
        self.lock_inner().rare_state.is_none()
    }

    fn lock_inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CacheEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheEntry").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The number of users of a cache entry: session handles and the refresh task.
///
/// The strong count of an `Arc` cannot replace it, because a user that leaves still holds its
/// `Arc`. Of two that leave at once, neither would see that it is the last. Memory cannot hold more
/// users than 32 bits can count.
#[derive(Debug, Default)]
pub(crate) struct RefCount(AtomicU32);

impl RefCount {
    /// Counts a user.
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Removes a user. Returns `true` if it was the last one.
    pub(crate) fn decrement(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 1
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::ClientIdentity;
    use crate::store::{Body, Head};
    use std::collections::BTreeSet;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    fn own_lease_id() -> LeaseId {
        LeaseId::from_bytes([1; 16])
    }

    fn cache_entry() -> CacheEntry {
        CacheEntry::new(TokenKey::new("jane").unwrap(), 0)
    }

    fn login_id(number: u8) -> LoginId {
        LoginId::from_bytes([number; 16])
    }

    fn cached_token(number: u8, generation: u64) -> CachedToken {
        let (access_token, login) = (AccessToken::new(format!("a{number}-{generation}")).unwrap(), login_id(number));
        let moments = Expiry { due_at: UnixTime::MAX, expires_at: UnixTime::MAX };
        let (dead_elapsed, seen_at) = (Duration::MAX.into(), Duration::ZERO.into());
        let (is_withheld, is_awaited, was_cut, requested) = (false, false, false, Urgency::None);
        CachedToken {
            access_token,
            login,
            generation,
            expiry: moments,
            expires_elapsed: dead_elapsed,
            revalidated_at: seen_at,
            is_withheld,
            requested_urgency: requested,
            is_awaited,
            was_pause_cut: was_cut,
        }
    }

    fn stored_login(number: u8, generation: u64) -> StoredLogin<SessionData> {
        let token = cached_token(number, generation).access_token;
        let head = r#"{"v":1,"service":"webex","client_id":"C1","received_at":1700000000,"access_token":"#;
        let body = Body::new(format!(r#"{{"v":1,"tokens":{head}"{}"}}}}"#, token.expose()).as_bytes());
        let owner = ClientIdentity { service: "webex".into(), client_id: "C1".into() };
        let mut head = Head::new(None).unwrap();
        (head.login, head.generation) = (login_id(number), generation);
        StoredLogin { head, tokens: SessionData::read(&body, &owner).unwrap() }
    }

    fn cached_generation(slot: &CacheEntry) -> Option<(LoginId, u64)> {
        slot.current().as_ref().map(|current| (current.login, current.generation))
    }

    #[test]
    fn refresh_jitter_is_distributed_across_cache_entries() {
        let chances: BTreeSet<u16> = (0..100)
            .map(|seed| CacheEntry::new(TokenKey::new("jane").unwrap(), seed).jitter())
            .inspect(|chance| assert!((0.0..=1.0).contains(chance)))
            .map(|chance| (chance * f64::from(u16::MAX)).round() as u16)
            .collect();
        // Two of a hundred values may be equal. All on one side is practically impossible.
        assert!(chances.len() > 90, "{chances:?}");
        assert!(chances.first() < Some(&(u16::MAX / 4)) && chances.last() > Some(&(u16::MAX / 4 * 3)), "{chances:?}");
    }

    #[test]
    fn cache_entry_stays_within_size_limit() {
        // 72 bytes on Linux. The standard library's locks are larger on some systems.
        assert!(size_of::<CacheEntry>() <= 80 && size_of::<CachedToken>() <= 72);
        // Needed for every session while a store or Webex is down.
        assert!(size_of::<RareState>() <= 192);
    }

    #[test]
    fn rare_state_exists_only_while_needed() {
        /// A change of the entry, and the change that reverts it.
        type ChangeAndRevert = (fn(&CacheEntry, &Error), fn(&CacheEntry));
        let slot = cache_entry();
        slot.reset(Some(cached_token(1, 1)));
        let error = slot.not_found_error();
        assert!(slot.has_no_rare_state());
        let done: [ChangeAndRevert; 7] = [
            (
                |slot, _| {
                    slot.set_foreign_lease(
                        1,
                        Some(ForeignLease { id: own_lease_id(), at: UnixTime::MAX, seen_at: Duration::ZERO }),
                    )
                },
                |_| (),
            ),
            (|slot, _| slot.backoff_until(1, Duration::from_secs(1)), CacheEntry::end_backoff),
            (|slot, error| slot.record_error(1, error), CacheEntry::end_backoff),
            (|slot, _| assert_eq!(slot.count_failure(1), 0), CacheEntry::end_backoff),
            (|slot, _| assert!(slot.record_rejection_reported(1, login_id(1), 1)), CacheEntry::end_backoff),
            (|slot, _| slot.set_unsaved(1, &stored_login(1, 2)), |_| ()),
            (
                |slot, _| assert!(slot.mark_unauthorized(&cached_token(1, 1).access_token, false)),
                |slot| {
                    assert!(slot.publish(1, Some(cached_token(1, 2))));
                },
            ),
        ];
        for (number, (begin, end)) in done.into_iter().enumerate() {
            begin(&slot, &error);
            slot.shrink();
            assert!(!slot.has_no_rare_state(), "{number}");
            end(&slot);
            slot.record_success(1);
            assert!(slot.has_no_rare_state(), "{number}");
        }
    }

    #[test]
    fn token_urgency_is_maximum_of_expiry_and_request() {
        let second = Duration::from_secs(1);
        let plain = CachedToken { expires_elapsed: (second * 2).into(), ..cached_token(1, 1) };
        let need = |current: &CachedToken, elapsed| current.urgency(UnixTime::from_secs(0), elapsed);
        assert_eq!([1, 2].map(|elapsed| need(&plain, second * elapsed)), [Urgency::None, Urgency::Expired]);
        let wanted = CachedToken { requested_urgency: Urgency::Requested, ..plain.clone() };
        assert_eq!([1, 2].map(|elapsed| need(&wanted, second * elapsed)), [Urgency::Requested, Urgency::Expired]);
        assert_eq!(need(&CachedToken { is_withheld: true, ..plain }, second), Urgency::Expired);
    }

    #[test]
    fn entry_is_needed_for_used_or_unsaved_token() {
        let used = cache_entry();
        used.pin();
        assert!(!used.is_needed(), "there is no token");
        used.reset(Some(cached_token(1, 1)));
        assert!(used.is_needed());
        let unused = cache_entry();
        unused.reset(Some(cached_token(1, 1)));
        assert!(!unused.is_needed(), "only keep-alive uses it");
        unused.set_unsaved(unused.epoch(), &stored_login(1, 2));
        assert!(unused.is_needed(), "the store does not have its newest tokens");
    }

    #[test]
    fn published_tokens_replace_older_generation_or_other_login() {
        let slot = cache_entry();
        slot.reset(Some(cached_token(1, 2)));
        assert!(!slot.publish(1, Some(cached_token(1, 1))), "these are older");
        assert!(!slot.publish_same_login(1, cached_token(2, 3)), "another login was published in the meantime");
        assert!(slot.publish(1, Some(cached_token(2, 1))), "the generations of two logins cannot be compared");
        assert_eq!(cached_generation(&slot), Some((login_id(2), 1)));
    }

    #[test]
    fn token_state_survives_repeated_publish() {
        let (slot, second) = (cache_entry(), Duration::from_secs(1));
        slot.reset(Some(CachedToken { expires_elapsed: second.into(), ..cached_token(1, 1) }));
        let token = cached_token(1, 1).access_token;
        slot.request_refresh(&token, Urgency::Requested);
        slot.request_refresh(&token, Urgency::Due);
        slot.mark_unauthorized(&token, false);
        slot.await_replacement(&token);
        assert!(slot.publish(1, Some(cached_token(1, 1))));
        let current = slot.current();
        let current = current.as_ref().unwrap();
        assert_eq!(
            (Duration::from(current.expires_elapsed), current.requested_urgency, current.is_awaited),
            (second, Urgency::Requested, true)
        );
    }

    #[test]
    fn new_tokens_clear_request_and_new_login_clears_401_count() {
        let slot = cache_entry();
        slot.reset(Some(cached_token(1, 1)));
        slot.request_refresh(&cached_token(1, 1).access_token, Urgency::Due);
        slot.count_unauthorized(1, false, Duration::ZERO);
        assert!(slot.publish(1, Some(cached_token(1, 2))));
        slot.with_rare_state(|rare| assert!(rare.requested_refresh.is_none() && rare.unauthorized.is_some()));
        assert!(slot.publish(1, Some(cached_token(2, 1))));
        assert!(slot.has_no_rare_state());
    }

    #[test]
    fn abandoned_refresh_publishes_nothing_and_is_replaced() {
        let slot = cache_entry();
        let before = slot.join_or_register_refresh().1.unwrap();
        slot.abandon();
        assert!(!slot.publish(before.epoch, Some(cached_token(1, 1))));
        assert!(slot.join_or_register_refresh().1.is_some());
    }

    #[test]
    fn new_refresh_receives_canceled_lease_and_foreign_lease() {
        let (slot, rival) =
            (cache_entry(), ForeignLease { id: own_lease_id(), at: UnixTime::MAX, seen_at: Duration::ZERO });
        slot.record_cancelled_lease(own_lease_id());
        slot.set_foreign_lease(0, Some(rival));
        let start = slot.join_or_register_refresh().1.unwrap();
        assert_eq!((start.cancelled_lease, start.foreign_lease), (Some(own_lease_id()), Some(rival)));
    }

    #[test]
    fn new_tokens_clear_errors_before_save() {
        let slot = cache_entry();
        slot.reset(Some(cached_token(1, 1)));
        let token = cached_token(1, 1).access_token;
        slot.count_failure(1);
        slot.request_refresh(&token, Urgency::Due);
        assert!(slot.record_rejection_reported(1, login_id(1), 1) && slot.record_client_rejection(1));
        slot.mark_unauthorized(&token, false);
        // The server may issue the same access token again.
        slot.set_unsaved(1, &stored_login(1, 1));
        slot.with_rare_state(|rare| {
            assert!(
                rare.requested_refresh.is_none() && rare.reported_rejection.is_none() && rare.unauthorized.is_none()
            );
        });
        assert!(slot.failures() == 0 && !slot.is_client_rejected());
        slot.count_failure(1);
        slot.record_cancelled_lease(own_lease_id());
        slot.record_success(1);
        slot.shrink();
        assert!(slot.has_no_rare_state());
    }

    #[test]
    fn unsaved_tokens_are_dropped_once_stored_or_superseded() {
        let slot = cache_entry();
        let is_kept = |stored: Option<&Head>| {
            slot.set_unsaved(0, &stored_login(1, 2));
            slot.drop_superseded(0, stored);
            slot.has_unsaved()
        };
        assert!(is_kept(Some(&stored_login(1, 1).head)));
        assert!(!is_kept(Some(&stored_login(1, 2).head)) && !is_kept(Some(&stored_login(2, 1).head)) && !is_kept(None));
        slot.set_unsaved(0, &stored_login(1, 2));
        slot.invalidate();
        assert!(slot.has_unsaved(), "a change has begun");
        slot.reset(None);
        assert!(!slot.has_unsaved(), "the change was confirmed");
    }

    #[test]
    fn active_refresh_is_tracked_until_finished_or_dropped() {
        let slot = cache_entry();
        for lands in [true, false] {
            let (_, start) = slot.join_or_register_refresh();
            slot.shrink();
            assert!(slot.join_or_register_refresh().1.is_none() && slot.active_refresh().is_some());
            let start = start.unwrap();
            if lands {
                start.sender.send_replace(RefreshStatus::Done(None));
            } else {
                drop(start.sender);
            }
            slot.shrink();
            assert!(slot.has_no_rare_state(), "{lands}");
        }
    }

    /// The rarely used state is freed and allocated again between the steps of the earlier refresh.
    #[test]
    fn refresh_started_before_logout_and_login_changes_nothing() {
        let slot = cache_entry();
        slot.reset(Some(cached_token(1, 1)));
        let before = slot.join_or_register_refresh().1.unwrap();
        slot.reset(None);
        assert!(slot.has_no_rare_state(), "the refresh of a removed session is dropped");
        slot.reset(Some(cached_token(2, 1)));
        for has_departed in [false, true] {
            let next = has_departed.then(|| slot.join_or_register_refresh().1.unwrap());
            slot.set_unsaved(before.epoch, &stored_login(1, 2));
            assert!(!slot.publish_same_login(before.epoch, cached_token(1, 2)) && !slot.publish(before.epoch, None));
            slot.set_foreign_lease(
                before.epoch,
                Some(ForeignLease { id: own_lease_id(), at: UnixTime::MAX, seen_at: Duration::ZERO }),
            );
            slot.touch(before.epoch, Duration::from_secs(1));
            slot.backoff_until(before.epoch, Duration::from_secs(1));
            slot.record_error(before.epoch, &slot.not_found_error());
            slot.count_failure(before.epoch);
            slot.record_success(before.epoch);
            before.sender.send_replace(RefreshStatus::Done(None));
            slot.shrink();
            assert_eq!(slot.current().as_ref().map(|current| current.staleness(Duration::ZERO)), Some(Duration::ZERO));
            assert!(cached_generation(&slot) == Some((login_id(2), 1)) && slot.unsaved().is_none());
            assert_eq!(slot.has_no_rare_state(), next.is_none());
            assert_eq!(
                slot.join_or_register_refresh().1.is_none(),
                has_departed,
                "the refresh of the next login is found"
            );
        }
    }

    /// Refreshes read a store while logouts and logins change it concurrently. After each change,
    /// the cache must match the store until the next change.
    #[test]
    fn refresh_never_restores_session_replaced_by_logout_or_login() {
        const ROUNDS: u8 = 100;
        const REFRESHES: usize = 2000;
        let (slot, store, turns) = (cache_entry(), Mutex::new(None), AtomicUsize::new(0));
        let fly = || {
            let Some(NewRefresh { epoch, sender, .. }) = slot.join_or_register_refresh().1 else { return };
            let loaded = *store.lock().unwrap();
            // Long enough for a change to begin or end.
            (0..5).for_each(|_| thread::yield_now());
            if let Some((number, generation)) = loaded {
                slot.set_unsaved(epoch, &stored_login(number, generation + 1));
                slot.publish_same_login(epoch, cached_token(number, generation + 1));
                sender.send_replace(RefreshStatus::TokensReady);
                slot.mark_unauthorized(&cached_token(number, generation + 1).access_token, false);
                slot.record_success(epoch);
            }
            slot.publish(epoch, loaded.map(|(number, generation)| cached_token(number, generation + 1)));
            sender.send_replace(RefreshStatus::Done(None));
            slot.shrink();
            slot.ref_count.decrement();
        };
        // The caller holds the lock, so the store does not change in the meantime.
        let assert_as_stored = || {
            let stored = store.lock().unwrap().map(|(number, _)| login_id(number));
            for _ in 0..10 {
                thread::yield_now();
                assert_eq!(cached_generation(&slot).map(|(login, _)| login), stored);
                assert!(slot.unsaved().is_none_or(|known| Some(known.head.login) == stored));
            }
        };
        let change = |number: u8| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let turn = runtime.block_on(slot.lock_for_write());
            assert_eq!(turns.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            assert_as_stored();
            let new = (!number.is_multiple_of(3)).then_some((number, 1));
            slot.invalidate();
            *store.lock().unwrap() = new;
            slot.reset(new.map(|(number, generation)| cached_token(number, generation)));
            assert_as_stored();
            turns.fetch_sub(1, Ordering::SeqCst);
            drop(turn);
            (0..10).for_each(|_| thread::yield_now());
        };
        thread::scope(|scope| {
            for odd in 0..2 {
                scope.spawn(move || (1..ROUNDS).filter(|number| number % 2 == odd).for_each(change));
                scope.spawn(|| (0..REFRESHES).for_each(|_| fly()));
            }
        });
        slot.reset(None);
        assert!(slot.has_no_rare_state() && slot.ref_count.is_zero() && cached_generation(&slot).is_none());
    }
}
