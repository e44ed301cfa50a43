//! Transition tests: for each state and event, the next action of the state machine.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::sessions::refresh::machine::RefreshMachine;
use crate::sessions::refresh::protocol::{
    Action, Demand, Event, Outcome, Reason, RefreshResult, Schedule, StepContext, StoreFailed, StoredLogin, TIMES,
    Unauthorized, Urgency,
};
use crate::store::entry::{ExpiryBaseline, Lease, LeaseId, LoginId, RefreshBlock, UnauthorizedRefreshes};
use crate::store::{Head, Precondition, Revision, WriteOutcome};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const MINE: u8 = 100;
const THEIRS: u8 = 200;

fn id(number: u8) -> [u8; 16] {
    [number; 16]
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A state machine with its inputs. Tokens are numbers, and odd numbers need no refresh.
struct Driver {
    flight: RefreshMachine<u32>,
    wall: UnixTime,
    elapsed: Duration,
    minted: u8,
    need: Urgency,
    is_settled: bool,
    unauthorized: Option<Unauthorized>,
    backoff: Duration,
    own_rest: Option<Duration>,
}

impl Driver {
    fn new(need: Urgency) -> Self {
        let flight = RefreshMachine::new(LeaseId::from_bytes(id(MINE)), TIMES, None, None);
        Self {
            flight,
            wall: NOW,
            elapsed: secs(1000),
            minted: 10,
            need,
            is_settled: true,
            unauthorized: None,
            backoff: secs(3),
            own_rest: None,
        }
    }

    /// Returns the action of a driver for this entry after the API rejected its token.
    fn after_401(known: &StoredLogin<u32>, change: impl FnOnce(&mut Self)) -> Action<u32> {
        let mut driver = Self::new(Urgency::None);
        driver.unauthorized = Some(Unauthorized::default());
        change(&mut driver);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(known.clone()))))
    }

    fn step(&mut self, event: Event<u32>) -> Action<u32> {
        self.minted = self.minted.wrapping_add(1);
        let (need, is_settled, unauthorized) = (self.need, self.is_settled, self.unauthorized);
        let demand = |tokens: &u32| match tokens % 2 {
            1 => Demand { need: Urgency::None, is_settled, is_wanted: false, unauthorized: None },
            _ => Demand { need: need.by_time(), is_settled, is_wanted: need == Urgency::Wanted, unauthorized },
        };
        let now = StepContext {
            wall: self.wall,
            elapsed: self.elapsed,
            fresh: Revision::from_bytes(id(self.minted)),
            demand: &demand,
            prospect: &|_, tokens| Schedule {
                due: Some(NOW + secs(u64::from(*tokens))),
                ends: Some(NOW),
                anchor: None,
                is_news: *tokens == 9,
            },
            // The hundreds represent the application's data.
            keep: &|old, new| old / 100 * 100 + new % 100,
            own_rest: self.own_rest,
            backoff: self.backoff,
        };
        self.flight.step(event, &now)
    }

    fn pass(&mut self, time: Duration) {
        self.wall = self.wall + time;
        self.elapsed += time;
    }

    /// Returns a driver in the sending state, and the entry with its lease.
    fn sending(need: Urgency, known: StoredLogin<u32>) -> (Self, StoredLogin<u32>) {
        let mut driver = Self::new(need);
        assert_eq!(driver.step(Event::Begun), Action::Load);
        let Action::Save { known: claimed, expect } = driver.step(Event::Loaded(Ok(Some(known.clone())))) else {
            panic!("no lease is written");
        };
        assert_eq!(expect, Precondition::Revision(known.head.revision));
        assert_eq!(claimed.head.claim.map(|claim| claim.id), Some(LeaseId::from_bytes(id(MINE))));
        assert_ne!(claimed.head.revision, known.head.revision);
        let sent = driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
        assert_eq!(sent, Action::Send { login: known.head.login, tokens: known.tokens, limit: TIMES.sending });
        (driver, claimed)
    }

    /// Returns a driver in the sending state under a lease that it took over.
    fn taking_over() -> (Self, StoredLogin<u32>) {
        let theirs = claimed_by(THEIRS, NOW);
        let mut driver = Self::new(Urgency::Dead);
        driver.step(Event::Begun);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(theirs.clone())))), Action::Wait(_)));
        driver.pass(TIMES.lease);
        assert_eq!(driver.step(Event::Waited), Action::Load);
        let Action::Save { known: claimed, .. } = driver.step(Event::Loaded(Ok(Some(theirs)))) else {
            panic!("no takeover")
        };
        assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::Wait(TIMES.takeover));
        driver.pass(TIMES.takeover);
        assert_eq!(driver.step(Event::Waited), Action::Load);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), Action::Send { .. }));
        (driver, claimed)
    }
}

impl Urgency {
    fn by_time(self) -> Self {
        if self == Self::Wanted { Self::None } else { self }
    }
}

fn later(retry_after: Option<Duration>, is_repeatable: bool) -> RefreshResult<u32> {
    RefreshResult::Later { retry_after, is_repeatable, is_lost: false }
}

