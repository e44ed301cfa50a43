//! The refresh protocol as a pure state machine: it takes events and returns actions.
//!
//! Before a process sends a refresh, it writes a lease into the store by compare-and-swap. Each
//! generation of tokens is therefore refreshed once, across callers, processes, and crashes. This
//! module awaits nothing, reads no clock, and accesses no store. The refresh task performs the
//! actions, and the tests search all interleavings of two processes.

use std::time::Duration;

use crate::clock::{MIN_PLAUSIBLE_TIME, UnixTime};
use crate::sessions::refresh::policy;
use crate::sessions::refresh::steps::{
    Action, Demand, Event, ForeignLease, HeldLease, Instants, RefreshOutcome, RefreshResult, RejectionReason,
    SaveProgress, State, StepContext, StoreFailed, StoredLogin, Timing, Urgency,
};
use crate::store::entry::{Lease, LeaseId, LoginId, RefreshBlock, UnauthorizedRefreshes};
use crate::store::{Precondition, Revision, WriteOutcome};

/// The pause before the same task repeats a request after a transient failure.
const REPEAT_DELAY: Duration = Duration::from_secs(1);
/// The maximum number of times that a task evaluates the session. A wait for another process takes
/// fewer.
const MAX_EVALUATIONS: u32 = 200;
/// The maximum number of requests that a task sends under one lease.
const MAX_REQUESTS: u32 = 3;
/// The initial pause before unsaved tokens are saved again, doubled up to [`MAX_PAUSE`].
const INITIAL_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The time since its expiry after which a lease counts as abandoned.
const ABANDONED_LEASE_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The pauses after unexplained rejections of a refresh token. The next rejection is final.
const UNEXPLAINED_PAUSES: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(15 * 60)];
/// The initial pause between two polls of another process's lease.
const INITIAL_LEASE_POLL: Duration = Duration::from_millis(250);
const MAX_LEASE_POLL: Duration = Duration::from_secs(2);

/// The state machine of one refresh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RefreshMachine<T> {
    timing: Timing,
    id: LeaseId,
    /// The lease of a canceled task of this process. It needs no waiting time.
    cancelled_lease: Option<LeaseId>,
    /// The login ID of the last entry loaded.
    login: Option<LoginId>,
    /// The lease of another process.
    foreign_lease: Option<ForeignLease>,
    /// The monotonic time at which the first wait for another process began.
    waiting_since: Option<Duration>,
    next_lease_poll: Duration,
    /// The number of failed writes of the lease.
    lease_write_failures: u32,
    /// The number of rejections of the refresh token.
    rejections: u32,
    /// The number of evaluations of the session.
    evaluations: u32,
    /// `true` if the task began with tokens that an earlier task could not save.
    has_inherited_tokens: bool,
    /// `true` if a 401 of the API caused the refresh.
    is_after_401: bool,
    state: State<T>,
}

impl<T: Clone> RefreshMachine<T> {
    /// Creates the state machine.
    ///
    /// `cancelled` is the lease of a canceled task of this process. `rival` is the lease of another
    /// process that an earlier task saw.
    pub(crate) fn new(id: LeaseId, times: Timing, cancelled: Option<LeaseId>, rival: Option<ForeignLease>) -> Self {
        Self {
            timing: times,
            id,
            cancelled_lease: cancelled,
            login: None,
            foreign_lease: rival,
            lease_write_failures: 0,
            rejections: 0,
            evaluations: 0,
            has_inherited_tokens: false,
            is_after_401: false,
            waiting_since: None,
            next_lease_poll: INITIAL_LEASE_POLL,
            state: State::Beginning,
        }
    }

