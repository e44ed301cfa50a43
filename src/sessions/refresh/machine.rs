//! The refresh protocol as a pure state machine: it takes events and returns actions.
//!
//! Before a process sends a refresh, it writes a lease into the store by compare-and-swap. Each
//! generation of tokens is therefore refreshed once, across callers, processes, and crashes. This
//! module awaits nothing, reads no clock, and accesses no store. The refresh task performs the
//! actions, and the tests search all interleavings of two processes.

use std::time::Duration;

use crate::clock::{EARLIEST, UnixTime};
use crate::sessions::refresh::policy;
use crate::sessions::refresh::protocol::{
    Action, Demand, Event, ForeignLease, HeldLease, Instants, Outcome, Reason, RefreshResult, Saving, State,
    StepContext, StoreFailed, StoredLogin, Timing, Urgency,
};
use crate::store::entry::{Lease, LeaseId, LoginId, RefreshBlock, UnauthorizedRefreshes};
use crate::store::{Precondition, Revision, WriteOutcome};

/// The pause before the same task repeats a request after a transient failure.
const SOON: Duration = Duration::from_secs(1);
/// The maximum number of times that a task evaluates the session. A wait for another process takes
/// fewer.
const MAX_TURNS: u32 = 200;
/// The maximum number of requests that a task sends under one lease.
const MAX_SENDINGS: u32 = 3;
/// The initial pause before unsaved tokens are saved again, doubled up to [`MAX_PAUSE`].
const INITIAL_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The time since its expiry after which a lease counts as abandoned.
const ANCIENT: Duration = Duration::from_secs(24 * 60 * 60);
/// The pauses after unexplained rejections of a refresh token. The next rejection is final.
const UNEXPLAINED_PAUSES: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(15 * 60)];
/// The initial pause between two polls of another process's lease.
const INITIAL_LOOK: Duration = Duration::from_millis(250);
const MAX_LOOK: Duration = Duration::from_secs(2);

/// The state machine of one refresh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RefreshMachine<T> {
    times: Timing,
    id: LeaseId,
    /// The lease of a canceled task of this process. It needs no waiting time.
    cancelled: Option<LeaseId>,
    /// The login ID of the last entry loaded.
    login: Option<LoginId>,
    /// The lease of another process.
    rival: Option<ForeignLease>,
    /// The monotonic time at which the first wait for another process began.
    waiting_since: Option<Duration>,
    next_look: Duration,
    /// The number of failed writes of the lease.
    claims_failed: u32,
    /// The number of rejections of the refresh token.
    rejections: u32,
    /// The number of evaluations of the session.
    turns: u32,
    /// `true` if the task began with tokens that an earlier task could not save.
    is_rescue: bool,
    /// `true` if a 401 of the API caused the refresh.
    is_after_401: bool,
    stage: State<T>,
}

impl<T: Clone> RefreshMachine<T> {
    /// Creates the state machine.
    ///
    /// `cancelled` is the lease of a canceled task of this process. `rival` is the lease of another
    /// process that an earlier task saw.
    pub(crate) fn new(id: LeaseId, times: Timing, cancelled: Option<LeaseId>, rival: Option<ForeignLease>) -> Self {
        Self {
            times,
            id,
            cancelled,
            login: None,
            rival,
            claims_failed: 0,
            rejections: 0,
            turns: 0,
            is_rescue: false,
            is_after_401: false,
            waiting_since: None,
            next_look: INITIAL_LOOK,
            stage: State::Beginning,
        }
    }