fn rejected(code: Option<&str>) -> RefreshResult<u32> {
    RefreshResult::Rejected { code: code.map(str::to_owned), reason: Reason::Given }
}

fn known() -> StoredLogin<u32> {
    let mut head = Head::begin(None).unwrap();
    head.revision = Revision::from_bytes(id(1));
    head.login = LoginId::from_bytes(id(2));
    head.generation = 7;
    StoredLogin { head, tokens: 0 }
}

fn claimed_by(number: u8, at: UnixTime) -> StoredLogin<u32> {
    let mut known = known();
    known.head.claim = Some(Lease { id: LeaseId::from_bytes(id(number)), at, lease: TIMES.lease });
    known
}

/// Returns the entry that releases the lease.
fn given_back(action: Action<u32>, claimed: &StoredLogin<u32>) -> StoredLogin<u32> {
    let Action::Save { known, expect } = action else { panic!("{action:?}") };
    assert_eq!(expect, Precondition::Revision(claimed.head.revision));
    assert_ne!(known.head.revision, claimed.head.revision);
    assert_eq!((known.head.claim, known.head.generation, known.tokens), (None, claimed.head.generation, 0));
    known
}

#[test]
fn new_tokens_are_served_then_saved_with_new_schedule() {
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    let Action::Serve { known: new, expiring } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("the tokens are not served first")
    };
    assert_eq!((new.tokens, new.head.generation, new.head.claim, &new.head.hold), (9, 8, None, &None));
    assert_eq!((new.head.due, new.head.ends, expiring), (Some(NOW + secs(9)), Some(NOW), Some(NOW)));
    let Action::Save { known, expect } = driver.step(Event::Served) else { panic!("the tokens are not saved") };
    assert_eq!((&known, expect), (&new, Precondition::Revision(claimed.head.revision)));
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::End(Outcome::Fresh(new)));
}

#[test]
fn misconfiguration_releases_lease_without_block() {
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    let back = given_back(driver.step(Event::Sent(RefreshResult::Misconfigured { is_own: false })), &claimed);
    assert_eq!(back.head.hold, None);
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::End(Outcome::Misconfigured(back)));
}

#[test]
fn transient_failure_is_retried_twice_then_blocks_refresh() {
    let again = || Event::Sent(later(None, true));
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    for _ in 0..2 {
        assert_eq!(driver.step(again()), Action::Wait(secs(1)));
        driver.pass(secs(1));
        assert!(matches!(driver.step(Event::Waited), Action::Send { tokens: 0, .. }));
    }
    let back = given_back(driver.step(again()), &claimed);
    let until = driver.wall + secs(3);
    assert_eq!(back.head.hold, Some(RefreshBlock::RetryAt(until)));
    // Another process wrote a lease or a block in the meantime. The failure is still reported.
    assert_eq!(
        driver.step(Event::Saved(Ok(WriteOutcome::Conflict))),
        Action::End(Outcome::Blocked { known: back, until })
    );
}

#[test]
fn retry_after_or_unrepeatable_failure_blocks_without_retry() {
    for (retry_after, is_repeatable, wait) in [(Some(secs(120)), true, 120), (Some(secs(1)), true, 3), (None, false, 3)]
    {
        let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
        let back = given_back(driver.step(Event::Sent(later(retry_after, is_repeatable))), &claimed);
        assert_eq!(back.head.hold, Some(RefreshBlock::RetryAt(NOW + secs(wait))));
    }
}

#[test]
fn rejection_is_confirmed_and_saved_with_generation_and_code() {
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    let rejected = Event::Sent(rejected(Some("invalid_grant")));
    assert_eq!(driver.step(rejected), Action::Load);
    let marked = given_back(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), &claimed);
    assert_eq!(marked.head.due, None, "keep-alive does not visit a rejected session");
    assert_eq!(
        marked.head.hold,
        Some(RefreshBlock::Rejected {
            generation: 7,
            code: Some("invalid_grant".into()),
            at: Some(NOW),
            is_dead: true
        })
    );
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::End(Outcome::Rejected(marked)));
}

#[test]
fn rejection_after_takeover_is_dropped_if_tokens_were_saved() {
    let (mut driver, claimed) = Driver::taking_over();
    assert_eq!(driver.step(Event::Sent(rejected(None))), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), Action::Wait(secs(5)));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    // The previous holder has saved in the meantime: nothing is marked.
    let mut saved = claimed;
    saved.head.generation = 8;
    saved.tokens = 9;
    assert_eq!(driver.step(Event::Loaded(Ok(Some(saved.clone())))), Action::End(Outcome::Fresh(saved)));
}

