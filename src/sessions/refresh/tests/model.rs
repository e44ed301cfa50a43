//! A model of two processes that share a store and a server, for the exhaustive search and the
//! random walks.
//!
//! Concurrent changes may also modify the session: a logout, a new login, or a data update. In
//! every state, each actor may take its next step, and a limited number of faults may occur:
//!
//! - The store fails before a write, after it, or performs it later.
//! - A response is late, or lost before or after the server processed the request.
//! - A process crashes, or it is suspended for longer than its lease.
//!
//! Each process runs one refresh after another and remembers between them as much as the
//! coordinator does. The invariants are checked in every state and whenever all refreshes have
//! ended.

use std::collections::HashSet;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::sessions::refresh::machine::RefreshMachine;
use crate::sessions::refresh::steps::{
    Action, Demand, Event, RefreshOutcome, RefreshResult, RejectionReason, Schedule, StepContext, StoreFailed,
    StoredLogin, Timing, Unauthorized, Urgency,
};
use crate::sessions::refresh::tests::external_change::{ExternalChange, Write};
use crate::store::entry::{LeaseId, LoginId, RefreshBlock};
use crate::store::{Head, Precondition, Revision, WriteOutcome};

const TIMING: Timing = Timing {
    send_timeout: Duration::from_secs(2),
    lease_duration: Duration::from_secs(4),
    confirmation_delay: Duration::from_secs(1),
    takeover_delay: Duration::from_secs(1),
    max_eager_save_pause: Duration::from_millis(500),
    eager_save_period: Duration::from_secs(600),
    max_lease_wait: Duration::from_secs(6),
    max_block: Duration::from_secs(60),
};

/// The tokens of the model: the refresh token, the period of the access token, and the number of
/// changes of the application's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tokens {
    pub(crate) refresh: u8,
    pub(crate) period: u8,
    pub(crate) data: u8,
}

/// The validity of an access token of an earlier period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OldTokenState {
    /// The token has expired.
    Expired,
    /// The token is still valid, so no caller waits for a new one.
    Due,
    /// The token has not expired, but the API responds with 401.
    Unauthorized,
}

impl OldTokenState {
    fn demand(self) -> Demand {
        let (urgency, unauthorized) = match self {
            Self::Expired => (Urgency::Expired, None),
            Self::Due => (Urgency::Due, None),
            Self::Unauthorized => (Urgency::None, Some(Unauthorized::default())),
        };
        Demand { urgency, has_min_age: true, is_requested: false, unauthorized }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    /// The lease ID of its refresh.
    lease_id: LeaseId,
    machine: RefreshMachine<Tokens>,
    pending_step: Option<PendingStep>,
    /// The number of seconds by which this host's wall clock is ahead.
    clock_ahead: u64,
    /// The number of IDs created. Each process counts its own, so that the order of independent
    /// steps creates no additional states.
    ids_created: u8,
}

impl Process {
    fn has_step_before(&self, time: Duration) -> bool {
        match self.pending_step {
            None => false,
            Some(PendingStep::WakeAt(at)) => at < time,
            Some(_) => true,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::large_enum_variant, reason = "a model contains only two of them")]
enum PendingStep {
    Perform(Action<Tokens>),
    /// The server processed the request. The response arrives before this time or not at all.
    Receive(RefreshResult<Tokens>, Duration),
    WakeAt(Duration),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Model {
    is_strict: bool,
    old_tokens: OldTokenState,
    elapsed: Duration,
    pub(crate) store: Option<StoredLogin<Tokens>>,
    /// The current period. Access tokens of earlier periods are old.
    period: u8,
    /// `true` if a process ran a refresh in this period.
    had_refresh: bool,
    /// The refresh token that the server accepts.
    valid: u8,
    /// The first refresh token of the stored login. A strict server revokes the whole family when a
    /// spent token of it is reused (RFC 9700, section 4.14.2).
    family: u8,
    is_revoked: bool,
    /// The number of unexplained rejections by a gateway. The fourth in a row is final.
    unexplained: u8,
    /// `true` if a process was suspended for longer than its lease.
    was_suspended: bool,
    /// The refresh tokens that were sent to the server, each with its period.
    sent: Vec<(u8, u8)>,
    /// A write that the store reported as failed and may still perform.
    delayed_write: Option<(Write, Precondition)>,
    /// The concurrent changes in progress.
    pub(crate) external_changes: [Option<ExternalChange>; 2],
    /// The maximum number of concurrent changes.
    pub(crate) max_external_changes: usize,
    pub(crate) external_ids_created: u8,
    pub(crate) ended_logins: Vec<LoginId>,
    /// The cause of an unavoidable loss of the newest tokens, such as a lost response or a crash.
    loss_cause: Option<&'static str>,
    processes: [Process; 2],
    pub(crate) budget: FaultBudget,
}

/// A clock difference beyond the permitted skew: a generation may be refreshed twice, but no
/// session is lost.
pub(crate) const EXCESSIVE_CLOCK_SKEW: u64 = 11;

fn id_bytes(number: u8) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[15] = number;
    bytes
}

impl Model {
    pub(crate) fn new(is_strict: bool, ahead: u64, budget: FaultBudget) -> Self {
        let mut head = Head::new(None).unwrap();
        head.revision = Revision::from_bytes(id_bytes(0));
        head.login = LoginId::from_bytes(id_bytes(1));
        let idle = |id, ahead| {
            let lease = LeaseId::from_bytes(id_bytes(id));
            Process {
                lease_id: lease,
                machine: RefreshMachine::new(lease, TIMING, None, None),
                pending_step: None,
                clock_ahead: ahead,
                ids_created: 0,
            }
        };
        Self {
            is_strict,
            old_tokens: OldTokenState::Expired,
            elapsed: Duration::ZERO,
            store: Some(StoredLogin { head, tokens: Tokens { refresh: 0, period: 0, data: 0 } }),
            period: 1,
            had_refresh: false,
            valid: 0,
            family: 0,
            is_revoked: false,
            unexplained: 0,
            was_suspended: false,
            sent: Vec::new(),
            delayed_write: None,
            external_changes: [None, None],
            max_external_changes: 1,
            external_ids_created: 0,
            ended_logins: Vec::new(),
            loss_cause: None,
            processes: [idle(100, 0), idle(200, ahead)],
            budget,
        }
    }

