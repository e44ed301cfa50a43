//! Transition tests: for each state and event, the next action of the state machine.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::sessions::refresh::machine::RefreshMachine;
use crate::sessions::refresh::steps::{
    Action, Demand, Event, RefreshOutcome, RefreshResult, RejectionReason, Schedule, StepContext, StoreFailed,
    StoredLogin, TIMING, Unauthorized, Urgency,
};
use crate::store::entry::{ExpiryBaseline, Lease, LeaseId, LoginId, RefreshBlock, UnauthorizedRefreshes};
use crate::store::{Head, Precondition, Revision, WriteOutcome};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const OWN_LEASE: u8 = 100;
const FOREIGN_LEASE: u8 = 200;

fn id_bytes(number: u8) -> [u8; 16] {
    [number; 16]
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A state machine with its inputs. Tokens are numbers, and odd numbers need no refresh.
struct Driver {
    machine: RefreshMachine<u32>,
    wall: UnixTime,
    elapsed: Duration,
    revisions_created: u8,
    urgency: Urgency,
    has_min_age: bool,
    unauthorized: Option<Unauthorized>,
    backoff: Duration,
    local_pause: Option<Duration>,
}

impl Driver {
    fn new(urgency: Urgency) -> Self {
        let running = RefreshMachine::new(LeaseId::from_bytes(id_bytes(OWN_LEASE)), TIMING, None, None);
        Self {
            machine: running,
            wall: NOW,
            elapsed: secs(1000),
            revisions_created: 10,
            urgency,
            has_min_age: true,
            unauthorized: None,
            backoff: secs(3),
            local_pause: None,
        }
    }

    /// Returns the action of a driver for this entry after the API rejected its token.
    fn action_after_401(session: &StoredLogin<u32>, change: impl FnOnce(&mut Self)) -> Action<u32> {
        let mut driver = Self::new(Urgency::None);
        driver.unauthorized = Some(Unauthorized::default());
        change(&mut driver);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(session.clone()))))
    }

    fn step(&mut self, event: Event<u32>) -> Action<u32> {
        self.revisions_created = self.revisions_created.wrapping_add(1);
        let (urgency, has_min_age, unauthorized) = (self.urgency, self.has_min_age, self.unauthorized);
        let demand = |tokens: &u32| match tokens % 2 {
            1 => Demand { urgency: Urgency::None, has_min_age, is_requested: false, unauthorized: None },
            _ => Demand {
                urgency: urgency.by_expiry(),
                has_min_age,
                is_requested: urgency == Urgency::Requested,
                unauthorized,
            },
        };
        let now = StepContext {
            wall: self.wall,
            elapsed: self.elapsed,
            new_revision: Revision::from_bytes(id_bytes(self.revisions_created)),
            demand: &demand,
            schedule: &|_, tokens| Schedule {
                due: Some(NOW + secs(u64::from(*tokens))),
                ends: Some(NOW),
                anchor: None,
                must_warn: *tokens == 9,
            },
            // The hundreds represent the application's data.
            merge: &|old, new| old / 100 * 100 + new % 100,
            local_pause: self.local_pause,
            backoff: self.backoff,
        };
        self.machine.step(event, &now)
    }

    fn advance(&mut self, time: Duration) {
        self.wall = self.wall + time;
        self.elapsed += time;
    }

    /// Returns a driver in the sending state, and the entry with its lease.
    fn new_sending(urgency: Urgency, session: StoredLogin<u32>) -> (Self, StoredLogin<u32>) {
        let mut driver = Self::new(urgency);
        assert_eq!(driver.step(Event::Begun), Action::Load);
        let Action::Save { session: leased, expect } = driver.step(Event::Loaded(Ok(Some(session.clone())))) else {
            panic!("no lease is written");
        };
        assert_eq!(expect, Precondition::Revision(session.head.revision));
        assert_eq!(leased.head.claim.map(|lease| lease.id), Some(LeaseId::from_bytes(id_bytes(OWN_LEASE))));
        assert_ne!(leased.head.revision, session.head.revision);
        let sent = driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
        assert_eq!(
            sent,
            Action::Send { login: session.head.login, tokens: session.tokens, limit: TIMING.send_timeout }
        );
        (driver, leased)
    }

    /// Returns a driver in the sending state under a lease that it took over.
    fn new_sending_after_takeover() -> (Self, StoredLogin<u32>) {
        let foreign = leased_by(FOREIGN_LEASE, NOW);
        let mut driver = Self::new(Urgency::Expired);
        driver.step(Event::Begun);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(foreign.clone())))), Action::Wait(_)));
        driver.advance(TIMING.lease_duration);
        assert_eq!(driver.step(Event::Waited), Action::Load);
        let Action::Save { session: leased, .. } = driver.step(Event::Loaded(Ok(Some(foreign)))) else {
            panic!("no takeover")
        };
        assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::Wait(TIMING.takeover_delay));
        driver.advance(TIMING.takeover_delay);
        assert_eq!(driver.step(Event::Waited), Action::Load);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(leased.clone())))), Action::Send { .. }));
        (driver, leased)
    }
}

impl Urgency {
    fn by_expiry(self) -> Self {
        if self == Self::Requested { Self::None } else { self }
    }
}

fn transient_failure(retry_after: Option<Duration>, is_repeatable: bool) -> RefreshResult<u32> {
    RefreshResult::Transient { retry_after, is_repeatable, is_lost: false }
}

fn rejection(code: Option<&str>) -> RefreshResult<u32> {
    RefreshResult::Rejected { code: code.map(str::to_owned), reason: RejectionReason::Given }
}

