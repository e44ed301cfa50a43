//! The refresh demand of a cache entry: due and rejected tokens, requests, failures, and unsaved
//! tokens.

use std::time::Duration;

use crate::clock::{MIN_PLAUSIBLE_TIME, UnixTime};
use crate::error::Error;
use crate::secret::AccessToken;
use crate::sessions::refresh::cache_entry::{CacheEntry, FutureDatedToken};
use crate::sessions::refresh::policy::{Expiry, UNAUTHORIZED_COUNT_LIFETIME, is_plausible, min_interval};
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{Demand, ForeignLease, StoredLogin, Unauthorized, Urgency};
use crate::store::Head;
use crate::store::entry::{LeaseId, LoginId};
use crate::token::token_set::TokenSet;

/// The time for which a denied refresh after a 401 stays denied. Afterwards, another process may
/// have saved new tokens.
const DENIAL_DURATION: Duration = Duration::from_secs(1);

impl CacheEntry {
    /// Returns the current demand of `tokens`, which the store contains.
    pub(crate) fn demand(&self, tokens: &TokenSet, wall: UnixTime, elapsed: Duration) -> Demand {
        let (token, expiry) = (tokens.access_token(), Expiry::of(tokens, self.jitter(), wall));
        // The cached expiry also uses the monotonic clock, so it survives a wall clock that is set
        // back. It does not apply if the server issued the same token again with other times.
        let current = self.current();
        let cached = current.as_ref().filter(|current| current.access_token == *token && current.expiry == expiry);
        let mut urgency = cached.map_or(expiry.urgency(wall), |current| current.urgency_by_expiry(wall, elapsed));
        self.with_state(|rare| {
            let mut age = wall.since(tokens.received_at());
            if tokens.received_at() > wall {
                let undated = rare.undated_token.get_or_insert_with(|| {
                    Box::new(FutureDatedToken { token: token.clone(), since: elapsed, is_refreshed: false })
                });
                if undated.token != *token {
                    (undated.token, undated.since) = (token.clone(), elapsed);
                }
                age = elapsed.saturating_sub(undated.since);
                if !is_plausible(tokens, wall) && !undated.is_refreshed && wall >= MIN_PLAUSIBLE_TIME {
                    urgency = urgency.max(Urgency::Due);
                }
            } else {
                rare.undated_token.take_if(|undated| !undated.is_refreshed);
            }
            let (has_min_age, requested) = (age >= min_interval(tokens), rare.requested_urgency(token));
            if has_min_age && requested == Urgency::Due {
                urgency = urgency.max(Urgency::Due);
            }
            let is_remembered = |at: Duration| elapsed.saturating_sub(at) < UNAUTHORIZED_COUNT_LIFETIME;
            rare.rejected_token.take_if(|found| {
                found.token.is_none()
                    && !found.has_succeeded_since_shortening
                    && !found.local_refreshes.is_some_and(|(_, at)| is_remembered(at))
            });
            let unauthorized = rare.unauthorized(token).map(|found| Unauthorized {
                may_shorten_pause: found.may_shorten_pause,
                has_succeeded_since_shortening: found.has_succeeded_since_shortening,
                local_refreshes: found.local_refreshes.map(|(count, at)| (count, elapsed.saturating_sub(at))),
            });
            Demand { urgency, has_min_age, is_requested: requested == Urgency::Requested, unauthorized }
        })
    }

    /// Returns `true` if this process already refreshed a token of this session with an implausible
    /// receipt time.
    pub(crate) fn has_refreshed_future_dated(&self) -> bool {
        self.with_state(|rare| rare.undated_token.as_ref().is_some_and(|undated| undated.is_refreshed))
    }

    /// Requests a newer token than `token`. The highest requested urgency applies.
    pub(crate) fn request_refresh(&self, token: &AccessToken, requested: Urgency) {
        self.with_state(|rare| {
            let requested = requested.max(rare.requested_urgency(token));
            rare.requested_refresh = Some((token.clone(), requested));
            self.set_requested_urgency(token, requested);
        });
    }

