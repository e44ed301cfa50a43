//! What a process does that a story has started.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use webex_oauth::store::{FileStore, TokenKey, TokenStore as _};
use webex_oauth::{Error, ErrorKind, Rotation, Service, Session, SessionState, TokenManager, WebexOAuth};

use super::clock::SharedClock;
use super::process::MARK;
use super::world::{LIFE, SERVICE};

/// Where a process finds its [`Task`].
pub(super) const TASK: &str = "WEBEX_OAUTH_TEST_TASK";

/// All that a process is told when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) clock: PathBuf,
    /// By how many seconds its wall clock is wrong.
    pub(super) skew: i64,
    /// Whether no other process runs, so that nobody has to wait.
    pub(super) is_alone: bool,
    pub(super) server: String,
    pub(super) rotates: bool,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) keys: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Ask for the tokens of all keys at once, beginning with this one; and again when all is done.
    Ask(usize),
    /// End the logins of all keys.
    Forget,
    /// Ask for the tokens of all keys, and again whenever they have ended, without end.
    Live,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    Asked {
        first: Vec<Answer>,
        then: Vec<Answer>,
    },
    Forgotten,
    /// What the store has of each key.
    Saved(Vec<u64>),
}

/// What came of asking for a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Token(String),
    Absent,
    Dead { error: String, was_interrupted: bool },
    Later(String),
    Failed(String),
}

/// The name by which the test program knows a story.
pub(super) fn name_of<F>(_: F) -> &'static str {
    std::any::type_name::<F>().split_once("::").unwrap().1
}

/// Does what a story wants of this process, and does not return; returns at once where this is the story itself.
pub(super) fn work_if_told() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let task: Task = serde_json::from_str(task.to_str().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(Worker::new(&task).work(orders()));
    std::process::exit(0)
}

/// What the story says. When it is over, so is this process, whatever it is at.
fn orders() -> UnboundedReceiver<Order> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let _ = sender.send(serde_json::from_str(&line.unwrap()).unwrap());
        }
        std::process::exit(0)
    });
    receiver
}

fn say(word: &Word) {
    let line = format!("\n{MARK}{}\n", serde_json::to_string(word).unwrap());
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes()).unwrap();
    output.flush().unwrap();
}

struct Worker {
    clock: SharedClock,
    store: FileStore,
    manager: TokenManager,
    keys: Vec<TokenKey>,
}

impl Worker {
    fn new(task: &Task) -> Self {
        let clock = SharedClock::new(&task.clock).wrong_by(task.skew);
        let clock = if task.is_alone { clock.auto_advance() } else { clock };
        let rotation = if task.rotates { Rotation::Strict } else { Rotation::Lenient };
        let webex = WebexOAuth::builder()
            .service(Service::webex().with_base_url(&task.server).with_id(SERVICE).with_rotation(rotation))
            .client_id(&task.client_id)
            .client_secret(task.client_secret.as_str())
            .clock(clock.clone())
            .build()
            .unwrap();
        let store = FileStore::open(&task.folder).unwrap();
        let manager = TokenManager::new(webex, store.clone()).unwrap();
        let key = |(tenant, user): &(String, String)| TokenKey::new(tenant).unwrap().child(user).unwrap();
        Self { clock, store, manager, keys: task.keys.iter().map(key).collect() }
    }

    async fn work(&self, mut orders: UnboundedReceiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Ask(begin) => {
                    let first = self.ask(&self.keys, begin).await;
                    let then = self.ask(&self.keys, begin).await;
                    say(&Word::Asked { first, then });
                }
                Order::Forget => {
                    for key in &self.keys {
                        self.manager.remove(key).await.unwrap();
                    }
                    say(&Word::Forgotten);
                }
                Order::Live => self.live().await,
            }
        }
    }

    async fn live(&self) {
        let first = self.ask(&self.keys, 0).await;
        let keys = self.keys.iter().zip(&first).filter(|(_, answer)| matches!(answer, Answer::Token(_)));
        let keys: Vec<_> = keys.map(|(key, _)| key.clone()).collect();
        say(&Word::Asked { first, then: Vec::new() });
        loop {
            say(&Word::Saved(self.generations().await));
            self.clock.advance(LIFE);
            let answers = self.ask(&keys, 0).await;
            if !answers.iter().all(|answer| matches!(answer, Answer::Token(_))) {
                say(&Word::Asked { first: answers, then: Vec::new() });
            }
        }
    }

    /// Asks for the tokens of these keys at once, and waits until nothing is left to do.
    async fn ask(&self, keys: &[TokenKey], begin: usize) -> Vec<Answer> {
        let mut asked = Vec::new();
        for number in 0..keys.len() {
            let number = (begin + number) % keys.len();
            let session = self.manager.session(&keys[number]);
            asked.push((number, tokio::spawn(async move { answer(&session).await })));
        }
        let mut answers = Vec::new();
        for (number, asked) in asked {
            answers.push((number, asked.await.unwrap()));
        }
        self.manager.wait_idle().await.unwrap();
        answers.sort_by_key(|(number, _)| *number);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    async fn generations(&self) -> Vec<u64> {
        let mut generations = Vec::new();
        for key in &self.keys {
            generations.push(self.store.load(key).await.unwrap().unwrap().head.generation());
        }
        generations
    }
}

async fn answer(session: &Session) -> Answer {
    let error = match session.access_token().await {
        Ok(token) => return Answer::Token(token.expose().to_owned()),
        Err(error) => error,
    };
    if error.is_retryable() {
        return Answer::Later(causes(&error));
    }
    if !error.is_login_required() {
        return Answer::Failed(causes(&error));
    }
    if error.kind() == ErrorKind::SessionNotFound {
        return Answer::Absent;
    }
    match session.status().await.unwrap().map(|status| status.state) {
        Some(SessionState::LoginRequired { was_interrupted, .. }) => {
            Answer::Dead { error: error.to_string(), was_interrupted }
        }
        other => Answer::Failed(format!("{error}, but {other:?}")),
    }
}

fn causes(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