fn stored_login() -> StoredLogin<u32> {
    let mut head = Head::new(None).unwrap();
    head.revision = Revision::from_bytes(id_bytes(1));
    head.login = LoginId::from_bytes(id_bytes(2));
    head.generation = 7;
    StoredLogin { head, tokens: 0 }
}

fn leased_by(number: u8, at: UnixTime) -> StoredLogin<u32> {
    let mut session = stored_login();
    session.head.claim = Some(Lease { id: LeaseId::from_bytes(id_bytes(number)), at, lease: TIMING.lease_duration });
    session
}

/// Returns the entry that releases the lease.
fn released_session(action: Action<u32>, leased: &StoredLogin<u32>) -> StoredLogin<u32> {
    let Action::Save { session, expect } = action else { panic!("{action:?}") };
    assert_eq!(expect, Precondition::Revision(leased.head.revision));
    assert_ne!(session.head.revision, leased.head.revision);
    assert_eq!((session.head.claim, session.head.generation, session.tokens), (None, leased.head.generation, 0));
    session
}

#[test]
fn new_tokens_are_served_then_saved_with_new_schedule() {
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    let Action::Serve { session: new, expiring } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("the tokens are not served first")
    };
    assert_eq!((new.tokens, new.head.generation, new.head.claim, &new.head.hold), (9, 8, None, &None));
    assert_eq!((new.head.due, new.head.ends, expiring), (Some(NOW + secs(9)), Some(NOW), Some(NOW)));
    let Action::Save { session, expect } = driver.step(Event::Served) else { panic!("the tokens are not saved") };
    assert_eq!((&session, expect), (&new, Precondition::Revision(leased.head.revision)));
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::End(RefreshOutcome::Fresh(new)));
}

#[test]
fn misconfiguration_releases_lease_without_block() {
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    let released = released_session(
        driver.step(Event::Sent(RefreshResult::Misconfigured { is_session_specific: false })),
        &leased,
    );
    assert_eq!(released.head.hold, None);
    assert_eq!(
        driver.step(Event::Saved(Ok(WriteOutcome::Committed))),
        Action::End(RefreshOutcome::Misconfigured(released))
    );
}

#[test]
fn transient_failure_is_retried_twice_then_blocks_refresh() {
    let again = || Event::Sent(transient_failure(None, true));
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    for _ in 0..2 {
        assert_eq!(driver.step(again()), Action::Wait(secs(1)));
        driver.advance(secs(1));
        assert!(matches!(driver.step(Event::Waited), Action::Send { tokens: 0, .. }));
    }
    let released = released_session(driver.step(again()), &leased);
    let until = driver.wall + secs(3);
    assert_eq!(released.head.hold, Some(RefreshBlock::RetryAt(until)));
    // Another process wrote a lease or a block in the meantime. The failure is still reported.
    assert_eq!(
        driver.step(Event::Saved(Ok(WriteOutcome::Conflict))),
        Action::End(RefreshOutcome::Blocked { session: released, until })
    );
}

#[test]
fn retry_after_or_unrepeatable_failure_blocks_without_retry() {
    for (retry_after, is_repeatable, wait) in [(Some(secs(120)), true, 120), (Some(secs(1)), true, 3), (None, false, 3)]
    {
        let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
        let released =
            released_session(driver.step(Event::Sent(transient_failure(retry_after, is_repeatable))), &leased);
        assert_eq!(released.head.hold, Some(RefreshBlock::RetryAt(NOW + secs(wait))));
    }
}

#[test]
fn rejection_is_confirmed_and_saved_with_generation_and_code() {
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    let rejected = Event::Sent(rejection(Some("invalid_grant")));
    assert_eq!(driver.step(rejected), Action::Load);
    let marked = released_session(driver.step(Event::Loaded(Ok(Some(leased.clone())))), &leased);
    assert_eq!(marked.head.due, None, "keep-alive skips a rejected session");
    assert_eq!(
        marked.head.hold,
        Some(RefreshBlock::Rejected {
            generation: 7,
            code: Some("invalid_grant".into()),
            at: Some(NOW),
            is_dead: true
        })
    );
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::End(RefreshOutcome::Rejected(marked)));
}

#[test]
fn rejection_after_takeover_is_dropped_if_tokens_were_saved() {
    let (mut driver, leased) = Driver::new_sending_after_takeover();
    assert_eq!(driver.step(Event::Sent(rejection(None))), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(leased.clone())))), Action::Wait(secs(5)));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    // The previous holder has saved in the meantime: nothing is marked.
    let mut saved = leased;
    saved.head.generation = 8;
    saved.tokens = 9;
    assert_eq!(driver.step(Event::Loaded(Ok(Some(saved.clone())))), Action::End(RefreshOutcome::Fresh(saved)));
}

