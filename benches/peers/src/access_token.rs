//! What does a cached token cost, on one thread and on two?

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use arc_swap::ArcSwap;
use azure_core::credentials::TokenCredential as _;
use tokio::runtime::Runtime;
use webex_oauth::clock::{Clock as _, SystemClock};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::{AccessToken, TokenManager};

use crate::endpoint::MockEndpoint;
use crate::measure::{Contender, ThreadPair, block_on, measure, measure_on_two_threads, poll_ready, print_table};
use crate::peers::{self, Yup};
use crate::webex::{self, ConstantTransport, SCOPES};

pub fn run(runtime: &Runtime, folder: &Path) {
    let response = webex::token_response(1_209_599);
    // `azure_identity` requires an additional field.
    let response = response.replacen('{', r#"{"ext_expires_in":1209599,"#, 1);
    let endpoint = MockEndpoint::start(response.clone(), response, Duration::ZERO);
    let _guard = runtime.enter();
    let keys = ["jane", "bob"].map(|user| TokenKey::new("acme").and_then(|key| key.child(user)).expect("a key"));
    let webex = webex::client_over(ConstantTransport(webex::token_response(1_209_599).into()));
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).expect("a manager");
    let [jane, bob] = keys
        .each_ref()
        .map(|key| runtime.block_on(async { manager.put(key, webex::tokens(&webex).await).await.expect("a session") }));
    let yup = runtime.block_on(Yup::with_valid_token(&endpoint.url, folder));
    let google = peers::google(&endpoint.url);
    let azure = peers::azure(&endpoint.url);
    let token = webex::access_token(1);
    let floor = ArcSwap::from_pointee((AccessToken::new(&token).expect("a token"), Duration::MAX));
    let clock = SystemClock::new();

    let hand_written = || {
        let current = floor.load();
        (clock.elapsed() < current.1).then(|| current.0.clone()).expect("the token is valid")
    };
    // All contenders have the same token cached. The first call of some fetches it.
    assert_eq!(hand_written().expose(), token);
    assert_eq!(poll_ready(jane.access_token()).expect("a token").expose(), token);
    assert_eq!(poll_ready(manager.access_token(&keys[0])).expect("a token").expose(), token);
    assert_eq!(runtime.block_on(yup.authenticator.token(&SCOPES)).expect("a token").token(), Some(&*token));
    assert_eq!(runtime.block_on(google.access_token()).expect("a token").token, token);
    assert_eq!(runtime.block_on(azure.get_token(&SCOPES, None)).expect("a token").token.secret(), token);
    let requests = endpoint.request_count();

    let rows = measure(vec![
        Contender::new("hand-written: ArcSwap, one clock", hand_written),
        Contender::new("webex-oauth, a session", || poll_ready(jane.access_token())),
        Contender::new("webex-oauth, by key", || poll_ready(manager.access_token(&keys[0]))),
        Contender::new("google-cloud-auth", || poll_ready(google.access_token())),
        Contender::new("azure_identity", || poll_ready(azure.get_token(&SCOPES, None))),
        Contender::new("yup-oauth2", || poll_ready(yup.authenticator.token(&SCOPES))),
    ]);
    print_table("A cached token, one thread", &rows);

    let hand_written = || drop(black_box(hand_written()));
    let jane_session = || drop(black_box(block_on(jane.access_token())));
    let bob_session = || drop(black_box(block_on(bob.access_token())));
    let jane_key = || drop(black_box(block_on(manager.access_token(&keys[0]))));
    let bob_key = || drop(black_box(block_on(manager.access_token(&keys[1]))));
    let google_cloud_auth = || drop(black_box(block_on(google.access_token())));
    let azure_identity = || drop(black_box(block_on(azure.get_token(&SCOPES, None))));
    let yup_oauth2 = || drop(black_box(block_on(yup.authenticator.token(&SCOPES))));
    let rows = measure_on_two_threads(
        5_000,
        &[
            ThreadPair { name: "hand-written, one ArcSwap", first: &hand_written, second: &hand_written },
            ThreadPair { name: "webex-oauth, two sessions", first: &jane_session, second: &bob_session },
            ThreadPair { name: "webex-oauth, one session", first: &jane_session, second: &jane_session },
            ThreadPair { name: "webex-oauth, by two keys", first: &jane_key, second: &bob_key },
            ThreadPair { name: "webex-oauth, by one key", first: &jane_key, second: &jane_key },
            ThreadPair { name: "google-cloud-auth", first: &google_cloud_auth, second: &google_cloud_auth },
            ThreadPair { name: "azure_identity", first: &azure_identity, second: &azure_identity },
            ThreadPair { name: "yup-oauth2", first: &yup_oauth2, second: &yup_oauth2 },
        ],
    );
    print_table("A cached token, two threads concurrently", &rows);
    assert_eq!(endpoint.request_count(), requests, "no further token request");
}
