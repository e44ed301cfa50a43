//! A process that is stopped beyond its claim, while the answer to its refresh is on its way, saves what it has when nobody
//! has newer, and drops it otherwise.

use webex_oauth::Rotation;

use super::gate::{Gate, Held, Place};
use super::process::Process;
use super::worker::{Answer, Order, Word, name_of, work_if_told};
use super::world::{Kept, LEASE, LIFE, World};

const BOTH: [Rotation; 2] = [Rotation::Lenient, Rotation::Strict];

/// One user, whose token has ended, and a process that was stopped while it fetched another.
struct Scene {
    story: &'static str,
    stopped: Process,
    held: Option<Held>,
    gate: Gate,
    world: World,
}

impl Scene {
    /// The stopped process has sent its request. Its claim has lapsed since.
    fn new(story: &'static str, rotation: Rotation, place: Place) -> Self {
        let world = World::new(1, rotation);
        let gate = Gate::before(&world.mock);
        world.clock.advance(LIFE);
        let held = gate.hold(place);
        let mut task = world.task("the process that is stopped");
        task.server = gate.uri();
        let mut stopped = Process::start(story, &task);
        stopped.tell(&Order::Ask(0));
        held.wait();
        stopped.stop();
        assert!(world.kept(0).unwrap().has_marks, "it has not claimed what it refreshes");
        world.clock.advance(LEASE);
        Self { story, stopped, held: Some(held), gate, world }
    }

    /// The answer comes while it is stopped.
    fn answered(story: &'static str, rotation: Rotation) -> Self {
        let mut scene = Self::new(story, rotation, Place::Answer);
        scene.release();
        scene
    }

    fn release(&mut self) {
        self.held.take().unwrap().release();
    }

    /// Another process, which has all the time that it needs while the first stands still.
    fn other(&self) -> Process {
        let mut task = self.world.task("the other process");
        (task.server, task.is_alone) = (self.gate.uri(), true);
        Process::start(self.story, &task)
    }

    /// Lets the stopped process go on; says what it hands out first, and what when all is done.
    fn go_on(&mut self) -> (Answer, Answer) {
        self.stopped.go_on();
        asked(&mut self.stopped)
    }

    fn kept(&self) -> Kept {
        self.world.kept(0).unwrap()
    }

    fn refreshes(&self) -> usize {
        self.world.mock.refreshes_for(&self.world.users[0])
    }

    /// The one token that the store has and that everybody hands out.
    fn assert_kept(&self, answer: &Answer, generation: u64) {
        let kept = self.kept();
        assert_eq!(*answer, Answer::Token(kept.tokens.access_token().expose().to_owned()));
        assert!(kept.generation == generation && !kept.has_marks, "{kept:?}");
        assert!(self.world.is_refreshable(&kept) && self.world.is_living(kept.tokens.access_token().expose()));
    }

    /// The login goes on as if nothing had happened.
    fn assert_goes_on(&self) {
        let before = self.kept().generation;
        self.world.clock.advance(LIFE);
        let mut next = self.other();
        let (first, _) = ask(&mut next);
        self.assert_kept(&first, before + 1);
    }
}

fn ask(process: &mut Process) -> (Answer, Answer) {
    process.tell(&Order::Ask(0));
    asked(process)
}

fn asked(process: &mut Process) -> (Answer, Answer) {
    let Word::Asked { mut first, mut then } = process.hear("it was asked for a token") else { panic!("no answer") };
    (first.remove(0), then.remove(0))
}

#[test]
fn stopped_process_saves_tokens_without_takeover() {
    work_if_told();
    for rotation in BOTH {
        let mut scene = Scene::answered(name_of(stopped_process_saves_tokens_without_takeover), rotation);

        let (first, then) = scene.go_on();

        assert_eq!(first, then);
        scene.assert_kept(&first, 1);
        assert_eq!(scene.refreshes(), 1);
        scene.assert_goes_on();
    }
}