#[test]
fn refresh_block_applies_only_if_current_and_plausible() {
    let blocked = |block| {
        let mut session = stored_login();
        session.head.hold = Some(block);
        session
    };
    let first = |session: &StoredLogin<u32>| {
        let mut driver = Driver::new(Urgency::Expired);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(session.clone()))))
    };
    let rejected = blocked(RefreshBlock::Rejected { generation: 7, code: None, at: None, is_dead: false });
    assert_eq!(first(&rejected), Action::End(RefreshOutcome::Rejected(rejected)));
    // Valid tokens are still served, unless the API rejected them as well.
    let valid_but_rejected = |is_dead| {
        let mut session = blocked(RefreshBlock::Rejected { generation: 7, code: None, at: None, is_dead });
        session.tokens = 1;
        session
    };
    assert_eq!(first(&valid_but_rejected(false)), Action::End(RefreshOutcome::Fresh(valid_but_rejected(false))));
    assert_eq!(first(&valid_but_rejected(true)), Action::End(RefreshOutcome::Rejected(valid_but_rejected(true))));
    let backing_off = blocked(RefreshBlock::RetryAt(NOW + secs(1)));
    assert_eq!(
        first(&backing_off),
        Action::End(RefreshOutcome::Blocked { session: backing_off, until: NOW + secs(1) })
    );
    for ignored in [
        RefreshBlock::Rejected { generation: 6, code: None, at: None, is_dead: true },
        RefreshBlock::RetryAt(NOW),
        RefreshBlock::RetryAt(NOW + TIMING.max_block + secs(1)),
    ] {
        assert!(matches!(first(&blocked(ignored.clone())), Action::Save { .. }), "{ignored:?}");
    }
}

#[test]
fn foreign_lease_is_awaited_only_for_expired_or_wanted_token() {
    let foreign = leased_by(FOREIGN_LEASE, NOW);
    let mut driver = Driver::new(Urgency::Due);
    driver.step(Event::Begun);
    assert_eq!(
        driver.step(Event::Loaded(Ok(Some(foreign.clone())))),
        Action::End(RefreshOutcome::LeaseHeld(foreign.clone()))
    );

    for urgency in [Urgency::Requested, Urgency::Expired] {
        let mut driver = Driver::new(urgency);
        driver.step(Event::Begun);
        let mut pauses = Vec::new();
        let started = driver.elapsed;
        loop {
            match driver.step(Event::Loaded(Ok(Some(foreign.clone())))) {
                Action::Wait(pause) => {
                    pauses.push(pause);
                    driver.advance(pause);
                    assert_eq!(driver.step(Event::Waited), Action::Load);
                }
                Action::Save { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pauses[..2], [Duration::from_millis(250), Duration::from_millis(375)]);
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]) && pauses.last() == Some(&secs(2)));
        let waited = driver.elapsed - started;
        assert!(waited >= TIMING.lease_duration && waited < TIMING.lease_duration + secs(2), "{waited:?}");
    }
}

#[test]
fn new_lease_of_known_process_is_awaited_for_full_duration() {
    let mut driver = Driver::new(Urgency::Due);
    driver.step(Event::Begun);
    let first = leased_by(FOREIGN_LEASE, driver.wall);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(first.clone())))), Action::End(RefreshOutcome::LeaseHeld(first)));

    // The process seen an hour ago holds a lease again.
    driver.advance(secs(3600));
    driver.machine =
        RefreshMachine::new(LeaseId::from_bytes(id_bytes(OWN_LEASE)), TIMING, None, driver.machine.foreign_lease());
    driver.urgency = Urgency::Expired;
    driver.step(Event::Begun);
    let again = leased_by(FOREIGN_LEASE, driver.wall);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(again.clone())))), Action::Wait(_)));
    driver.advance(TIMING.lease_duration);
    driver.step(Event::Waited);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(again)))), Action::Save { .. }));
}

#[test]
fn lease_expired_for_more_than_one_day_is_taken_over_early() {
    let day = secs(24 * 60 * 60);
    for (at, is_ancient) in [
        (NOW - day - TIMING.lease_duration - secs(1), true),
        (UnixTime::from_secs(1_577_836_800), true),
        (NOW + TIMING.confirmation_delay - day - TIMING.lease_duration, false),
        (NOW - day, false),
        (NOW - secs(20 * 60), false),
        // Written with a clock that was never set, or with one that is ahead.
        (UnixTime::from_secs(1_577_836_799), false),
        (UnixTime::from_secs(0), false),
        (NOW + secs(20 * 60), false),
        (NOW + day * 100, false),
    ] {
        let mut driver = Driver::new(Urgency::Expired);
        driver.step(Event::Begun);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(leased_by(FOREIGN_LEASE, at))))), Action::Wait(_)));
        driver.advance(TIMING.confirmation_delay);
        driver.step(Event::Waited);
        let next = driver.step(Event::Loaded(Ok(Some(leased_by(FOREIGN_LEASE, at)))));
        assert_eq!(matches!(next, Action::Save { .. }), is_ancient, "{at}: {next:?}");
        // Even so, the previous holder gets time to save before anything is sent.
        if is_ancient {
            assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::Wait(TIMING.takeover_delay));
        }
    }
}

#[test]
fn clock_step_during_refresh_does_not_end_foreign_lease_early() {
    for step in [20 * 60, 100 * 24 * 60 * 60] {
        let foreign = leased_by(FOREIGN_LEASE, NOW);
        let mut driver = Driver::new(Urgency::Expired);
        driver.wall = NOW + secs(step);
        driver.step(Event::Begun);
        let mut waited = secs(0);
        while let Action::Wait(pause) = driver.step(Event::Loaded(Ok(Some(foreign.clone())))) {
            driver.advance(pause);
            waited += pause;
            driver.step(Event::Waited);
        }
        // A clock more than a day ahead cannot be distinguished from an abandoned lease.
        let expected = if step > 24 * 60 * 60 { TIMING.confirmation_delay } else { TIMING.lease_duration };
        assert!(waited >= expected && waited < expected + secs(2), "{step}: {waited:?}");
    }
}

