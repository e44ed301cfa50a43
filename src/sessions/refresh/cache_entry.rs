//! A cache entry: the cached token of a session, the refresh in progress, and rarely used state.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorClass, ErrorKind};
use crate::secret::AccessToken;
use crate::sessions::refresh::policy::Expiry;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{ForeignLease, RefreshStatus, StoredLogin, Urgency};
use crate::store::TokenKey;
use crate::store::entry::{LeaseId, LoginId};

/// The cache entry of one session. It has many readers, and one refresh at a time changes it.
pub(crate) struct CacheEntry {
    pub(crate) key: TokenKey,
    current: ArcSwapOption<CachedToken>,
    inner: Mutex<Inner>,
    /// The number of users: session handles and the refresh task.
    ///
    /// The strong count of an `Arc` cannot replace it, because a user that leaves still holds its
    /// `Arc`. Of two that leave at once, neither would see that it is the last. Memory cannot hold
    /// more users than 32 bits can count.
    users: AtomicU32,
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
    pub(crate) was_pause_shortened: bool,
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

/// A time by [`Clock::elapsed`](crate::clock::Clock::elapsed), in nanoseconds, with a range of more
/// than 500 years.
///
/// A `Duration` takes twice the bytes, and there may be a million cache entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MonotonicNanos(u64);

impl From<Duration> for MonotonicNanos {
    fn from(elapsed: Duration) -> Self {
        Self(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<MonotonicNanos> for Duration {
    fn from(elapsed: MonotonicNanos) -> Self {
        Self::from_nanos(elapsed.0)
    }
}

struct Inner {
    /// The number of logouts and new logins. A refresh that began in an earlier epoch publishes
    /// nothing. The epoch is never reset, so it is not part of the rarely used state.
    epoch: u64,
    /// Rarely used state, which takes memory only while it is not empty.
    rare_state: Option<Box<EntryState>>,
}

impl Inner {
    /// Reads or changes the rarely used state.
    fn with_state<T>(&mut self, change: impl FnOnce(&mut EntryState) -> T) -> T {
        let Some(rare) = &mut self.rare_state else {
            let mut rare = EntryState::default();
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
    pub(crate) canceled_lease: Option<LeaseId>,
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
            users: AtomicU32::new(0),
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

    pub(crate) fn current(&self) -> arc_swap::Guard<Option<Arc<CachedToken>>> {
        self.current.load()
    }

    /// Returns the login and generation of the cached token.
    pub(crate) fn cached_generation(&self) -> Option<(LoginId, u64)> {
        self.current().as_ref().map(|current| (current.login, current.generation))
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.lock_inner().epoch
    }

    /// Counts a user.
    pub(crate) fn add_reference(&self) {
        self.users.fetch_add(1, Ordering::SeqCst);
    }

    /// Removes a user. Returns `true` if it was the last one.
    pub(crate) fn release_reference(&self) -> bool {
        self.users.fetch_sub(1, Ordering::SeqCst) == 1
    }

    pub(crate) fn is_referenced(&self) -> bool {
        self.users.load(Ordering::SeqCst) > 0
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
        self.with_state(|rare| rare.unsaved.is_some()) || self.current().is_some() && self.is_pinned()
    }

    /// Publishes new tokens of a login, unless another login was published in the meantime. Returns
    /// `true` if they were published.
    pub(crate) fn publish_same_login(&self, epoch: u64, new: CachedToken) -> bool {
        let is_same_login = self.current().as_ref().is_none_or(|old| old.login == new.login);
        is_same_login && self.publish(epoch, Some(new))
    }

    /// Publishes `current`, unless the epoch has changed or newer tokens were published. Returns
    /// `true` if it was published.
    pub(crate) fn publish(&self, epoch: u64, current: Option<CachedToken>) -> bool {
        let publish = |rare: &mut EntryState| {
            let Some(mut new) = current else {
                self.current.store(None);
                return true;
            };
            if let Some(old) = self.current().as_ref() {
                if old.login == new.login && old.generation > new.generation {
                    return false;
                }
                if (old.login, old.generation) != (new.login, new.generation) {
                    // The token was replaced, here or by another process, so its 401 is resolved.
                    rare.clear_rejected_token();
                    // 401s of the previous login do not count for another one.
                    rare.rejected_token.take_if(|_| old.login != new.login);
                    rare.requested_refresh = None;
                } else if old.access_token == new.access_token {
                    // The wall clock may have been set back, so keep the earlier expiry.
                    new.expires_elapsed = new.expires_elapsed.min(old.expires_elapsed);
                }
            }
            new.is_awaited = rare.unauthorized(&new.access_token).is_some_and(|found| found.waiting_callers > 0);
            new.requested_urgency = new.requested_urgency.max(rare.requested_urgency(&new.access_token));
            self.current.store(Some(Arc::new(new)));
            true
        };
        self.with_state_at_epoch(epoch, publish).unwrap_or(false)
    }

    /// Changes the cached token, if there is one. The caller holds the lock.
    pub(crate) fn update_current(&self, update: impl FnOnce(&mut CachedToken)) {
        if let Some(mut current) = self.current().as_deref().cloned() {
            update(&mut current);
            self.current.store(Some(Arc::new(current)));
        }
    }

    /// Records an attempt to compare the token with the store, so that a failing store is not asked
    /// again immediately.
    pub(crate) fn touch(&self, epoch: u64, elapsed: Duration) {
        self.with_state_at_epoch(epoch, |_| self.update_current(|current| current.revalidated_at = elapsed.into()));
    }

    /// Begins a new epoch after a logout or a new login. Refreshes from earlier epochs publish
    /// nothing.
    pub(crate) fn reset(&self, current: Option<CachedToken>) {
        let mut inner = self.lock_inner();
        inner.with_state(|rare| rare.unsaved = None);
        self.begin_epoch(&mut inner, current);
    }

    /// Begins a new epoch and drops the cached token, because the store may be changing.
    ///
    /// Unsaved tokens are kept. The next refresh drops them if the store has another login or newer
    /// tokens.
    pub(crate) fn invalidate(&self) {
        self.begin_epoch(&mut self.lock_inner(), None);
    }

    fn begin_epoch(&self, inner: &mut Inner, current: Option<CachedToken>) {
        inner.epoch += 1;
        inner.with_state(EntryState::reset);
        self.current.store(current.map(Arc::new));
    }

    /// Abandons a refresh task that does not end. It publishes nothing, and its lease counts as
    /// that of another process.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock_inner();
        inner.epoch += 1;
        inner.with_state(|rare| rare.refresh_status = None);
    }

    /// Returns the running refresh, or registers a new one.
    pub(crate) fn join_or_register_refresh(&self) -> (watch::Receiver<RefreshStatus>, Option<NewRefresh>) {
        let mut inner = self.lock_inner();
        let epoch = inner.epoch;
        inner.with_state(|rare| {
            if let Some(running) = rare.active_refresh() {
                return (running.clone(), None);
            }
            let (sender, receiver) = watch::channel(RefreshStatus::Running);
            rare.refresh_status = Some(receiver.clone());
            let new = NewRefresh {
                epoch,
                canceled_lease: rare.canceled_lease.as_deref().copied(),
                foreign_lease: rare.foreign_lease,
                unsaved: rare.unsaved.as_deref().cloned(),
                sender,
            };
            (receiver, Some(new))
        })
    }

    /// Returns the running refresh, if there is one.
    pub(crate) fn active_refresh(&self) -> Option<watch::Receiver<RefreshStatus>> {
        self.with_state(|rare| rare.active_refresh().cloned())
    }

    /// Applies a change of a refresh, unless the epoch has changed.
    pub(crate) fn with_state_at_epoch<T>(&self, epoch: u64, change: impl FnOnce(&mut EntryState) -> T) -> Option<T> {
        let mut inner = self.lock_inner();
        (inner.epoch == epoch).then(|| inner.with_state(change))
    }

    pub(crate) fn with_state<T>(&self, change: impl FnOnce(&mut EntryState) -> T) -> T {
        self.lock_inner().with_state(change)
    }

    /// Frees the rarely used state if it is empty.
    pub(crate) fn shrink(&self) {
        self.with_state(|_| ());
    }

    /// Returns `true` if the rarely used state takes no memory.
    #[cfg(test)]
    pub(crate) fn has_no_state(&self) -> bool {
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

/// State that exists only during a refresh, a change, or a failure.
#[derive(Default)]
pub(crate) struct EntryState {
    /// The lock for changes of the session, shared by its holder and those waiting for it.
    lock: Weak<tokio::sync::Mutex<()>>,
    refresh_status: Option<watch::Receiver<RefreshStatus>>,
    /// The lease of another process that the last refresh saw.
    pub(crate) foreign_lease: Option<ForeignLease>,
    /// New tokens that the store does not have yet. Boxed, because they are large and rare.
    pub(crate) unsaved: Option<Box<StoredLogin<SessionData>>>,
    /// State of an access token that the API rejected.
    pub(crate) rejected_token: Option<Box<RejectedToken>>,
    /// State of a token with an implausible receipt time.
    pub(crate) undated_token: Option<Box<FutureDatedToken>>,
    /// The lease of a task that was canceled with its runtime or by a panic.
    pub(crate) canceled_lease: Option<Box<LeaseId>>,
    /// `true` if the server rejected the client for this session.
    pub(crate) is_client_rejected: bool,
    /// An access token for which a newer one is requested, and the urgency.
    pub(crate) requested_refresh: Option<(AccessToken, Urgency)>,
    /// The monotonic time until which this process backs off.
    pub(crate) backoff_until: MonotonicNanos,
    /// The monotonic time until which no request is sent, after a failure in this process.
    pub(crate) local_pause_until: MonotonicNanos,
    pub(crate) failures: u32,
    pub(crate) last_error: Option<Error>,
    /// The login and generation of the rejection that was reported as an event.
    pub(crate) reported_rejection: Option<(LoginId, u64)>,
}

/// State of an access token that the API rejected with 401.
#[derive(Default)]
pub(crate) struct RejectedToken {
    /// The rejected token, until it is replaced.
    pub(crate) token: Option<AccessToken>,
    /// `true` if an endpoint that accepts every valid token rejected it.
    pub(crate) may_shorten_pause: bool,
    /// `true` if such an endpoint accepted a token since a pause was last cut short.
    pub(crate) has_succeeded_since_shortening: bool,
    /// The number of refreshes in this process caused by a 401, and the time of the last one.
    pub(crate) local_refreshes: Option<(u32, Duration)>,
    /// The last time at which another refresh was denied.
    pub(crate) denied_at: Option<Duration>,
    /// The number of callers that reported the 401 and have not asked for a token since.
    pub(crate) waiting_callers: u32,
}

/// A token whose stored receipt time is in the future, so its expiry is unknown.
pub(crate) struct FutureDatedToken {
    pub(crate) token: AccessToken,
    /// The time at which this process first saw the token.
    pub(crate) since: Duration,
    /// `true` if this process already refreshed such a token of this session.
    pub(crate) is_refreshed: bool,
}

impl EntryState {
    /// Returns `true` if the state equals a new one and need not be stored.
    fn is_empty(&self) -> bool {
        // Destructured, so that a new field cannot be forgotten here.
        let Self {
            lock,
            refresh_status: _,
            foreign_lease,
            unsaved,
            rejected_token,
            undated_token,
            canceled_lease,
            is_client_rejected,
            requested_refresh,
            backoff_until,
            local_pause_until,
            failures,
            last_error,
            reported_rejection,
        } = self;
        lock.strong_count() == 0
            && self.active_refresh().is_none()
            && foreign_lease.is_none()
            && unsaved.is_none()
            && rejected_token.is_none()
            && undated_token.is_none()
            && canceled_lease.is_none()
            && !is_client_rejected
            && requested_refresh.is_none()
            && [*backoff_until, *local_pause_until] == [MonotonicNanos::default(); 2]
            && *failures == 0
            && last_error.is_none()
            && reported_rejection.is_none()
    }

    /// Returns the running refresh, if there is one.
    ///
    /// A refresh whose task is gone, for example with its runtime, is not running and does not
    /// resume.
    fn active_refresh(&self) -> Option<&watch::Receiver<RefreshStatus>> {
        self.refresh_status.as_ref().filter(|status| status.borrow().is_running() && status.has_changed().is_ok())
    }

    /// Returns the requested urgency of replacing `token`.
    pub(crate) fn requested_urgency(&self, token: &AccessToken) -> Urgency {
        let request = self.requested_refresh.as_ref().filter(|(requested, _)| requested == token);
        request.map_or(Urgency::None, |(_, urgency)| *urgency)
    }

    /// Returns the lock for changes, and creates it if no task holds it or waits for it.
    pub(crate) fn lock(&mut self) -> Arc<tokio::sync::Mutex<()>> {
        self.lock.upgrade().unwrap_or_else(|| {
            let lock = Arc::default();
            self.lock = Arc::downgrade(&lock);
            lock
        })
    }

    /// Clears the backoff and recorded failures.
    pub(crate) fn reset_errors(&mut self) {
        (self.backoff_until, self.local_pause_until) = Default::default();
        (self.failures, self.last_error) = Default::default();
    }

    /// Returns the state of `token` if the API rejected it.
    pub(crate) fn unauthorized(&mut self, token: &AccessToken) -> Option<&mut RejectedToken> {
        self.rejected_token.as_deref_mut().filter(|found| found.token.as_ref() == Some(token))
    }

    /// Clears the 401 after the rejected token was replaced or issued again. The count of refreshes
    /// is kept.
    pub(crate) fn clear_rejected_token(&mut self) {
        if let Some(found) = &mut self.rejected_token {
            let RejectedToken { local_refreshes, has_succeeded_since_shortening, .. } = **found;
            **found = RejectedToken { local_refreshes, has_succeeded_since_shortening, ..RejectedToken::default() };
            self.rejected_token.take_if(|_| local_refreshes.is_none() && !has_succeeded_since_shortening);
        }
    }

    /// Resets the state for another login, except for what does not depend on the previous one.
    fn reset(&mut self) {
        let Self { lock, foreign_lease, unsaved, canceled_lease, .. } = mem::take(self);
        *self = Self { lock, foreign_lease, unsaved, canceled_lease, ..Self::default() };
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
        let expiry = Expiry { due_at: UnixTime::MAX, expires_at: UnixTime::MAX };
        let (expires_elapsed, seen_at) = (Duration::MAX.into(), Duration::ZERO.into());
        let (is_withheld, is_awaited, was_pause_shortened, requested) = (false, false, false, Urgency::None);
        CachedToken {
            access_token,
            login,
            generation,
            expiry,
            expires_elapsed,
            revalidated_at: seen_at,
            is_withheld,
            requested_urgency: requested,
            is_awaited,
            was_pause_shortened,
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

    #[test]
    fn refresh_jitter_is_distributed_across_cache_entries() {
        let chances: BTreeSet<u16> = (0..100)
            .map(|seed| CacheEntry::new(TokenKey::new("jane").unwrap(), seed).jitter())
            .inspect(|jitter| assert!((0.0..=1.0).contains(jitter)))
            .map(|jitter| (jitter * f64::from(u16::MAX)).round() as u16)
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
        assert!(size_of::<EntryState>() <= 192);
    }

    #[test]
    fn rare_state_exists_only_while_needed() {
        /// A change of the entry, and the change that reverts it.
        type ChangeAndRevert = (fn(&CacheEntry, &Error), fn(&CacheEntry));
        let entry = cache_entry();
        entry.reset(Some(cached_token(1, 1)));
        let error = entry.not_found_error();
        assert!(entry.has_no_state());
        let changes: [ChangeAndRevert; 7] = [
            (
                |entry, _| {
                    entry.set_foreign_lease(
                        1,
                        Some(ForeignLease { id: own_lease_id(), at: UnixTime::MAX, seen_at: Duration::ZERO }),
                    )
                },
                |_| (),
            ),
            (|entry, _| entry.backoff_until(1, Duration::from_secs(1)), CacheEntry::end_backoff),
            (|entry, error| entry.record_error(1, error), CacheEntry::end_backoff),
            (|entry, _| entry.count_failure(1), CacheEntry::end_backoff),
            (|entry, _| assert!(entry.record_rejection_reported(1, login_id(1), 1)), CacheEntry::end_backoff),
            (|entry, _| entry.set_unsaved(1, &stored_login(1, 2)), |_| ()),
            (
                |entry, _| assert!(entry.mark_unauthorized(&cached_token(1, 1).access_token, false)),
                |entry| {
                    assert!(entry.publish(1, Some(cached_token(1, 2))));
                },
            ),
        ];
        for (number, (change, revert)) in changes.into_iter().enumerate() {
            change(&entry, &error);
            entry.shrink();
            assert!(!entry.has_no_state(), "{number}");
            revert(&entry);
            entry.record_success(1);
            assert!(entry.has_no_state(), "{number}");
        }
    }

    #[test]
    fn token_urgency_is_maximum_of_expiry_and_request() {
        let second = Duration::from_secs(1);
        let plain = CachedToken { expires_elapsed: (second * 2).into(), ..cached_token(1, 1) };
        let urgency = |current: &CachedToken, elapsed| current.urgency(UnixTime::from_secs(0), elapsed);
        assert_eq!([1, 2].map(|elapsed| urgency(&plain, second * elapsed)), [Urgency::None, Urgency::Expired]);
        let requested = CachedToken { requested_urgency: Urgency::Requested, ..plain.clone() };
        assert_eq!([1, 2].map(|elapsed| urgency(&requested, second * elapsed)), [Urgency::Requested, Urgency::Expired]);
        assert_eq!(urgency(&CachedToken { is_withheld: true, ..plain }, second), Urgency::Expired);
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
        let entry = cache_entry();
        entry.reset(Some(cached_token(1, 2)));
        assert!(!entry.publish(1, Some(cached_token(1, 1))), "these are older");
        assert!(!entry.publish_same_login(1, cached_token(2, 3)), "another login was published in the meantime");
        assert!(entry.publish(1, Some(cached_token(2, 1))), "the generations of two logins cannot be compared");
        assert_eq!(entry.cached_generation(), Some((login_id(2), 1)));
    }

    #[test]
    fn token_state_survives_repeated_publish() {
        let (entry, second) = (cache_entry(), Duration::from_secs(1));
        entry.reset(Some(CachedToken { expires_elapsed: second.into(), ..cached_token(1, 1) }));
        let token = cached_token(1, 1).access_token;
        entry.request_refresh(&token, Urgency::Requested);
        entry.request_refresh(&token, Urgency::Due);
        entry.mark_unauthorized(&token, false);
        entry.await_replacement(&token);
        assert!(entry.publish(1, Some(cached_token(1, 1))));
        let current = entry.current();
        let current = current.as_ref().unwrap();
        assert_eq!(
            (Duration::from(current.expires_elapsed), current.requested_urgency, current.is_awaited),
            (second, Urgency::Requested, true)
        );
    }

    #[test]
    fn new_tokens_clear_request_and_new_login_clears_401_count() {
        let entry = cache_entry();
        entry.reset(Some(cached_token(1, 1)));
        entry.request_refresh(&cached_token(1, 1).access_token, Urgency::Due);
        entry.count_unauthorized(1, false, Duration::ZERO);
        assert!(entry.publish(1, Some(cached_token(1, 2))));
        entry.with_state(|rare| assert!(rare.requested_refresh.is_none() && rare.rejected_token.is_some()));
        assert!(entry.publish(1, Some(cached_token(2, 1))));
        assert!(entry.has_no_state());
    }

    #[test]
    fn abandoned_refresh_publishes_nothing_and_is_replaced() {
        let entry = cache_entry();
        let before = entry.join_or_register_refresh().1.unwrap();
        entry.abandon();
        assert!(!entry.publish(before.epoch, Some(cached_token(1, 1))));
        assert!(entry.join_or_register_refresh().1.is_some());
    }

    #[test]
    fn new_refresh_receives_canceled_lease_and_foreign_lease() {
        let (entry, foreign_lease) =
            (cache_entry(), ForeignLease { id: own_lease_id(), at: UnixTime::MAX, seen_at: Duration::ZERO });
        entry.record_cancelled_lease(own_lease_id());
        entry.set_foreign_lease(0, Some(foreign_lease));
        let start = entry.join_or_register_refresh().1.unwrap();
        assert_eq!((start.canceled_lease, start.foreign_lease), (Some(own_lease_id()), Some(foreign_lease)));
    }

    #[test]
    fn new_tokens_clear_errors_before_save() {
        let entry = cache_entry();
        entry.reset(Some(cached_token(1, 1)));
        let token = cached_token(1, 1).access_token;
        entry.count_failure(1);
        entry.request_refresh(&token, Urgency::Due);
        assert!(entry.record_rejection_reported(1, login_id(1), 1) && entry.record_client_rejection(1));
        entry.mark_unauthorized(&token, false);
        // The server may issue the same access token again.
        entry.set_unsaved(1, &stored_login(1, 1));
        entry.with_state(|rare| {
            assert!(
                rare.requested_refresh.is_none() && rare.reported_rejection.is_none() && rare.rejected_token.is_none()
            );
        });
        assert!(entry.failures() == 0 && !entry.is_client_rejected());
        entry.count_failure(1);
        entry.record_cancelled_lease(own_lease_id());
        entry.record_success(1);
        entry.shrink();
        assert!(entry.has_no_state());
    }

    #[test]
    fn unsaved_tokens_are_dropped_once_stored_or_superseded() {
        let entry = cache_entry();
        let is_kept = |stored: Option<&Head>| {
            entry.set_unsaved(0, &stored_login(1, 2));
            entry.drop_superseded(0, stored);
            entry.has_unsaved()
        };
        assert!(is_kept(Some(&stored_login(1, 1).head)));
        assert!(!is_kept(Some(&stored_login(1, 2).head)) && !is_kept(Some(&stored_login(2, 1).head)) && !is_kept(None));
        entry.set_unsaved(0, &stored_login(1, 2));
        entry.invalidate();
        assert!(entry.has_unsaved(), "a change has begun");
        entry.reset(None);
        assert!(!entry.has_unsaved(), "the change was confirmed");
    }

    #[test]
    fn active_refresh_is_tracked_until_finished_or_dropped() {
        let entry = cache_entry();
        for is_finished in [true, false] {
            let (_, start) = entry.join_or_register_refresh();
            entry.shrink();
            assert!(entry.join_or_register_refresh().1.is_none() && entry.active_refresh().is_some());
            let start = start.unwrap();
            if is_finished {
                start.sender.send_replace(RefreshStatus::Done(None));
            } else {
                drop(start.sender);
            }
            entry.shrink();
            assert!(entry.has_no_state(), "{is_finished}");
        }
    }

    /// The rarely used state is freed and allocated again between the steps of the earlier refresh.
    #[test]
    fn refresh_started_before_logout_and_login_changes_nothing() {
        let entry = cache_entry();
        entry.reset(Some(cached_token(1, 1)));
        let before = entry.join_or_register_refresh().1.unwrap();
        entry.reset(None);
        assert!(entry.has_no_state(), "the refresh of a removed session is dropped");
        entry.reset(Some(cached_token(2, 1)));
        for has_next in [false, true] {
            let next = has_next.then(|| entry.join_or_register_refresh().1.unwrap());
            entry.set_unsaved(before.epoch, &stored_login(1, 2));
            assert!(!entry.publish_same_login(before.epoch, cached_token(1, 2)) && !entry.publish(before.epoch, None));
            entry.set_foreign_lease(
                before.epoch,
                Some(ForeignLease { id: own_lease_id(), at: UnixTime::MAX, seen_at: Duration::ZERO }),
            );
            entry.touch(before.epoch, Duration::from_secs(1));
            entry.backoff_until(before.epoch, Duration::from_secs(1));
            entry.record_error(before.epoch, &entry.not_found_error());
            entry.count_failure(before.epoch);
            entry.record_success(before.epoch);
            before.sender.send_replace(RefreshStatus::Done(None));
            entry.shrink();
            assert_eq!(entry.current().as_ref().map(|current| current.staleness(Duration::ZERO)), Some(Duration::ZERO));
            assert!(entry.cached_generation() == Some((login_id(2), 1)) && entry.unsaved().is_none());
            assert_eq!(entry.has_no_state(), next.is_none());
            assert_eq!(
                entry.join_or_register_refresh().1.is_none(),
                has_next,
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
        let (entry, store, active_changes) = (cache_entry(), Mutex::new(None), AtomicUsize::new(0));
        let refresh = || {
            let Some(NewRefresh { epoch, sender, .. }) = entry.join_or_register_refresh().1 else { return };
            let loaded = *store.lock().unwrap();
            // Long enough for a change to change or revert.
            (0..5).for_each(|_| thread::yield_now());
            if let Some((number, generation)) = loaded {
                entry.set_unsaved(epoch, &stored_login(number, generation + 1));
                entry.publish_same_login(epoch, cached_token(number, generation + 1));
                sender.send_replace(RefreshStatus::TokensReady);
                entry.mark_unauthorized(&cached_token(number, generation + 1).access_token, false);
                entry.record_success(epoch);
            }
            entry.publish(epoch, loaded.map(|(number, generation)| cached_token(number, generation + 1)));
            sender.send_replace(RefreshStatus::Done(None));
            entry.shrink();
        };
        // The caller holds the lock, so the store does not change in the meantime.
        let assert_as_stored = || {
            let stored = store.lock().unwrap().map(|(number, _)| login_id(number));
            for _ in 0..10 {
                thread::yield_now();
                assert_eq!(entry.cached_generation().map(|(login, _)| login), stored);
                assert!(entry.unsaved().is_none_or(|session| Some(session.head.login) == stored));
            }
        };
        let change = |number: u8| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let guard = runtime.block_on(entry.lock_for_write());
            assert_eq!(active_changes.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
            assert_as_stored();
            let new = (!number.is_multiple_of(3)).then_some((number, 1));
            entry.invalidate();
            *store.lock().unwrap() = new;
            entry.reset(new.map(|(number, generation)| cached_token(number, generation)));
            assert_as_stored();
            active_changes.fetch_sub(1, Ordering::SeqCst);
            drop(guard);
            (0..10).for_each(|_| thread::yield_now());
        };
        thread::scope(|scope| {
            for odd in 0..2 {
                scope.spawn(move || (1..ROUNDS).filter(|number| number % 2 == odd).for_each(change));
                scope.spawn(|| (0..REFRESHES).for_each(|_| refresh()));
            }
        });
        entry.reset(None);
        assert!(entry.has_no_state() && entry.cached_generation().is_none());
    }

    #[test]
    fn monotonic_nanos_are_exact_for_500_years_then_saturate() {
        let years = |years: u64| Duration::from_secs(years * 365 * 24 * 60 * 60);
        for elapsed in [Duration::ZERO, Duration::from_nanos(1), years(500) + Duration::from_nanos(7)] {
            assert_eq!(Duration::from(MonotonicNanos::from(elapsed)), elapsed);
        }
        assert!(Duration::from(MonotonicNanos::from(Duration::MAX)) > years(500));
    }
}