    /// Withdraws the request for a newer token than `token`.
    pub(crate) fn cancel_refresh_request(&self, token: &AccessToken) {
        self.with_state(|rare| {
            rare.requested_refresh.take_if(|(requested, _)| requested == token);
            self.set_requested_urgency(token, Urgency::None);
        });
    }

    fn set_requested_urgency(&self, token: &AccessToken, urgency: Urgency) {
        self.update_current(|current| {
            if current.access_token == *token {
                current.requested_urgency = urgency;
            }
        });
    }
}

/// Tokens that the API rejected with 401.
impl CacheEntry {
    /// Marks a token as rejected. Returns `false` if it is not the cached one.
    ///
    /// `may_shorten_pause` is set for endpoints that accept every valid token.
    pub(crate) fn mark_unauthorized(&self, token: &AccessToken, may_shorten_pause: bool) -> bool {
        self.with_state(|rare| {
            let is_cached = self.current().as_ref().is_some_and(|current| current.access_token == *token);
            if is_cached {
                let found = rare.rejected_token.get_or_insert_default();
                found.token = Some(token.clone());
                found.may_shorten_pause |= may_shorten_pause;
            }
            is_cached
        })
    }

    /// Makes the next caller wait for a replacement of `token`.
    pub(crate) fn await_replacement(&self, token: &AccessToken) {
        self.with_state(|rare| {
            if let Some(found) = rare.unauthorized(token) {
                found.waiting_callers = found.waiting_callers.saturating_add(1);
                self.update_current(|current| current.is_awaited = true);
            }
        });
    }

    /// Returns the token whose replacement this caller should wait for. Each reported 401 makes one
    /// caller wait.
    pub(crate) fn take_rejected_token(&self) -> Option<AccessToken> {
        self.with_state(|rare| {
            let found = rare.rejected_token.as_mut().filter(|found| found.waiting_callers > 0)?;
            found.waiting_callers -= 1;
            let (token, is_last) = (found.token.clone(), found.waiting_callers == 0);
            self.update_current(|current| current.is_awaited &= !is_last);
            token
        })
    }

    /// Returns `true` if a refresh after a 401 was denied within the last second.
    pub(crate) fn is_denied(&self, elapsed: Duration) -> bool {
        let denied_at = self.with_state(|rare| rare.rejected_token.as_ref().and_then(|found| found.denied_at));
        denied_at.is_some_and(|at| elapsed.saturating_sub(at) < DENIAL_DURATION)
    }

    /// Records that a 401 did not lead to a new token.
    pub(crate) fn record_denial(&self, elapsed: Duration) {
        self.with_state(|rare| {
            if let Some(found) = &mut rare.rejected_token {
                (found.denied_at, found.may_shorten_pause) = (Some(elapsed), false);
            }
        });
    }

    /// Counts a refresh caused by a 401.
    pub(crate) fn count_unauthorized(&self, epoch: u64, was_pause_shortened: bool, elapsed: Duration) {
        self.with_state_at_epoch(epoch, |rare| {
            let found = rare.rejected_token.get_or_insert_default();
            let recent =
                found.local_refreshes.filter(|(_, at)| elapsed.saturating_sub(*at) < UNAUTHORIZED_COUNT_LIFETIME);
            found.local_refreshes = Some((recent.map_or(1, |(count, _)| count.saturating_add(1)), elapsed));
            found.has_succeeded_since_shortening &= !was_pause_shortened;
        });
    }

    /// Records that an endpoint that accepts every valid token accepted one. The next pause may be
    /// cut short again.
    pub(crate) fn record_token_accepted(&self) {
        if self.current().as_ref().is_some_and(|current| current.was_pause_shortened) {
            self.with_state(|rare| rare.rejected_token.get_or_insert_default().has_succeeded_since_shortening = true);
        }
    }
}