#[test]
fn takeover_yields_to_tokens_saved_by_former_holder() {
    let foreign = leased_by(FOREIGN_LEASE, NOW);
    let mut driver = Driver::new(Urgency::Expired);
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(foreign.clone()))));
    driver.advance(TIMING.lease_duration);
    driver.step(Event::Waited);
    driver.step(Event::Loaded(Ok(Some(foreign))));
    // The same applies if the lease may or may not have been written.
    assert_eq!(driver.step(Event::Saved(Err(StoreFailed))), Action::Load);
    let mut own = leased_by(OWN_LEASE, driver.wall);
    own.head.revision = Revision::from_bytes(id_bytes(driver.revisions_created - 1));
    assert_eq!(driver.step(Event::Loaded(Ok(Some(own)))), Action::Wait(TIMING.takeover_delay));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    let mut saved = stored_login();
    (saved.tokens, saved.head.generation, saved.head.revision) = (9, 8, Revision::from_bytes(id_bytes(77)));
    assert_eq!(driver.step(Event::Loaded(Ok(Some(saved.clone())))), Action::End(RefreshOutcome::Fresh(saved)));
}

#[test]
fn queued_action_is_reevaluated_before_execution() {
    // No lease was acquired yet.
    let mut driver = Driver::new(Urgency::Expired);
    driver.step(Event::Begun);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(stored_login())))), Action::Save { .. }));
    driver.advance(secs(500));
    assert_eq!(driver.step(Event::Queued), Action::Load);
    // A repeated request that was queued has less time left, or none.
    for (waited, is_sent) in [(10, true), (30, false)] {
        let (mut driver, _) = Driver::new_sending(Urgency::Expired, stored_login());
        driver.step(Event::Sent(transient_failure(None, true)));
        driver.step(Event::Waited);
        driver.advance(secs(waited));
        let next = driver.step(Event::Queued);
        let limit = TIMING.send_timeout - secs(waited.min(30));
        let expected = Action::Send { login: stored_login().head.login, tokens: 0, limit };
        assert_eq!(next, if is_sent { expected } else { Action::Load });
    }
}

#[test]
fn api_401_refreshes_valid_token_and_is_counted() {
    let Action::Save { .. } = Driver::action_after_401(&stored_login(), |_| ()) else { panic!("no refresh") };
    let mut driver = Driver::new(Urgency::None);
    driver.unauthorized = Some(Unauthorized::default());
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(stored_login()))));
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    let Action::Serve { session: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("not served")
    };
    assert_eq!(new.head.unauthorized, Some(UnauthorizedRefreshes { count: 1, at: NOW, cut: None }));
    assert!(driver.machine.is_after_401());
}

#[test]
fn api_401_within_minimum_interval_or_pause_does_not_refresh() {
    let fresh = |session: &StoredLogin<u32>| Action::End(RefreshOutcome::Fresh(session.clone()));
    assert_eq!(Driver::action_after_401(&stored_login(), |driver| driver.has_min_age = false), fresh(&stored_login()));
    let mut counted = stored_login();
    counted.head.unauthorized = Some(UnauthorizedRefreshes { count: 1, at: NOW - secs(299), cut: None });
    assert_eq!(Driver::action_after_401(&counted, |_| ()), fresh(&counted));
    // A refresh that is needed for another reason still happens, and the count is kept.
    for urgency in [Urgency::Due, Urgency::Requested, Urgency::Expired] {
        let next = Driver::action_after_401(&counted, |driver| driver.urgency = urgency);
        let Action::Save { session: leased, .. } = next else { panic!("{urgency:?}: {next:?}") };
        assert_eq!(leased.head.unauthorized, counted.head.unauthorized);
    }
    let (mut driver, _) = Driver::new_sending(Urgency::Due, counted.clone());
    let Action::Serve { session: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("not served")
    };
    assert_eq!(new.head.unauthorized, counted.head.unauthorized);
    assert!(matches!(Driver::action_after_401(&counted, |driver| driver.advance(secs(1))), Action::Save { .. }));
}

#[test]
fn minimum_interval_applies_to_requested_refresh() {
    let mut driver = Driver::new(Urgency::Requested);
    driver.has_min_age = false;
    driver.step(Event::Begun);
    assert_eq!(
        driver.step(Event::Loaded(Ok(Some(stored_login())))),
        Action::End(RefreshOutcome::Fresh(stored_login()))
    );
}

#[test]
fn api_rejected_token_is_withheld_once_refresh_is_rejected() {
    let mut rejected = stored_login();
    rejected.head.hold =
        Some(RefreshBlock::Rejected { generation: 7, code: Some("x".into()), at: Some(NOW), is_dead: false });
    let next = Driver::action_after_401(&rejected, |_| ());
    let Action::Save { session: marked, .. } = next else { panic!("{next:?}") };
    assert!(matches!(
        &marked.head.hold,
        Some(RefreshBlock::Rejected { is_dead: true, code: Some(_), at: Some(NOW), .. })
    ));
    // The refresh token is rejected after the 401, so both rejections are known at once.
    let mut driver = Driver::new(Urgency::None);
    driver.unauthorized = Some(Unauthorized::default());
    driver.step(Event::Begun);
    let Action::Save { session: leased, .. } = driver.step(Event::Loaded(Ok(Some(stored_login())))) else {
        panic!("no lease")
    };
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    driver.step(Event::Sent(self::rejection(None)));
    let next = driver.step(Event::Loaded(Ok(Some(leased))));
    let Action::Save { session: marked, .. } = next else { panic!("{next:?}") };
    assert!(marked.head.hold.as_ref().is_some_and(|hold| hold.is_final_for(7)));
}

