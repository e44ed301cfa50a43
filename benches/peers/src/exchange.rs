//! What does it cost to exchange a code and to refresh, over HTTP on this machine? One of each in turn, so that all share
//! what disturbs the machine, and the ratio is the median of the ratios of each turn.

use std::time::{Duration, Instant};

use oauth2::{AuthorizationCode, EmptyExtraTokenFields, PkceCodeVerifier, TokenResponse as _};
use webex_oauth::WebexOAuth;

use crate::counting::allocations;
use crate::endpoint::MockEndpoint;
use crate::measure::{median, shown};
use crate::peers::{self, OAuth2, OpenId, Yup};
use crate::token_response::{Derived, form};
use crate::webex::{self, REDIRECT_URI, SCOPES};

const TURNS: usize = 3000;
/// Everybody comes after everybody else equally often: a row, and its reverse in turn with it (E. J. Williams, 1949).
const ORDERS: [[usize; 5]; 10] = [
    [0, 1, 4, 2, 3],
    [1, 2, 0, 3, 4],
    [2, 3, 1, 4, 0],
    [3, 4, 2, 0, 1],
    [4, 0, 3, 1, 2],
    [3, 2, 4, 1, 0],
    [4, 3, 0, 2, 1],
    [0, 4, 1, 3, 2],
    [1, 0, 2, 4, 3],
    [2, 1, 3, 0, 4],
];
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// What one turn of somebody took.
#[derive(Clone, Copy)]
struct Turn {
    time: Duration,
    allocations: u64,
}

pub async fn run() {
    let answer = webex::answer(1_209_599);
    let endpoint = MockEndpoint::start(answer.clone(), answer, Duration::ZERO);
    let url = format!("{}/access_token", endpoint.url);
    let webex = webex::client(&endpoint.url);
    let oauth2 = peers::oauth2::<EmptyExtraTokenFields>(&endpoint.url);
    let openid = peers::openidconnect(&endpoint.url);
    let bare = reqwest::Client::builder().no_proxy().build().expect("a client");
    let older = oauth2::reqwest::Client::builder().no_proxy().build().expect("a client");
    let yup = Yup::with_an_ended_token(&url).await;

    let mut turns: [Vec<Turn>; 5] = Default::default();
    for number in 0..TURNS * turns.len() {
        // In all orders: what one leaves in the caches is its successor's gain.
        let who = ORDERS[number / turns.len() % ORDERS.len()][number % turns.len()];
        let code = webex::code(&webex);
        let done = match who {
            0 => turn(by_hand(&bare, &url)).await,
            1 => turn(ours(&webex, code)).await,
            2 => turn(theirs(&oauth2, &older)).await,
            3 => turn(openids(&openid, &older)).await,
            _ => turn(yups(&yup)).await,
        };
        turns[who].push(done);
    }
    assert_eq!(endpoint.answered(), TURNS * 2 * turns.len());
    print(&turns);
}

async fn turn(work: impl Future<Output = usize>) -> Turn {
    let (before, begun) = (allocations(), Instant::now());
    let length = work.await;
    let turn = Turn { time: begun.elapsed(), allocations: allocations() - before };
    assert_eq!(length, webex::access_token(1).len());
    turn
}

async fn ours(webex: &WebexOAuth, code: webex_oauth::AuthorizationCode) -> usize {
    let tokens = webex.exchange(code).await.expect("a login").into_tokens();
    webex.refresh(&tokens).await.expect("tokens").access_token().expose().len()
}

async fn theirs(oauth2: &OAuth2<EmptyExtraTokenFields>, client: &oauth2::reqwest::Client) -> usize {
    let request = oauth2.exchange_code(AuthorizationCode::new("NzJkNmZkNjItMTYwMy00".to_owned()));
    let request = request.set_pkce_verifier(PkceCodeVerifier::new(VERIFIER.to_owned()));
    let tokens = request.request_async(client).await.expect("tokens");
    let refresh_token = tokens.refresh_token().expect("one");
    let tokens = oauth2.exchange_refresh_token(refresh_token).request_async(client).await.expect("tokens");
    tokens.access_token().secret().len()
}

async fn openids(openid: &OpenId, client: &oauth2::reqwest::Client) -> usize {
    let request = openid.exchange_code(AuthorizationCode::new("NzJkNmZkNjItMTYwMy00".to_owned()));
    let request = request.set_pkce_verifier(PkceCodeVerifier::new(VERIFIER.to_owned()));
    let tokens = request.request_async(client).await.expect("tokens");
    let refresh_token = tokens.refresh_token().expect("one");
    let tokens = openid.exchange_refresh_token(refresh_token).request_async(client).await.expect("tokens");
    tokens.access_token().secret().len()
}

async fn yups(yup: &Yup) -> usize {
    let mut length = 0;
    for _ in 0..2 {
        let token = yup.authenticator.force_refreshed_token(&SCOPES).await.expect("a token");
        length = token.token().expect("a token").len();
    }
    length
}

async fn by_hand(client: &reqwest::Client, url: &str) -> usize {
    let code = form(&[
        ("grant_type", "authorization_code"),
        ("code", "NzJkNmZkNjItMTYwMy00"),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ]);
    let tokens = send(client, url, code).await;
    let refresh_token = tokens.refresh_token.expect("one");
    let refresh = form(&[("grant_type", "refresh_token"), ("refresh_token", &refresh_token)]);
    send(client, url, refresh).await.access_token.len()
}

async fn send(client: &reqwest::Client, url: &str, form: String) -> Derived {
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer = request.send().await.expect("an answer").bytes().await.expect("a body");
    serde_json::from_slice(&answer).expect("tokens")
}

fn print(turns: &[Vec<Turn>; 5]) {
    println!("\n## A code exchanged and tokens refreshed, over HTTP on this machine: {TURNS} turns of each\n");
    println!("| | both requests | of bare reqwest, paired | allocations a request |\n|---|---:|---:|---:|");
    let names = [
        "bare reqwest",
        "webex-oauth",
        "oauth2 over its own reqwest",
        "openidconnect over the same",
        "yup-oauth2, two refreshes",
    ];
    for (name, own) in names.iter().zip(turns) {
        let time = median(own.iter().map(|turn| turn.time).collect());
        let paired = own.iter().zip(&turns[0]).map(|(own, bare)| own.time.as_secs_f64() / bare.time.as_secs_f64());
        let allocations = median(own.iter().map(|turn| turn.allocations).collect());
        println!("| {name} | {} | {:.2} | {:.1} |", shown(time), median(paired.collect()), allocations as f64 / 2.0);
    }
}