/// New tokens that are not saved yet.
impl CacheEntry {
    /// Keeps new tokens until they are saved. If this task cannot save them, the next one tries.
    pub(crate) fn set_unsaved(&self, epoch: u64, new: &StoredLogin<SessionData>) {
        self.with_state_at_epoch(epoch, |rare| {
            rare.unsaved = Some(Box::new(new.clone()));
            rare.reset_errors();
            rare.requested_refresh = None;
            rare.reported_rejection = None;
            rare.is_client_rejected = false;
            if rare.unauthorized(new.tokens.tokens.access_token()).is_some() {
                rare.clear_rejected_token();
            }
            if let Some(undated) = &mut rare.undated_token {
                undated.is_refreshed = true;
            }
        });
    }

    pub(crate) fn has_unsaved(&self) -> bool {
        self.with_state(|rare| rare.unsaved.is_some())
    }

    /// Returns new tokens that the store does not have yet.
    pub(crate) fn unsaved(&self) -> Option<StoredLogin<SessionData>> {
        self.with_state(|rare| rare.unsaved.as_deref().cloned())
    }

    /// Drops superseded unsaved tokens: the session was removed or replaced, or the store has newer
    /// ones.
    pub(crate) fn drop_superseded(&self, epoch: u64, stored: Option<&Head>) {
        self.with_state_at_epoch(epoch, |rare| {
            rare.unsaved.take_if(|unsaved| !stored.is_some_and(|stored| unsaved.is_newer_than(stored)));
        });
    }

    /// Clears failures and unsaved tokens: the store has the newest tokens.
    pub(crate) fn record_success(&self, epoch: u64) {
        self.with_state_at_epoch(epoch, |rare| {
            rare.unsaved = None;
            rare.foreign_lease = None;
            rare.canceled_lease = None;
            rare.reset_errors();
        });
    }
}

/// Leases, failures, and the backoff after them.
impl CacheEntry {
    pub(crate) fn set_foreign_lease(&self, epoch: u64, lease: Option<ForeignLease>) {
        self.with_state_at_epoch(epoch, |rare| rare.foreign_lease = lease);
    }

    /// Records the lease of a refresh task that was canceled.
    pub(crate) fn record_cancelled_lease(&self, lease: LeaseId) {
        self.with_state(|rare| rare.canceled_lease = Some(Box::new(lease)));
    }

    /// Records that the server rejected the client for this session. Returns `true` the first time.
    pub(crate) fn record_client_rejection(&self, epoch: u64) -> bool {
        self.with_state_at_epoch(epoch, |rare| !std::mem::replace(&mut rare.is_client_rejected, true)).unwrap_or(false)
    }

    pub(crate) fn is_client_rejected(&self) -> bool {
        self.with_state(|rare| rare.is_client_rejected)
    }

    /// Returns `true` while this process backs off.
    pub(crate) fn is_backing_off(&self, elapsed: Duration) -> bool {
        self.with_state(|rare| elapsed < Duration::from(rare.backoff_until))
    }

    /// Returns the remaining pause after a failed refresh in this process.
    pub(crate) fn local_pause(&self, elapsed: Duration) -> Option<Duration> {
        let until = Duration::from(self.with_state(|rare| rare.local_pause_until));
        until.checked_sub(elapsed).filter(|remaining| !remaining.is_zero())
    }

    pub(crate) fn pause_until(&self, epoch: u64, until: Duration) {
        self.with_state_at_epoch(epoch, |rare| rare.local_pause_until = until.into());
    }

    pub(crate) fn backoff_until(&self, epoch: u64, until: Duration) {
        self.with_state_at_epoch(epoch, |rare| rare.backoff_until = until.into());
    }

    /// Ends the backoff and clears recorded failures, after the caller unblocked the session.
    pub(crate) fn end_backoff(&self) {
        self.with_state(|rare| {
            rare.reset_errors();
            rare.reported_rejection = None;
            rare.is_client_rejected = false;
            if let Some(found) = &mut rare.rejected_token {
                (found.local_refreshes, found.denied_at) = (None, None);
            }
        });
    }