    pub(crate) fn with_old_tokens(self, old: OldTokenState) -> Self {
        Self { old_tokens: old, ..self }
    }

    pub(crate) fn with_two_external_changes(self) -> Self {
        Self { max_external_changes: 2, ..self }
    }

    /// Returns `true` if a second may pass without exceeding the time limit of a pending response.
    fn may_delay(&self) -> bool {
        let then = self.elapsed + Duration::from_secs(1);
        self.processes.iter().all(|process| match &process.pending_step {
            Some(PendingStep::Receive(_, before)) => then < *before,
            _ => true,
        })
    }

    fn new_id(&mut self, index: usize) -> [u8; 16] {
        let process = &mut self.processes[index];
        process.ids_created += 1;
        let mut bytes = id_bytes(process.ids_created);
        bytes[0] = index as u8 + 1;
        bytes
    }

    /// Feeds an event to a process.
    fn feed(mut self, index: usize, event: Event<Tokens>) -> Self {
        let new_revision = Revision::from_bytes(self.new_id(index));
        let elapsed = self.elapsed;
        let old = self.old_tokens.demand();
        let process = &mut self.processes[index];
        let wall = UnixTime::from_secs(1000 + process.clock_ahead) + elapsed;
        let period = self.period;
        let no_demand = Demand { urgency: Urgency::None, has_min_age: true, is_requested: false, unauthorized: None };
        let demand = |tokens: &Tokens| if tokens.period < period { old } else { no_demand };
        let now = StepContext {
            wall,
            elapsed,
            new_revision,
            demand: &demand,
            schedule: &|_, _| Schedule::default(),
            merge: &|old, new| Tokens { data: old.data, ..new },
            local_pause: None,
            backoff: Duration::from_secs(1),
        };
        let action = process.machine.step(event, &now);
        let pending_step = match action {
            Action::End(outcome) => {
                self.check_end(&outcome);
                None
            }
            Action::Wait(pause) => Some(PendingStep::WakeAt(elapsed + pause)),
            action => Some(PendingStep::Perform(action)),
        };
        self.processes[index].pending_step = pending_step;
        self
    }

    /// Returns every possible next state.
    pub(crate) fn successors(&self) -> Vec<Self> {
        let mut models = Vec::new();
        for index in 0..2 {
            self.add_process_steps(index, &mut models);
            self.add_process_crash(index, &mut models);
        }
        if self.budget.suspensions > 0 {
            let mut model = self.clone();
            model.budget.suspensions -= 1;
            model.was_suspended = true;
            model.elapsed += TIMING.lease_duration + Duration::from_secs(1);
            models.push(model);
        }
        if self.budget.delays > 0 && self.may_delay() {
            let mut model = self.clone();
            model.budget.delays -= 1;
            model.elapsed += Duration::from_secs(1);
            models.push(model);
        }
        if let Some((write, expect)) = &self.delayed_write {
            let mut model = self.clone();
            model.delayed_write = None;
            let _ = model.write(write, *expect);
            models.push(model);
        }
        self.add_external_steps(&mut models);
        if self.budget.periods > 0 && self.is_idle() {
            let mut model = self.clone();
            model.budget.periods -= 1;
            model.period += 1;
            model.had_refresh = false;
            model.elapsed += TIMING.lease_duration + Duration::from_secs(1);
            models.push(model);
        }
        models
    }

