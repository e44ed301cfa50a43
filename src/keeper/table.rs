//! The claim protocol as a table: for each thing that can happen, what a flight does next.

use std::time::Duration;

use super::flight::Flight;
use super::protocol::{Action, Answer, Event, Known, Need, Now, Outcome, Prospect, StoreFailed, TIMES};
use crate::clock::UnixTime;
use crate::store::{Claim, ClaimId, Expect, Head, Hold, LoginId, Revision, Saved};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const MINE: u8 = 100;
const THEIRS: u8 = 200;

fn id(number: u8) -> [u8; 16] {
    [number; 16]
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A flight, and the world as it is told about it. Its tokens are a number; odd ones are good.
struct Driver {
    flight: Flight<u32>,
    wall: UnixTime,
    elapsed: Duration,
    minted: u8,
    need: Need,
}

impl Driver {
    fn new(need: Need) -> Self {
        let flight = Flight::new(ClaimId::from_bytes(id(MINE)), TIMES, None);
        Self { flight, wall: NOW, elapsed: secs(1000), minted: 10, need }
    }

    fn step(&mut self, event: Event<u32>) -> Action<u32> {
        self.minted += 1;
        let need = |tokens: &u32| if tokens % 2 == 1 { Need::None } else { self.need };
        let now = Now {
            wall: self.wall,
            elapsed: self.elapsed,
            fresh: Revision::from_bytes(id(self.minted)),
            need: &need,
            prospect: &|_, tokens| Prospect {
                due: Some(NOW + secs(u64::from(*tokens))),
                ends: Some(NOW),
                anchor: None,
                is_news: *tokens == 9,
            },
            // The hundreds stand for what the application keeps with the tokens.
            keep: &|old, new| old / 100 * 100 + new % 100,
            backoff: secs(3),
        };
        self.flight.step(event, &now)
    }

    fn pass(&mut self, time: Duration) {
        self.wall = self.wall + time;
        self.elapsed += time;
    }

    /// Brings a flight to where it sends.
    fn sending(need: Need, known: Known<u32>) -> (Self, Known<u32>) {
        let mut driver = Self::new(need);
        assert_eq!(driver.step(Event::Begun), Action::Load);
        let Action::Save { known: claimed, expect } = driver.step(Event::Loaded(Ok(Some(known.clone())))) else {
            panic!("no claim is written");
        };
        assert_eq!(expect, Expect::Revision(known.head.revision));
        assert_eq!(claimed.head.claim.map(|claim| claim.id), Some(ClaimId::from_bytes(id(MINE))));
        assert_ne!(claimed.head.revision, known.head.revision);
        let sent = driver.step(Event::Saved(Ok(Saved::Yes)));
        assert_eq!(sent, Action::Send { tokens: known.tokens, limit: TIMES.sending });
        (driver, claimed)
    }

    /// Brings a flight to where it sends under a claim that it took over.
    fn taking_over() -> (Self, Known<u32>) {
        let theirs = claimed_by(THEIRS, NOW);
        let mut driver = Self::new(Need::Dead);
        driver.step(Event::Begun);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(theirs.clone())))), Action::Wait(_)));
        driver.pass(TIMES.lease);
        assert_eq!(driver.step(Event::Waited), Action::Load);
        let Action::Save { known: claimed, .. } = driver.step(Event::Loaded(Ok(Some(theirs)))) else {
            panic!("no takeover")
        };
        driver.step(Event::Saved(Ok(Saved::Yes)));
        (driver, claimed)
    }
}

fn known() -> Known<u32> {
    let mut head = Head::begin(None).unwrap();
    head.revision = Revision::from_bytes(id(1));
    head.login = LoginId::from_bytes(id(2));
    head.generation = 7;
    Known { head, tokens: 0 }
}

fn claimed_by(number: u8, at: UnixTime) -> Known<u32> {
    let mut known = known();
    known.head.claim = Some(Claim { id: ClaimId::from_bytes(id(number)), at, lease: TIMES.lease });
    known
}