#[test]
fn rejection_without_reason_is_final_at_fourth_attempt() {
    let mut session = stored_login();
    for (tries, minutes) in [(1, 1), (2, 5), (3, 15)] {
        let (mut driver, leased) = Driver::new_sending(Urgency::Expired, session.clone());
        driver.step(Event::Sent(RefreshResult::Rejected { code: None, reason: RejectionReason::Missing }));
        let released = released_session(driver.step(Event::Loaded(Ok(Some(leased.clone())))), &leased);
        let until = NOW + secs(minutes * 60);
        assert_eq!((&released.head.hold, released.head.unexplained), (&Some(RefreshBlock::RetryAt(until)), tries));
        assert_eq!(
            driver.step(Event::Saved(Ok(WriteOutcome::Committed))),
            Action::End(RefreshOutcome::Blocked { session: released.clone(), until })
        );
        session = released;
        session.head.hold = None;
    }
    // During an outage, it is never final.
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, session.clone());
    driver.step(Event::Sent(RefreshResult::Rejected { code: None, reason: RejectionReason::Outage }));
    let released = released_session(driver.step(Event::Loaded(Ok(Some(leased.clone())))), &leased);
    assert_eq!((&released.head.hold, released.head.unexplained), (&Some(RefreshBlock::RetryAt(NOW + secs(60))), 3));
    // New tokens reset the count.
    let (mut driver, _) = Driver::new_sending(Urgency::Expired, session.clone());
    let Action::Serve { session: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("not served")
    };
    assert_eq!(new.head.unexplained, 0);
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, session);
    driver.step(Event::Sent(RefreshResult::Rejected { code: None, reason: RejectionReason::Missing }));
    let marked = released_session(driver.step(Event::Loaded(Ok(Some(leased.clone())))), &leased);
    assert!(marked.head.is_rejected());
}

#[test]
fn session_specific_client_rejection_blocks_session() {
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    let released =
        released_session(driver.step(Event::Sent(RefreshResult::Misconfigured { is_session_specific: true })), &leased);
    assert_eq!(released.head.hold, Some(RefreshBlock::RetryAt(NOW + secs(3))));
    assert_eq!(
        driver.step(Event::Saved(Ok(WriteOutcome::Committed))),
        Action::End(RefreshOutcome::Misconfigured(released))
    );
}

#[test]
fn lost_response_marks_session_as_interrupted() {
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    let lost = RefreshResult::Transient { retry_after: None, is_repeatable: false, is_lost: true };
    assert!(released_session(driver.step(Event::Sent(lost)), &leased).head.interrupted);
}

#[test]
fn failed_save_is_retried_every_2_seconds_for_10_minutes() {
    let (mut driver, _) = Driver::new_sending(Urgency::Expired, stored_login());
    driver.step(Event::Sent(RefreshResult::Granted(9)));
    driver.step(Event::Served);
    let started = driver.elapsed;
    let mut pauses = Vec::new();
    let mut next = driver.step(Event::Saved(Err(StoreFailed)));
    while driver.elapsed - started < secs(15 * 60) {
        let Action::Wait(pause) = next else { panic!("{next:?}") };
        pauses.push((driver.elapsed - started, pause));
        driver.advance(pause);
        assert_eq!(driver.step(Event::Waited), Action::Load);
        next = driver.step(Event::Loaded(Err(StoreFailed)));
    }
    let max = |from: u64, to: u64| {
        let within = pauses.iter().filter(|(at, _)| (secs(from)..secs(to)).contains(at));
        within.map(|(_, pause)| *pause).max().unwrap()
    };
    assert_eq!((max(0, 600), max(700, 900)), (secs(2), secs(60)));
}

#[test]
fn interrupted_mark_persists_until_new_tokens() {
    // New tokens clear the mark.
    let (mut driver, leased) = Driver::new_sending_after_takeover();
    let Action::Serve { session: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("the tokens are not served")
    };
    assert!(leased.head.interrupted && !new.head.interrupted);

    // A transient failure does not clear it, so a later rejection of the old token is explained.
    let (mut driver, leased) = Driver::new_sending_after_takeover();
    let mut blocked = released_session(driver.step(Event::Sent(transient_failure(Some(secs(9)), true))), &leased);
    assert!(blocked.head.interrupted);
    blocked.head.hold = None;
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, blocked);
    driver.step(Event::Sent(rejection(None)));
    assert!(released_session(driver.step(Event::Loaded(Ok(Some(leased.clone())))), &leased).head.interrupted);

    // Not set without an earlier lease, or if this task renews its own lease.
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    assert!(!leased.head.interrupted);
    driver.step(Event::Sent(transient_failure(None, true)));
    driver.advance(TIMING.send_timeout);
    assert_eq!(driver.step(Event::Waited), Action::Load);
    let Action::Save { session: again, .. } = driver.step(Event::Loaded(Ok(Some(leased)))) else { panic!("no lease") };
    assert!(!again.head.interrupted);
    // An earlier task of this process was canceled during its refresh.
    let mut driver = Driver::new(Urgency::Expired);
    driver.machine = RefreshMachine::new(
        LeaseId::from_bytes(id_bytes(OWN_LEASE)),
        TIMING,
        Some(LeaseId::from_bytes(id_bytes(FOREIGN_LEASE))),
        None,
    );
    driver.step(Event::Begun);
    let loaded = driver.step(Event::Loaded(Ok(Some(leased_by(FOREIGN_LEASE, NOW)))));
    let Action::Save { session: leased, .. } = loaded else { panic!("{loaded:?}") };
    assert!(leased.head.interrupted);
    assert!(
        matches!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::Send { .. }),
        "no other process holds that lease"
    );
}