#[test]
fn refresh_block_applies_only_if_current_and_plausible() {
    let held = |hold| {
        let mut known = known();
        known.head.hold = Some(hold);
        known
    };
    let first = |known: &StoredLogin<u32>| {
        let mut driver = Driver::new(Urgency::Dead);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(known.clone()))))
    };
    let dead = held(RefreshBlock::Rejected { generation: 7, code: None, at: None, is_dead: false });
    assert_eq!(first(&dead), Action::End(Outcome::Rejected(dead)));
    // Valid tokens are still served, unless the API rejected them as well.
    let good_by_its_times = |is_dead| {
        let mut known = held(RefreshBlock::Rejected { generation: 7, code: None, at: None, is_dead });
        known.tokens = 1;
        known
    };
    assert_eq!(first(&good_by_its_times(false)), Action::End(Outcome::Fresh(good_by_its_times(false))));
    assert_eq!(first(&good_by_its_times(true)), Action::End(Outcome::Rejected(good_by_its_times(true))));
    let waiting = held(RefreshBlock::RetryAt(NOW + secs(1)));
    assert_eq!(first(&waiting), Action::End(Outcome::Blocked { known: waiting, until: NOW + secs(1) }));
    for passable in [
        RefreshBlock::Rejected { generation: 6, code: None, at: None, is_dead: true },
        RefreshBlock::RetryAt(NOW),
        RefreshBlock::RetryAt(NOW + TIMES.longest_hold + secs(1)),
    ] {
        assert!(matches!(first(&held(passable.clone())), Action::Save { .. }), "{passable:?}");
    }
}

#[test]
fn foreign_lease_is_awaited_only_for_expired_or_wanted_token() {
    let theirs = claimed_by(THEIRS, NOW);
    let mut driver = Driver::new(Urgency::Stale);
    driver.step(Event::Begun);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(theirs.clone())))), Action::End(Outcome::Busy(theirs.clone())));

    for need in [Urgency::Wanted, Urgency::Dead] {
        let mut driver = Driver::new(need);
        driver.step(Event::Begun);
        let mut pauses = Vec::new();
        let begun = driver.elapsed;
        loop {
            match driver.step(Event::Loaded(Ok(Some(theirs.clone())))) {
                Action::Wait(pause) => {
                    pauses.push(pause);
                    driver.pass(pause);
                    assert_eq!(driver.step(Event::Waited), Action::Load);
                }
                Action::Save { .. } => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pauses[..2], [Duration::from_millis(250), Duration::from_millis(375)]);
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]) && pauses.last() == Some(&secs(2)));
        let waited = driver.elapsed - begun;
        assert!(waited >= TIMES.lease && waited < TIMES.lease + secs(2), "{waited:?}");
    }
}

#[test]
fn new_lease_of_known_process_is_awaited_for_full_duration() {
    let mut driver = Driver::new(Urgency::Stale);
    driver.step(Event::Begun);
    let first = claimed_by(THEIRS, driver.wall);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(first.clone())))), Action::End(Outcome::Busy(first)));

    // The process seen an hour ago holds a lease again.
    driver.pass(secs(3600));
    driver.flight = RefreshMachine::new(LeaseId::from_bytes(id(MINE)), TIMES, None, driver.flight.rival());
    driver.need = Urgency::Dead;
    driver.step(Event::Begun);
    let again = claimed_by(THEIRS, driver.wall);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(again.clone())))), Action::Wait(_)));
    driver.pass(TIMES.lease);
    driver.step(Event::Waited);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(again)))), Action::Save { .. }));
}

#[test]
fn lease_expired_for_more_than_one_day_is_taken_over_early() {
    let day = secs(24 * 60 * 60);
    for (at, is_ancient) in [
        (NOW - day - TIMES.lease - secs(1), true),
        (UnixTime::from_secs(1_577_836_800), true),
        (NOW + TIMES.second_look - day - TIMES.lease, false),
        (NOW - day, false),
        (NOW - secs(20 * 60), false),
        // Written with a clock that was never set, or with one that is ahead.
        (UnixTime::from_secs(1_577_836_799), false),
        (UnixTime::from_secs(0), false),
        (NOW + secs(20 * 60), false),
        (NOW + day * 100, false),
    ] {
        let mut driver = Driver::new(Urgency::Dead);
        driver.step(Event::Begun);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(claimed_by(THEIRS, at))))), Action::Wait(_)));
        driver.pass(TIMES.second_look);
        driver.step(Event::Waited);
        let next = driver.step(Event::Loaded(Ok(Some(claimed_by(THEIRS, at)))));
        assert_eq!(matches!(next, Action::Save { .. }), is_ancient, "{at}: {next:?}");
        // Even so, the previous holder gets time to save before anything is sent.
        if is_ancient {
            assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::Wait(TIMES.takeover));
        }
    }
}

#[test]
fn clock_step_during_refresh_does_not_end_foreign_lease_early() {
    for step in [20 * 60, 100 * 24 * 60 * 60] {
        let theirs = claimed_by(THEIRS, NOW);
        let mut driver = Driver::new(Urgency::Dead);
        driver.wall = NOW + secs(step);
        driver.step(Event::Begun);
        let mut waited = secs(0);
        while let Action::Wait(pause) = driver.step(Event::Loaded(Ok(Some(theirs.clone())))) {
            driver.pass(pause);
            waited += pause;
            driver.step(Event::Waited);
        }
        // A clock more than a day ahead cannot be distinguished from an abandoned lease.
        let expected = if step > 24 * 60 * 60 { TIMES.second_look } else { TIMES.lease };
        assert!(waited >= expected && waited < expected + secs(2), "{step}: {waited:?}");
    }
}