    fn add_process_steps(&self, index: usize, models: &mut Vec<Self>) {
        let mut model = self.clone();
        match model.processes[index].pending_step.take() {
            None if self.budget.refreshes > 0 => {
                model.budget.refreshes -= 1;
                model.had_refresh = true;
                let id = LeaseId::from_bytes(model.new_id(index));
                let Process { lease_id: lease, machine: running, .. } = &mut model.processes[index];
                *running = RefreshMachine::new(id, TIMING, Some(*lease), running.foreign_lease());
                *lease = id;
                models.push(model.feed(index, Event::Begun));
            }
            None => {}
            // A step takes no time. The suspension of a process while time passes is counted
            // separately.
            Some(PendingStep::WakeAt(at)) if at > self.elapsed && self.processes[1 - index].has_step_before(at) => {}
            Some(PendingStep::WakeAt(at)) => {
                model.elapsed = model.elapsed.max(at);
                models.push(model.feed(index, Event::Waited));
            }
            Some(PendingStep::Receive(response, _)) => {
                if self.budget.network_faults > 0 {
                    // The response is lost after the server processed the request.
                    let mut model = model.clone();
                    model.budget.network_faults -= 1;
                    let is_loss = self.is_strict && matches!(response, RefreshResult::Granted(_));
                    model.loss_cause = is_loss.then_some("response").or(model.loss_cause);
                    let (is_repeatable, is_lost) = (!self.is_strict, self.is_strict);
                    let lost = RefreshResult::Transient { retry_after: None, is_repeatable, is_lost };
                    models.push(model.feed(index, Event::Sent(lost)));
                }
                models.push(model.feed(index, Event::Sent(response)));
            }
            Some(PendingStep::Perform(action)) => {
                if self.budget.queues > 0 && requires_permit(&action) && self.may_delay() {
                    let mut model = model.clone();
                    model.budget.queues -= 1;
                    model.elapsed += Duration::from_secs(1);
                    models.push(model.feed(index, Event::Queued));
                }
                model.perform_action(index, action, models);
            }
        }
    }

    fn perform_action(mut self, index: usize, action: Action<Tokens>, models: &mut Vec<Self>) {
        match action {
            Action::Load => {
                let loaded = self.store.clone();
                if self.budget.store_faults > 0 {
                    let mut faulty = self.clone();
                    faulty.budget.store_faults -= 1;
                    models.push(faulty.feed(index, Event::Loaded(Err(StoreFailed))));
                }
                models.push(self.feed(index, Event::Loaded(Ok(loaded))));
            }
            Action::Save { session, expect } => {
                self.add_write_outcomes(&Write::Save(session), expect, models, |model, saved| {
                    model.feed(index, Event::Saved(saved))
                });
            }
            Action::Send { tokens, limit, .. } => {
                assert!(limit > Duration::ZERO && limit <= TIMING.send_timeout);
                if self.budget.network_faults > 0 {
                    // The request does not reach the server.
                    let mut model = self.clone();
                    model.budget.network_faults -= 1;
                    let later =
                        |retry_after| RefreshResult::Transient { retry_after, is_repeatable: true, is_lost: false };
                    models.push(model.clone().feed(index, Event::Sent(later(None))));
                    // The server postpones the request, or rejects the client. Neither concerns the
                    // session.
                    models.push(model.clone().feed(index, Event::Sent(later(Some(Duration::from_secs(3))))));
                    models.push(
                        model
                            .clone()
                            .feed(index, Event::Sent(RefreshResult::Misconfigured { is_session_specific: false })),
                    );
                    models.push(
                        model
                            .clone()
                            .feed(index, Event::Sent(RefreshResult::Misconfigured { is_session_specific: true })),
                    );
                    // A gateway rejects the request without a reason.
                    if self.unexplained < 3 {
                        model.unexplained += 1;
                        let unexplained = RefreshResult::Rejected { code: None, reason: RejectionReason::Missing };
                        models.push(model.feed(index, Event::Sent(unexplained)));
                    }
                }
                let response = self.respond(tokens);
                self.processes[index].pending_step = Some(PendingStep::Receive(response, self.elapsed + limit));
                models.push(self);
            }
            Action::Serve { .. } => models.push(self.feed(index, Event::Served)),
            Action::Wait(_) | Action::End(_) => unreachable!("these actions are handled immediately"),
        }
    }

