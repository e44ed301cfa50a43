//! A worker process, which executes the commands of a test.

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use webex_oauth::store::{FileStore, TokenKey, TokenStore as _};
use webex_oauth::{Error, ErrorKind, Rotation, Service, Session, SessionState, TokenManager, WebexOAuth};

use super::fixture::{SERVICE, TOKEN_LIFETIME_WITH_SKEW};
use super::shared_clock::SharedClock;
use super::worker_process::MESSAGE_PREFIX;

/// The environment variable that contains the [`Task`] of a process.
pub(super) const TASK_VARIABLE: &str = "WEBEX_OAUTH_TEST_TASK";

/// The configuration of a process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) clock: PathBuf,
    /// The number of seconds by which its wall clock is wrong.
    pub(super) skew: i64,
    /// `true` if no other process runs, so that it never waits.
    pub(super) is_alone: bool,
    pub(super) server: String,
    pub(super) rotates: bool,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) keys: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WorkerCommand {
    /// Request the tokens of all keys, beginning with this one, and again after all tasks ended.
    RequestTokens(usize),
    /// Remove the sessions of all keys.
    RemoveSessions,
    /// Request the tokens of all keys, and again whenever they have expired, forever.
    RefreshContinuously,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WorkerMessage {
    Tokens {
        first: Vec<TokenOutcome>,
        then: Vec<TokenOutcome>,
    },
    SessionsRemoved,
    /// The stored generation of each key.
    Generations(Vec<u64>),
}

/// The result of a token request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TokenOutcome {
    Token(String),
    Absent,
    LoginRequired { error: String, was_interrupted: bool },
    Retryable(String),
    Failed(String),
}

/// Returns the name of a test, as used by the test executable.
pub(super) fn test_name<F>(_: F) -> &'static str {
    std::any::type_name::<F>().split_once("::").unwrap().1
}

/// Runs the worker and does not return, or returns immediately if this process is the test itself.
pub(super) fn run_worker_if_requested() {
    let Some(task) = std::env::var_os(TASK_VARIABLE) else { return };
    let task: Task = serde_json::from_str(task.to_str().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(Worker::new(&task).run(receive_commands()));
    std::process::exit(0)
}

/// Reads the commands of the test. At the end of the input, the process exits immediately.
fn receive_commands() -> UnboundedReceiver<WorkerCommand> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let _ = sender.send(serde_json::from_str(&line.unwrap()).unwrap());
        }
        std::process::exit(0)
    });
    receiver
}

fn send_message(word: &WorkerMessage) {
    let line = format!("\n{MESSAGE_PREFIX}{}\n", serde_json::to_string(word).unwrap());
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
        let clock = SharedClock::new(&task.clock).with_skew(task.skew);
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

    async fn run(&self, mut orders: UnboundedReceiver<WorkerCommand>) {
        while let Some(order) = orders.recv().await {
            match order {
                WorkerCommand::RequestTokens(begin) => {
                    let first = self.request_tokens(&self.keys, begin).await;
                    let then = self.request_tokens(&self.keys, begin).await;
                    send_message(&WorkerMessage::Tokens { first, then });
                }
                WorkerCommand::RemoveSessions => {
                    for key in &self.keys {
                        self.manager.remove(key).await.unwrap();
                    }
                    send_message(&WorkerMessage::SessionsRemoved);
                }
                WorkerCommand::RefreshContinuously => self.refresh_continuously().await,
            }
        }
    }

    async fn refresh_continuously(&self) {
        let first = self.request_tokens(&self.keys, 0).await;
        let keys = self.keys.iter().zip(&first).filter(|(_, response)| matches!(response, TokenOutcome::Token(_)));
        let keys: Vec<_> = keys.map(|(key, _)| key.clone()).collect();
        send_message(&WorkerMessage::Tokens { first, then: Vec::new() });
        loop {
            send_message(&WorkerMessage::Generations(self.generations().await));
            self.clock.advance(TOKEN_LIFETIME_WITH_SKEW);
            let answers = self.request_tokens(&keys, 0).await;
            if !answers.iter().all(|response| matches!(response, TokenOutcome::Token(_))) {
                send_message(&WorkerMessage::Tokens { first: answers, then: Vec::new() });
            }
        }
    }

    /// Requests the tokens of these keys at once, and waits until all tasks have completed.
    async fn request_tokens(&self, keys: &[TokenKey], begin: usize) -> Vec<TokenOutcome> {
        let mut requested = Vec::new();
        for number in 0..keys.len() {
            let number = (begin + number) % keys.len();
            let session = self.manager.session(&keys[number]);
            requested.push((number, tokio::spawn(async move { request_token(&session).await })));
        }
        let mut answers = Vec::new();
        for (number, requested) in requested {
            answers.push((number, requested.await.unwrap()));
        }
        self.manager.wait_idle().await.unwrap();
        answers.sort_by_key(|(number, _)| *number);
        answers.into_iter().map(|(_, response)| response).collect()
    }

    async fn generations(&self) -> Vec<u64> {
        let mut generations = Vec::new();
        for key in &self.keys {
            generations.push(self.store.load(key).await.unwrap().unwrap().head.generation());
        }
        generations
    }
}

async fn request_token(session: &Session) -> TokenOutcome {
    let error = match session.access_token().await {
        Ok(token) => return TokenOutcome::Token(token.expose().to_owned()),
        Err(error) => error,
    };
    if error.is_retryable() {
        return TokenOutcome::Retryable(causes(&error));
    }
    if !error.is_login_required() {
        return TokenOutcome::Failed(causes(&error));
    }
    if error.kind() == ErrorKind::SessionNotFound {
        return TokenOutcome::Absent;
    }
    match session.status().await.unwrap().map(|status| status.state) {
        Some(SessionState::LoginRequired { was_interrupted, .. }) => {
            TokenOutcome::LoginRequired { error: error.to_string(), was_interrupted }
        }
        other => TokenOutcome::Failed(format!("{error}, but {other:?}")),
    }
}

fn causes(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
