//! The refresh demand of a cache entry: due and rejected tokens, and failures.

use std::time::Duration;

use crate::clock::{MIN_PLAUSIBLE_TIME, UnixTime};
use crate::error::Error;
use crate::secret::AccessToken;
use crate::sessions::refresh::cache_entry::CacheEntry;
use crate::sessions::refresh::policy::{Expiry, is_plausible, min_interval};
use crate::sessions::refresh::rare_state::{RareState, UndatedToken};
use crate::sessions::refresh::steps::{Demand, Unauthorized, Urgency};
use crate::store::entry::{LeaseId, LoginId};
use crate::token::token_set::TokenSet;

/// The time for which a denied refresh after a 401 stays denied. Afterwards, another process may
/// have saved new tokens.
const DENIAL_DURATION: Duration = Duration::from_secs(1);
/// The time for which a refresh caused by a 401 is remembered.
const UNAUTHORIZED_COUNT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

impl CacheEntry {
    /// Returns the current demand of `tokens`, which the store contains.
    pub(crate) fn demand(&self, tokens: &TokenSet, wall: UnixTime, elapsed: Duration) -> Demand {
        let (token, moments) = (tokens.access_token(), Expiry::of(tokens, self.jitter(), wall));
        // The cached expiry also uses the monotonic clock, so it survives a wall clock that is set
        // back. It does not apply if the server issued the same token again with other times.
        let current = self.current();
        let cached = current.as_ref().filter(|current| current.access_token == *token && current.expiry == moments);
        let need = cached.map_or_else(|| moments.urgency(wall), |current| current.urgency_by_expiry(wall, elapsed));
        self.with_rare_state(|rare| {
            let requested = rare.requested_urgency(token);
            let (mut age, mut need) = (wall.since(tokens.received_at()), need);
            if tokens.received_at() > wall {
                let undated = rare.undated_token.get_or_insert_with(|| {
                    Box::new(UndatedToken { token: token.clone(), since: elapsed, is_refreshed: false })
                });
                if undated.token != *token {
                    (undated.token, undated.since) = (token.clone(), elapsed);
                }
                age = elapsed.saturating_sub(undated.since);
                if !is_plausible(tokens, wall) && !undated.is_refreshed && wall >= MIN_PLAUSIBLE_TIME {
                    need = need.max(Urgency::Due);
                }
            } else {
                rare.undated_token.take_if(|undated| !undated.is_refreshed);
            }
            let is_settled = age >= min_interval(tokens);
            if is_settled && requested == Urgency::Due {
                need = need.max(Urgency::Due);
            }
            rare.unauthorized.take_if(|found| {
                let is_forgotten = found
                    .local_refreshes
                    .is_none_or(|(_, at)| elapsed.saturating_sub(at) >= UNAUTHORIZED_COUNT_LIFETIME);
                found.token.is_none() && !found.has_succeeded_since_cut && is_forgotten
            });
            let unauthorized = rare.unauthorized.as_ref().filter(|found| found.token.as_ref() == Some(token));
            let unauthorized = unauthorized.map(|found| Unauthorized {
                may_cut_pause: found.may_cut_pause,
                has_succeeded_since_cut: found.has_succeeded_since_cut,
                local_refreshes: found.local_refreshes.map(|(count, at)| (count, elapsed.saturating_sub(at))),
            });
            Demand {
                urgency: need,
                has_min_age: is_settled,
                is_requested: requested == Urgency::Requested,
                unauthorized,
            }
        })
    }

    /// Returns `true` if this process already refreshed a token of this session with an implausible
    /// receipt time.
    pub(crate) fn has_refreshed_undated(&self) -> bool {
        self.with_rare_state(|rare| rare.undated_token.as_ref().is_some_and(|undated| undated.is_refreshed))
    }

    /// Marks a token as rejected by the API with 401. Returns `false` if it is not the cached one.
    ///
    /// `may_cut_pause` is set for endpoints that accept every valid token.
    pub(crate) fn mark_unauthorized(&self, token: &AccessToken, may_cut_pause: bool) -> bool {
        self.with_rare_state(|rare| {
            let is_cached = self.current().as_ref().is_some_and(|current| current.access_token == *token);
            if is_cached {
                let found = rare.unauthorized.get_or_insert_default();
                found.token = Some(token.clone());
                found.may_cut_pause |= may_cut_pause;
            }
            is_cached
        })
    }

