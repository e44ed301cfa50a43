//! Other processes notice a logout or a new login: within half a minute if they are in use, and
//! immediately if they were idle.

use std::time::Duration;

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{Callback, Rotation, TokenManager, TokenSet};

use super::fixture::Fixture;
use super::worker::{TokenOutcome, WorkerCommand, WorkerMessage, run_worker_if_requested, test_name};
use super::worker_process::WorkerProcess;

/// The time for which a token is served before it is compared with the store.
const REVALIDATION_INTERVAL: Duration = Duration::from_secs(30);
/// The idle time after which the next caller waits for the store.
const MAX_STALENESS: Duration = Duration::from_secs(5 * 60);

async fn log_in(mock: &MockWebex) -> TokenSet {
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap().into_tokens()
}

#[tokio::test]
async fn manager_detects_remote_removal_and_replacement_within_30_s() {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let (store, key) = (MemoryStore::new(), TokenKey::new("jane").unwrap());
    let [here, there] = [(); 2].map(|()| TokenManager::new(mock.client(), store.clone()).unwrap());
    let session = here.put(&key, log_in(&mock).await).await.unwrap();
    let old = session.access_token().await.unwrap();

    let newer = there.put(&key, log_in(&mock).await).await.unwrap().access_token().await.unwrap();
    assert_eq!(session.access_token().await.unwrap(), old, "it serves without asking the store");
    clock.advance(REVALIDATION_INTERVAL);
    assert_eq!(session.access_token().await.unwrap(), old, "the cached token is served and checked");
    here.wait_idle().await.unwrap();
    assert_eq!(session.access_token().await.unwrap(), newer);

    there.remove(&key).await.unwrap();
    clock.advance(REVALIDATION_INTERVAL - Duration::from_secs(1));
    assert_eq!(session.access_token().await.unwrap(), newer);
    clock.advance(Duration::from_secs(1));
    assert_eq!(session.access_token().await.unwrap(), newer, "the cached token is served and checked");
    here.wait_idle().await.unwrap();
    assert!(session.access_token().await.unwrap_err().is_login_required());

    let session = here.put(&key, log_in(&mock).await).await.unwrap();
    there.remove(&key).await.unwrap();
    clock.advance(MAX_STALENESS);
    assert!(session.access_token().await.unwrap_err().is_login_required(), "the first caller gets the error");
    assert_eq!(mock.refreshes(), 0);
}

#[test]
fn process_detects_removal_by_other_process_within_30_s() {
    run_worker_if_requested();
    let scenario = test_name(process_detects_removal_by_other_process_within_30_s);
    let environment = Fixture::new(3, Rotation::Lenient);
    let mut here = WorkerProcess::start(scenario, &environment.task("the process that serves"));
    let mut there = WorkerProcess::start(scenario, &environment.task("the process that ends the logins"));
    let mut ask = || {
        here.send_command(&WorkerCommand::RequestTokens(0));
        let WorkerMessage::Tokens { first, then } = here.receive_message("it was asked for tokens") else {
            panic!("unexpected message")
        };
        (first, then)
    };
    let (tokens, _) = ask();
    assert!(tokens.iter().all(|response| matches!(response, TokenOutcome::Token(_))), "{tokens:?}");

    there.send_command(&WorkerCommand::RemoveSessions);
    let WorkerMessage::SessionsRemoved = there.receive_message("it was told to end all logins") else {
        panic!("not ended")
    };
    environment.clock.advance(REVALIDATION_INTERVAL);

    // It serves the old token once more while it checks the store, and not again.
    let (first, then) = ask();
    assert_eq!(first, tokens);
    assert_eq!(then, [const { TokenOutcome::Absent }; 3]);
    assert_eq!(environment.mock.refreshes(), 0);
}