/// What a flight writes when it gives the login back.
fn given_back(action: Action<u32>, claimed: &Known<u32>) -> Known<u32> {
    let Action::Save { known, expect } = action else { panic!("{action:?}") };
    assert_eq!(expect, Expect::Revision(claimed.head.revision));
    assert_ne!(known.head.revision, claimed.head.revision);
    assert_eq!((known.head.claim, known.head.generation, known.tokens), (None, claimed.head.generation, 0));
    known
}

#[test]
fn new_tokens_are_served_and_then_saved_with_everything_renewed() {
    let (mut driver, claimed) = Driver::sending(Need::Dead, known());
    let Action::Serve { known: new, expiring } = driver.step(Event::Sent(Answer::Granted(9))) else {
        panic!("they are not served first")
    };
    assert_eq!((new.tokens, new.head.generation, new.head.claim, &new.head.hold), (9, 8, None, &None));
    assert_eq!((new.head.due, new.head.ends, expiring), (Some(NOW + secs(9)), Some(NOW), Some(NOW)));
    let Action::Save { known, expect } = driver.step(Event::Served) else { panic!("they are not saved") };
    assert_eq!((&known, expect), (&new, Expect::Revision(claimed.head.revision)));
    assert_eq!(driver.step(Event::Saved(Ok(Saved::Yes))), Action::End(Outcome::Fresh(new)));
}

#[test]
fn a_fault_of_the_settings_marks_nothing() {
    let (mut driver, claimed) = Driver::sending(Need::Dead, known());
    let back = given_back(driver.step(Event::Sent(Answer::Misconfigured)), &claimed);
    assert_eq!(back.head.hold, None);
    assert_eq!(driver.step(Event::Saved(Ok(Saved::Yes))), Action::End(Outcome::Misconfigured(back)));
}

#[test]
fn passing_trouble_is_tried_again_soon_and_then_holds_everybody_back() {
    let again = || Event::Sent(Answer::Later { retry_after: None, is_repeatable: true });
    let (mut driver, claimed) = Driver::sending(Need::Dead, known());
    for _ in 0..2 {
        assert_eq!(driver.step(again()), Action::Wait(secs(1)));
        driver.pass(secs(1));
        assert!(matches!(driver.step(Event::Waited), Action::Send { tokens: 0, .. }));
    }
    let back = given_back(driver.step(again()), &claimed);
    let until = driver.wall + secs(3);
    assert_eq!(back.head.hold, Some(Hold::RetryAt(until)));
    // A claim or a mark of others meanwhile is theirs; the failure is told all the same.
    assert_eq!(driver.step(Event::Saved(Ok(Saved::Conflict))), Action::End(Outcome::Held { known: back, until }));
}

#[test]
fn what_the_server_named_a_time_for_and_what_must_not_run_twice_is_not_sent_again() {
    for (retry_after, is_repeatable, wait) in [(Some(secs(120)), true, 120), (Some(secs(1)), true, 3), (None, false, 3)]
    {
        let (mut driver, claimed) = Driver::sending(Need::Dead, known());
        let back = given_back(driver.step(Event::Sent(Answer::Later { retry_after, is_repeatable })), &claimed);
        assert_eq!(back.head.hold, Some(Hold::RetryAt(NOW + secs(wait))));
    }
}

#[test]
fn a_rejection_is_looked_at_and_written_down_with_its_generation_and_code() {
    let (mut driver, claimed) = Driver::sending(Need::Dead, known());
    let rejected = Event::Sent(Answer::Rejected { code: Some("invalid_grant".into()) });
    assert_eq!(driver.step(rejected), Action::Load);
    let marked = given_back(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), &claimed);
    assert_eq!(marked.head.due, None, "nothing keeps it alive any more");
    assert_eq!(
        marked.head.hold,
        Some(Hold::Rejected { generation: 7, code: Some("invalid_grant".into()), at: Some(NOW), is_dead: true })
    );
    assert_eq!(driver.step(Event::Saved(Ok(Saved::Yes))), Action::End(Outcome::Rejected(marked)));
}