    /// Makes the next caller wait for a replacement of `token`, which the API rejected.
    pub(crate) fn await_replacement(&self, token: &AccessToken) {
        self.with_rare_state(|rare| {
            let found = rare.unauthorized.as_mut().filter(|found| found.token.as_ref() == Some(token));
            if let Some(found) = found {
                found.waiting_callers = found.waiting_callers.saturating_add(1);
                self.update_current(|current| current.is_awaited = true);
            }
        });
    }

    /// Returns the token whose replacement this caller should wait for. Each reported 401 makes one
    /// caller wait.
    pub(crate) fn take_rejected_token(&self) -> Option<AccessToken> {
        self.with_rare_state(|rare| {
            let found = rare.unauthorized.as_mut().filter(|found| found.waiting_callers > 0)?;
            found.waiting_callers -= 1;
            let (token, is_last) = (found.token.clone(), found.waiting_callers == 0);
            self.update_current(|current| current.is_awaited &= !is_last);
            token
        })
    }

    /// Returns `true` if a refresh after a 401 was denied within the last second.
    pub(crate) fn is_denied(&self, elapsed: Duration) -> bool {
        self.with_rare_state(|rare| {
            let denied_at = rare.unauthorized.as_ref().and_then(|found| found.denied_at);
            denied_at.is_some_and(|at| elapsed.saturating_sub(at) < DENIAL_DURATION)
        })
    }

    /// Records that a 401 did not lead to a new token.
    pub(crate) fn record_denial(&self, elapsed: Duration) {
        self.with_rare_state(|rare| {
            if let Some(found) = &mut rare.unauthorized {
                (found.denied_at, found.may_cut_pause) = (Some(elapsed), false);
            }
        });
    }

    /// Counts a refresh caused by a 401.
    pub(crate) fn count_unauthorized(&self, epoch: u64, was_cut: bool, elapsed: Duration) {
        self.with_rare_state_at(epoch, |rare| {
            let found = rare.unauthorized.get_or_insert_default();
            let before =
                found.local_refreshes.filter(|(_, at)| elapsed.saturating_sub(*at) < UNAUTHORIZED_COUNT_LIFETIME);
            found.local_refreshes = Some((before.map_or(1, |(count, _)| count.saturating_add(1)), elapsed));
            found.has_succeeded_since_cut &= !was_cut;
        });
    }

    /// Records that an endpoint that accepts every valid token accepted one. The next pause may be
    /// cut short again.
    pub(crate) fn record_token_accepted(&self) {
        if self.current().as_ref().is_some_and(|current| current.was_pause_cut) {
            self.with_rare_state(|rare| rare.unauthorized.get_or_insert_default().has_succeeded_since_cut = true);
        }
    }
}

impl CacheEntry {
    /// Records the lease of a refresh task that was canceled.
    pub(crate) fn record_cancelled_lease(&self, lease: LeaseId) {
        self.with_rare_state(|rare| rare.cancelled_lease = Some(Box::new(lease)));
    }

    /// Records that the server rejected the client for this session. Returns `true` the first time.
    pub(crate) fn record_client_rejection(&self, epoch: u64) -> bool {
        self.with_rare_state_at(epoch, |rare| !std::mem::replace(&mut rare.is_client_rejected, true)).unwrap_or(false)
    }

    pub(crate) fn is_client_rejected(&self) -> bool {
        self.with_rare_state(|rare| rare.is_client_rejected)
    }

    /// Returns `true` while this process backs off.
    pub(crate) fn is_backing_off(&self, elapsed: Duration) -> bool {
        self.with_rare_state(|rare| elapsed < rare.backoff_until)
    }

    /// Returns the remaining pause after a failed refresh in this process.
    pub(crate) fn local_pause(&self, elapsed: Duration) -> Option<Duration> {
        let held_until = self.with_rare_state(|rare| rare.local_pause_until).map(Duration::from)?;
        held_until.checked_sub(elapsed).filter(|rest| !rest.is_zero())
    }