#[test]
fn expired_lease_on_either_clock_prevents_request() {
    type ClockChange = fn(&mut Driver);
    let by_wall: ClockChange = |driver| driver.wall = driver.wall + TIMING.send_timeout;
    let backwards: ClockChange =
        |driver| driver.wall = UnixTime::from_secs(NOW.as_secs() - TIMING.send_timeout.as_secs());
    let by_elapsed: ClockChange = |driver| driver.elapsed += TIMING.send_timeout;
    for pass in [by_wall, backwards, by_elapsed] {
        let mut driver = Driver::new(Urgency::Expired);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(stored_login()))));
        pass(&mut driver);
        assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::Load);
    }
}

#[test]
fn uncertain_lease_write_is_checked_and_retried_once() {
    let mut driver = Driver::new(Urgency::Expired);
    driver.step(Event::Begun);
    let Action::Save { session: leased, .. } = driver.step(Event::Loaded(Ok(Some(stored_login())))) else {
        panic!("no lease")
    };
    assert_eq!(driver.step(Event::Saved(Err(StoreFailed))), Action::Load);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(leased)))), Action::Send { .. }));

    let mut driver = Driver::new(Urgency::Expired);
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(stored_login()))));
    driver.step(Event::Saved(Err(StoreFailed)));
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(stored_login())))), Action::Save { .. }));
    driver.step(Event::Saved(Err(StoreFailed)));
    assert_eq!(
        driver.step(Event::Loaded(Ok(Some(stored_login())))),
        Action::End(RefreshOutcome::StoreFailed(Some(stored_login())))
    );
}

#[test]
fn missing_or_unreadable_session_ends_refresh() {
    for (loaded, outcome) in [(Ok(None), RefreshOutcome::Absent), (Err(StoreFailed), RefreshOutcome::StoreFailed(None))]
    {
        let mut driver = Driver::new(Urgency::Expired);
        driver.step(Event::Begun);
        assert_eq!(driver.step(Event::Loaded(loaded)), Action::End(outcome));
    }
    let mut driver = Driver::new(Urgency::Expired);
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(stored_login()))));
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Ok(None))), Action::End(RefreshOutcome::Absent));
}

#[test]
fn unsaved_tokens_replace_block_but_not_newer_tokens() {
    let serving = || {
        let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
        driver.step(Event::Sent(RefreshResult::Granted(9)));
        driver.step(Event::Served);
        (driver, leased)
    };
    // Another process marked the session as rejected in the meantime, but our tokens are newer.
    let (mut driver, _) = serving();
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
    let mut marked = stored_login();
    marked.head.hold = Some(RefreshBlock::Rejected { generation: 7, code: None, at: None, is_dead: false });
    // The application's data was changed as well.
    marked.tokens = 300;
    let Action::Save { session: rescued, expect } = driver.step(Event::Loaded(Ok(Some(marked.clone())))) else {
        panic!("the newest tokens are dropped");
    };
    assert_eq!((rescued.tokens, rescued.head.generation, &rescued.head.hold), (309, 8, &None));
    assert_eq!(expect, Precondition::Revision(marked.head.revision));
    // Each further failure leads to a longer pause.
    assert_eq!(driver.step(Event::Saved(Err(StoreFailed))), Action::Wait(Duration::from_millis(500)));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Err(StoreFailed))), Action::Wait(secs(1)));

    // Another process saved newer tokens, or another login replaced the session.
    for (tokens, generation, login) in [(11, 8, 2), (11, 9, 2), (11, 0, 5)] {
        let (mut driver, _) = serving();
        driver.step(Event::Saved(Ok(WriteOutcome::Conflict)));
        let mut other = stored_login();
        (other.tokens, other.head.generation, other.head.login) =
            (tokens, generation, LoginId::from_bytes(id_bytes(login)));
        assert_eq!(driver.step(Event::Loaded(Ok(Some(other.clone())))), Action::End(RefreshOutcome::Fresh(other)));
    }
    let (mut driver, _) = serving();
    driver.step(Event::Saved(Ok(WriteOutcome::Conflict)));
    assert_eq!(driver.step(Event::Loaded(Ok(None))), Action::End(RefreshOutcome::Absent));
}

#[test]
fn unsaved_tokens_of_earlier_refresh_are_saved_first() {
    let mut new = stored_login();
    new.head.revision = Revision::from_bytes(id_bytes(9));
    new.head.generation = 8;
    new.tokens = 9;
    let mut driver = Driver::new(Urgency::Expired);
    assert_eq!(driver.step(Event::BegunWithUnsaved(new.clone())), Action::Load);
    let Action::Save { session: saved, expect } = driver.step(Event::Loaded(Ok(Some(stored_login())))) else {
        panic!("not saved")
    };
    assert_eq!(
        (saved.tokens, saved.head.generation, expect),
        (9, 8, Precondition::Revision(stored_login().head.revision))
    );
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::End(RefreshOutcome::Fresh(saved)));
}

/// Returns a driver that is saving new tokens.
fn driver_saving_tokens() -> Driver {
    let (mut driver, _) = Driver::new_sending(Urgency::Expired, stored_login());
    driver.step(Event::Sent(RefreshResult::Granted(9)));
    driver.step(Event::Served);
    driver
}