#[test]
fn a_rejection_after_a_takeover_is_looked_at_twice_with_time_between() {
    let (mut driver, claimed) = Driver::taking_over();
    assert_eq!(driver.step(Event::Sent(Answer::Rejected { code: None })), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), Action::Wait(secs(5)));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    // The one that was taken over from has saved meanwhile: nothing is marked.
    let mut saved = claimed;
    saved.head.generation = 8;
    saved.tokens = 9;
    assert_eq!(driver.step(Event::Loaded(Ok(Some(saved.clone())))), Action::End(Outcome::Fresh(saved)));
}

#[test]
fn holds_are_honoured_as_far_as_they_can_be_true() {
    let held = |hold| {
        let mut known = known();
        known.head.hold = Some(hold);
        known
    };
    let first = |known: &Known<u32>| {
        let mut driver = Driver::new(Need::Dead);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(known.clone()))))
    };
    let dead = held(Hold::Rejected { generation: 7, code: None, at: None, is_dead: false });
    assert_eq!(first(&dead), Action::End(Outcome::Rejected(dead)));
    // Tokens that are good by their times serve on, unless whoever was refused knew better.
    let good_by_its_times = |is_dead| {
        let mut known = held(Hold::Rejected { generation: 7, code: None, at: None, is_dead });
        known.tokens = 1;
        known
    };
    assert_eq!(first(&good_by_its_times(false)), Action::End(Outcome::Fresh(good_by_its_times(false))));
    assert_eq!(first(&good_by_its_times(true)), Action::End(Outcome::Rejected(good_by_its_times(true))));
    let waiting = held(Hold::RetryAt(NOW + secs(1)));
    assert_eq!(first(&waiting), Action::End(Outcome::Held { known: waiting, until: NOW + secs(1) }));
    for passable in [
        Hold::Rejected { generation: 6, code: None, at: None, is_dead: true },
        Hold::RetryAt(NOW),
        Hold::RetryAt(NOW + TIMES.longest_hold + secs(1)),
    ] {
        assert!(matches!(first(&held(passable.clone())), Action::Save { .. }), "{passable:?}");
    }
}

#[test]
fn anothers_claim_is_left_to_it_by_the_stale_and_waited_for_by_the_dead_and_by_whoever_wants_new_tokens() {
    let theirs = claimed_by(THEIRS, NOW);
    let mut driver = Driver::new(Need::Stale);
    driver.step(Event::Begun);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(theirs.clone())))), Action::End(Outcome::Busy(theirs.clone())));

    for need in [Need::Wanted, Need::Dead] {
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
        assert_eq!(pauses[0], Duration::from_millis(250));
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]) && pauses.last() == Some(&secs(2)));
        let waited = driver.elapsed - begun;
        assert!(waited >= TIMES.lease && waited < TIMES.lease + secs(2), "{waited:?}");
    }
}

#[test]
fn a_process_that_claims_again_is_waited_for_anew_however_long_ago_it_was_first_seen() {
    let mut driver = Driver::new(Need::Stale);
    driver.step(Event::Begun);
    let first = claimed_by(THEIRS, driver.wall);
    assert_eq!(driver.step(Event::Loaded(Ok(Some(first.clone())))), Action::End(Outcome::Busy(first)));

    // The process that was seen at it an hour ago is at it again.
    driver.pass(secs(3600));
    driver.flight = Flight::new(ClaimId::from_bytes(id(MINE)), TIMES, driver.flight.rival());
    driver.need = Need::Dead;
    driver.step(Event::Begun);
    let again = claimed_by(THEIRS, driver.wall);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(again.clone())))), Action::Wait(_)));
    driver.pass(TIMES.lease);
    driver.step(Event::Waited);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(again)))), Action::Save { .. }));
}