    /// Records the last error, which the session status reports.
    pub(crate) fn record_error(&self, epoch: u64, error: &Error) {
        self.with_state_at_epoch(epoch, |rare| rare.last_error = Some(error.clone()));
    }

    pub(crate) fn last_error(&self) -> Option<Error> {
        self.with_state(|rare| rare.last_error.clone())
    }

    pub(crate) fn count_failure(&self, epoch: u64) {
        self.with_state_at_epoch(epoch, |rare| rare.failures = rare.failures.saturating_add(1));
    }

    /// Returns the number of consecutive failures.
    pub(crate) fn failures(&self) -> u32 {
        self.with_state(|rare| rare.failures)
    }

    /// Records that the rejection of this generation was reported. Returns `true` the first time.
    pub(crate) fn record_rejection_reported(&self, epoch: u64, login: LoginId, generation: u64) -> bool {
        let reported = Some((login, generation));
        self.with_state_at_epoch(epoch, |rare| std::mem::replace(&mut rare.reported_rejection, reported) != reported)
            .unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::ClientIdentity;
    use crate::scope::Scopes;
    use crate::service::Service;
    use crate::sessions::refresh::cache_entry::CachedToken;
    use crate::store::TokenKey;
    use crate::store::entry::LoginId;
    use crate::token::response::TokenResponse;
    use crate::token::token_set::Provenance;
    use std::sync::Arc;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(60 * 60);

    /// Tokens that expire after an hour, and may be refreshed after 30 seconds.
    fn tokens(token: &str, received_at: UnixTime) -> TokenSet {
        let owner = Arc::new(ClientIdentity { service: "webex".into(), client_id: "C1".into() });
        let (service, requested) = (Service::webex(), Scopes::new());
        let receipt = Provenance {
            client: owner,
            service: &service,
            requested_scopes: requested,
            exchange: None,
            now: received_at,
        };
        let json = format!(r#"{{"access_token":"{token}","expires_in":3600}}"#);
        TokenSet::from_response(TokenResponse::read(json.as_bytes()).ok().unwrap(), receipt)
    }

    /// Creates an entry with these cached tokens. `was_cut`: a pause was recently cut short.
    fn cache_entry(cached: &TokenSet, was_pause_shortened: bool) -> CacheEntry {
        let entry = CacheEntry::new(TokenKey::new("jane").unwrap(), 0);
        let expiry = Expiry::of(cached, entry.jitter(), NOW);
        entry.reset(Some(CachedToken {
            access_token: cached.access_token().clone(),
            login: LoginId::from_bytes([1; 16]),
            generation: 1,
            expiry,
            expires_elapsed: HOUR.into(),
            revalidated_at: Duration::ZERO.into(),
            is_withheld: false,
            requested_urgency: Urgency::None,
            is_awaited: false,
            was_pause_shortened,
        }));
        entry
    }

    fn is_awaited(entry: &CacheEntry) -> bool {
        entry.current().as_ref().unwrap().is_awaited
    }

    #[test]
    fn monotonic_expiry_applies_only_to_cached_tokens() {
        let cached = tokens("a", NOW);
        let entry = cache_entry(&cached, false);
        let urgency = |tokens: &TokenSet, elapsed| entry.demand(tokens, NOW, elapsed).urgency;
        assert_eq!(urgency(&cached, HOUR - SECOND), Urgency::None);
        assert_eq!(urgency(&cached, HOUR), Urgency::Expired, "the wall clock was set back");
        assert_eq!(urgency(&tokens("b", NOW), HOUR), Urgency::None, "another token with the same times");
        assert_eq!(urgency(&tokens("a", NOW - SECOND), HOUR), Urgency::None, "the same token with other times");
    }

    #[test]
    fn token_received_in_future_ages_from_first_observation() {
        let entry = cache_entry(&tokens("a", NOW), false);
        let has_min_age = |tokens: &TokenSet, elapsed| entry.demand(tokens, NOW, elapsed).has_min_age;
        let (b, c) = (tokens("b", NOW + HOUR), tokens("c", NOW + HOUR));
        assert!(!has_min_age(&b, SECOND * 100));
        assert!(!has_min_age(&b, SECOND * 130 - Duration::from_nanos(1)));
        assert!(has_min_age(&b, SECOND * 130), "30 seconds after it was first seen");
        assert!(!has_min_age(&c, SECOND * 130), "another token is seen for the first time");
        assert!(!has_min_age(&c, SECOND * 159));
        assert!(has_min_age(&c, SECOND * 160));
    }

    #[test]
    fn implausible_receipt_time_requests_one_refresh() {
        let entry = cache_entry(&tokens("a", NOW), false);
        let ahead = tokens("b", NOW + HOUR);
        let urgency = |tokens: &TokenSet, wall| entry.demand(tokens, wall, Duration::ZERO).urgency;
        assert_eq!(urgency(&ahead, NOW), Urgency::Due);
        assert_eq!(urgency(&tokens("b", NOW + SECOND), NOW), Urgency::None, "within the clock skew");
        assert_eq!(urgency(&ahead, UnixTime::from_secs(0)), Urgency::None, "the host's clock was never set");
        assert!(!entry.has_refreshed_future_dated());

        assert_eq!(urgency(&tokens("b", NOW), NOW), Urgency::None);
        assert!(entry.has_no_state(), "a plausible receipt time clears the state");

        assert_eq!(urgency(&ahead, NOW), Urgency::Due);
        entry.with_state(|rare| rare.undated_token.as_mut().unwrap().is_refreshed = true);
        assert_eq!(urgency(&ahead, NOW), Urgency::None, "a refresh did not help");
        assert_eq!(urgency(&tokens("b", NOW), NOW), Urgency::None);
        assert!(entry.has_refreshed_future_dated(), "the refresh is still recorded");
    }

    #[test]
    fn requested_refresh_is_due_after_minimum_interval() {
        let cached = tokens("a", NOW);
        let entry = cache_entry(&cached, false);
        let demand = |after| entry.demand(&cached, NOW + after, Duration::ZERO);
        entry.request_refresh(cached.access_token(), Urgency::Due);
        assert_eq!((demand(SECOND * 29).urgency, demand(SECOND * 29).has_min_age), (Urgency::None, false));
        assert_eq!((demand(SECOND * 30).urgency, demand(SECOND * 30).has_min_age), (Urgency::Due, true));
        assert!(!demand(SECOND * 30).is_requested);
        entry.request_refresh(cached.access_token(), Urgency::Requested);
        assert!(demand(SECOND * 29).is_requested);
        assert_eq!(demand(SECOND * 30).urgency, Urgency::None, "only a waiting caller requests a refresh");
    }

    #[test]
    fn api_rejection_applies_only_to_cached_token() {
        let (cached, other) = (tokens("a", NOW), tokens("b", NOW));
        let entry = cache_entry(&cached, false);
        assert!(!entry.mark_unauthorized(other.access_token(), true));
        assert!(entry.has_no_state(), "nothing is recorded for another token");
        assert!(entry.mark_unauthorized(cached.access_token(), false));
        let may_shorten_pause = |tokens: &TokenSet| {
            let demand = entry.demand(tokens, NOW, Duration::ZERO);
            demand.unauthorized.map(|unauthorized| unauthorized.may_shorten_pause)
        };
        assert_eq!((may_shorten_pause(&cached), may_shorten_pause(&other)), (Some(false), None));
        assert!(entry.mark_unauthorized(cached.access_token(), true));
        assert_eq!(may_shorten_pause(&cached), Some(true));
        assert!(entry.mark_unauthorized(cached.access_token(), false));
        assert_eq!(may_shorten_pause(&cached), Some(true), "a later report does not clear it");
        entry.record_denial(Duration::ZERO);
        assert_eq!(may_shorten_pause(&cached), Some(false), "it was too early for a refresh");
    }

    #[test]
    fn each_reported_401_makes_one_caller_wait() {
        let cached = tokens("a", NOW);
        let entry = cache_entry(&cached, false);
        let token = cached.access_token();
        entry.mark_unauthorized(token, false);
        assert_eq!((entry.take_rejected_token(), is_awaited(&entry)), (None, false));
        entry.await_replacement(token);
        entry.await_replacement(token);
        assert!(is_awaited(&entry));
        assert_eq!(entry.take_rejected_token().as_ref(), Some(token));
        assert!(is_awaited(&entry), "the second report has no caller yet");
        assert_eq!(entry.take_rejected_token().as_ref(), Some(token));
        assert_eq!((entry.take_rejected_token(), is_awaited(&entry)), (None, false));
    }

    #[test]
    fn denied_refresh_stays_denied_for_one_second() {
        let cached = tokens("a", NOW);
        let entry = cache_entry(&cached, false);
        entry.mark_unauthorized(cached.access_token(), false);
        assert!(!entry.is_denied(SECOND));
        entry.record_denial(SECOND);
        assert!(entry.is_denied(SECOND * 2 - Duration::from_nanos(1)));
        assert!(!entry.is_denied(SECOND * 2));
    }

    #[test]
    fn count_of_refreshes_after_401_restarts_after_one_day() {
        let cached = tokens("a", NOW);
        let entry = cache_entry(&cached, false);
        let local_refreshes = |elapsed| {
            entry.mark_unauthorized(cached.access_token(), false);
            entry.demand(&cached, NOW, elapsed).unauthorized.unwrap().local_refreshes
        };
        entry.count_unauthorized(entry.epoch(), false, Duration::ZERO);
        entry.count_unauthorized(entry.epoch(), false, UNAUTHORIZED_COUNT_LIFETIME - SECOND);
        assert_eq!(
            local_refreshes(UNAUTHORIZED_COUNT_LIFETIME),
            Some((2, SECOND)),
            "two refreshes, the last one a second ago"
        );
        entry.count_unauthorized(entry.epoch(), false, UNAUTHORIZED_COUNT_LIFETIME * 2 - SECOND);
        assert_eq!(
            local_refreshes(UNAUTHORIZED_COUNT_LIFETIME * 2),
            Some((1, SECOND)),
            "the first two no longer count"
        );
    }

    #[test]
    fn count_of_refreshes_after_401_is_removed_after_one_day() {
        let cached = tokens("a", NOW);
        let entry = cache_entry(&cached, false);
        entry.count_unauthorized(entry.epoch(), false, Duration::ZERO);
        entry.demand(&cached, NOW, UNAUTHORIZED_COUNT_LIFETIME - SECOND);
        assert!(!entry.has_no_state());
        entry.mark_unauthorized(cached.access_token(), false);
        assert!(
            entry.demand(&cached, NOW, UNAUTHORIZED_COUNT_LIFETIME).unauthorized.is_some(),
            "the state of a token is kept"
        );
        entry.with_state(|rare| rare.rejected_token.as_mut().unwrap().token = None);
        entry.demand(&cached, NOW, UNAUTHORIZED_COUNT_LIFETIME);
        assert!(entry.has_no_state());
    }

    #[test]
    fn accepted_token_allows_pause_to_be_shortened_again() {
        let cached = tokens("a", NOW);
        let uncut = cache_entry(&cached, false);
        uncut.record_token_accepted();
        assert!(uncut.has_no_state(), "no pause was cut short");

        let entry = cache_entry(&cached, true);
        let has_succeeded = || {
            entry.mark_unauthorized(cached.access_token(), false);
            entry.demand(&cached, NOW, Duration::ZERO).unauthorized.unwrap().has_succeeded_since_shortening
        };
        entry.record_token_accepted();
        entry.demand(&cached, NOW, UNAUTHORIZED_COUNT_LIFETIME);
        assert!(!entry.has_no_state(), "it is recorded until the next cut");
        assert!(has_succeeded());
        entry.count_unauthorized(entry.epoch(), false, Duration::ZERO);
        assert!(has_succeeded());
        entry.count_unauthorized(entry.epoch(), true, Duration::ZERO);
        assert!(!has_succeeded());
    }
}