#[test]
fn unsaved_tokens_replace_other_head_only_after_pause() {
    let mut driver = driver_saving_tokens();
    assert_eq!(driver.step(Event::Saved(Err(StoreFailed))), Action::Wait(Duration::from_millis(250)));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(stored_login())))), Action::Save { .. }), "a pause has passed");
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(stored_login())))), Action::Wait(_)), "not without a pause");
}

#[test]
fn tokens_found_saved_end_refresh_even_if_due() {
    let (mut driver, _) = Driver::new_sending(Urgency::Expired, stored_login());
    driver.step(Event::Sent(RefreshResult::Granted(8)));
    let Action::Save { session: new, .. } = driver.step(Event::Served) else { panic!("they are not saved") };
    driver.step(Event::Saved(Err(StoreFailed)));
    driver.step(Event::Waited);
    let found = driver.step(Event::Loaded(Ok(Some(new.clone()))));
    assert_eq!(found, Action::End(RefreshOutcome::Fresh(new)), "the next refresh checks whether they are due");
}

#[test]
fn save_retry_interval_grows_after_ten_minutes() {
    let max = |after: Duration| {
        let mut driver = driver_saving_tokens();
        driver.step(Event::Saved(Err(StoreFailed)));
        driver.advance(after);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            driver.step(Event::Waited);
            let Action::Wait(pause) = driver.step(Event::Loaded(Err(StoreFailed))) else { panic!("no pause") };
            pauses.push(pause);
        }
        pauses.into_iter().max().unwrap()
    };
    assert_eq!(max(TIMING.eager_save_period - Duration::from_millis(1)), TIMING.max_eager_save_pause);
    assert!(max(TIMING.eager_save_period) > TIMING.max_eager_save_pause);
}

#[test]
fn rejection_does_not_apply_to_new_login() {
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    driver.step(Event::Sent(rejection(None)));
    let mut foreign = leased_by(FOREIGN_LEASE, driver.wall);
    foreign.head.revision = Revision::from_bytes(id_bytes(70));
    driver.step(Event::Loaded(Ok(Some(foreign.clone()))));
    driver.advance(TIMING.lease_duration);
    driver.step(Event::Waited);
    let Action::Save { session: again, .. } = driver.step(Event::Loaded(Ok(Some(foreign)))) else { panic!("no lease") };
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    driver.step(Event::Waited);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(again)))), Action::Send { .. }));
    // The second rejection, which is accepted for the login whose token was sent.
    driver.step(Event::Sent(rejection(None)));
    let mut other = stored_login();
    (other.head.login, other.head.revision) = (LoginId::from_bytes(id_bytes(3)), Revision::from_bytes(id_bytes(71)));
    let Action::Save { session: next, .. } = driver.step(Event::Loaded(Ok(Some(other)))) else { panic!("no lease") };
    assert!(!next.head.is_rejected() && next.head.claim.is_some() && next.head.generation == leased.head.generation);
}

#[test]
fn recovered_tokens_due_again_are_refreshed_after_save() {
    let mut new = stored_login();
    (new.head.revision, new.head.generation, new.tokens) = (Revision::from_bytes(id_bytes(9)), 8, 8);
    let mut driver = Driver::new(Urgency::Expired);
    driver.step(Event::BegunWithUnsaved(new));
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(stored_login())))), Action::Save { .. }));
    let Action::Save { session: leased, .. } = driver.step(Event::Saved(Ok(WriteOutcome::Committed))) else {
        panic!("no lease")
    };
    let lease = leased.head.claim.map(|lease| (lease.id, lease.lease));
    assert_eq!(
        (lease, leased.head.generation),
        (Some((LeaseId::from_bytes(id_bytes(OWN_LEASE)), TIMING.lease_duration)), 8)
    );
}

#[test]
fn rejection_after_takeover_is_confirmed_by_second_load() {
    let (mut driver, leased) = Driver::new_sending_after_takeover();
    assert_eq!(driver.step(Event::Sent(rejection(None))), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(leased.clone())))), Action::Wait(TIMING.confirmation_delay));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    let mut due = leased.clone();
    due.head.due = Some(NOW);
    let marked = released_session(driver.step(Event::Loaded(Ok(Some(due)))), &leased);
    assert!(marked.head.is_rejected() && marked.head.due.is_none());
    // Another write came first: the new entry is evaluated.
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
}

#[test]
fn mutual_takeover_confirms_second_rejection() {
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    assert_eq!(driver.step(Event::Sent(rejection(None))), Action::Load);
    // Another process took the lease over and may save newer tokens soon.
    let mut foreign = leased_by(FOREIGN_LEASE, driver.wall);
    foreign.head.revision = Revision::from_bytes(id_bytes(70));
    assert_ne!(foreign.head.revision, leased.head.revision);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(foreign.clone())))), Action::Wait(_)));
    driver.advance(TIMING.lease_duration);
    driver.step(Event::Waited);
    let Action::Save { session: leased, .. } = driver.step(Event::Loaded(Ok(Some(foreign)))) else {
        panic!("no lease")
    };
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    driver.step(Event::Waited);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(leased)))), Action::Send { .. }));
    assert_eq!(driver.step(Event::Sent(rejection(None))), Action::Load);
    let mut foreign = leased_by(FOREIGN_LEASE, driver.wall);
    foreign.head.revision = Revision::from_bytes(id_bytes(71));
    assert_eq!(driver.step(Event::Loaded(Ok(Some(foreign.clone())))), Action::Wait(TIMING.confirmation_delay));
    driver.step(Event::Waited);
    let Action::Save { session: marked, .. } = driver.step(Event::Loaded(Ok(Some(foreign)))) else { panic!("no mark") };
    assert!(marked.head.is_rejected() && marked.head.claim.is_none());
}