    /// Adds every possible outcome of a write. `finish` feeds the result to the writer.
    pub(crate) fn add_write_outcomes(
        &self,
        write: &Write,
        expect: Precondition,
        models: &mut Vec<Self>,
        finish: impl Fn(Self, Result<WriteOutcome, StoreFailed>) -> Self,
    ) {
        if self.budget.store_faults > 0 {
            let mut faulty = self.clone();
            faulty.budget.store_faults -= 1;
            let mut late = faulty.clone();
            models.push(finish(faulty.clone(), Err(StoreFailed)));
            late.delayed_write = Some((write.clone(), expect));
            models.push(finish(late, Err(StoreFailed)));
            let _ = faulty.write(write, expect);
            models.push(finish(faulty, Err(StoreFailed)));
        }
        let mut model = self.clone();
        let saved = model.write(write, expect);
        models.push(finish(model, Ok(saved)));
    }

    fn write(&mut self, write: &Write, expect: Precondition) -> WriteOutcome {
        let found = self.store.as_ref().map(|session| session.head.revision);
        if expect != found.map_or(Precondition::Absent, Precondition::Revision) {
            return WriteOutcome::Conflict;
        }
        match write {
            Write::Save(session) => self.save(session),
            Write::Put(head) => {
                self.end_login();
                // The new login has its own tokens. The tokens of the old one no longer matter.
                self.valid += 1;
                (self.family, self.is_revoked) = (self.valid, false);
                self.loss_cause = None;
                let tokens = Tokens { refresh: self.valid, period: self.period - 1, data: 0 };
                self.store = Some(StoredLogin { head: head.clone(), tokens });
            }
            Write::Delete => {
                self.end_login();
                self.store = None;
            }
        }
        self.external_changes.iter_mut().flatten().for_each(|change| change.record_write(write));
        WriteOutcome::Committed
    }

    fn end_login(&mut self) {
        self.ended_logins.extend(self.store.iter().map(|session| session.head.login));
    }

    fn save(&mut self, session: &StoredLogin<Tokens>) {
        if let Some(before) = &self.store {
            assert_eq!(before.head.login, session.head.login, "a refresh overwrites another login: {self:#?}");
            assert!(before.head.generation <= session.head.generation, "a generation decreases: {self:#?}");
            assert!(before.tokens.data <= session.tokens.data, "the application's data is lost: {self:#?}");
        }
        assert!(!self.ended_logins.contains(&session.head.login), "a removed session is restored: {self:#?}");
        self.store = Some(session.clone());
    }

    /// Returns the server's response to a refresh request.
    fn respond(&mut self, tokens: Tokens) -> RefreshResult<Tokens> {
        self.sent.push((tokens.refresh, self.period));
        if self.is_revoked || tokens.refresh != self.valid {
            let is_reused = self.is_strict && tokens.refresh >= self.family && !self.is_revoked;
            if is_reused {
                // A process that is suspended for longer than its lease cannot save in time.
                assert!(self.loss_cause.is_some() || self.was_suspended, "a spent refresh token is sent: {self:#?}");
                self.is_revoked = true;
                self.loss_cause = self.loss_cause.or(Some("stop"));
            }
            return RefreshResult::Rejected { code: None, reason: RejectionReason::Given };
        }
        if self.is_strict {
            self.valid += 1;
        }
        RefreshResult::Granted(Tokens { refresh: self.valid, period: self.period, ..tokens })
    }

    fn add_process_crash(&self, index: usize, models: &mut Vec<Self>) {
        let Some(pending_step) = &self.processes[index].pending_step else { return };
        if self.budget.crashes == 0 {
            return;
        }
        let mut model = self.clone();
        model.budget.crashes -= 1;
        model.processes[index].pending_step = None;
        // The restarted process remembers nothing.
        let lease = LeaseId::from_bytes(model.new_id(index));
        (model.processes[index].lease_id, model.processes[index].machine) =
            (lease, RefreshMachine::new(lease, TIMING, None, None));
        // Tokens that only this process had. A strict server has already revoked their predecessor.
        let granted = match pending_step {
            PendingStep::Receive(RefreshResult::Granted(tokens), _) => Some(*tokens),
            _ => None,
        };
        let unsaved = granted.or(self.processes[index].machine.unsaved().copied());
        let is_stored =
            |tokens: Tokens| self.store.as_ref().is_some_and(|session| session.tokens.refresh == tokens.refresh);
        let is_newest = |tokens: Tokens| tokens.refresh == self.valid && !is_stored(tokens);
        model.loss_cause = (self.is_strict && unsaved.is_some_and(is_newest)).then_some("process").or(model.loss_cause);
        models.push(model);
    }

