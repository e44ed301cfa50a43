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
    canceled_lease: Option<LeaseId>,
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
    /// `canceled_lease` is the lease of a canceled task of this process. `foreign_lease` is the
    /// lease of another process that an earlier task saw.
    pub(crate) fn new(
        id: LeaseId,
        timing: Timing,
        canceled_lease: Option<LeaseId>,
        foreign_lease: Option<ForeignLease>,
    ) -> Self {
        Self {
            timing,
            id,
            canceled_lease,
            login: None,
            foreign_lease,
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
                let state = State::ConfirmingSave { new, saving: begin_saving(now), has_backed_off: true };
                self.transition(state, Action::Load)
            }
            (State::Loading | State::WaitingForLease, Event::Loaded(loaded)) => match loaded {
                Ok(Some(session)) => self.evaluate(session, now),
                Ok(None) => self.end(RefreshOutcome::Absent),
                Err(StoreFailed) => self.end(RefreshOutcome::StoreFailed(None)),
            },
            (State::AcquiringLease(lease), Event::Saved(saved)) => match saved {
                Ok(WriteOutcome::Committed) => self.handle_lease_acquired(lease, now),
                Ok(WriteOutcome::Conflict) => self.load(),
                Err(StoreFailed) => self.transition(State::ConfirmingLease(lease), Action::Load),
            },
            (State::ConfirmingLease(lease), Event::Loaded(loaded)) => self.handle_lease_lookup(lease, loaded, now),
            (State::TakingOver(lease), Event::Waited) => {
                self.transition(State::ConfirmingTakeover(lease), Action::Load)
            }
            (State::ConfirmingTakeover(lease), Event::Loaded(loaded)) => {
                self.handle_takeover_lookup(lease, loaded, now)
            }
            (State::Sending(lease), Event::Sent(result)) => self.handle_refresh_result(lease, result, now),
            (State::Sending(lease), Event::Queued) => self.send_queued(lease, now),
            (State::WaitingToRepeat(lease), Event::Waited) => self.send(lease, now),
            (State::Serving { new, expect }, Event::Served) => self.save(new, expect, begin_saving(now)),
            (State::Saving { new, saving }, Event::Saved(saved)) => self.handle_saved(new, saving, saved, now),
            (State::ConfirmingSave { new, saving, has_backed_off }, Event::Loaded(loaded)) => {
                self.handle_save_lookup(new, saving, has_backed_off, loaded, now)
            }
            (State::BackingOff { new, saving }, Event::Waited) => {
                self.transition(State::ConfirmingSave { new, saving, has_backed_off: true }, Action::Load)
            }
            // If the lease could not be released, it expires.
            (State::Releasing(outcome), Event::Saved(_)) => self.end(outcome),
            (State::WaitingToConfirmRejection { lease, code, reason }, Event::Waited) => {
                self.transition(State::ConfirmingRejection { lease, code, reason, loads_left: 0 }, Action::Load)
            }
            (State::ConfirmingRejection { lease, code, reason, loads_left }, Event::Loaded(loaded)) => {
                self.confirm_rejection(lease, (code, reason), loads_left, loaded, now)
            }
            (State::Rejecting(_), Event::Saved(Ok(WriteOutcome::Conflict))) => self.load(),
            (State::Rejecting(session), Event::Saved(_)) => self.end(RefreshOutcome::Rejected(session)),
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
        matches!(self.state, State::AcquiringLease(_) | State::Releasing(_) | State::Rejecting(_))
    }

    /// Returns the current state for the log.
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.state {
            State::WaitingForLease => "waiting for lease of another process",
            State::AcquiringLease(lease) if lease.is_takeover => "taking over lease",
            State::AcquiringLease(_) => "acquiring lease",
            State::TakingOver(_) | State::ConfirmingTakeover(_) => "waiting for previous lease holder to save",
            State::Sending(_) => "sending refresh request",
            State::Serving { .. } | State::Saving { .. } => "saving tokens",
            State::WaitingToRepeat(_) | State::BackingOff { .. } => "waiting to retry",
            State::WaitingToConfirmRejection { .. } => "waiting to confirm rejection",
            State::Releasing(_) | State::Rejecting(_) => "releasing lease",
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

    fn transition(&mut self, state: State<T>, action: Action<T>) -> Action<T> {
        self.state = state;
        action
    }

    fn end(&mut self, outcome: RefreshOutcome<T>) -> Action<T> {
        self.transition(State::Ended, Action::End(outcome))
    }

    fn load(&mut self) -> Action<T> {
        self.transition(State::Loading, Action::Load)
    }

    /// Steps 2 to 4: checks whether a refresh is still needed and allowed, and acquires the lease.
    fn evaluate(&mut self, mut session: StoredLogin<T>, now: &StepContext<'_, T>) -> Action<T> {
        if self.login.is_some_and(|login| login != session.head.login) {
            self.foreign_lease = None;
        }
        self.login = Some(session.head.login);
        // The process that wrote this block also saw a 401, so the expiry of the access token is no
        // guide.
        if session.head.hold.as_ref().is_some_and(|block| block.is_final_for(session.head.generation)) {
            return self.end(RefreshOutcome::Rejected(session));
        }
        let demand = (now.demand)(&session.tokens);
        if demand.unauthorized.is_some() && session.head.is_rejected() {
            return self.withhold(session, now);
        }
        let after_401 = demand.unauthorized.filter(|_| demand.has_min_age);
        let after_401 = after_401.and_then(|found| policy::next_count(session.head.unauthorized, &found, now.wall));
        self.is_after_401 = after_401.is_some();
        let urgency = urgency(&demand, self.is_after_401);
        if urgency == Urgency::None {
            return self.end(RefreshOutcome::Fresh(session));
        }
        let refreshes = after_401.or(session.head.unauthorized);
        self.evaluations += 1;
        if self.evaluations > MAX_EVALUATIONS {
            return self.end(RefreshOutcome::LeaseHeld(session));
        }
        match &session.head.hold {
            Some(RefreshBlock::Rejected { .. }) if session.head.is_rejected() => {
                return self.end(RefreshOutcome::Rejected(session));
            }
            Some(RefreshBlock::RetryAt(until))
                if *until > now.wall && until.since(now.wall) <= self.timing.max_block =>
            {
                let until = *until;
                return self.end(RefreshOutcome::Blocked { session, until });
            }
            // By this wall clock the block is over or implausible, but another host's clock may
            // have written it. This process waits for its own pause.
            Some(RefreshBlock::RetryAt(_)) if let Some(pause) = now.local_pause => {
                let until = now.wall + pause.max(REPEAT_DELAY);
                return self.end(RefreshOutcome::Blocked { session, until });
            }
            _ => {}
        }
        match session.head.claim {
            Some(lease) if !self.is_own_lease(&lease) && !self.has_lease_expired(&lease, now) => {
                self.wait_for_lease(session, urgency, now)
            }
            Some(lease) => {
                // The previous holder may have received newer tokens that were lost. A server that
                // rotates refresh tokens has then revoked these.
                session.head.interrupted |= lease.id != self.id;
                self.acquire_lease(session, refreshes, !self.is_own_lease(&lease), now)
            }
            None => self.acquire_lease(session, refreshes, false, now),
        }
    }

    /// Returns `true` if a lease belongs to this task or to a canceled task of this process.
    fn is_own_lease(&self, lease: &Lease) -> bool {
        lease.id == self.id || Some(lease.id) == self.canceled_lease
    }

    /// Step 3: returns `true` if another process's lease has expired.
    ///
    /// The lease must be unchanged for its duration by this host's monotonic clock, or it must have
    /// ended more than a day ago. The timestamp of a lease from the future is ignored, because one
    /// of the two clocks is wrong.
    fn has_lease_expired(&mut self, lease: &Lease, now: &StepContext<'_, T>) -> bool {
        let observed = match self.foreign_lease {
            Some(observed) if (observed.id, observed.at) == (lease.id, lease.at) => observed,
            _ => *self.foreign_lease.insert(ForeignLease { id: lease.id, at: lease.at, seen_at: now.elapsed }),
        };
        let unchanged_for = now.elapsed.saturating_sub(observed.seen_at);
        // Abandoned by a process that was stopped during a refresh. Its next start should not wait
        // for the whole lease.
        let is_abandoned = lease.at >= MIN_PLAUSIBLE_TIME
            && now.wall.since(lease.at) > lease.lease.saturating_add(ABANDONED_LEASE_AGE)
            && unchanged_for >= self.timing.confirmation_delay;
        // The duration was read from the store. Never wait longer than this process's own lease.
        is_abandoned || unchanged_for >= lease.lease.min(self.timing.lease_duration)
    }

    fn wait_for_lease(&mut self, session: StoredLogin<T>, urgency: Urgency, now: &StepContext<'_, T>) -> Action<T> {
        let since = *self.waiting_since.get_or_insert(now.elapsed);
        if urgency == Urgency::Due || now.elapsed.saturating_sub(since) >= self.timing.max_lease_wait {
            return self.end(RefreshOutcome::LeaseHeld(session));
        }
        let pause = self.next_lease_poll;
        self.next_lease_poll = pause.mul_f64(1.5).min(MAX_LEASE_POLL);
        self.transition(State::WaitingForLease, Action::Wait(pause))
    }

    /// Step 4: acquires the lease.
    fn acquire_lease(
        &mut self,
        mut session: StoredLogin<T>,
        unauthorized: Option<UnauthorizedRefreshes>,
        is_takeover: bool,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        let expect = replace_revision(&mut session, now);
        session.head.claim = Some(Lease { id: self.id, at: now.wall, lease: self.timing.lease_duration });
        let since = Instants { wall: now.wall, elapsed: now.elapsed };
        let lease = HeldLease { session: session.clone(), since, is_takeover, requests_sent: 0, unauthorized };
        self.transition(State::AcquiringLease(lease), Action::Save { session, expect })
    }

    fn handle_lease_lookup(
        &mut self,
        lease: HeldLease<T>,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(session)) if session.head.revision == lease.session.head.revision => {
                self.handle_lease_acquired(lease, now)
            }
            Ok(Some(session)) if self.lease_write_failures > 0 => self.end(RefreshOutcome::StoreFailed(Some(session))),
            Ok(Some(session)) => {
                self.lease_write_failures += 1;
                self.evaluate(session, now)
            }
            Ok(None) => self.end(RefreshOutcome::Absent),
            // The lease may have been written. It expires.
            Err(StoreFailed) => self.end(RefreshOutcome::StoreFailed(Some(lease.session))),
        }
    }

    /// Continues once the lease is in the store. After a takeover, the previous holder first gets
    /// time to save.
    fn handle_lease_acquired(&mut self, lease: HeldLease<T>, now: &StepContext<'_, T>) -> Action<T> {
        if lease.is_takeover {
            return self.transition(State::TakingOver(lease), Action::Wait(self.timing.takeover_delay));
        }
        self.send(lease, now)
    }

    fn handle_takeover_lookup(
        &mut self,
        lease: HeldLease<T>,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(session)) if session.head.revision == lease.session.head.revision => self.send(lease, now),
            Ok(Some(session)) => self.evaluate(session, now),
            Ok(None) => self.end(RefreshOutcome::Absent),
            Err(StoreFailed) => self.end(RefreshOutcome::StoreFailed(Some(lease.session))),
        }
    }

    /// Sends a request that was queued. The remaining time limit is recalculated.
    fn send_queued(&mut self, lease: HeldLease<T>, now: &StepContext<'_, T>) -> Action<T> {
        self.send(HeldLease { requests_sent: lease.requests_sent - 1, ..lease }, now)
    }

    /// Steps 5 and 6: sends, unless the lease may have been taken over by either clock.
    fn send(&mut self, mut lease: HeldLease<T>, now: &StepContext<'_, T>) -> Action<T> {
        let by_wall = now.wall.since(lease.since.wall).max(lease.since.wall.since(now.wall));
        let held_for = by_wall.max(now.elapsed.saturating_sub(lease.since.elapsed));
        if held_for >= self.timing.send_timeout {
            return self.load();
        }
        lease.requests_sent += 1;
        let action = Action::Send {
            login: lease.session.head.login,
            tokens: lease.session.tokens.clone(),
            limit: self.timing.send_timeout.saturating_sub(held_for),
        };
        self.transition(State::Sending(lease), action)
    }

    fn handle_refresh_result(
        &mut self,
        lease: HeldLease<T>,
        result: RefreshResult<T>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match result {
            RefreshResult::Granted(tokens) => {
                let mut head = lease.session.head.clone();
                let expect = head.revision;
                head.revision = now.new_revision;
                head.generation = head.generation.saturating_add(1);
                head.claim = None;
                head.hold = None;
                head.interrupted = false;
                head.unexplained = 0;
                head.unauthorized = lease.unauthorized;
                let schedule = (now.schedule)(&lease.session, &tokens);
                (head.due, head.ends, head.anchor) = (schedule.due, schedule.ends, schedule.anchor);
                let new = StoredLogin { head, tokens };
                let expiring = schedule.ends.filter(|_| schedule.must_warn);
                self.transition(State::Serving { new: new.clone(), expect }, Action::Serve { session: new, expiring })
            }
            RefreshResult::Transient { retry_after: None, is_repeatable: true, .. }
                if lease.requests_sent < MAX_REQUESTS =>
            {
                self.transition(State::WaitingToRepeat(lease), Action::Wait(REPEAT_DELAY))
            }
            RefreshResult::Transient { retry_after, is_lost, .. } => {
                let mut session = lease.session;
                session.head.interrupted |= is_lost;
                self.block_until(session, now.wall + retry_after.unwrap_or_default().max(now.backoff), now)
            }
            RefreshResult::Rejected { code, reason } => {
                self.rejections += 1;
                let loads_left = u32::from(lease.is_takeover);
                self.transition(State::ConfirmingRejection { lease, code, reason, loads_left }, Action::Load)
            }
            RefreshResult::Misconfigured { is_session_specific: is_own } => {
                let block = is_own.then(|| RefreshBlock::RetryAt(now.wall + now.backoff));
                self.release_lease(lease.session, block, RefreshOutcome::Misconfigured, now)
            }
        }
    }

    /// Releases the lease and blocks refreshes until this time.
    fn block_until(&mut self, session: StoredLogin<T>, until: UnixTime, now: &StepContext<'_, T>) -> Action<T> {
        let blocked = |session| RefreshOutcome::Blocked { session, until };
        self.release_lease(session, Some(RefreshBlock::RetryAt(until)), blocked, now)
    }

    /// Step 8: releases the lease and writes a block that applies to every process.
    fn release_lease(
        &mut self,
        mut session: StoredLogin<T>,
        block: Option<RefreshBlock>,
        outcome: impl FnOnce(StoredLogin<T>) -> RefreshOutcome<T>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        let expect = replace_revision(&mut session, now);
        session.head.claim = None;
        session.head.hold = block;
        self.transition(State::Releasing(outcome(session.clone())), Action::Save { session, expect })
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
                let has_backed_off = saving.pause == INITIAL_PAUSE;
                let saving = if has_backed_off { self.next_backoff(saving, now) } else { saving };
                self.transition(State::ConfirmingSave { new, saving, has_backed_off }, Action::Load)
            }
            Err(StoreFailed) => self.back_off(new, saving, now),
        }
    }

    /// Ends after the save. Tokens of an earlier task may be due in the meantime.
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
        let max_pause = if is_eager { self.timing.max_eager_save_pause } else { MAX_PAUSE };
        SaveProgress { pause: saving.pause.saturating_mul(2).min(max_pause), ..saving }
    }

    /// Step 7, after a conflict or an unknown outcome: checks whether this task's tokens are still
    /// the newest.
    fn handle_save_lookup(
        &mut self,
        mut new: StoredLogin<T>,
        saving: SaveProgress,
        has_backed_off: bool,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(session)) if session.head.revision == new.head.revision => self.finish_save(new, now),
            // Another login, or newer tokens: drop ours.
            Ok(Some(session))
                if session.head.login != new.head.login || session.head.generation >= new.head.generation =>
            {
                self.evaluate(session, now)
            }
            // Only a lease, a block, or data stored with the tokens was written. Save over it,
            // after a pause, for as long as this process runs.
            Ok(Some(session)) if has_backed_off => {
                new.head.revision = now.new_revision;
                new.tokens = (now.merge)(&session.tokens, new.tokens);
                self.save(new, session.head.revision, saving)
            }
            Ok(None) => self.end(RefreshOutcome::Absent),
            Ok(Some(_)) | Err(StoreFailed) => self.back_off(new, saving, now),
        }
    }

    /// Step 9: accepts the rejection of a refresh token if no other process has newer tokens.
    fn confirm_rejection(
        &mut self,
        lease: HeldLease<T>,
        (code, reason): (Option<String>, RejectionReason),
        loads_left: u32,
        loaded: Result<Option<StoredLogin<T>>, StoreFailed>,
        now: &StepContext<'_, T>,
    ) -> Action<T> {
        let Ok(loaded) = loaded else {
            return self.end(RefreshOutcome::StoreFailed(Some(lease.session)));
        };
        let Some(mut session) = loaded else { return self.end(RefreshOutcome::Absent) };
        let head = &session.head;
        let has_newer = head.login != lease.session.head.login || head.generation != lease.session.head.generation;
        let was_taken_over = head.revision != lease.session.head.revision;
        if has_newer || (was_taken_over && self.rejections < 2) {
            // The process that took the lease over may save newer tokens soon. The limit on
            // rejections stops two processes that take over from each other.
            return self.evaluate(session, now);
        }
        if loads_left > 0 {
            let pause = Action::Wait(self.timing.confirmation_delay);
            return self.transition(State::WaitingToConfirmRejection { lease, code, reason }, pause);
        }
        match (reason, UNEXPLAINED_PAUSES.get(session.head.unexplained as usize)) {
            (RejectionReason::Missing, Some(pause)) => {
                session.head.unexplained += 1;
                self.block_until(session, now.wall + *pause, now)
            }
            // An outage: not counted, so that each session is tried again afterwards.
            (RejectionReason::Outage, _) => {
                self.block_until(session, now.wall + now.backoff.max(UNEXPLAINED_PAUSES[0]), now)
            }
            _ => self.reject(session, code, now),
        }
    }

    /// Marks the refresh token as rejected.
    fn reject(&mut self, session: StoredLogin<T>, code: Option<String>, now: &StepContext<'_, T>) -> Action<T> {
        let demand = (now.demand)(&session.tokens);
        let is_dead = demand.urgency == Urgency::Expired || demand.unauthorized.is_some();
        let block = RefreshBlock::Rejected { generation: session.head.generation, code, at: Some(now.wall), is_dead };
        self.save_block(session, block, now)
    }

    /// Marks the access token as rejected too, after its refresh token was, so that no process
    /// serves it.
    fn withhold(&mut self, session: StoredLogin<T>, now: &StepContext<'_, T>) -> Action<T> {
        let Some(RefreshBlock::Rejected { generation, code, at, .. }) = session.head.hold.clone() else {
            return self.end(RefreshOutcome::Rejected(session));
        };
        self.save_block(session, RefreshBlock::Rejected { generation, code, at, is_dead: true }, now)
    }

    fn save_block(&mut self, mut session: StoredLogin<T>, block: RefreshBlock, now: &StepContext<'_, T>) -> Action<T> {
        let expect = replace_revision(&mut session, now);
        session.head.hold = Some(block);
        session.head.claim = None;
        // A rejected session cannot be refreshed, so keep-alive must skip it.
        session.head.due = None;
        self.transition(State::Rejecting(session.clone()), Action::Save { session, expect })
    }
}

/// Sets a new revision and returns the precondition that the old one is still stored.
fn replace_revision<T>(session: &mut StoredLogin<T>, now: &StepContext<'_, T>) -> Precondition {
    Precondition::Revision(std::mem::replace(&mut session.head.revision, now.new_revision))
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
        urgency => urgency,
    }
}