#[test]
fn stopped_process_saves_tokens_over_backoff_of_other_process() {
    work_if_told();
    for rotation in BOTH {
        let story = name_of(stopped_process_saves_tokens_over_backoff_of_other_process);
        let mut scene = Scene::answered(story, rotation);
        scene.gate.be_busy(true);
        let (put_off, _) = ask(&mut scene.other());
        assert!(matches!(put_off, Answer::Later(_)), "{put_off:?}");
        let marked = scene.kept();
        assert!(marked.has_marks && marked.generation == 0, "{marked:?}");
        scene.gate.be_busy(false);

        let (first, then) = scene.go_on();

        assert_eq!(first, then);
        scene.assert_kept(&first, 1);
        assert_eq!(scene.refreshes(), 1);
        scene.assert_goes_on();
    }
}

#[test]
fn stopped_process_uses_tokens_refreshed_by_other_process() {
    work_if_told();
    let story = name_of(stopped_process_uses_tokens_refreshed_by_other_process);
    let mut scene = Scene::answered(story, Rotation::Lenient);
    let (others, _) = ask(&mut scene.other());
    scene.assert_kept(&others, 1);

    let (first, then) = scene.go_on();

    let Answer::Token(first) = first else { panic!("{first:?}") };
    assert!(scene.world.is_living(&first), "Webex gave it a token as well, which it may have handed out");
    assert_eq!(then, others);
    scene.assert_kept(&others, 1);
    assert_eq!(scene.refreshes(), 2);
    scene.assert_goes_on();
}

#[test]
fn stopped_process_restores_session_rejected_in_other_process() {
    work_if_told();
    let story = name_of(stopped_process_restores_session_rejected_in_other_process);
    let mut scene = Scene::answered(story, Rotation::Strict);
    let mut other = scene.other();
    let (dead, _) = ask(&mut other);
    assert!(matches!(&dead, Answer::Dead { was_interrupted: true, .. }), "{dead:?}");
    assert!(!scene.world.is_refreshable(&scene.kept()));

    let (first, then) = scene.go_on();

    assert_eq!(first, then);
    scene.assert_kept(&first, 1);
    assert_eq!(ask(&mut other).0, first, "the other process sees it, too");
    assert_eq!(scene.refreshes(), 1);
    scene.assert_goes_on();
}

/// The request comes to the server after all that the other process did.
#[test]
fn late_request_of_stopped_process_uses_other_process_tokens() {
    work_if_told();
    for rotation in BOTH {
        let story = name_of(late_request_of_stopped_process_uses_other_process_tokens);
        let mut scene = Scene::new(story, rotation, Place::Request);
        let (others, _) = ask(&mut scene.other());
        scene.assert_kept(&others, 1);
        scene.release();

        let (first, then) = scene.go_on();

        if rotation == Rotation::Strict {
            assert_eq!(first, others, "its own request was refused");
        }
        assert_eq!(then, others);
        scene.assert_kept(&others, 1);
        scene.assert_goes_on();
    }
}

#[test]
fn stopped_process_drops_tokens_after_new_login() {
    work_if_told();
    for rotation in BOTH {
        let mut scene = Scene::answered(name_of(stopped_process_drops_tokens_after_new_login), rotation);
        let before = scene.kept();
        scene.world.log_in(0);
        let after = scene.kept();
        assert_ne!(before.login, after.login);

        let (_, then) = scene.go_on();

        scene.assert_kept(&then, 0);
        assert_eq!(scene.kept().login, after.login);
        scene.assert_goes_on();
    }
}

#[test]
fn stopped_process_drops_tokens_after_logout() {
    work_if_told();
    for rotation in BOTH {
        let story = name_of(stopped_process_drops_tokens_after_logout);
        let mut scene = Scene::answered(story, rotation);
        scene.world.log_out(0);

        let (_, then) = scene.go_on();

        assert_eq!(then, Answer::Absent);
        assert!(scene.world.kept(0).is_none());
        assert_eq!(ask(&mut scene.other()).0, Answer::Absent);
    }
}