    fn check_end(&self, outcome: &RefreshOutcome<Tokens>) {
        if let RefreshOutcome::Fresh(session) = outcome {
            let has_login_ended = self.ended_logins.contains(&session.head.login);
            let is_fresh = session.tokens.period == self.period || self.is_paused(&session.head);
            assert!(has_login_ended || is_fresh, "old tokens are reported as current: {self:#?}");
        }
    }

    /// Returns `true` if another refresh after a 401 is paused.
    fn is_paused(&self, head: &Head) -> bool {
        self.old_tokens == OldTokenState::Unauthorized && head.unauthorized.is_some()
    }

    /// Checks the invariants of a state in which no refresh is running.
    pub(crate) fn check_idle(&self, is_faultless: bool) {
        let Some(session) = &self.store else { return };
        let rejected = matches!(&session.head.hold, Some(RefreshBlock::Rejected { generation, .. }) if *generation == session.head.generation);
        if self.loss_cause.is_none() {
            assert_eq!(session.tokens.refresh, self.valid, "the valid refresh token is not in the store: {self:#?}");
            assert!(!rejected, "a valid session is marked as rejected: {self:#?}");
        }
        let is_recorded = !matches!(self.loss_cause, Some("process" | "response")) || session.head.interrupted;
        assert!(!rejected || is_recorded, "the cause of a rejection is not recorded: {self:#?}");
        if is_faultless && self.had_refresh && !self.is_paused(&session.head) {
            assert_eq!(session.tokens.period, self.period, "no process refreshed: {self:#?}");
        }
    }

    /// Checks the invariants of every state.
    pub(crate) fn check(&self, is_single_refresh: bool) {
        let is_stored = |session: &StoredLogin<Tokens>| session.tokens.refresh == self.valid;
        let is_unsaved = |process: &Process| {
            let unsaved = process.machine.unsaved().is_some_and(|tokens| tokens.refresh == self.valid);
            unsaved
                || matches!(&process.pending_step, Some(PendingStep::Receive(RefreshResult::Granted(tokens), _)) if tokens.refresh == self.valid)
        };
        let exists = self.store.as_ref().is_none_or(is_stored) || self.processes.iter().any(is_unsaved);
        assert!(exists || self.loss_cause.is_some(), "no actor has the valid refresh token: {self:#?}");
        if is_single_refresh && self.old_tokens == OldTokenState::Unauthorized {
            assert!(self.sent.len() <= 1, "a second refresh after a 401 within its pause: {self:#?}");
        }
        if is_single_refresh {
            let mut seen = HashSet::new();
            assert!(self.sent.iter().all(|refresh| seen.insert(refresh)), "refreshed twice: {self:#?}");
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.processes.iter().all(|process| process.pending_step.is_none())
    }
}

/// Returns `true` if an action requires a permit of the process's limiter.
fn requires_permit(action: &Action<Tokens>) -> bool {
    match action {
        Action::Send { .. } => true,
        Action::Save { session, .. } => session.head.claim.is_some(),
        _ => false,
    }
}

/// The number of faults and actions that remain in a model state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FaultBudget {
    pub(crate) store_faults: u8,
    pub(crate) network_faults: u8,
    pub(crate) crashes: u8,
    /// Delays of one second during a step, within the time limit for sending.
    pub(crate) delays: u8,
    /// Waits of one second for other refreshes of the same process.
    pub(crate) queues: u8,
    pub(crate) suspensions: u8,
    pub(crate) removals: u8,
    pub(crate) puts: u8,
    pub(crate) updates: u8,
    pub(crate) refreshes: u8,
    /// The number of times the access token expires again.
    pub(crate) periods: u8,
}

pub(crate) const NO_FAULTS: FaultBudget = FaultBudget {
    store_faults: 0,
    network_faults: 0,
    crashes: 0,
    delays: 0,
    queues: 0,
    suspensions: 0,
    removals: 0,
    puts: 0,
    updates: 0,
    refreshes: 2,
    periods: 0,
};

impl FaultBudget {
    /// Returns `true` if no remaining fault could cause a second refresh.
    pub(crate) fn is_single_refresh_guaranteed(self) -> bool {
        (self.store_faults, self.network_faults, self.crashes, self.suspensions) == (0, 0, 0, 0)
    }
}
