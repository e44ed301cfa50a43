//! What does a token at hand cost, on one thread and on two?

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
use crate::measure::{Pair, contender, race, race_in_pairs, ready, table, waited_for};
use crate::peers::{self, Yup};
use crate::webex::{self, Canned, SCOPES};

pub fn run(runtime: &Runtime, folder: &Path) {
    let answer = webex::answer(1_209_599);
    // `azure_identity` wants one field more.
    let answer = answer.replacen('{', r#"{"ext_expires_in":1209599,"#, 1);
    let endpoint = MockEndpoint::start(answer.clone(), answer, Duration::ZERO);
    let _guard = runtime.enter();
    let keys = ["jane", "bob"].map(|user| TokenKey::new("acme").and_then(|key| key.child(user)).expect("a key"));
    let webex = webex::client_over(Canned(webex::answer(1_209_599).into()));
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).expect("a manager");
    let [jane, bob] = keys
        .each_ref()
        .map(|key| runtime.block_on(async { manager.put(key, webex::tokens(&webex).await).await.expect("a session") }));
    let yup = runtime.block_on(Yup::with_a_living_token(&endpoint.url, folder));
    let google = peers::google(&endpoint.url);
    let azure = peers::azure(&endpoint.url);
    let token = webex::access_token(1);
    let floor = ArcSwap::from_pointee((AccessToken::new(&token).expect("a token"), Duration::MAX));
    let clock = SystemClock::new();

    let by_hand = || {
        let current = floor.load();
        (clock.elapsed() < current.1).then(|| current.0.clone()).expect("it lives")
    };
    // Everybody has the same token at hand; the first call of some fetches it.
    assert_eq!(by_hand().expose(), token);
    assert_eq!(ready(jane.access_token()).expect("a token").expose(), token);
    assert_eq!(ready(manager.access_token(&keys[0])).expect("a token").expose(), token);
    assert_eq!(runtime.block_on(yup.authenticator.token(&SCOPES)).expect("a token").token(), Some(&*token));
    assert_eq!(runtime.block_on(google.access_token()).expect("a token").token, token);
    assert_eq!(runtime.block_on(azure.get_token(&SCOPES, None)).expect("a token").token.secret(), token);
    let fetched = endpoint.answered();

    let rows = race(vec![
        contender("by hand: ArcSwap, one clock", by_hand),
        contender("webex-oauth, a session", || ready(jane.access_token())),
        contender("webex-oauth, by key", || ready(manager.access_token(&keys[0]))),
        contender("google-cloud-auth", || ready(google.access_token())),
        contender("azure_identity", || ready(azure.get_token(&SCOPES, None))),
        contender("yup-oauth2", || ready(yup.authenticator.token(&SCOPES))),
    ]);
    table("A token at hand, one thread", &rows);

    let hand = || drop(black_box(by_hand()));
    let of_jane = || drop(black_box(waited_for(jane.access_token())));
    let of_bob = || drop(black_box(waited_for(bob.access_token())));
    let by_jane = || drop(black_box(waited_for(manager.access_token(&keys[0]))));
    let by_bob = || drop(black_box(waited_for(manager.access_token(&keys[1]))));
    let googles = || drop(black_box(waited_for(google.access_token())));
    let azures = || drop(black_box(waited_for(azure.get_token(&SCOPES, None))));
    let yups = || drop(black_box(waited_for(yup.authenticator.token(&SCOPES))));
    let rows = race_in_pairs(
        5_000,
        &[
            Pair { name: "by hand, one ArcSwap", first: &hand, second: &hand },
            Pair { name: "webex-oauth, two sessions", first: &of_jane, second: &of_bob },
            Pair { name: "webex-oauth, one session", first: &of_jane, second: &of_jane },
            Pair { name: "webex-oauth, by two keys", first: &by_jane, second: &by_bob },
            Pair { name: "webex-oauth, by one key", first: &by_jane, second: &by_jane },
            Pair { name: "google-cloud-auth", first: &googles, second: &googles },
            Pair { name: "azure_identity", first: &azures, second: &azures },
            Pair { name: "yup-oauth2", first: &yups, second: &yups },
        ],
    );
    table("A token at hand, two threads at once", &rows);
    assert_eq!(endpoint.answered(), fetched, "nobody fetched another");
}