#[test]
fn takeover_yields_to_tokens_saved_by_former_holder() {
    let theirs = claimed_by(THEIRS, NOW);
    let mut driver = Driver::new(Urgency::Dead);
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(theirs.clone()))));
    driver.pass(TIMES.lease);
    driver.step(Event::Waited);
    driver.step(Event::Loaded(Ok(Some(theirs))));
    // The same applies if the lease may or may not have been written.
    assert_eq!(driver.step(Event::Saved(Err(StoreFailed))), Action::Load);
    let mut own = claimed_by(MINE, driver.wall);
    own.head.revision = Revision::from_bytes(id(driver.minted - 1));
    assert_eq!(driver.step(Event::Loaded(Ok(Some(own)))), Action::Wait(TIMES.takeover));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    let mut saved = known();
    (saved.tokens, saved.head.generation, saved.head.revision) = (9, 8, Revision::from_bytes(id(77)));
    assert_eq!(driver.step(Event::Loaded(Ok(Some(saved.clone())))), Action::End(Outcome::Fresh(saved)));
}

#[test]
fn queued_action_is_reevaluated_before_execution() {
    // No lease was acquired yet.
    let mut driver = Driver::new(Urgency::Dead);
    driver.step(Event::Begun);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(known())))), Action::Save { .. }));
    driver.pass(secs(500));
    assert_eq!(driver.step(Event::Queued), Action::Load);
    // A repeated request that was queued has less time left, or none.
    for (waited, is_sent) in [(10, true), (30, false)] {
        let (mut driver, _) = Driver::sending(Urgency::Dead, known());
        driver.step(Event::Sent(later(None, true)));
        driver.step(Event::Waited);
        driver.pass(secs(waited));
        let next = driver.step(Event::Queued);
        let limit = TIMES.sending - secs(waited.min(30));
        let expected = Action::Send { login: known().head.login, tokens: 0, limit };
        assert_eq!(next, if is_sent { expected } else { Action::Load });
    }
}

#[test]
fn api_401_refreshes_valid_token_and_is_counted() {
    let Action::Save { .. } = Driver::after_401(&known(), |_| ()) else { panic!("no refresh") };
    let mut driver = Driver::new(Urgency::None);
    driver.unauthorized = Some(Unauthorized::default());
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(known()))));
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    let Action::Serve { known: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("not served")
    };
    assert_eq!(new.head.unauthorized, Some(UnauthorizedRefreshes { count: 1, at: NOW, cut: None }));
    assert!(driver.flight.is_after_401());
}

#[test]
fn api_401_within_minimum_interval_or_pause_does_not_refresh() {
    let fresh = |known: &StoredLogin<u32>| Action::End(Outcome::Fresh(known.clone()));
    assert_eq!(Driver::after_401(&known(), |driver| driver.is_settled = false), fresh(&known()));
    let mut counted = known();
    counted.head.unauthorized = Some(UnauthorizedRefreshes { count: 1, at: NOW - secs(299), cut: None });
    assert_eq!(Driver::after_401(&counted, |_| ()), fresh(&counted));
    // A refresh that is needed for another reason still happens, and the count is kept.
    for need in [Urgency::Stale, Urgency::Wanted, Urgency::Dead] {
        let next = Driver::after_401(&counted, |driver| driver.need = need);
        let Action::Save { known: claimed, .. } = next else { panic!("{need:?}: {next:?}") };
        assert_eq!(claimed.head.unauthorized, counted.head.unauthorized);
    }
    let (mut driver, _) = Driver::sending(Urgency::Stale, counted.clone());
    let Action::Serve { known: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("not served")
    };
    assert_eq!(new.head.unauthorized, counted.head.unauthorized);
    assert!(matches!(Driver::after_401(&counted, |driver| driver.pass(secs(1))), Action::Save { .. }));
}

#[test]
fn minimum_interval_applies_to_requested_refresh() {
    let mut driver = Driver::new(Urgency::Wanted);
    driver.is_settled = false;
    driver.step(Event::Begun);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(known())))), Action::End(Outcome::Fresh(known())));
}

#[test]
fn api_rejected_token_is_withheld_once_refresh_is_rejected() {
    let mut rejected = known();
    rejected.head.hold =
        Some(RefreshBlock::Rejected { generation: 7, code: Some("x".into()), at: Some(NOW), is_dead: false });
    let next = Driver::after_401(&rejected, |_| ());
    let Action::Save { known: marked, .. } = next else { panic!("{next:?}") };
    assert!(matches!(
        &marked.head.hold,
        Some(RefreshBlock::Rejected { is_dead: true, code: Some(_), at: Some(NOW), .. })
    ));
    // The refresh token is rejected after the 401, so both rejections are known at once.
    let mut driver = Driver::new(Urgency::None);
    driver.unauthorized = Some(Unauthorized::default());
    driver.step(Event::Begun);
    let Action::Save { known: claimed, .. } = driver.step(Event::Loaded(Ok(Some(known())))) else { panic!("no lease") };
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    driver.step(Event::Sent(self::rejected(None)));
    let next = driver.step(Event::Loaded(Ok(Some(claimed))));
    let Action::Save { known: marked, .. } = next else { panic!("{next:?}") };
    assert!(marked.head.hold.as_ref().is_some_and(|hold| hold.is_final_for(7)));
}