    /// Handles an event and returns the next action.
    ///
    /// An event that does not match the last action is a bug of the caller. The machine then starts
    /// again by loading the session.
    pub(crate) fn step(&mut self, event: Event<T>, now: &StepContext<'_, T>) -> Action<T> {
        match (std::mem::replace(&mut self.state, State::Ended), event) {
            (State::Beginning, Event::Begun) => self.load(),
            (State::Beginning, Event::BegunWithUnsaved(new)) => {
                self.has_inherited_tokens = true;
                let stage = State::ConfirmingSave { new, saving: begin_saving(now), has_backed_off: true };
                self.transition(stage, Action::Load)
            }
            (State::Loading | State::WaitingForLease, Event::Loaded(loaded)) => match loaded {
                Ok(Some(known)) => self.evaluate(known, now),
                Ok(None) => self.end(RefreshOutcome::Absent),
                Err(StoreFailed) => self.end(RefreshOutcome::StoreFailed(None)),
            },
            (State::AcquiringLease(claimed), Event::Saved(saved)) => match saved {
                Ok(WriteOutcome::Committed) => self.handle_lease_acquired(claimed, now),
                Ok(WriteOutcome::Conflict) => self.load(),
                Err(StoreFailed) => self.transition(State::ConfirmingLease(claimed), Action::Load),
            },
            (State::ConfirmingLease(claimed), Event::Loaded(loaded)) => self.handle_lease_lookup(claimed, loaded, now),
            (State::TakingOver(claimed), Event::Waited) => {
                self.transition(State::ConfirmingTakeover(claimed), Action::Load)
            }
            (State::ConfirmingTakeover(claimed), Event::Loaded(loaded)) => {
                self.handle_takeover_lookup(claimed, loaded, now)
            }
            (State::Sending(claimed), Event::Sent(answer)) => self.handle_refresh_result(claimed, answer, now),
            (State::Sending(claimed), Event::Queued) => self.send_queued(claimed, now),
            (State::WaitingToRepeat(claimed), Event::Waited) => self.send(claimed, now),
            (State::Serving { new, expect }, Event::Served) => self.save(new, expect, begin_saving(now)),
            (State::Saving { new, saving }, Event::Saved(saved)) => self.handle_saved(new, saving, saved, now),
            (State::ConfirmingSave { new, saving, has_backed_off: is_rested }, Event::Loaded(loaded)) => {
                self.handle_save_lookup(new, saving, is_rested, loaded, now)
            }
            (State::BackingOff { new, saving }, Event::Waited) => {
                self.transition(State::ConfirmingSave { new, saving, has_backed_off: true }, Action::Load)
            }
            // If the lease could not be released, it expires.
            (State::Releasing(outcome), Event::Saved(_)) => self.end(outcome),
            (State::WaitingToConfirmRejection { claimed, code, reason }, Event::Waited) => {
                self.transition(State::ConfirmingRejection { claimed, code, reason, loads_left: 0 }, Action::Load)
            }
            (State::ConfirmingRejection { claimed, code, reason, loads_left: looks_left }, Event::Loaded(loaded)) => {
                self.confirm_rejection(claimed, (code, reason), looks_left, loaded, now)
            }
            (State::Rejecting { marked }, Event::Saved(saved)) => match saved {
                Ok(WriteOutcome::Committed) => self.end(RefreshOutcome::Rejected(marked)),
                Ok(WriteOutcome::Conflict) => self.load(),
                Err(StoreFailed) => self.end(RefreshOutcome::Rejected(marked)),
            },
            (State::WaitingForLease, Event::Waited) => self.transition(State::WaitingForLease, Action::Load),
            _ => self.load(),
        }
    }

    /// Returns the lease of another process, for the next refresh of this session.
    pub(crate) fn foreign_lease(&self) -> Option<ForeignLease> {
        self.foreign_lease
    }

    /// Returns `true` if a 401 of the API caused the refresh.
    pub(crate) fn is_after_401(&self) -> bool {
        self.is_after_401
    }

    /// Returns `true` while the machine waits for another process.
    pub(crate) fn is_waiting_for_lease(&self) -> bool {
        matches!(self.state, State::WaitingForLease)
    }