    /// Handles an event and returns the next action.
    ///
    /// An event that does not match the last action is a bug of the caller. The machine then starts
    /// again by loading the session.
    pub(crate) fn step(&mut self, event: Event<T>, now: &StepContext<'_, T>) -> Action<T> {
        match (std::mem::replace(&mut self.stage, State::Ended), event) {
            (State::Beginning, Event::Begun) => self.load(),
            (State::Beginning, Event::Rescued(new)) => {
                self.is_rescue = true;
                let stage = State::FindingSave { new, saving: begin_saving(now), is_rested: true };
                self.go(stage, Action::Load)
            }
            (State::Loading | State::Looking, Event::Loaded(loaded)) => match loaded {
                Ok(Some(known)) => self.consider(known, now),
                Ok(None) => self.end(Outcome::Absent),
                Err(StoreFailed) => self.end(Outcome::StoreFailed(None)),
            },
            (State::Claiming(claimed), Event::Saved(saved)) => match saved {
                Ok(WriteOutcome::Committed) => self.hold_claim(claimed, now),
                Ok(WriteOutcome::Conflict) => self.load(),
                Err(StoreFailed) => self.go(State::FindingClaim(claimed), Action::Load),
            },
            (State::FindingClaim(claimed), Event::Loaded(loaded)) => self.found_claim(claimed, loaded, now),
            (State::TakingOver(claimed), Event::Waited) => self.go(State::ConfirmingTakeover(claimed), Action::Load),
            (State::ConfirmingTakeover(claimed), Event::Loaded(loaded)) => self.took_over(claimed, loaded, now),
            (State::Sending(claimed), Event::Sent(answer)) => self.answered(claimed, answer, now),
            (State::Sending(claimed), Event::Queued) => self.send_later(claimed, now),
            (State::Pausing(claimed), Event::Waited) => self.send(claimed, now),
            (State::Serving { new, expect }, Event::Served) => self.save(new, expect, begin_saving(now)),
            (State::Saving { new, saving }, Event::Saved(saved)) => self.saved(new, saving, saved, now),
            (State::FindingSave { new, saving, is_rested }, Event::Loaded(loaded)) => {
                self.found_save(new, saving, is_rested, loaded, now)
            }
            (State::Resting { new, saving }, Event::Waited) => {
                self.go(State::FindingSave { new, saving, is_rested: true }, Action::Load)
            }
            // If the lease could not be released, it expires.
            (State::Releasing(outcome), Event::Saved(_)) => self.end(outcome),
            (State::WaitingToDoubt { claimed, code, reason }, Event::Waited) => {
                self.go(State::Doubting { claimed, code, reason, looks_left: 0 }, Action::Load)
            }
            (State::Doubting { claimed, code, reason, looks_left }, Event::Loaded(loaded)) => {
                self.confirm_rejection(claimed, (code, reason), looks_left, loaded, now)
            }
            (State::Rejecting { marked }, Event::Saved(saved)) => match saved {
                Ok(WriteOutcome::Committed) => self.end(Outcome::Rejected(marked)),
                Ok(WriteOutcome::Conflict) => self.load(),
                Err(StoreFailed) => self.end(Outcome::Rejected(marked)),
            },
            (State::Looking, Event::Waited) => self.go(State::Looking, Action::Load),
            _ => self.load(),
        }
    }

    /// Returns the lease of another process, for the next refresh of this session.
    pub(crate) fn rival(&self) -> Option<ForeignLease> {
        self.rival
    }

    /// Returns `true` if a 401 of the API caused the refresh.
    pub(crate) fn is_after_401(&self) -> bool {
        self.is_after_401
    }

    /// Returns `true` while the machine waits for another process.
    pub(crate) fn waits_for_another(&self) -> bool {
        matches!(self.stage, State::Looking)
    }

    /// Returns `true` while it saves a lease or a block, which leaves the tokens as they are.
    pub(crate) fn keeps_tokens(&self) -> bool {
        matches!(self.stage, State::Claiming(_) | State::Releasing(_) | State::Rejecting { .. })
    }

