//! Ten thousand concurrent callers, an expired token, and an endpoint that takes 50 ms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use azure_core::credentials::TokenCredential as _;
use webex_oauth::TokenManager;
use webex_oauth::store::{MemoryStore, TokenKey};

use crate::endpoint::MockEndpoint;
use crate::measure::{format_duration, median};
use crate::peers::{self, Yup};
use crate::webex::{self, SCOPES};

const CALLERS: usize = 10_000;
const ROUNDS: usize = 9;
const DELAY: Duration = Duration::from_millis(50);

/// The result of one round.
#[derive(Clone, Copy)]
struct Round {
    time: Duration,
    requests: usize,
    failures: usize,
}

pub fn run() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let refresh_response = webex::token_response(1_209_599).replacen('{', r#"{"ext_expires_in":1209599,"#, 1);
        let endpoint = MockEndpoint::start(webex::token_response(0), refresh_response, DELAY);
        let url = format!("{}/access_token", endpoint.url);
        let webex = webex::client(&endpoint.url);
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).expect("a manager");
        let key = TokenKey::new("jane").expect("a key");
        let expired = webex::tokens(&webex).await;
        let bare = reqwest::Client::builder().no_proxy().build().expect("a client");

        let mut rounds: [Vec<Round>; 6] = Default::default();
        for _ in 0..ROUNDS {
            rounds[0].push(round(&endpoint, 1, || send_request(bare.clone(), url.clone())).await);
            let shared = Arc::new(tokio::sync::OnceCell::new());
            rounds[1].push(
                round(&endpoint, CALLERS, || {
                    let (shared, bare, url) = (Arc::clone(&shared), bare.clone(), url.clone());
                    async move { *shared.get_or_init(|| send_request(bare, url)).await }
                })
                .await,
            );
            let session = manager.put(&key, expired.clone()).await.expect("a session");
            rounds[2].push(
                round(&endpoint, CALLERS, || {
                    let session = session.clone();
                    async move { session.access_token().await.is_ok_and(|token| !token.expose().is_empty()) }
                })
                .await,
            );
            let google = peers::google(&url);
            rounds[3].push(
                round(&endpoint, CALLERS, || {
                    let google = google.clone();
                    async move { google.access_token().await.is_ok() }
                })
                .await,
            );
            let azure = peers::azure(&url);
            rounds[4].push(
                round(&endpoint, CALLERS, || {
                    let azure = Arc::clone(&azure);
                    async move { azure.get_token(&SCOPES, None).await.is_ok() }
                })
                .await,
            );
            let yup = Arc::new(Yup::with_expired_token(&url).await);
            rounds[5].push(
                round(&endpoint, CALLERS, || {
                    let yup = Arc::clone(&yup);
                    async move { yup.authenticator.token(&SCOPES).await.is_ok() }
                })
                .await,
            );
        }
        assert!(
            rounds[2].iter().all(|round| (round.requests, round.failures) == (1, 0)),
            "one refresh, and no caller fails"
        );
        print_table(&rounds);
    });
}

async fn send_request(client: reqwest::Client, url: String) -> bool {
    let response = client.post(url).body("grant_type=refresh_token").send().await;
    response.is_ok_and(|response| response.status().is_success())
}

async fn round<F>(endpoint: &MockEndpoint, callers: usize, call: impl Fn() -> F) -> Round
where
    F: Future<Output = bool> + Send + 'static,
{
    let before = endpoint.request_count();
    let start = Instant::now();
    let callers: Vec<_> = (0..callers).map(|_| tokio::spawn(call())).collect();
    let mut failures = 0;
    for caller in callers {
        failures += usize::from(!caller.await.unwrap_or(false));
    }
    Round { time: start.elapsed(), requests: endpoint.request_count() - before, failures }
}

fn print_table(rounds: &[Vec<Round>; 6]) {
    println!("\n## {CALLERS} callers, no valid token, an endpoint that takes {DELAY:?}: {ROUNDS} rounds of each\n");
    println!("| | time | relative to one request | requests | failed callers |\n|---|---:|---:|---:|---:|");
    let names = [
        "one caller, one request with bare reqwest",
        "hand-written: a `OnceCell` and bare reqwest",
        "webex-oauth, a session with an expired token",
        "google-cloud-auth, new",
        "azure_identity, new",
        "yup-oauth2, an expired token",
    ];
    let median_time = |rounds: &[Round]| median(rounds.iter().map(|round| round.time).collect());
    let floor = median_time(&rounds[0]);
    for (name, rounds) in names.iter().zip(rounds) {
        let time = median_time(rounds);
        let ratio = time.as_secs_f64() / floor.as_secs_f64();
        let requests = median(rounds.iter().map(|round| round.requests).collect());
        let failures = median(rounds.iter().map(|round| round.failures).collect());
        println!("| {name} | {} | {ratio:.2} | {requests} | {failures} |", format_duration(time));
    }
}