    pub(crate) fn pause_until(&self, epoch: u64, until: Duration) {
        self.with_rare_state_at(epoch, |rare| rare.local_pause_until = Some(until.into()));
    }

    pub(crate) fn backoff_until(&self, epoch: u64, until: Duration) {
        self.with_rare_state_at(epoch, |rare| rare.backoff_until = until);
    }

    /// Ends the backoff and clears recorded failures, after the caller unblocked the session.
    pub(crate) fn end_backoff(&self) {
        self.with_rare_state(|rare| {
            rare.reset_errors();
            rare.reported_rejection = None;
            rare.is_client_rejected = false;
            if let Some(unauthorized) = &mut rare.unauthorized {
                (unauthorized.local_refreshes, unauthorized.denied_at) = (None, None);
            }
        });
    }

    /// Records the last error, which the session status reports.
    pub(crate) fn record_error(&self, epoch: u64, error: &Error) {
        self.with_rare_state_at(epoch, |rare| rare.last_error = Some(error.clone()));
    }

    pub(crate) fn last_error(&self) -> Option<Error> {
        self.with_rare_state(|rare| rare.last_error.clone())
    }

    /// Counts a failure and returns the number of consecutive failures before it.
    pub(crate) fn count_failure(&self, epoch: u64) -> u32 {
        let count = |rare: &mut RareState| {
            let before = rare.failures;
            rare.failures = before.saturating_add(1);
            before
        };
        self.with_rare_state_at(epoch, count).unwrap_or(0)
    }

    /// Records that the rejection of this generation was reported. Returns `true` the first time.
    pub(crate) fn record_rejection_reported(&self, epoch: u64, login: LoginId, generation: u64) -> bool {
        let is_news =
            |rare: &mut RareState| rare.reported_rejection.replace((login, generation)) != Some((login, generation));
        self.with_rare_state_at(epoch, is_news).unwrap_or(false)
    }

