//! One attempt to keep a login fresh, as a pure state machine: what happened goes in, what to do next comes out.
//!
//! It is the claim protocol: whoever refreshes writes a claim into the store first, by compare and swap, so that one
//! refresh happens for each login and period, across callers, processes and crashes. Nothing here waits, reads a clock
//! or touches a store; the engine carries the actions out, and the tests search what two flights can do to each other.

use std::time::Duration;

use super::protocol::{Action, Answer, Event, Known, Need, Now, Outcome, StoreFailed, Times};
use super::stage::{Claimed, Moment, Rival, Stage};
use crate::store::{Claim, ClaimId, Expect, Hold, LoginId, Revision, Saved};

/// The pause before a refresh that failed in passing is sent again by the same flight.
const SOON: Duration = Duration::from_secs(1);
/// How often a flight considers a login before it leaves it to others: more than any wait for another takes.
const MOST_TURNS: u32 = 200;
/// How often a flight sends.
const MOST_SENDINGS: u32 = 3;
/// The pause before unsaved tokens are saved again, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The first and the longest pause between two looks at another's claim.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_LOOK: Duration = Duration::from_secs(2);

/// A flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flight<T> {
    times: Times,
    id: ClaimId,
    /// The login that this flight began with.
    login: Option<LoginId>,
    /// Another's claim that is in the way.
    rival: Option<Rival>,
    /// When the first wait for another began.
    waiting_since: Option<Duration>,
    next_look: Duration,
    /// How often the claim could not be written.
    claims_failed: u32,
    /// How often the refresh token was rejected.
    rejections: u32,
    /// How often the login was considered; nothing that goes well needs many.
    turns: u32,
    /// Whether it began with tokens that an earlier flight could not save.
    is_rescue: bool,
    stage: Stage<T>,
}

impl<T: Clone> Flight<T> {
    /// `rival` is what an earlier flight of this process saw in its way.
    pub(crate) fn new(id: ClaimId, times: Times, rival: Option<Rival>) -> Self {
        Self {
            times,
            id,
            login: None,
            rival,
            claims_failed: 0,
            rejections: 0,
            turns: 0,
            is_rescue: false,
            waiting_since: None,
            next_look: FIRST_LOOK,
            stage: Stage::Beginning,
        }
    }

    /// Takes in what happened and says what to do next.
    ///
    /// An event that does not answer the last action is a mistake of the engine; the flight then begins again with a load.
    pub(crate) fn step(&mut self, event: Event<T>, now: &Now<'_, T>) -> Action<T> {
        match (std::mem::replace(&mut self.stage, Stage::Ended), event) {
            (Stage::Beginning, Event::Begun) => self.load(),
            (Stage::Beginning, Event::Rescued(new)) => {
                self.is_rescue = true;
                let stage = Stage::FindingSave { new, pause: FIRST_PAUSE, is_rested: true };
                self.go(stage, Action::Load)
            }
            (Stage::Loading | Stage::Looking, Event::Loaded(loaded)) => match loaded {
                Ok(Some(known)) => self.consider(known, now),
                Ok(None) => self.end(Outcome::Absent),
                Err(StoreFailed) => self.end(Outcome::StoreFailed(None)),
            },
            (Stage::Claiming(claimed), Event::Saved(saved)) => match saved {
                Ok(Saved::Yes) => self.send(claimed, now),
                Ok(Saved::Conflict) => self.load(),
                Err(StoreFailed) => self.go(Stage::FindingClaim(claimed), Action::Load),
            },
            (Stage::FindingClaim(claimed), Event::Loaded(loaded)) => self.found_claim(claimed, loaded, now),
            (Stage::Sending(claimed), Event::Sent(answer)) => self.answered(claimed, answer, now),
            (Stage::Pausing(claimed), Event::Waited) => self.send(claimed, now),
            (Stage::Serving { new, expect }, Event::Served) => self.save(new, expect, FIRST_PAUSE),
            (Stage::Saving { new, pause }, Event::Saved(saved)) => self.saved(new, pause, saved, now),
            (Stage::FindingSave { new, pause, is_rested }, Event::Loaded(loaded)) => {
                self.found_save(new, pause, is_rested, loaded, now)
            }
            (Stage::Resting { new, pause }, Event::Waited) => {
                self.go(Stage::FindingSave { new, pause, is_rested: true }, Action::Load)
            }
            // Whether the claim was lifted or not: a claim that stays behind lapses.
            (Stage::Releasing(outcome), Event::Saved(_)) => self.end(outcome),
            (Stage::WaitingToDoubt { claimed, code }, Event::Waited) => {
                self.go(Stage::Doubting { claimed, code, looks_left: 0 }, Action::Load)
            }
            (Stage::Doubting { claimed, code, looks_left }, Event::Loaded(loaded)) => {
                self.doubted(claimed, code, looks_left, loaded, now)
            }
            (Stage::Rejecting { marked }, Event::Saved(saved)) => match saved {
                Ok(Saved::Yes) => self.end(Outcome::Rejected(marked)),
                Ok(Saved::Conflict) => self.load(),
                Err(StoreFailed) => self.end(Outcome::Rejected(marked)),
            },
            (Stage::Looking, Event::Waited) => self.go(Stage::Looking, Action::Load),
            _ => self.load(),
        }
    }