    /// Returns `true` while it saves a lease or a block, which leaves the tokens as they are.
    pub(crate) fn is_saving_head_only(&self) -> bool {
        matches!(self.state, State::AcquiringLease(_) | State::Releasing(_) | State::Rejecting { .. })
    }

    /// Returns the current state for the log.
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.state {
            State::WaitingForLease => "waiting for lease of another process",
            State::AcquiringLease(claimed) if claimed.is_takeover => "taking over lease",
            State::AcquiringLease(_) => "acquiring lease",
            State::TakingOver(_) | State::ConfirmingTakeover(_) => "waiting for previous lease holder to save",
            State::Sending(_) => "sending refresh request",
            State::Serving { .. } | State::Saving { .. } => "saving tokens",
            State::WaitingToRepeat(_) | State::BackingOff { .. } => "waiting to retry",
            State::WaitingToConfirmRejection { .. } => "waiting to confirm rejection",
            State::Releasing(_) | State::Rejecting { .. } => "releasing lease",
            State::Ended => "refresh ended",
            _ => "loading session",
        }
    }

    /// Returns new tokens that the store may not have yet.
    #[cfg(test)]
    pub(crate) fn unsaved(&self) -> Option<&T> {
        match &self.state {
            State::Serving { new, .. }
            | State::Saving { new, .. }
            | State::ConfirmingSave { new, .. }
            | State::BackingOff { new, .. } => Some(&new.tokens),
            _ => None,
        }
    }

    fn transition(&mut self, stage: State<T>, action: Action<T>) -> Action<T> {
        self.state = stage;
        action
    }

    fn end(&mut self, outcome: RefreshOutcome<T>) -> Action<T> {
        self.transition(State::Ended, Action::End(outcome))
    }

    fn load(&mut self) -> Action<T> {
        self.transition(State::Loading, Action::Load)
    }

    /// Steps 2 to 4: checks whether a refresh is still needed and allowed, and acquires the lease.
    fn evaluate(&mut self, mut known: StoredLogin<T>, now: &StepContext<'_, T>) -> Action<T> {
        if self.login.is_some_and(|login| login != known.head.login) {
            self.foreign_lease = None;
        }
        self.login = Some(known.head.login);
        // The process that wrote this block also saw a 401, so the expiry of the access token is no
        // guide.
        if known.head.hold.as_ref().is_some_and(|hold| hold.is_final_for(known.head.generation)) {
            return self.end(RefreshOutcome::Rejected(known));
        }
        let demand = (now.demand)(&known.tokens);
        if demand.unauthorized.is_some() && known.head.is_rejected() {
            return self.withhold(known, now);
        }
        let after_401 = demand.unauthorized.filter(|_| demand.has_min_age);
        let after_401 = after_401.and_then(|found| policy::next_count(known.head.unauthorized, &found, now.wall));
        self.is_after_401 = after_401.is_some();
        let need = urgency(&demand, self.is_after_401);
        if need == Urgency::None {
            return self.end(RefreshOutcome::Fresh(known));
        }
        let counted = after_401.or(known.head.unauthorized);
        self.evaluations += 1;
        if self.evaluations > MAX_EVALUATIONS {
            return self.end(RefreshOutcome::LeaseHeld(known));
        }
        match &known.head.hold {
            Some(RefreshBlock::Rejected { .. }) if known.head.is_rejected() => {
                return self.end(RefreshOutcome::Rejected(known));
            }
            Some(RefreshBlock::RetryAt(until))
                if *until > now.wall && until.since(now.wall) <= self.timing.max_block =>
            {
                let until = *until;
                return self.end(RefreshOutcome::Blocked { session: known, until });
            }
            // By this wall clock the block is over or implausible, but another host's clock may
            // have written it. This process waits for its own pause.
            Some(RefreshBlock::RetryAt(_)) if let Some(rest) = now.local_pause => {
                let until = now.wall + rest.max(REPEAT_DELAY);
                return self.end(RefreshOutcome::Blocked { session: known, until });
            }
            _ => {}
        }
        match known.head.claim {
            Some(claim) if !self.is_own_lease(&claim) && !self.has_lease_expired(&claim, now) => {
                self.wait_for_lease(known, need, now)
            }
            Some(claim) => {
                // The previous holder may have received newer tokens that were lost. A server that
                // rotates refresh tokens has then revoked these.
                known.head.interrupted |= claim.id != self.id;
                self.acquire_lease(known, counted, !self.is_own_lease(&claim), now)
            }
            None => self.acquire_lease(known, counted, false, now),
        }
    }

    /// Returns `true` if a lease belongs to this task or to a canceled task of this process.
    fn is_own_lease(&self, claim: &Lease) -> bool {
        claim.id == self.id || Some(claim.id) == self.cancelled_lease
    }

    /// Step 3: returns `true` if another process's lease has expired.
    ///
    /// The lease must be unchanged for its duration by this host's monotonic clock, or it must have
    /// ended more than a day ago. The timestamp of a lease from the future is ignored, because one
    /// of the two clocks is wrong.
    fn has_lease_expired(&mut self, claim: &Lease, now: &StepContext<'_, T>) -> bool {
        let rival = match self.foreign_lease {
            Some(rival) if (rival.id, rival.at) == (claim.id, claim.at) => rival,
            _ => *self.foreign_lease.insert(ForeignLease { id: claim.id, at: claim.at, seen_at: now.elapsed }),
        };
        let seen = now.elapsed.saturating_sub(rival.seen_at);
        // Abandoned by a process that was stopped during a refresh. Its next start should not wait
        // for the whole lease.
        let is_ancient = claim.at >= MIN_PLAUSIBLE_TIME
            && now.wall.since(claim.at) > claim.lease.saturating_add(ABANDONED_LEASE_AGE)
            && seen >= self.timing.confirmation_delay;
        // The duration was read from the store. Never wait longer than this process's own lease.
        is_ancient || seen >= claim.lease.min(self.timing.lease_duration)
    }

    fn wait_for_lease(&mut self, known: StoredLogin<T>, need: Urgency, now: &StepContext<'_, T>) -> Action<T> {
        let since = *self.waiting_since.get_or_insert(now.elapsed);
        if need == Urgency::Due || now.elapsed.saturating_sub(since) >= self.timing.max_lease_wait {
            return self.end(RefreshOutcome::LeaseHeld(known));
        }
        let pause = self.next_lease_poll;
        self.next_lease_poll = pause.mul_f64(1.5).min(MAX_LEASE_POLL);
        self.transition(State::WaitingForLease, Action::Wait(pause))
    }

    /// Step 4: acquires the lease.
    fn acquire_lease(
        &mut self,
        seen: StoredLogin<T>,
        unauthorized: Option<UnauthorizedRefreshes>,
        took_over: bool,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        let expect = Precondition::Revision(seen.head.revision);
        let mut known = seen;
        known.head.revision = now.new_revision;
        known.head.claim = Some(Lease { id: self.id, at: now.wall, lease: self.timing.lease_duration });
        let since = Instants { wall: now.wall, elapsed: now.elapsed };
        let claimed =
            HeldLease { session: known.clone(), since, is_takeover: took_over, requests_sent: 0, unauthorized };
        self.transition(State::AcquiringLease(claimed), Action::Save { session: known, expect })
    }

    fn handle_lease_lookup(
        &mut self,
        claimed: HeldLease<T>,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(known)) if known.head.revision == claimed.session.head.revision => {
                self.handle_lease_acquired(claimed, now)
            }
            Ok(Some(known)) if self.lease_write_failures > 0 => self.end(RefreshOutcome::StoreFailed(Some(known))),
            Ok(Some(known)) => {
                self.lease_write_failures += 1;
                self.evaluate(known, now)
            }
            Ok(None) => self.end(RefreshOutcome::Absent),
            // The lease may have been written. It expires.
            Err(StoreFailed) => self.end(RefreshOutcome::StoreFailed(Some(claimed.session))),
        }
    }

    /// Continues once the lease is in the store. After a takeover, the previous holder first gets
    /// time to save.
    fn handle_lease_acquired(&mut self, claimed: HeldLease<T>, now: &StepContext<'_, T>) -> Action<T> {
        if claimed.is_takeover {
            return self.transition(State::TakingOver(claimed), Action::Wait(self.timing.takeover_delay));
        }
        self.send(claimed, now)
    }

    fn handle_takeover_lookup(
        &mut self,
        claimed: HeldLease<T>,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(known)) if known.head.revision == claimed.session.head.revision => self.send(claimed, now),
            Ok(Some(known)) => self.evaluate(known, now),
            Ok(None) => self.end(RefreshOutcome::Absent),
            Err(StoreFailed) => self.end(RefreshOutcome::StoreFailed(Some(claimed.session))),
        }
    }

    /// Sends a request that was queued. The remaining time limit is recalculated.
    fn send_queued(&mut self, claimed: HeldLease<T>, now: &StepContext<'_, T>) -> Action<T> {
        let sendings = claimed.requests_sent - 1;
        self.send(HeldLease { requests_sent: sendings, ..claimed }, now)
    }

    /// Steps 5 and 6: sends, unless the lease may have been taken over by either clock.
    fn send(&mut self, mut claimed: HeldLease<T>, now: &StepContext<'_, T>) -> Action<T> {
        let by_wall = now.wall.since(claimed.since.wall).max(claimed.since.wall.since(now.wall));
        let spent = by_wall.max(now.elapsed.saturating_sub(claimed.since.elapsed));
        if spent >= self.timing.send_timeout {
            return self.load();
        }
        claimed.requests_sent += 1;
        let action = Action::Send {
            login: claimed.session.head.login,
            tokens: claimed.session.tokens.clone(),
            limit: self.timing.send_timeout.saturating_sub(spent),
        };
        self.transition(State::Sending(claimed), action)
    }

    fn handle_refresh_result(
        &mut self,
        claimed: HeldLease<T>,
        answer: RefreshResult<T>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match answer {
            RefreshResult::Granted(tokens) => {
                let mut head = claimed.session.head.clone();
                let expect = head.revision;
                head.revision = now.new_revision;
                head.generation = head.generation.saturating_add(1);
                head.claim = None;
                head.hold = None;
                head.interrupted = false;
                head.unexplained = 0;
                head.unauthorized = claimed.unauthorized;
                let prospect = (now.schedule)(&claimed.session, &tokens);
                (head.due, head.ends, head.anchor) = (prospect.due, prospect.ends, prospect.anchor);
                let new = StoredLogin { head, tokens };
                let expiring = prospect.ends.filter(|_| prospect.must_warn);
                self.transition(State::Serving { new: new.clone(), expect }, Action::Serve { session: new, expiring })
            }
            RefreshResult::Transient { retry_after: None, is_repeatable: true, .. }
                if claimed.requests_sent < MAX_REQUESTS =>
            {
                self.transition(State::WaitingToRepeat(claimed), Action::Wait(REPEAT_DELAY))
            }
            RefreshResult::Transient { retry_after, is_lost, .. } => {
                let mut known = claimed.session;
                known.head.interrupted |= is_lost;
                self.block_until(known, now.wall + retry_after.unwrap_or_default().max(now.backoff), now)
            }
            RefreshResult::Rejected { code, reason } => {
                self.rejections += 1;
                let looks_left = u32::from(claimed.is_takeover);
                self.transition(
                    State::ConfirmingRejection { claimed, code, reason, loads_left: looks_left },
                    Action::Load,
                )
            }
            RefreshResult::Misconfigured { is_session_specific: is_own } => {
                let block = is_own.then(|| RefreshBlock::RetryAt(now.wall + now.backoff));
                self.release_lease(claimed.session, block, RefreshOutcome::Misconfigured, now)
            }
        }
    }

    /// Releases the lease and blocks refreshes until this time.
    fn block_until(&mut self, known: StoredLogin<T>, until: UnixTime, now: &StepContext<'_, T>) -> Action<T> {
        let held = |known| RefreshOutcome::Blocked { session: known, until };
        self.release_lease(known, Some(RefreshBlock::RetryAt(until)), held, now)
    }

    /// Step 8: releases the lease and writes a block that every process honors.
    fn release_lease(
        &mut self,
        mut known: StoredLogin<T>,
        hold: Option<RefreshBlock>,
        outcome: impl FnOnce(StoredLogin<T>) -> RefreshOutcome<T>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        let expect = Precondition::Revision(known.head.revision);
        known.head.revision = now.new_revision;
        known.head.claim = None;
        known.head.hold = hold;
        self.transition(State::Releasing(outcome(known.clone())), Action::Save { session: known, expect })
    }

    fn save(&mut self, new: StoredLogin<T>, expect: Revision, saving: SaveProgress) -> Action<T> {
        let action = Action::Save { session: new.clone(), expect: Precondition::Revision(expect) };
        self.transition(State::Saving { new, saving }, action)
    }

    fn handle_saved(
        &mut self,
        new: StoredLogin<T>,
        saving: SaveProgress,
        saved: Result<WriteOutcome, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match saved {
            Ok(WriteOutcome::Committed) => self.finish_save(new, now),
            Ok(WriteOutcome::Conflict) => {
                let is_rested = saving.pause == INITIAL_PAUSE;
                let saving = if is_rested { self.next_backoff(saving, now) } else { saving };
                self.transition(State::ConfirmingSave { new, saving, has_backed_off: is_rested }, Action::Load)
            }
            Err(StoreFailed) => self.back_off(new, saving, now),
        }
    }

    /// Ends after the save. Tokens rescued from an earlier task may need a refresh by now.
    fn finish_save(&mut self, new: StoredLogin<T>, now: &StepContext<'_, T>) -> Action<T> {
        if std::mem::take(&mut self.has_inherited_tokens) {
            self.evaluate(new, now)
        } else {
            self.end(RefreshOutcome::Fresh(new))
        }
    }

    /// Waits before the next attempt to save.
    ///
    /// The attempts are frequent while the lease protects the tokens. If the server rotates refresh
    /// tokens, a process that takes the lease over would send a spent one.
    fn back_off(&mut self, new: StoredLogin<T>, saving: SaveProgress, now: &StepContext<'_, T>) -> Action<T> {
        let pause = saving.pause;
        self.transition(State::BackingOff { new, saving: self.next_backoff(saving, now) }, Action::Wait(pause))
    }

    fn next_backoff(&self, saving: SaveProgress, now: &StepContext<'_, T>) -> SaveProgress {
        let is_eager = now.elapsed.saturating_sub(saving.since) < self.timing.eager_save_period;
        let longest = if is_eager { self.timing.max_eager_save_pause } else { MAX_PAUSE };
        SaveProgress { pause: saving.pause.saturating_mul(2).min(longest), ..saving }
    }

    /// Step 7, after a conflict or an unknown outcome: checks whether this task's tokens are still
    /// the newest.
    fn handle_save_lookup(
        &mut self,
        mut new: StoredLogin<T>,
        saving: SaveProgress,
        is_rested: bool,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(known)) if known.head.revision == new.head.revision => self.finish_save(new, now),
            // Another login, or newer tokens: drop ours.
            Ok(Some(known)) if known.head.login != new.head.login || known.head.generation >= new.head.generation => {
                self.evaluate(known, now)
            }
            // Only a lease, a block, or data stored with the tokens was written. Save over it,
            // after a pause, for as long as this process runs.
            Ok(Some(known)) if is_rested => {
                new.head.revision = now.new_revision;
                new.tokens = (now.merge)(&known.tokens, new.tokens);
                self.save(new, known.head.revision, saving)
            }
            Ok(None) => self.end(RefreshOutcome::Absent),
            Ok(Some(_)) | Err(StoreFailed) => self.back_off(new, saving, now),
        }
    }

    /// Step 9: accepts the rejection of a refresh token if no other process has newer tokens.
    fn confirm_rejection(
        &mut self,
        claimed: HeldLease<T>,
        (code, reason): (Option<String>, RejectionReason),
        looks_left: u32,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        let Ok(loaded) = loaded else {
            return self.end(RefreshOutcome::StoreFailed(Some(claimed.session)));
        };
        let Some(known) = loaded else { return self.end(RefreshOutcome::Absent) };
        let head = &known.head;
        let has_newer = head.login != claimed.session.head.login || head.generation != claimed.session.head.generation;
        let was_taken_over = head.revision != claimed.session.head.revision;
        if has_newer || (was_taken_over && self.rejections < 2) {
            // The process that took the lease over may save newer tokens soon. The limit on
            // rejections stops two processes that take over from each other.
            return self.evaluate(known, now);
        }
        if looks_left > 0 {
            let pause = Action::Wait(self.timing.confirmation_delay);
            return self.transition(State::WaitingToConfirmRejection { claimed, code, reason }, pause);
        }
        match (reason, UNEXPLAINED_PAUSES.get(known.head.unexplained as usize)) {
            (RejectionReason::Missing, Some(pause)) => {
                self.block_until(count_unexplained_rejection(known), now.wall + *pause, now)
            }
            // An outage: not counted, so that each session is tried again afterwards.
            (RejectionReason::Outage, _) => {
                self.block_until(known, now.wall + now.backoff.max(UNEXPLAINED_PAUSES[0]), now)
            }
            _ => self.reject(known, code, now),
        }
    }

    /// Marks the refresh token as rejected.
    fn reject(&mut self, known: StoredLogin<T>, code: Option<String>, now: &StepContext<'_, T>) -> Action<T> {
        let demand = (now.demand)(&known.tokens);
        let is_dead = demand.urgency == Urgency::Expired || demand.unauthorized.is_some();
        let hold = RefreshBlock::Rejected { generation: known.head.generation, code, at: Some(now.wall), is_dead };
        self.save_block(known, hold, now)
    }

    /// Marks the access token as rejected too, after its refresh token was, so that no process
    /// serves it.
    fn withhold(&mut self, known: StoredLogin<T>, now: &StepContext<'_, T>) -> Action<T> {
        let Some(RefreshBlock::Rejected { generation, code, at, .. }) = known.head.hold.clone() else {
            return self.end(RefreshOutcome::Rejected(known));
        };
        self.save_block(known, RefreshBlock::Rejected { generation, code, at, is_dead: true }, now)
    }

    fn save_block(&mut self, known: StoredLogin<T>, hold: RefreshBlock, now: &StepContext<'_, T>) -> Action<T> {
        let expect = Precondition::Revision(known.head.revision);
        let mut marked = known;
        marked.head.hold = Some(hold);
        marked.head.revision = now.new_revision;
        marked.head.claim = None;
        // A rejected session cannot be refreshed, so keep-alive must skip it.
        marked.head.due = None;
        self.transition(State::Rejecting { marked: marked.clone() }, Action::Save { session: marked, expect })
    }
}

/// Counts an unexplained rejection.
fn count_unexplained_rejection<T>(mut known: StoredLogin<T>) -> StoredLogin<T> {
    known.head.unexplained += 1;
    known
}

fn begin_saving<T>(now: &StepContext<'_, T>) -> SaveProgress {
    SaveProgress { since: now.elapsed, pause: INITIAL_PAUSE }
}

/// Returns the urgency of a refresh. A requested refresh and a 401 must respect the minimum
/// interval.
fn urgency(demand: &Demand, is_after_401: bool) -> Urgency {
    match demand.urgency {
        Urgency::None | Urgency::Due if demand.has_min_age && (demand.is_requested || is_after_401) => {
            Urgency::Requested
        }
        need => need,
    }
}