#[test]
fn rejection_without_reason_is_final_at_fourth_attempt() {
    let mut known = known();
    for (tries, minutes) in [(1, 1), (2, 5), (3, 15)] {
        let (mut driver, claimed) = Driver::sending(Urgency::Dead, known.clone());
        driver.step(Event::Sent(RefreshResult::Rejected { code: None, reason: Reason::Missing }));
        let back = given_back(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), &claimed);
        let until = NOW + secs(minutes * 60);
        assert_eq!((&back.head.hold, back.head.unexplained), (&Some(RefreshBlock::RetryAt(until)), tries));
        assert_eq!(
            driver.step(Event::Saved(Ok(WriteOutcome::Committed))),
            Action::End(Outcome::Blocked { known: back.clone(), until })
        );
        known = back;
        known.head.hold = None;
    }
    // During an outage, it is never final.
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known.clone());
    driver.step(Event::Sent(RefreshResult::Rejected { code: None, reason: Reason::MissingForMany }));
    let back = given_back(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), &claimed);
    assert_eq!((&back.head.hold, back.head.unexplained), (&Some(RefreshBlock::RetryAt(NOW + secs(60))), 3));
    // New tokens reset the count.
    let (mut driver, _) = Driver::sending(Urgency::Dead, known.clone());
    let Action::Serve { known: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("not served")
    };
    assert_eq!(new.head.unexplained, 0);
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known);
    driver.step(Event::Sent(RefreshResult::Rejected { code: None, reason: Reason::Missing }));
    let marked = given_back(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), &claimed);
    assert!(marked.head.is_rejected());
}

#[test]
fn session_specific_client_rejection_blocks_session() {
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    let back = given_back(driver.step(Event::Sent(RefreshResult::Misconfigured { is_own: true })), &claimed);
    assert_eq!(back.head.hold, Some(RefreshBlock::RetryAt(NOW + secs(3))));
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::End(Outcome::Misconfigured(back)));
}

#[test]
fn lost_response_marks_session_as_interrupted() {
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    let lost = RefreshResult::Later { retry_after: None, is_repeatable: false, is_lost: true };
    assert!(given_back(driver.step(Event::Sent(lost)), &claimed).head.interrupted);
}

#[test]
fn failed_save_is_retried_every_2_seconds_for_10_minutes() {
    let (mut driver, _) = Driver::sending(Urgency::Dead, known());
    driver.step(Event::Sent(RefreshResult::Granted(9)));
    driver.step(Event::Served);
    let begun = driver.elapsed;
    let mut pauses = Vec::new();
    let mut next = driver.step(Event::Saved(Err(StoreFailed)));
    while driver.elapsed - begun < secs(15 * 60) {
        let Action::Wait(pause) = next else { panic!("{next:?}") };
        pauses.push((driver.elapsed - begun, pause));
        driver.pass(pause);
        assert_eq!(driver.step(Event::Waited), Action::Load);
        next = driver.step(Event::Loaded(Err(StoreFailed)));
    }
    let longest = |from: u64, to: u64| {
        let within = pauses.iter().filter(|(at, _)| (secs(from)..secs(to)).contains(at));
        within.map(|(_, pause)| *pause).max().unwrap()
    };
    assert_eq!((longest(0, 600), longest(700, 900)), (secs(2), secs(60)));
}

#[test]
fn interrupted_mark_persists_until_new_tokens() {
    // New tokens clear the mark.
    let (mut driver, claimed) = Driver::taking_over();
    let Action::Serve { known: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("the tokens are not served")
    };
    assert!(claimed.head.interrupted && !new.head.interrupted);

    // A transient failure does not clear it, so a later rejection of the old token is explained.
    let (mut driver, claimed) = Driver::taking_over();
    let mut held = given_back(driver.step(Event::Sent(later(Some(secs(9)), true))), &claimed);
    assert!(held.head.interrupted);
    held.head.hold = None;
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, held);
    driver.step(Event::Sent(rejected(None)));
    assert!(given_back(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), &claimed).head.interrupted);

    // Not set without an earlier lease, or if this task renews its own lease.
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    assert!(!claimed.head.interrupted);
    driver.step(Event::Sent(later(None, true)));
    driver.pass(TIMES.sending);
    assert_eq!(driver.step(Event::Waited), Action::Load);
    let Action::Save { known: again, .. } = driver.step(Event::Loaded(Ok(Some(claimed)))) else { panic!("no lease") };
    assert!(!again.head.interrupted);
    // An earlier task of this process was canceled during its refresh.
    let mut driver = Driver::new(Urgency::Dead);
    driver.flight =
        RefreshMachine::new(LeaseId::from_bytes(id(MINE)), TIMES, Some(LeaseId::from_bytes(id(THEIRS))), None);
    driver.step(Event::Begun);
    let loaded = driver.step(Event::Loaded(Ok(Some(claimed_by(THEIRS, NOW)))));
    let Action::Save { known: claimed, .. } = loaded else { panic!("{loaded:?}") };
    assert!(claimed.head.interrupted);
    assert!(
        matches!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::Send { .. }),
        "no other process holds that lease"
    );
}

