//! The refresh demand of a cache entry, including tokens that the API rejected with 401.

use std::time::Duration;

use super::policy::{Moments, is_plausible, min_interval};
use super::protocol::{Demand, Need, Unauthorized};
use super::seldom::Undated;
use super::slot::Slot;
use crate::clock::{EARLIEST, UnixTime};
use crate::secret::AccessToken;
use crate::token::TokenSet;

/// The time for which a denied refresh after a 401 stays denied. Afterwards, another process may
/// have saved new tokens.
const DENIAL: Duration = Duration::from_secs(1);
/// The time for which a refresh caused by a 401 is remembered.
const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);

impl Slot {
    /// Returns the current demand of `tokens`, which the store contains.
    pub(super) fn demand(&self, tokens: &TokenSet, wall: UnixTime, elapsed: Duration) -> Demand {
        let (token, moments) = (tokens.access_token(), Moments::of(tokens, self.chance(), wall));
        // The cached expiry also uses the monotonic clock, so it survives a wall clock that is set
        // back. It does not apply if the server issued the same token again with other times.
        let current = self.current();
        let cached = current.as_ref().filter(|current| current.access_token == *token && current.moments == moments);
        let need = cached.map_or_else(|| moments.need(wall), |current| current.need_by_time(wall, elapsed));
        self.seldom(|seldom| {
            let wish = seldom.wish(token);
            let (mut age, mut need) = (wall.since(tokens.received_at()), need);
            if tokens.received_at() > wall {
                let undated = seldom.undated.get_or_insert_with(|| {
                    Box::new(Undated { token: token.clone(), since: elapsed, is_refreshed: false })
                });
                if undated.token != *token {
                    (undated.token, undated.since) = (token.clone(), elapsed);
                }
                age = elapsed.saturating_sub(undated.since);
                if !is_plausible(tokens, wall) && !undated.is_refreshed && wall >= EARLIEST {
                    need = need.max(Need::Stale);
                }
            } else {
                seldom.undated.take_if(|undated| !undated.is_refreshed);
            }
            let is_settled = age >= min_interval(tokens);
            if is_settled && wish == Need::Stale {
                need = need.max(Need::Stale);
            }
            seldom.unauthorized.take_if(|found| {
                let is_forgotten = found.own.is_none_or(|(_, at)| elapsed.saturating_sub(at) >= MEMORY);
                found.token.is_none() && !found.has_succeeded_since_cut && is_forgotten
            });
            let unauthorized = seldom.unauthorized.as_ref().filter(|found| found.token.as_ref() == Some(token));
            let unauthorized = unauthorized.map(|found| Unauthorized {
                may_cut_pause: found.may_cut_pause,
                has_succeeded_since_cut: found.has_succeeded_since_cut,
                own: found.own.map(|(count, at)| (count, elapsed.saturating_sub(at))),
            });
            Demand { need, is_settled, is_wanted: wish == Need::Wanted, unauthorized }
        })
    }

    /// Returns `true` if this process already refreshed a token of this session with an implausible
    /// receipt time.
    pub(super) fn has_refreshed_undated(&self) -> bool {
        self.seldom(|seldom| seldom.undated.as_ref().is_some_and(|undated| undated.is_refreshed))
    }

    /// Marks a token as rejected by the API with 401. Returns `false` if it is not the cached one.
    ///
    /// `may_cut_pause` is set for endpoints that accept every valid token.
    pub(crate) fn mark_unauthorized(&self, token: &AccessToken, may_cut_pause: bool) -> bool {
        self.seldom(|seldom| {
            let is_cached = self.current().as_ref().is_some_and(|current| current.access_token == *token);
            if is_cached {
                let found = seldom.unauthorized.get_or_insert_default();
                found.token = Some(token.clone());
                found.may_cut_pause |= may_cut_pause;
            }
            is_cached
        })
    }

    /// Makes the next caller wait for a replacement of `token`, which the API rejected.
    pub(crate) fn await_replacement(&self, token: &AccessToken) {
        self.seldom(|seldom| {
            let found = seldom.unauthorized.as_mut().filter(|found| found.token.as_ref() == Some(token));
            if let Some(found) = found {
                found.awaited = found.awaited.saturating_add(1);
                self.amend(|current| current.is_awaited = true);
            }
        });
    }

    /// Returns the token whose replacement this caller should wait for. Each reported 401 makes one
    /// caller wait.
    pub(super) fn take_awaited(&self) -> Option<AccessToken> {
        self.seldom(|seldom| {
            let found = seldom.unauthorized.as_mut().filter(|found| found.awaited > 0)?;
            found.awaited -= 1;
            let (token, is_last) = (found.token.clone(), found.awaited == 0);
            self.amend(|current| current.is_awaited &= !is_last);
            token
        })
    }

    /// Returns `true` if a refresh after a 401 was denied within the last second.
    pub(super) fn is_denied(&self, elapsed: Duration) -> bool {
        self.seldom(|seldom| {
            let denied_at = seldom.unauthorized.as_ref().and_then(|found| found.denied_at);
            denied_at.is_some_and(|at| elapsed.saturating_sub(at) < DENIAL)
        })
    }

    /// Records that a 401 did not lead to a new token.
    pub(super) fn deny(&self, elapsed: Duration) {
        self.seldom(|seldom| {
            if let Some(found) = &mut seldom.unauthorized {
                (found.denied_at, found.may_cut_pause) = (Some(elapsed), false);
            }
        });
    }

    /// Counts a refresh caused by a 401.
    pub(super) fn count_unauthorized(&self, epoch: u64, was_cut: bool, elapsed: Duration) {
        self.seldom_at(epoch, |seldom| {
            let found = seldom.unauthorized.get_or_insert_default();
            let before = found.own.filter(|(_, at)| elapsed.saturating_sub(*at) < MEMORY);
            found.own = Some((before.map_or(1, |(count, _)| count.saturating_add(1)), elapsed));
            found.has_succeeded_since_cut &= !was_cut;
        });
    }

    /// Records that an endpoint that accepts every valid token accepted one. The next pause may be
    /// cut short again.
    pub(crate) fn note_accepted(&self) {
        if self.current().as_ref().is_some_and(|current| current.was_cut) {
            self.seldom(|seldom| seldom.unauthorized.get_or_insert_default().has_succeeded_since_cut = true);
        }
    }
}