#[test]
fn a_claim_of_my_own_and_an_ancient_one_are_no_obstacle() {
    let mut driver = Driver::new(Need::Stale);
    driver.step(Event::Begun);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(claimed_by(MINE, NOW))))), Action::Save { .. }));

    for at in [UnixTime::from_secs(1_600_000_000), UnixTime::from_secs(1_800_000_000)] {
        let mut driver = Driver::new(Need::Dead);
        driver.step(Event::Begun);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(claimed_by(THEIRS, at))))), Action::Wait(_)));
        driver.pass(TIMES.second_look);
        driver.step(Event::Waited);
        assert!(matches!(driver.step(Event::Loaded(Ok(Some(claimed_by(THEIRS, at))))), Action::Save { .. }), "{at}");
    }
}

#[test]
fn what_a_process_left_unsaved_is_remembered_until_there_are_new_tokens() {
    // New tokens end it.
    let (mut driver, claimed) = Driver::taking_over();
    let Action::Serve { known: new, .. } = driver.step(Event::Sent(Answer::Granted(9))) else {
        panic!("they are not served")
    };
    assert!(claimed.head.interrupted && !new.head.interrupted);

    // A server that is busy does not, and when it rejects the old token at last, it is known why.
    let (mut driver, claimed) = Driver::taking_over();
    let later = Answer::Later { retry_after: Some(secs(9)), is_repeatable: true };
    let mut held = given_back(driver.step(Event::Sent(later)), &claimed);
    assert!(held.head.interrupted);
    held.head.hold = None;
    let (mut driver, claimed) = Driver::sending(Need::Dead, held);
    driver.step(Event::Sent(Answer::Rejected { code: None }));
    assert!(given_back(driver.step(Event::Loaded(Ok(Some(claimed.clone())))), &claimed).head.interrupted);

    // Nobody was before us, or an earlier flight of this process was, or this one is late with its own claim.
    let (mut driver, claimed) = Driver::sending(Need::Dead, known());
    assert!(!claimed.head.interrupted);
    driver.step(Event::Sent(Answer::Later { retry_after: None, is_repeatable: true }));
    driver.pass(TIMES.sending);
    assert_eq!(driver.step(Event::Waited), Action::Load);
    let Action::Save { known: again, .. } = driver.step(Event::Loaded(Ok(Some(claimed)))) else { panic!("no claim") };
    assert!(!again.head.interrupted);
    let (_, own) = Driver::sending(Need::Dead, claimed_by(MINE, NOW));
    assert!(own.head.interrupted);
}

#[test]
fn nothing_is_sent_once_either_clock_says_that_the_claim_could_be_taken_over() {
    type Passing = fn(&mut Driver);
    let by_wall: Passing = |driver| driver.wall = driver.wall + TIMES.sending;
    let backwards: Passing = |driver| driver.wall = UnixTime::from_secs(NOW.as_secs() - TIMES.sending.as_secs());
    let by_elapsed: Passing = |driver| driver.elapsed += TIMES.sending;
    for pass in [by_wall, backwards, by_elapsed] {
        let mut driver = Driver::new(Need::Dead);
        driver.step(Event::Begun);
        driver.step(Event::Loaded(Ok(Some(known()))));
        pass(&mut driver);
        assert_eq!(driver.step(Event::Saved(Ok(Saved::Yes))), Action::Load);
    }
}

#[test]
fn a_claim_that_may_not_have_been_written_is_looked_for_and_tried_once_more() {
    let mut driver = Driver::new(Need::Dead);
    driver.step(Event::Begun);
    let Action::Save { known: claimed, .. } = driver.step(Event::Loaded(Ok(Some(known())))) else { panic!("no claim") };
    assert_eq!(driver.step(Event::Saved(Err(StoreFailed))), Action::Load);
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(claimed)))), Action::Send { .. }));

    let mut driver = Driver::new(Need::Dead);
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(known()))));
    driver.step(Event::Saved(Err(StoreFailed)));
    assert!(matches!(driver.step(Event::Loaded(Ok(Some(known())))), Action::Save { .. }));
    driver.step(Event::Saved(Err(StoreFailed)));
    assert_eq!(driver.step(Event::Loaded(Ok(Some(known())))), Action::End(Outcome::StoreFailed(Some(known()))));
}