#[test]
fn expired_lease_on_either_clock_prevents_request() {
    type Passing = fn(&mut Driver);
    let by_wall: Passing = |driver| driver.wall = driver.wall + TIMES.sending;
    let backwards: Passing = |driver| driver.wall = UnixTime::from_secs(NOW.as_secs() - TIMES.sending.as_secs());
    let by_elapsed: Passing = |driver| driver.elapsed += TIMES.sending;
    for pass in [by_wall, backwards, by_elapsed] {
        let mut driver = Driver::new(Urgency::Dead);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(known()))));
        pass(&mut driver);
        assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::Load);
    }
}

#[test]
fn uncertain_lease_write_is_checked_and_retried_once() {
    let mut driver = Driver::new(Urgency::Dead);
    driver.step(Event::Begun);
    let Action::Save { known: claimed, .. } = driver.step(Event::Loaded(Ok(Some(known())))) else { panic!("no lease") };
    assert_eq!(driver.step(Event::Saved(Err(StoreFailed))), Action::Load);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(claimed)))), Action::Send { .. }));

    let mut driver = Driver::new(Urgency::Dead);
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(known()))));
    driver.step(Event::Saved(Err(StoreFailed)));
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(known())))), Action::Save { .. }));
    driver.step(Event::Saved(Err(StoreFailed)));
    assert_eq!(driver.step(Event::Loaded(Ok(Some(known())))), Action::End(Outcome::StoreFailed(Some(known()))));
}

#[test]
fn missing_or_unreadable_session_ends_refresh() {
    for (loaded, outcome) in [(Ok(None), Outcome::Absent), (Err(StoreFailed), Outcome::StoreFailed(None))] {
        let mut driver = Driver::new(Urgency::Dead);
        driver.step(Event::Begun);
        assert_eq!(driver.step(Event::Loaded(loaded)), Action::End(outcome));
    }
    let mut driver = Driver::new(Urgency::Dead);
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(known()))));
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Ok(None))), Action::End(Outcome::Absent));
}

#[test]
fn unsaved_tokens_replace_block_but_not_newer_tokens() {
    let serving = || {
        let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
        driver.step(Event::Sent(RefreshResult::Granted(9)));
        driver.step(Event::Served);
        (driver, claimed)
    };
    // Another process marked the session as rejected in the meantime, but our tokens are newer.
    let (mut driver, _) = serving();
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
    let mut marked = known();
    marked.head.hold = Some(RefreshBlock::Rejected { generation: 7, code: None, at: None, is_dead: false });
    // The application's data was changed as well.
    marked.tokens = 300;
    let Action::Save { known: rescued, expect } = driver.step(Event::Loaded(Ok(Some(marked.clone())))) else {
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
        let mut other = known();
        (other.tokens, other.head.generation, other.head.login) = (tokens, generation, LoginId::from_bytes(id(login)));
        assert_eq!(driver.step(Event::Loaded(Ok(Some(other.clone())))), Action::End(Outcome::Fresh(other)));
    }
    let (mut driver, _) = serving();
    driver.step(Event::Saved(Ok(WriteOutcome::Conflict)));
    assert_eq!(driver.step(Event::Loaded(Ok(None))), Action::End(Outcome::Absent));
}

#[test]
fn unsaved_tokens_of_earlier_refresh_are_saved_first() {
    let mut new = known();
    new.head.revision = Revision::from_bytes(id(9));
    new.head.generation = 8;
    new.tokens = 9;
    let mut driver = Driver::new(Urgency::Dead);
    assert_eq!(driver.step(Event::Rescued(new.clone())), Action::Load);
    let Action::Save { known: saved, expect } = driver.step(Event::Loaded(Ok(Some(known())))) else {
        panic!("not saved")
    };
    assert_eq!((saved.tokens, saved.head.generation, expect), (9, 8, Precondition::Revision(known().head.revision)));
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Committed))), Action::End(Outcome::Fresh(saved)));
}

/// Returns a driver that is saving new tokens.
fn saving() -> Driver {
    let (mut driver, _) = Driver::sending(Urgency::Dead, known());
    driver.step(Event::Sent(RefreshResult::Granted(9)));
    driver.step(Event::Served);
    driver
}

#[test]
fn unsaved_tokens_replace_other_head_only_after_pause() {
    let mut driver = saving();
    assert_eq!(driver.step(Event::Saved(Err(StoreFailed))), Action::Wait(Duration::from_millis(250)));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(known())))), Action::Save { .. }), "a pause has passed");
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(known())))), Action::Wait(_)), "not without a pause");
}