    pub(crate) fn failures(&self) -> u32 {
        self.with_rare_state(|rare| rare.failures)
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
        let (service, asked) = (Service::webex(), Scopes::new());
        let receipt =
            Provenance { client: owner, service: &service, requested_scopes: asked, exchange: None, now: received_at };
        let json = format!(r#"{{"access_token":"{token}","expires_in":3600}}"#);
        TokenSet::from_response(TokenResponse::read(json.as_bytes()).ok().unwrap(), receipt)
    }

    /// Creates an entry with these cached tokens. `was_cut`: a pause was recently cut short.
    fn cache_entry(cached: &TokenSet, was_cut: bool) -> CacheEntry {
        let slot = CacheEntry::new(TokenKey::new("jane").unwrap(), 0);
        let moments = Expiry::of(cached, slot.jitter(), NOW);
        slot.reset(Some(CachedToken {
            access_token: cached.access_token().clone(),
            login: LoginId::from_bytes([1; 16]),
            generation: 1,
            expiry: moments,
            expires_elapsed: HOUR.into(),
            revalidated_at: Duration::ZERO.into(),
            is_withheld: false,
            requested_urgency: Urgency::None,
            is_awaited: false,
            was_pause_cut: was_cut,
        }));
        slot
    }

    fn is_awaited(slot: &CacheEntry) -> bool {
        slot.current().as_ref().unwrap().is_awaited
    }

    #[test]
    fn monotonic_expiry_applies_only_to_cached_tokens() {
        let cached = tokens("a", NOW);
        let slot = cache_entry(&cached, false);
        let need = |tokens: &TokenSet, elapsed| slot.demand(tokens, NOW, elapsed).urgency;
        assert_eq!(need(&cached, HOUR - SECOND), Urgency::None);
        assert_eq!(need(&cached, HOUR), Urgency::Expired, "the wall clock was set back");
        assert_eq!(need(&tokens("b", NOW), HOUR), Urgency::None, "another token with the same times");
        assert_eq!(need(&tokens("a", NOW - SECOND), HOUR), Urgency::None, "the same token with other times");
    }

    #[test]
    fn token_received_in_future_ages_from_first_observation() {
        let slot = cache_entry(&tokens("a", NOW), false);
        let is_settled = |tokens: &TokenSet, elapsed| slot.demand(tokens, NOW, elapsed).has_min_age;
        let (b, c) = (tokens("b", NOW + HOUR), tokens("c", NOW + HOUR));
        assert!(!is_settled(&b, SECOND * 100));
        assert!(!is_settled(&b, SECOND * 130 - Duration::from_nanos(1)));
        assert!(is_settled(&b, SECOND * 130), "30 seconds after it was first seen");
        assert!(!is_settled(&c, SECOND * 130), "another token is seen for the first time");
        assert!(!is_settled(&c, SECOND * 159));
        assert!(is_settled(&c, SECOND * 160));
    }

    #[test]
    fn implausible_receipt_time_requests_one_refresh() {
        let slot = cache_entry(&tokens("a", NOW), false);
        let ahead = tokens("b", NOW + HOUR);
        let need = |tokens: &TokenSet, wall| slot.demand(tokens, wall, Duration::ZERO).urgency;
        assert_eq!(need(&ahead, NOW), Urgency::Due);
        assert_eq!(need(&tokens("b", NOW + SECOND), NOW), Urgency::None, "within the clock skew");
        assert_eq!(need(&ahead, UnixTime::from_secs(0)), Urgency::None, "the host's clock was never set");
        assert!(!slot.has_refreshed_undated());

        assert_eq!(need(&tokens("b", NOW), NOW), Urgency::None);
        assert!(slot.has_no_rare_state(), "a plausible receipt time clears the state");

        assert_eq!(need(&ahead, NOW), Urgency::Due);
        slot.with_rare_state(|rare| rare.undated_token.as_mut().unwrap().is_refreshed = true);
        assert_eq!(need(&ahead, NOW), Urgency::None, "a refresh did not help");
        assert_eq!(need(&tokens("b", NOW), NOW), Urgency::None);
        assert!(slot.has_refreshed_undated(), "the refresh is still recorded");
    }

    #[test]
    fn requested_refresh_is_due_after_minimum_interval() {
        let cached = tokens("a", NOW);
        let slot = cache_entry(&cached, false);
        let demand = |after| slot.demand(&cached, NOW + after, Duration::ZERO);
        slot.request_refresh(cached.access_token(), Urgency::Due);
        assert_eq!((demand(SECOND * 29).urgency, demand(SECOND * 29).has_min_age), (Urgency::None, false));
        assert_eq!((demand(SECOND * 30).urgency, demand(SECOND * 30).has_min_age), (Urgency::Due, true));
        assert!(!demand(SECOND * 30).is_requested);
        slot.request_refresh(cached.access_token(), Urgency::Requested);
        assert!(demand(SECOND * 29).is_requested);
        assert_eq!(demand(SECOND * 30).urgency, Urgency::None, "only a waiting caller requests a refresh");
    }

    #[test]
    fn api_rejection_applies_only_to_cached_token() {
        let (cached, other) = (tokens("a", NOW), tokens("b", NOW));
        let slot = cache_entry(&cached, false);
        assert!(!slot.mark_unauthorized(other.access_token(), true));
        assert!(slot.has_no_rare_state(), "nothing is recorded for another token");
        assert!(slot.mark_unauthorized(cached.access_token(), false));
        let may_cut_pause = |tokens: &TokenSet| {
            let demand = slot.demand(tokens, NOW, Duration::ZERO);
            demand.unauthorized.map(|unauthorized| unauthorized.may_cut_pause)
        };
        assert_eq!((may_cut_pause(&cached), may_cut_pause(&other)), (Some(false), None));
        assert!(slot.mark_unauthorized(cached.access_token(), true));
        assert_eq!(may_cut_pause(&cached), Some(true));
        assert!(slot.mark_unauthorized(cached.access_token(), false));
        assert_eq!(may_cut_pause(&cached), Some(true), "a later report does not clear it");
        slot.record_denial(Duration::ZERO);
        assert_eq!(may_cut_pause(&cached), Some(false), "it was too early for a refresh");
    }

    #[test]
    fn each_reported_401_makes_one_caller_wait() {
        let cached = tokens("a", NOW);
        let slot = cache_entry(&cached, false);
        let token = cached.access_token();
        slot.mark_unauthorized(token, false);
        assert_eq!((slot.take_rejected_token(), is_awaited(&slot)), (None, false));
        slot.await_replacement(token);
        slot.await_replacement(token);
        assert!(is_awaited(&slot));
        assert_eq!(slot.take_rejected_token().as_ref(), Some(token));
        assert!(is_awaited(&slot), "the second report has no caller yet");
        assert_eq!(slot.take_rejected_token().as_ref(), Some(token));
        assert_eq!((slot.take_rejected_token(), is_awaited(&slot)), (None, false));
    }

    #[test]
    fn denied_refresh_stays_denied_for_one_second() {
        let cached = tokens("a", NOW);
        let slot = cache_entry(&cached, false);
        slot.mark_unauthorized(cached.access_token(), false);
        assert!(!slot.is_denied(SECOND));
        slot.record_denial(SECOND);
        assert!(slot.is_denied(SECOND * 2 - Duration::from_nanos(1)));
        assert!(!slot.is_denied(SECOND * 2));
    }

    #[test]
    fn count_of_refreshes_after_401_restarts_after_one_day() {
        let cached = tokens("a", NOW);
        let slot = cache_entry(&cached, false);
        let own = |elapsed| {
            slot.mark_unauthorized(cached.access_token(), false);
            slot.demand(&cached, NOW, elapsed).unauthorized.unwrap().local_refreshes
        };
        slot.count_unauthorized(slot.epoch(), false, Duration::ZERO);
        slot.count_unauthorized(slot.epoch(), false, UNAUTHORIZED_COUNT_LIFETIME - SECOND);
        assert_eq!(own(UNAUTHORIZED_COUNT_LIFETIME), Some((2, SECOND)), "two refreshes, the last one a second ago");
        slot.count_unauthorized(slot.epoch(), false, UNAUTHORIZED_COUNT_LIFETIME * 2 - SECOND);
        assert_eq!(own(UNAUTHORIZED_COUNT_LIFETIME * 2), Some((1, SECOND)), "the first two no longer count");
    }

    #[test]
    fn count_of_refreshes_after_401_is_removed_after_one_day() {
        let cached = tokens("a", NOW);
        let slot = cache_entry(&cached, false);
        slot.count_unauthorized(slot.epoch(), false, Duration::ZERO);
        slot.demand(&cached, NOW, UNAUTHORIZED_COUNT_LIFETIME - SECOND);
        assert!(!slot.has_no_rare_state());
        slot.mark_unauthorized(cached.access_token(), false);
        assert!(
            slot.demand(&cached, NOW, UNAUTHORIZED_COUNT_LIFETIME).unauthorized.is_some(),
            "the state of a token is kept"
        );
        slot.with_rare_state(|rare| rare.unauthorized.as_mut().unwrap().token = None);
        slot.demand(&cached, NOW, UNAUTHORIZED_COUNT_LIFETIME);
        assert!(slot.has_no_rare_state());
    }

    #[test]
    fn accepted_token_allows_pause_to_be_shortened_again() {
        let cached = tokens("a", NOW);
        let uncut = cache_entry(&cached, false);
        uncut.record_token_accepted();
        assert!(uncut.has_no_rare_state(), "no pause was cut short");

        let slot = cache_entry(&cached, true);
        let has_succeeded = || {
            slot.mark_unauthorized(cached.access_token(), false);
            slot.demand(&cached, NOW, Duration::ZERO).unauthorized.unwrap().has_succeeded_since_cut
        };
        slot.record_token_accepted();
        slot.demand(&cached, NOW, UNAUTHORIZED_COUNT_LIFETIME);
        assert!(!slot.has_no_rare_state(), "it is recorded until the next cut");
        assert!(has_succeeded());
        slot.count_unauthorized(slot.epoch(), false, Duration::ZERO);
        assert!(has_succeeded());
        slot.count_unauthorized(slot.epoch(), true, Duration::ZERO);
        assert!(!has_succeeded());
    }
}