#[test]
fn lease_of_other_login_process_or_time_is_awaited_again() {
    let first = leased_by(FOREIGN_LEASE, NOW);
    let mut other_login = first.clone();
    other_login.head.login = LoginId::from_bytes(id_bytes(5));
    for second in [other_login, leased_by(FOREIGN_LEASE + 1, NOW), leased_by(FOREIGN_LEASE, NOW + secs(1))] {
        let mut driver = Driver::new(Urgency::Expired);
        driver.step(Event::Begun);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(first.clone())))), Action::Wait(_)));
        driver.advance(TIMING.lease_duration);
        driver.step(Event::Waited);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(second)))), Action::Wait(_)));
    }
}

#[test]
fn wait_for_other_process_ends_at_time_limit() {
    for (waited, is_over) in [(TIMING.max_lease_wait - secs(1), false), (TIMING.max_lease_wait, true)] {
        let mut driver = Driver::new(Urgency::Expired);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(leased_by(FOREIGN_LEASE, driver.wall)))));
        driver.advance(waited);
        driver.step(Event::Waited);
        let next = driver.step(Event::Loaded(Ok(Some(leased_by(FOREIGN_LEASE, driver.wall)))));
        assert_eq!(matches!(next, Action::End(RefreshOutcome::LeaseHeld(_))), is_over, "{waited:?}: {next:?}");
    }
}

#[test]
fn lease_conflicts_end_refresh_after_200_attempts() {
    let mut driver = Driver::new(Urgency::Expired);
    driver.step(Event::Begun);
    let mut leases = 0;
    while let Action::Save { .. } = driver.step(Event::Loaded(Ok(Some(stored_login())))) {
        leases += 1;
        assert!(leases <= 200, "the loop does not end");
        assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
    }
    assert_eq!(leases, 200);
}

#[test]
fn block_of_maximum_duration_is_applied() {
    let mut blocked = stored_login();
    let until = NOW + TIMING.max_block;
    blocked.head.hold = Some(RefreshBlock::RetryAt(until));
    let mut driver = Driver::new(Urgency::Expired);
    driver.step(Event::Begun);
    assert_eq!(
        driver.step(Event::Loaded(Ok(Some(blocked.clone())))),
        Action::End(RefreshOutcome::Blocked { session: blocked, until })
    );
}

#[test]
fn queued_request_does_not_count_as_attempt() {
    let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
    assert!(matches!(driver.step(Event::Queued), Action::Send { .. }));
    for _ in 0..2 {
        assert_eq!(driver.step(Event::Sent(transient_failure(None, true))), Action::Wait(secs(1)));
        assert!(matches!(driver.step(Event::Waited), Action::Send { .. }));
    }
    released_session(driver.step(Event::Sent(transient_failure(None, true))), &leased);
}

#[test]
fn new_tokens_clear_old_block_and_expiry_baseline() {
    let mut old = stored_login();
    old.head.hold = Some(RefreshBlock::RetryAt(NOW - secs(1)));
    old.head.anchor = Some(ExpiryBaseline { at: NOW, end: NOW });
    let (mut driver, _) = Driver::new_sending(Urgency::Expired, old);
    let Action::Serve { session: new, expiring } = driver.step(Event::Sent(RefreshResult::Granted(11))) else {
        panic!("not served")
    };
    assert_eq!((new.head.hold, new.head.anchor, expiring), (None, None, None));
}

#[test]
fn api_401_within_minimum_interval_is_not_counted() {
    let mut driver = Driver::new(Urgency::Expired);
    (driver.has_min_age, driver.unauthorized) = (false, Some(Unauthorized::default()));
    driver.step(Event::Begun);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(stored_login())))), Action::Save { .. }));
    assert!(!driver.machine.is_after_401());
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    let Action::Serve { session: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("not served")
    };
    assert_eq!(new.head.unauthorized, None);
}

#[test]
fn outage_backoff_is_at_least_one_minute() {
    for (backoff, pause) in [(3, 60), (60, 60), (300, 300)] {
        let (mut driver, leased) = Driver::new_sending(Urgency::Expired, stored_login());
        driver.backoff = secs(backoff);
        driver.step(Event::Sent(RefreshResult::Rejected { code: None, reason: RejectionReason::Outage }));
        let released = released_session(driver.step(Event::Loaded(Ok(Some(leased.clone())))), &leased);
        assert_eq!(released.head.hold, Some(RefreshBlock::RetryAt(NOW + secs(pause))), "{backoff}");
    }
}

#[test]
fn own_backoff_replaces_implausible_block_time() {
    for until in [NOW - secs(3600), NOW + TIMING.max_block + secs(1)] {
        let mut blocked = stored_login();
        blocked.head.hold = Some(RefreshBlock::RetryAt(until));
        let mut driver = Driver::new(Urgency::Expired);
        driver.local_pause = Some(secs(60));
        driver.step(Event::Begun);
        let expected = RefreshOutcome::Blocked { session: blocked.clone(), until: NOW + secs(60) };
        assert_eq!(driver.step(Event::Loaded(Ok(Some(blocked)))), Action::End(expected));
    }
    // Without a block, there is nothing to wait for: it was removed by `unblock`.
    let mut driver = Driver::new(Urgency::Expired);
    driver.local_pause = Some(secs(60));
    driver.step(Event::Begun);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(stored_login())))), Action::Save { .. }));
}