#[test]
fn tokens_found_saved_end_refresh_even_if_due() {
    let (mut driver, _) = Driver::sending(Urgency::Dead, known());
    driver.step(Event::Sent(RefreshResult::Granted(8)));
    let Action::Save { known: new, .. } = driver.step(Event::Served) else { panic!("they are not saved") };
    driver.step(Event::Saved(Err(StoreFailed)));
    driver.step(Event::Waited);
    let found = driver.step(Event::Loaded(Ok(Some(new.clone()))));
    assert_eq!(found, Action::End(Outcome::Fresh(new)), "the next refresh looks at what they need");
}

#[test]
fn save_retry_interval_grows_after_ten_minutes() {
    let longest = |after: Duration| {
        let mut driver = saving();
        driver.step(Event::Saved(Err(StoreFailed)));
        driver.pass(after);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            driver.step(Event::Waited);
            let Action::Wait(pause) = driver.step(Event::Loaded(Err(StoreFailed))) else { panic!("no pause") };
            pauses.push(pause);
        }
        pauses.into_iter().max().unwrap()
    };
    assert_eq!(longest(TIMES.eager_saving - Duration::from_millis(1)), TIMES.save_pause);
    assert!(longest(TIMES.eager_saving) > TIMES.save_pause);
}

#[test]
fn rejection_does_not_apply_to_new_login() {
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    driver.step(Event::Sent(rejected(None)));
    let mut theirs = claimed_by(THEIRS, driver.wall);
    theirs.head.revision = Revision::from_bytes(id(70));
    driver.step(Event::Loaded(Ok(Some(theirs.clone()))));
    driver.pass(TIMES.lease);
    driver.step(Event::Waited);
    let Action::Save { known: again, .. } = driver.step(Event::Loaded(Ok(Some(theirs)))) else { panic!("no claim") };
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    driver.step(Event::Waited);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(again)))), Action::Send { .. }));
    // This is the second rejection, which is believed of the login that was sent.
    driver.step(Event::Sent(rejected(None)));
    let mut other = known();
    (other.head.login, other.head.revision) = (LoginId::from_bytes(id(3)), Revision::from_bytes(id(71)));
    let Action::Save { known: next, .. } = driver.step(Event::Loaded(Ok(Some(other)))) else { panic!("no claim") };
    assert!(!next.head.is_rejected() && next.head.claim.is_some() && next.head.generation == claimed.head.generation);
}

#[test]
fn recovered_tokens_due_again_are_refreshed_after_save() {
    let mut new = known();
    (new.head.revision, new.head.generation, new.tokens) = (Revision::from_bytes(id(9)), 8, 8);
    let mut driver = Driver::new(Urgency::Dead);
    driver.step(Event::Rescued(new));
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(known())))), Action::Save { .. }));
    let Action::Save { known: claimed, .. } = driver.step(Event::Saved(Ok(WriteOutcome::Committed))) else {
        panic!("no lease")
    };
    let claim = claimed.head.claim.map(|claim| (claim.id, claim.lease));
    assert_eq!((claim, claimed.head.generation), (Some((LeaseId::from_bytes(id(MINE)), TIMES.lease)), 8));
}

#[test]
fn rejection_after_takeover_is_confirmed_by_second_load() {
    let (mut driver, claimed) = Driver::taking_over();
    assert_eq!(driver.step(Event::Sent(rejected(None))), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), Action::Wait(TIMES.second_look));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    let mut due = claimed.clone();
    due.head.due = Some(NOW);
    let marked = given_back(driver.step(Event::Loaded(Ok(Some(due)))), &claimed);
    assert!(marked.head.is_rejected() && marked.head.due.is_none());
    // Another write came first: the new entry is evaluated.
    assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
}

#[test]
fn mutual_takeover_confirms_second_rejection() {
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    assert_eq!(driver.step(Event::Sent(rejected(None))), Action::Load);
    // Another process took the lease over and may save newer tokens soon.
    let mut theirs = claimed_by(THEIRS, driver.wall);
    theirs.head.revision = Revision::from_bytes(id(70));
    assert_ne!(theirs.head.revision, claimed.head.revision);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(theirs.clone())))), Action::Wait(_)));
    driver.pass(TIMES.lease);
    driver.step(Event::Waited);
    let Action::Save { known: claimed, .. } = driver.step(Event::Loaded(Ok(Some(theirs)))) else { panic!("no lease") };
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    driver.step(Event::Waited);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(claimed)))), Action::Send { .. }));
    assert_eq!(driver.step(Event::Sent(rejected(None))), Action::Load);
    let mut theirs = claimed_by(THEIRS, driver.wall);
    theirs.head.revision = Revision::from_bytes(id(71));
    assert_eq!(driver.step(Event::Loaded(Ok(Some(theirs.clone())))), Action::Wait(TIMES.second_look));
    driver.step(Event::Waited);
    let Action::Save { known: marked, .. } = driver.step(Event::Loaded(Ok(Some(theirs)))) else { panic!("no mark") };
    assert!(marked.head.is_rejected() && marked.head.claim.is_none());
}