#[test]
fn what_is_not_there_or_cannot_be_read_ends_the_flight() {
    for (loaded, outcome) in [(Ok(None), Outcome::Absent), (Err(StoreFailed), Outcome::StoreFailed(None))] {
        let mut driver = Driver::new(Need::Dead);
        driver.step(Event::Begun);
        assert_eq!(driver.step(Event::Loaded(loaded)), Action::End(outcome));
    }
    let mut driver = Driver::new(Need::Dead);
    driver.step(Event::Begun);
    driver.step(Event::Loaded(Ok(Some(known()))));
    assert_eq!(driver.step(Event::Saved(Ok(Saved::Conflict))), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Ok(None))), Action::End(Outcome::Absent));
}

#[test]
fn unsaved_tokens_go_over_a_mark_after_a_pause_and_give_way_to_newer_ones() {
    let serving = || {
        let (mut driver, claimed) = Driver::sending(Need::Dead, known());
        driver.step(Event::Sent(Answer::Granted(9)));
        driver.step(Event::Served);
        (driver, claimed)
    };
    // Somebody marked the login dead meanwhile: ours are newer.
    let (mut driver, _) = serving();
    assert_eq!(driver.step(Event::Saved(Ok(Saved::Conflict))), Action::Load);
    let mut marked = known();
    marked.head.hold = Some(Hold::Rejected { generation: 7, code: None, at: None, is_dead: false });
    // And somebody changed what is kept beside the tokens.
    marked.tokens = 300;
    let Action::Save { known: rescued, expect } = driver.step(Event::Loaded(Ok(Some(marked.clone())))) else {
        panic!("the newest tokens are dropped");
    };
    assert_eq!((rescued.tokens, rescued.head.generation, &rescued.head.hold), (309, 8, &None));
    assert_eq!(expect, Expect::Revision(marked.head.revision));
    // It fails again and again: each time after a longer pause.
    assert_eq!(driver.step(Event::Saved(Err(StoreFailed))), Action::Wait(Duration::from_millis(500)));
    assert_eq!(driver.step(Event::Waited), Action::Load);
    assert_eq!(driver.step(Event::Loaded(Err(StoreFailed))), Action::Wait(secs(1)));

    // Somebody has newer tokens, or the login was ended.
    for (tokens, generation, login) in [(11, 8, 2), (11, 9, 2), (11, 0, 5)] {
        let (mut driver, _) = serving();
        driver.step(Event::Saved(Ok(Saved::Conflict)));
        let mut other = known();
        (other.tokens, other.head.generation, other.head.login) = (tokens, generation, LoginId::from_bytes(id(login)));
        assert_eq!(driver.step(Event::Loaded(Ok(Some(other.clone())))), Action::End(Outcome::Fresh(other)));
    }
    let (mut driver, _) = serving();
    driver.step(Event::Saved(Ok(Saved::Conflict)));
    assert_eq!(driver.step(Event::Loaded(Ok(None))), Action::End(Outcome::Absent));
}

#[test]
fn tokens_that_an_earlier_flight_could_not_save_are_saved_first() {
    let mut new = known();
    new.head.revision = Revision::from_bytes(id(9));
    new.head.generation = 8;
    new.tokens = 9;
    let mut driver = Driver::new(Need::Dead);
    assert_eq!(driver.step(Event::Rescued(new.clone())), Action::Load);
    let Action::Save { known: saved, expect } = driver.step(Event::Loaded(Ok(Some(known())))) else {
        panic!("not saved")
    };
    assert_eq!((saved.tokens, saved.head.generation, expect), (9, 8, Expect::Revision(known().head.revision)));
    assert_eq!(driver.step(Event::Saved(Ok(Saved::Yes))), Action::End(Outcome::Fresh(saved)));
}