    /// Returns the current state for the log.
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.stage {
            State::Looking => "waiting for lease of another process",
            State::Claiming(claimed) if claimed.took_over => "taking over lease",
            State::Claiming(_) => "acquiring lease",
            State::TakingOver(_) | State::ConfirmingTakeover(_) => "waiting for previous lease holder to save",
            State::Sending(_) => "sending refresh request",
            State::Serving { .. } | State::Saving { .. } => "saving tokens",
            State::Pausing(_) | State::Resting { .. } => "waiting to retry",
            State::WaitingToDoubt { .. } => "waiting to confirm rejection",
            State::Releasing(_) | State::Rejecting { .. } => "releasing lease",
            State::Ended => "refresh ended",
            _ => "loading session",
        }
    }

    /// Returns new tokens that the store may not have yet.
    #[cfg(test)]
    pub(crate) fn unsaved(&self) -> Option<&T> {
        match &self.stage {
            State::Serving { new, .. }
            | State::Saving { new, .. }
            | State::FindingSave { new, .. }
            | State::Resting { new, .. } => Some(&new.tokens),
            _ => None,
        }
    }

    fn go(&mut self, stage: State<T>, action: Action<T>) -> Action<T> {
        self.stage = stage;
        action
    }

    fn end(&mut self, outcome: Outcome<T>) -> Action<T> {
        self.go(State::Ended, Action::End(outcome))
    }

    fn load(&mut self) -> Action<T> {
        self.go(State::Loading, Action::Load)
    }

    /// Steps 2 to 4: checks whether a refresh is still needed and allowed, and acquires the lease.
    fn consider(&mut self, mut known: StoredLogin<T>, now: &StepContext<'_, T>) -> Action<T> {
        if self.login.is_some_and(|login| login != known.head.login) {
            self.rival = None;
        }
        self.login = Some(known.head.login);
        // The process that wrote this block also saw a 401, so the expiry of the access token is no
        // guide.
        if known.head.hold.as_ref().is_some_and(|hold| hold.is_final_for(known.head.generation)) {
            return self.end(Outcome::Rejected(known));
        }
        let demand = (now.demand)(&known.tokens);
        if demand.unauthorized.is_some() && known.head.is_rejected() {
            return self.withhold(known, now);
        }
        let after_401 = demand.unauthorized.filter(|_| demand.is_settled);
        let after_401 = after_401.and_then(|found| policy::next(known.head.unauthorized, &found, now.wall));
        self.is_after_401 = after_401.is_some();
        let need = urgency(&demand, self.is_after_401);
        if need == Urgency::None {
            return self.end(Outcome::Fresh(known));
        }
        let counted = after_401.or(known.head.unauthorized);
        self.turns += 1;
        if self.turns > MAX_TURNS {
            return self.end(Outcome::Busy(known));
        }
        match &known.head.hold {
            Some(RefreshBlock::Rejected { .. }) if known.head.is_rejected() => {
                return self.end(Outcome::Rejected(known));
            }
            Some(RefreshBlock::RetryAt(until))
                if *until > now.wall && until.since(now.wall) <= self.times.longest_hold =>
            {
                let until = *until;
                return self.end(Outcome::Blocked { known, until });
            }
            // By this wall clock the block is over or implausible, but another host's clock may
            // have written it. This process waits for its own pause.
            Some(RefreshBlock::RetryAt(_)) if let Some(rest) = now.own_rest => {
                let until = now.wall + rest.max(SOON);
                return self.end(Outcome::Blocked { known, until });
            }
            _ => {}
        }
        match known.head.claim {
            Some(claim) if !self.is_own(&claim) && !self.has_lapsed(&claim, now) => {
                self.wait_for_lease(known, need, now)
            }
            Some(claim) => {
                // The previous holder may have received newer tokens that were lost. A server that
                // rotates refresh tokens has then revoked these.
                known.head.interrupted |= claim.id != self.id;
                self.claim(known, counted, !self.is_own(&claim), now)
            }
            None => self.claim(known, counted, false, now),
        }
    }

    /// Returns `true` if a lease belongs to this task or to a canceled task of this process.
    fn is_own(&self, claim: &Lease) -> bool {
        claim.id == self.id || Some(claim.id) == self.cancelled
    }

    /// Step 3: returns `true` if another process's lease has expired.
    ///
    /// The lease must be unchanged for its duration by this host's monotonic clock, or it must have
    /// ended more than a day ago. The timestamp of a lease from the future is ignored, because one
    /// of the two clocks is wrong.
    fn has_lapsed(&mut self, claim: &Lease, now: &StepContext<'_, T>) -> bool {
        let rival = match self.rival {
            Some(rival) if (rival.id, rival.at) == (claim.id, claim.at) => rival,
            _ => *self.rival.insert(ForeignLease { id: claim.id, at: claim.at, seen_at: now.elapsed }),
        };
        let seen = now.elapsed.saturating_sub(rival.seen_at);
        // Abandoned by a process that was stopped during a refresh. Its next start should not wait
        // for the whole lease.
        let is_ancient = claim.at >= EARLIEST
            && now.wall.since(claim.at) > claim.lease.saturating_add(ANCIENT)
            && seen >= self.times.second_look;
        // The duration was read from the store. Never wait longer than this process's own lease.
        is_ancient || seen >= claim.lease.min(self.times.lease)
    }

    fn wait_for_lease(&mut self, known: StoredLogin<T>, need: Urgency, now: &StepContext<'_, T>) -> Action<T> {
        let since = *self.waiting_since.get_or_insert(now.elapsed);
        if need == Urgency::Stale || now.elapsed.saturating_sub(since) >= self.times.patience {
            return self.end(Outcome::Busy(known));
        }
        let pause = self.next_look;
        self.next_look = pause.mul_f64(1.5).min(MAX_LOOK);
        self.go(State::Looking, Action::Wait(pause))
    }

    /// Step 4: acquires the lease.
    fn claim(
        &mut self,
        seen: StoredLogin<T>,
        unauthorized: Option<UnauthorizedRefreshes>,
        took_over: bool,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        let expect = Precondition::Revision(seen.head.revision);
        let mut known = seen;
        known.head.revision = now.fresh;
        known.head.claim = Some(Lease { id: self.id, at: now.wall, lease: self.times.lease });
        let since = Instants { wall: now.wall, elapsed: now.elapsed };
        let claimed = HeldLease { known: known.clone(), since, took_over, sendings: 0, unauthorized };
        self.go(State::Claiming(claimed), Action::Save { known, expect })
    }

    fn found_claim(
        &mut self,
        claimed: HeldLease<T>,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(known)) if known.head.revision == claimed.known.head.revision => self.hold_claim(claimed, now),
            Ok(Some(known)) if self.claims_failed > 0 => self.end(Outcome::StoreFailed(Some(known))),
            Ok(Some(known)) => {
                self.claims_failed += 1;
                self.consider(known, now)
            }
            Ok(None) => self.end(Outcome::Absent),
            // The lease may have been written. It expires.
            Err(StoreFailed) => self.end(Outcome::StoreFailed(Some(claimed.known))),
        }
    }

    /// Continues once the lease is in the store. After a takeover, the previous holder first gets
    /// time to save.
    fn hold_claim(&mut self, claimed: HeldLease<T>, now: &StepContext<'_, T>) -> Action<T> {
        if claimed.took_over {
            return self.go(State::TakingOver(claimed), Action::Wait(self.times.takeover));
        }
        self.send(claimed, now)
    }

    fn took_over(
        &mut self,
        claimed: HeldLease<T>,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(known)) if known.head.revision == claimed.known.head.revision => self.send(claimed, now),
            Ok(Some(known)) => self.consider(known, now),
            Ok(None) => self.end(Outcome::Absent),
            Err(StoreFailed) => self.end(Outcome::StoreFailed(Some(claimed.known))),
        }
    }

    /// Sends a request that was queued. The remaining time limit is recalculated.
    fn send_later(&mut self, claimed: HeldLease<T>, now: &StepContext<'_, T>) -> Action<T> {
        let sendings = claimed.sendings - 1;
        self.send(HeldLease { sendings, ..claimed }, now)
    }

    /// Steps 5 and 6: sends, unless the lease may have been taken over by either clock.
    fn send(&mut self, mut claimed: HeldLease<T>, now: &StepContext<'_, T>) -> Action<T> {
        let by_wall = now.wall.since(claimed.since.wall).max(claimed.since.wall.since(now.wall));
        let spent = by_wall.max(now.elapsed.saturating_sub(claimed.since.elapsed));
        if spent >= self.times.sending {
            return self.load();
        }
        claimed.sendings += 1;
        let action = Action::Send {
            login: claimed.known.head.login,
            tokens: claimed.known.tokens.clone(),
            limit: self.times.sending.saturating_sub(spent),
        };
        self.go(State::Sending(claimed), action)
    }

    fn answered(&mut self, claimed: HeldLease<T>, answer: RefreshResult<T>, now: &StepContext<'_, T>) -> Action<T> {
        match answer {
            RefreshResult::Granted(tokens) => {
                let mut head = claimed.known.head.clone();
                let expect = head.revision;
                head.revision = now.fresh;
                head.generation = head.generation.saturating_add(1);
                head.claim = None;
                head.hold = None;
                head.interrupted = false;
                head.unexplained = 0;
                head.unauthorized = claimed.unauthorized;
                let prospect = (now.prospect)(&claimed.known, &tokens);
                (head.due, head.ends, head.anchor) = (prospect.due, prospect.ends, prospect.anchor);
                let new = StoredLogin { head, tokens };
                let expiring = prospect.ends.filter(|_| prospect.is_news);
                self.go(State::Serving { new: new.clone(), expect }, Action::Serve { known: new, expiring })
            }
            RefreshResult::Later { retry_after: None, is_repeatable: true, .. } if claimed.sendings < MAX_SENDINGS => {
                self.go(State::Pausing(claimed), Action::Wait(SOON))
            }
            RefreshResult::Later { retry_after, is_lost, .. } => {
                let mut known = claimed.known;
                known.head.interrupted |= is_lost;
                self.put_off(known, now.wall + retry_after.unwrap_or_default().max(now.backoff), now)
            }
            RefreshResult::Rejected { code, reason } => {
                self.rejections += 1;
                let looks_left = u32::from(claimed.took_over);
                self.go(State::Doubting { claimed, code, reason, looks_left }, Action::Load)
            }
            RefreshResult::Misconfigured { is_own } => {
                let block = is_own.then(|| RefreshBlock::RetryAt(now.wall + now.backoff));
                self.release(claimed.known, block, Outcome::Misconfigured, now)
            }
        }
    }

    /// Releases the lease and blocks refreshes until this time.
    fn put_off(&mut self, known: StoredLogin<T>, until: UnixTime, now: &StepContext<'_, T>) -> Action<T> {
        let held = |known| Outcome::Blocked { known, until };
        self.release(known, Some(RefreshBlock::RetryAt(until)), held, now)
    }

    /// Step 8: releases the lease and writes a block that every process honors.
    fn release(
        &mut self,
        mut known: StoredLogin<T>,
        hold: Option<RefreshBlock>,
        outcome: impl FnOnce(StoredLogin<T>) -> Outcome<T>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        let expect = Precondition::Revision(known.head.revision);
        known.head.revision = now.fresh;
        known.head.claim = None;
        known.head.hold = hold;
        self.go(State::Releasing(outcome(known.clone())), Action::Save { known, expect })
    }

    fn save(&mut self, new: StoredLogin<T>, expect: Revision, saving: Saving) -> Action<T> {
        let action = Action::Save { known: new.clone(), expect: Precondition::Revision(expect) };
        self.go(State::Saving { new, saving }, action)
    }

    fn saved(
        &mut self,
        new: StoredLogin<T>,
        saving: Saving,
        saved: Result<WriteOutcome, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match saved {
            Ok(WriteOutcome::Committed) => self.kept(new, now),
            Ok(WriteOutcome::Conflict) => {
                let is_rested = saving.pause == INITIAL_PAUSE;
                let saving = if is_rested { self.next_backoff(saving, now) } else { saving };
                self.go(State::FindingSave { new, saving, is_rested }, Action::Load)
            }
            Err(StoreFailed) => self.rest(new, saving, now),
        }
    }

    /// Ends after the save. Tokens rescued from an earlier task may need a refresh by now.
    fn kept(&mut self, new: StoredLogin<T>, now: &StepContext<'_, T>) -> Action<T> {
        if std::mem::take(&mut self.is_rescue) { self.consider(new, now) } else { self.end(Outcome::Fresh(new)) }
    }

    /// Waits before the next attempt to save.
    ///
    /// The attempts are frequent while the lease protects the tokens. If the server rotates refresh
    /// tokens, a process that takes the lease over would send a spent one.
    fn rest(&mut self, new: StoredLogin<T>, saving: Saving, now: &StepContext<'_, T>) -> Action<T> {
        let pause = saving.pause;
        self.go(State::Resting { new, saving: self.next_backoff(saving, now) }, Action::Wait(pause))
    }

    fn next_backoff(&self, saving: Saving, now: &StepContext<'_, T>) -> Saving {
        let is_eager = now.elapsed.saturating_sub(saving.since) < self.times.eager_saving;
        let longest = if is_eager { self.times.save_pause } else { MAX_PAUSE };
        Saving { pause: saving.pause.saturating_mul(2).min(longest), ..saving }
    }

    /// Step 7, after a conflict or an unknown outcome: checks whether this task's tokens are still
    /// the newest.
    fn found_save(
        &mut self,
        mut new: StoredLogin<T>,
        saving: Saving,
        is_rested: bool,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(known)) if known.head.revision == new.head.revision => self.kept(new, now),
            // Another login, or newer tokens: drop ours.
            Ok(Some(known)) if known.head.login != new.head.login || known.head.generation >= new.head.generation => {
                self.consider(known, now)
            }
            // Only a lease, a block, or data stored with the tokens was written. Save over it,
            // after a pause, for as long as this process runs.
            Ok(Some(known)) if is_rested => {
                new.head.revision = now.fresh;
                new.tokens = (now.keep)(&known.tokens, new.tokens);
                self.save(new, known.head.revision, saving)
            }
            Ok(None) => self.end(Outcome::Absent),
            Ok(Some(_)) | Err(StoreFailed) => self.rest(new, saving, now),
        }
    }

    /// Step 9: accepts the rejection of a refresh token if no other process has newer tokens.
    fn confirm_rejection(
        &mut self,
        claimed: HeldLease<T>,
        (code, reason): (Option<String>, Reason),
        looks_left: u32,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        let Ok(loaded) = loaded else {
            return self.end(Outcome::StoreFailed(Some(claimed.known)));
        };
        let Some(known) = loaded else { return self.end(Outcome::Absent) };
        let head = &known.head;
        let has_newer = head.login != claimed.known.head.login || head.generation != claimed.known.head.generation;
        let was_taken_over = head.revision != claimed.known.head.revision;
        if has_newer || (was_taken_over && self.rejections < 2) {
            // The process that took the lease over may save newer tokens soon. The limit on
            // rejections stops two processes that take over from each other.
            return self.consider(known, now);
        }
        if looks_left > 0 {
            let pause = Action::Wait(self.times.second_look);
            return self.go(State::WaitingToDoubt { claimed, code, reason }, pause);
        }
        match (reason, UNEXPLAINED_PAUSES.get(known.head.unexplained as usize)) {
            (Reason::Missing, Some(pause)) => self.put_off(tried_again(known), now.wall + *pause, now),
            // An outage: not counted, so that each session is tried again afterwards.
            (Reason::MissingForMany, _) => self.put_off(known, now.wall + now.backoff.max(UNEXPLAINED_PAUSES[0]), now),
            _ => self.reject(known, code, now),
        }
    }

    /// Marks the refresh token as rejected.
    fn reject(&mut self, known: StoredLogin<T>, code: Option<String>, now: &StepContext<'_, T>) -> Action<T> {
        let demand = (now.demand)(&known.tokens);
        let is_dead = demand.need == Urgency::Dead || demand.unauthorized.is_some();
        let hold = RefreshBlock::Rejected { generation: known.head.generation, code, at: Some(now.wall), is_dead };
        self.mark(known, hold, now)
    }

    /// Marks the access token as rejected too, after its refresh token was, so that no process
    /// serves it.
    fn withhold(&mut self, known: StoredLogin<T>, now: &StepContext<'_, T>) -> Action<T> {
        let Some(RefreshBlock::Rejected { generation, code, at, .. }) = known.head.hold.clone() else {
            return self.end(Outcome::Rejected(known));
        };
        self.mark(known, RefreshBlock::Rejected { generation, code, at, is_dead: true }, now)
    }

    fn mark(&mut self, known: StoredLogin<T>, hold: RefreshBlock, now: &StepContext<'_, T>) -> Action<T> {
        let expect = Precondition::Revision(known.head.revision);
        let mut marked = known;
        marked.head.hold = Some(hold);
        marked.head.revision = now.fresh;
        marked.head.claim = None;
        // A rejected session cannot be refreshed, so keep-alive must not visit it.
        marked.head.due = None;
        self.go(State::Rejecting { marked: marked.clone() }, Action::Save { known: marked, expect })
    }
}

/// Counts an unexplained rejection.
fn tried_again<T>(mut known: StoredLogin<T>) -> StoredLogin<T> {
    known.head.unexplained += 1;
    known
}

fn begin_saving<T>(now: &StepContext<'_, T>) -> Saving {
    Saving { since: now.elapsed, pause: INITIAL_PAUSE }
}

/// Returns the urgency of a refresh. A requested refresh and a 401 must respect the minimum
/// interval.
fn urgency(demand: &Demand, is_after_401: bool) -> Urgency {
    match demand.need {
        Urgency::None | Urgency::Stale if demand.is_settled && (demand.is_wanted || is_after_401) => Urgency::Wanted,
        need => need,
    }
}