#[test]
fn lease_of_other_login_process_or_time_is_awaited_again() {
    let first = claimed_by(THEIRS, NOW);
    let mut other_login = first.clone();
    other_login.head.login = LoginId::from_bytes(id(5));
    for second in [other_login, claimed_by(THEIRS + 1, NOW), claimed_by(THEIRS, NOW + secs(1))] {
        let mut driver = Driver::new(Urgency::Dead);
        driver.step(Event::Begun);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(first.clone())))), Action::Wait(_)));
        driver.pass(TIMES.lease);
        driver.step(Event::Waited);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(second)))), Action::Wait(_)));
    }
}

#[test]
fn wait_for_other_process_ends_at_time_limit() {
    for (waited, is_over) in [(TIMES.patience - secs(1), false), (TIMES.patience, true)] {
        let mut driver = Driver::new(Urgency::Dead);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(claimed_by(THEIRS, driver.wall)))));
        driver.pass(waited);
        driver.step(Event::Waited);
        let next = driver.step(Event::Loaded(Ok(Some(claimed_by(THEIRS, driver.wall)))));
        assert_eq!(matches!(next, Action::End(Outcome::Busy(_))), is_over, "{waited:?}: {next:?}");
    }
}

#[test]
fn lease_conflicts_end_refresh_after_200_attempts() {
    let mut driver = Driver::new(Urgency::Dead);
    driver.step(Event::Begun);
    let mut claims = 0;
    while let Action::Save { .. } = driver.step(Event::Loaded(Ok(Some(known())))) {
        claims += 1;
        assert!(claims <= 200, "the loop does not end");
        assert_eq!(driver.step(Event::Saved(Ok(WriteOutcome::Conflict))), Action::Load);
    }
    assert_eq!(claims, 200);
}

#[test]
fn block_of_maximum_duration_is_applied() {
    let mut held = known();
    let until = NOW + TIMES.longest_hold;
    held.head.hold = Some(RefreshBlock::RetryAt(until));
    let mut driver = Driver::new(Urgency::Dead);
    driver.step(Event::Begun);
    assert_eq!(
        driver.step(Event::Loaded(Ok(Some(held.clone())))),
        Action::End(Outcome::Blocked { known: held, until })
    );
}

#[test]
fn queued_request_does_not_count_as_attempt() {
    let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
    assert!(matches!(driver.step(Event::Queued), Action::Send { .. }));
    for _ in 0..2 {
        assert_eq!(driver.step(Event::Sent(later(None, true))), Action::Wait(secs(1)));
        assert!(matches!(driver.step(Event::Waited), Action::Send { .. }));
    }
    given_back(driver.step(Event::Sent(later(None, true))), &claimed);
}

#[test]
fn new_tokens_clear_old_block_and_expiry_baseline() {
    let mut old = known();
    old.head.hold = Some(RefreshBlock::RetryAt(NOW - secs(1)));
    old.head.anchor = Some(ExpiryBaseline { at: NOW, end: NOW });
    let (mut driver, _) = Driver::sending(Urgency::Dead, old);
    let Action::Serve { known: new, expiring } = driver.step(Event::Sent(RefreshResult::Granted(11))) else {
        panic!("not served")
    };
    assert_eq!((new.head.hold, new.head.anchor, expiring), (None, None, None));
}

#[test]
fn api_401_within_minimum_interval_is_not_counted() {
    let mut driver = Driver::new(Urgency::Dead);
    (driver.is_settled, driver.unauthorized) = (false, Some(Unauthorized::default()));
    driver.step(Event::Begun);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(known())))), Action::Save { .. }));
    assert!(!driver.flight.is_after_401());
    driver.step(Event::Saved(Ok(WriteOutcome::Committed)));
    let Action::Serve { known: new, .. } = driver.step(Event::Sent(RefreshResult::Granted(9))) else {
        panic!("not served")
    };
    assert_eq!(new.head.unauthorized, None);
}

#[test]
fn outage_backoff_is_at_least_one_minute() {
    for (backoff, pause) in [(3, 60), (60, 60), (300, 300)] {
        let (mut driver, claimed) = Driver::sending(Urgency::Dead, known());
        driver.backoff = secs(backoff);
        driver.step(Event::Sent(RefreshResult::Rejected { code: None, reason: Reason::MissingForMany }));
        let back = given_back(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), &claimed);
        assert_eq!(back.head.hold, Some(RefreshBlock::RetryAt(NOW + secs(pause))), "{backoff}");
    }
}

#[test]
fn own_backoff_replaces_implausible_block_time() {
    for until in [NOW - secs(3600), NOW + TIMES.longest_hold + secs(1)] {
        let mut held = known();
        held.head.hold = Some(RefreshBlock::RetryAt(until));
        let mut driver = Driver::new(Urgency::Dead);
        driver.own_rest = Some(secs(60));
        driver.step(Event::Begun);
        let expected = Outcome::Blocked { known: held.clone(), until: NOW + secs(60) };
        assert_eq!(driver.step(Event::Loaded(Ok(Some(held)))), Action::End(expected));
    }
    // Without a block, there is nothing to wait for: it was removed by `unblock`.
    let mut driver = Driver::new(Urgency::Dead);
    driver.own_rest = Some(secs(60));
    driver.step(Event::Begun);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(known())))), Action::Save { .. }));
}