    /// Another's claim that is in the way, for the next flight to know.
    pub(crate) fn rival(&self) -> Option<Rival> {
        self.rival
    }

    /// Whether it waits for what another brings.
    pub(super) fn waits_for_another(&self) -> bool {
        matches!(self.stage, Stage::Looking)
    }

    /// What it is at, for those who watch.
    pub(super) fn doing(&self) -> &'static str {
        match &self.stage {
            Stage::Looking => "waits for another",
            Stage::Claiming(claimed) if claimed.took_over => "takes over a claim",
            Stage::Claiming(_) => "claims",
            Stage::Sending(_) => "sends",
            Stage::Serving { .. } | Stage::Saving { .. } => "saves",
            Stage::Pausing(_) | Stage::Resting { .. } => "waits to try again",
            Stage::WaitingToDoubt { .. } => "doubts a rejection",
            Stage::Releasing(_) | Stage::Rejecting { .. } => "lifts its claim",
            Stage::Ended => "ends",
            _ => "looks",
        }
    }

    /// New tokens that the store may not have yet.
    #[cfg(test)]
    pub(super) fn unsaved(&self) -> Option<&T> {
        match &self.stage {
            Stage::Serving { new, .. }
            | Stage::Saving { new, .. }
            | Stage::FindingSave { new, .. }
            | Stage::Resting { new, .. } => Some(&new.tokens),
            _ => None,
        }
    }

    fn go(&mut self, stage: Stage<T>, action: Action<T>) -> Action<T> {
        self.stage = stage;
        action
    }

    fn end(&mut self, outcome: Outcome<T>) -> Action<T> {
        self.go(Stage::Ended, Action::End(outcome))
    }

    fn load(&mut self) -> Action<T> {
        self.go(Stage::Loading, Action::Load)
    }

    /// Steps 2 to 4: is a refresh still needed, allowed, and mine to do?
    fn consider(&mut self, mut known: Known<T>, now: &Now<'_, T>) -> Action<T> {
        if self.login.is_some_and(|login| login != known.head.login) {
            self.rival = None;
        }
        self.login = Some(known.head.login);
        // Who found that out may know of the access token what its times do not say.
        if known.head.hold.as_ref().is_some_and(|hold| hold.is_the_end_of(known.head.generation)) {
            return self.end(Outcome::Rejected(known));
        }
        let need = (now.need)(&known.tokens);
        if need == Need::None {
            return self.end(Outcome::Fresh(known));
        }
        self.turns += 1;
        if self.turns > MOST_TURNS {
            return self.end(Outcome::Busy(known));
        }
        match &known.head.hold {
            Some(Hold::Rejected { generation, .. }) if *generation == known.head.generation => {
                return self.end(Outcome::Rejected(known));
            }
            Some(Hold::RetryAt(until)) if *until > now.wall && until.since(now.wall) <= self.times.longest_hold => {
                let until = *until;
                return self.end(Outcome::Held { known, until });
            }
            _ => {}
        }
        match known.head.claim {
            Some(claim) if claim.id != self.id && !self.has_lapsed(&claim, now) => {
                self.wait_for_rival(known, need, now)
            }
            Some(claim) => {
                let took_over = claim.id != self.id;
                // Another process, or an earlier flight of this one, may have had newer tokens; a server that rotates
                // them has taken back these.
                known.head.interrupted |= took_over || self.turns == 1;
                self.claim(known, took_over, now)
            }
            None => self.claim(known, false, now),
        }
    }

    /// Step 3: a claim has lapsed when it stood unchanged for its lease by my own clock, or when its time is so far from
    /// mine that no honest clock explains it.
    fn has_lapsed(&mut self, claim: &Claim, now: &Now<'_, T>) -> bool {
        let rival = match self.rival {
            Some(rival) if (rival.id, rival.at) == (claim.id, claim.at) => rival,
            _ => *self.rival.insert(Rival { id: claim.id, at: claim.at, seen_at: now.elapsed }),
        };
        let apart = now.wall.since(claim.at).max(claim.at.since(now.wall));
        let seen = now.elapsed.saturating_sub(rival.seen_at);
        // Left behind long ago, by a program that was stopped in the middle: whoever starts it again should not wait for a
        // whole lease. A machine whose clock is further off than any should be writes such claims too, and may be at work.
        let is_ancient = apart > claim.lease.saturating_add(self.times.skew) && seen >= self.times.second_look;
        // The lease is read from the store; more than mine is not believed.
        is_ancient || seen >= claim.lease.min(self.times.lease)
    }

    fn wait_for_rival(&mut self, known: Known<T>, need: Need, now: &Now<'_, T>) -> Action<T> {
        let since = *self.waiting_since.get_or_insert(now.elapsed);
        if need == Need::Stale || now.elapsed.saturating_sub(since) >= self.times.patience {
            return self.end(Outcome::Busy(known));
        }
        let pause = self.next_look;
        self.next_look = pause.mul_f64(1.5).min(LONGEST_LOOK);
        self.go(Stage::Looking, Action::Wait(pause))
    }

    /// Step 4.
    fn claim(&mut self, seen: Known<T>, took_over: bool, now: &Now<'_, T>) -> Action<T> {
        let expect = Expect::Revision(seen.head.revision);
        let mut known = seen;
        known.head.revision = now.fresh;
        known.head.claim = Some(Claim { id: self.id, at: now.wall, lease: self.times.lease });
        let since = Moment { wall: now.wall, elapsed: now.elapsed };
        let claimed = Claimed { known: known.clone(), since, took_over, sendings: 0 };
        self.go(Stage::Claiming(claimed), Action::Save { known, expect })
    }

    fn found_claim(
        &mut self,
        claimed: Claimed<T>,
        loaded: Result<Option<Known<T>>, StoreFailed>,
        now: &Now<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(known)) if known.head.revision == claimed.known.head.revision => self.send(claimed, now),
            Ok(Some(known)) if self.claims_failed > 0 => self.end(Outcome::StoreFailed(Some(known))),
            Ok(Some(known)) => {
                self.claims_failed += 1;
                self.consider(known, now)
            }
            Ok(None) => self.end(Outcome::Absent),
            // The claim may stand; it lapses.
            Err(StoreFailed) => self.end(Outcome::StoreFailed(Some(claimed.known))),
        }
    }

    /// Steps 5 and 6: nothing is sent once the claim could have been taken over, by either clock.
    fn send(&mut self, mut claimed: Claimed<T>, now: &Now<'_, T>) -> Action<T> {
        let by_wall = now.wall.since(claimed.since.wall).max(claimed.since.wall.since(now.wall));
        let spent = by_wall.max(now.elapsed.saturating_sub(claimed.since.elapsed));
        if spent >= self.times.sending {
            return self.load();
        }
        claimed.sendings += 1;
        let action =
            Action::Send { tokens: claimed.known.tokens.clone(), limit: self.times.sending.saturating_sub(spent) };
        self.go(Stage::Sending(claimed), action)
    }

    fn answered(&mut self, claimed: Claimed<T>, answer: Answer<T>, now: &Now<'_, T>) -> Action<T> {
        match answer {
            Answer::Granted(tokens) => {
                let mut head = claimed.known.head.clone();
                let expect = head.revision;
                head.revision = now.fresh;
                head.generation = head.generation.saturating_add(1);
                head.claim = None;
                head.hold = None;
                head.interrupted = false;
                let prospect = (now.prospect)(&claimed.known, &tokens);
                (head.due, head.ends, head.anchor) = (prospect.due, prospect.ends, prospect.anchor);
                let new = Known { head, tokens };
                let expiring = prospect.ends.filter(|_| prospect.is_news);
                self.go(Stage::Serving { new: new.clone(), expect }, Action::Serve { known: new, expiring })
            }
            Answer::Later { retry_after: None, is_repeatable: true } if claimed.sendings < MOST_SENDINGS => {
                self.go(Stage::Pausing(claimed), Action::Wait(SOON))
            }
            Answer::Later { retry_after, .. } => {
                let until = now.wall + retry_after.unwrap_or_default().max(now.backoff);
                let held = |known| Outcome::Held { known, until };
                self.release(claimed.known, Some(Hold::RetryAt(until)), held, now)
            }
            Answer::Rejected { code } => {
                self.rejections += 1;
                let looks_left = u32::from(claimed.took_over);
                self.go(Stage::Doubting { claimed, code, looks_left }, Action::Load)
            }
            Answer::Misconfigured => self.release(claimed.known, None, Outcome::Misconfigured, now),
        }
    }

    /// Step 8: lifts the claim, with a mark that every process honours.
    fn release(
        &mut self,
        mut known: Known<T>,
        hold: Option<Hold>,
        outcome: impl FnOnce(Known<T>) -> Outcome<T>,
        now: &Now<'_, T>,
    ) -> Action<T> {
        let expect = Expect::Revision(known.head.revision);
        known.head.revision = now.fresh;
        known.head.claim = None;
        known.head.hold = hold;
        self.go(Stage::Releasing(outcome(known.clone())), Action::Save { known, expect })
    }

    fn save(&mut self, new: Known<T>, expect: Revision, pause: Duration) -> Action<T> {
        let action = Action::Save { known: new.clone(), expect: Expect::Revision(expect) };
        self.go(Stage::Saving { new, pause }, action)
    }

    fn saved(
        &mut self,
        new: Known<T>,
        pause: Duration,
        saved: Result<Saved, StoreFailed>,
        now: &Now<'_, T>,
    ) -> Action<T> {
        match saved {
            Ok(Saved::Yes) => self.kept(new, now),
            Ok(Saved::Conflict) => {
                let is_rested = pause == FIRST_PAUSE;
                self.go(Stage::FindingSave { new, pause, is_rested }, Action::Load)
            }
            Err(StoreFailed) => self.rest(new, pause),
        }
    }

    /// The store has our tokens. Those of an earlier flight may have aged meanwhile.
    fn kept(&mut self, new: Known<T>, now: &Now<'_, T>) -> Action<T> {
        if std::mem::take(&mut self.is_rescue) { self.consider(new, now) } else { self.end(Outcome::Fresh(new)) }
    }

    fn rest(&mut self, new: Known<T>, pause: Duration) -> Action<T> {
        self.go(Stage::Resting { new, pause: longer(pause) }, Action::Wait(pause))
    }

    /// Step 7, after a conflict or an unknown outcome: are ours still the newest tokens that anybody has?
    fn found_save(
        &mut self,
        mut new: Known<T>,
        pause: Duration,
        is_rested: bool,
        loaded: Result<Option<Known<T>>, StoreFailed>,
        now: &Now<'_, T>,
    ) -> Action<T> {
        match loaded {
            Ok(Some(known)) if known.head.revision == new.head.revision => self.kept(new, now),
            // Another login, or newer tokens: ours are of no use to anybody.
            Ok(Some(known)) if known.head.login != new.head.login || known.head.generation >= new.head.generation => {
                self.consider(known, now)
            }
            // Only a claim, a mark or something beside the tokens was written: over it, for as long as this process lives, but
            // not in haste.
            Ok(Some(known)) if is_rested => {
                new.head.revision = now.fresh;
                new.tokens = (now.keep)(&known.tokens, new.tokens);
                self.save(new, known.head.revision, longer(pause))
            }
            Ok(None) => self.end(Outcome::Absent),
            Ok(Some(_)) | Err(StoreFailed) => self.rest(new, pause),
        }
    }

    /// Step 9: a rejected refresh token is believed when nobody has newer ones.
    fn doubted(
        &mut self,
        claimed: Claimed<T>,
        code: Option<String>,
        looks_left: u32,
        loaded: Result<Option<Known<T>>, StoreFailed>,
        now: &Now<'_, T>,
    ) -> Action<T> {
        let Ok(loaded) = loaded else {
            return self.end(Outcome::StoreFailed(Some(claimed.known)));
        };
        let Some(known) = loaded else { return self.end(Outcome::Absent) };
        let head = &known.head;
        let has_newer = head.login != claimed.known.head.login || head.generation != claimed.known.head.generation;
        let was_taken_over = head.revision != claimed.known.head.revision;
        if has_newer || (was_taken_over && self.rejections < 2) {
            // Whoever has taken over may have newer tokens soon; but two who take over from each other end here.
            return self.consider(known, now);
        }
        if looks_left > 0 {
            return self.go(Stage::WaitingToDoubt { claimed, code }, Action::Wait(self.times.second_look));
        }
        let expect = Expect::Revision(known.head.revision);
        let mut marked = known;
        let (generation, is_dead) = (marked.head.generation, (now.need)(&marked.tokens) == Need::Dead);
        marked.head.hold = Some(Hold::Rejected { generation, code, at: Some(now.wall), is_dead });
        marked.head.revision = now.fresh;
        marked.head.claim = None;
        // Nothing keeps it alive any more.
        marked.head.due = None;
        self.go(Stage::Rejecting { marked: marked.clone() }, Action::Save { known: marked, expect })
    }
}

fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}
