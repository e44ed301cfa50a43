//! What do a code exchange and a refresh cost over HTTP on the loopback interface? The contenders take turns, so that the load of
//! the host affects all of them. The ratio is the median of the ratios of the turns.

use std::time::{Duration, Instant};

use oauth2::{AuthorizationCode, EmptyExtraTokenFields, PkceCodeVerifier, TokenResponse as _};
use webex_oauth::WebexOAuth;

use crate::allocator::allocation_count;
use crate::endpoint::MockEndpoint;
use crate::measure::{format_duration, median};
use crate::peers::{self, OAuth2, OpenId, Yup};
use crate::token_response::{DerivedResponse, form};
use crate::webex::{self, REDIRECT_URI, SCOPES};

const TURNS: usize = 3000;
/// A balanced sequence of the contenders: each follows each other one equally often (E. J. Williams, 1949).
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

/// The time and allocations of one turn.
#[derive(Clone, Copy)]
struct Turn {
    time: Duration,
    allocations: u64,
}

pub async fn run() {
    let response = webex::token_response(1_209_599);
    let endpoint = MockEndpoint::start(response.clone(), response, Duration::ZERO);
    let url = format!("{}/access_token", endpoint.url);
    let webex = webex::client(&endpoint.url);
    let oauth2 = peers::oauth2::<EmptyExtraTokenFields>(&endpoint.url);
    let openid = peers::openidconnect(&endpoint.url);
    let bare = reqwest::Client::builder().no_proxy().build().expect("a client");
    let oauth2_client = oauth2::reqwest::Client::builder().no_proxy().build().expect("a client");
    let yup = Yup::with_expired_token(&url).await;

    let mut turns: [Vec<Turn>; 5] = Default::default();
    for number in 0..TURNS * turns.len() {
        // Each contender leaves data in the caches, from which the next one benefits.
        let contender = ORDERS[number / turns.len() % ORDERS.len()][number % turns.len()];
        let code = webex::authorization_code(&webex);
        let turn = match contender {
            0 => measure_turn(hand_written(&bare, &url)).await,
            1 => measure_turn(webex_oauth(&webex, code)).await,
            2 => measure_turn(oauth2_crate(&oauth2, &oauth2_client)).await,
            3 => measure_turn(openidconnect(&openid, &oauth2_client)).await,
            _ => measure_turn(yup_oauth2(&yup)).await,
        };
        turns[contender].push(turn);
    }
    assert_eq!(endpoint.request_count(), TURNS * 2 * turns.len());
    print_table(&turns);
}

async fn measure_turn(work: impl Future<Output = usize>) -> Turn {
    let (before, start) = (allocation_count(), Instant::now());
    let length = work.await;
    let turn = Turn { time: start.elapsed(), allocations: allocation_count() - before };
    assert_eq!(length, webex::access_token(1).len());
    turn
}

async fn webex_oauth(webex: &WebexOAuth, code: webex_oauth::AuthorizationCode) -> usize {
    let tokens = webex.exchange(code).await.expect("a login").into_tokens();
    webex.refresh(&tokens).await.expect("tokens").access_token().expose().len()
}

async fn oauth2_crate(oauth2: &OAuth2<EmptyExtraTokenFields>, client: &oauth2::reqwest::Client) -> usize {
    let request = oauth2.exchange_code(AuthorizationCode::new("NzJkNmZkNjItMTYwMy00".to_owned()));
    let request = request.set_pkce_verifier(PkceCodeVerifier::new(VERIFIER.to_owned()));
    let tokens = request.request_async(client).await.expect("tokens");
    let refresh_token = tokens.refresh_token().expect("one");
    let tokens = oauth2.exchange_refresh_token(refresh_token).request_async(client).await.expect("tokens");
    tokens.access_token().secret().len()
}

async fn openidconnect(openid: &OpenId, client: &oauth2::reqwest::Client) -> usize {
    let request = openid.exchange_code(AuthorizationCode::new("NzJkNmZkNjItMTYwMy00".to_owned()));
    let request = request.set_pkce_verifier(PkceCodeVerifier::new(VERIFIER.to_owned()));
    let tokens = request.request_async(client).await.expect("tokens");
    let refresh_token = tokens.refresh_token().expect("one");
    let tokens = openid.exchange_refresh_token(refresh_token).request_async(client).await.expect("tokens");
    tokens.access_token().secret().len()
}

async fn yup_oauth2(yup: &Yup) -> usize {
    let mut length = 0;
    for _ in 0..2 {
        let token = yup.authenticator.force_refreshed_token(&SCOPES).await.expect("a token");
        length = token.token().expect("a token").len();
    }
    length
}

async fn hand_written(client: &reqwest::Client, url: &str) -> usize {
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

async fn send(client: &reqwest::Client, url: &str, form: String) -> DerivedResponse {
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
    let response = request.send().await.expect("a response").bytes().await.expect("a body");
    serde_json::from_slice(&response).expect("tokens")
}

fn print_table(turns: &[Vec<Turn>; 5]) {
    println!("\n## A code exchange and a refresh over HTTP on the loopback interface: {TURNS} turns of each\n");
    println!("| | both requests | relative to bare reqwest, paired | allocations per request |\n|---|---:|---:|---:|");
    let names = [
        "bare reqwest",
        "webex-oauth",
        "oauth2 with its own reqwest",
        "openidconnect with the same",
        "yup-oauth2, two refreshes",
    ];
    for (name, own) in names.iter().zip(turns) {
        let time = median(own.iter().map(|turn| turn.time).collect());
        let paired = own.iter().zip(&turns[0]).map(|(own, bare)| own.time.as_secs_f64() / bare.time.as_secs_f64());
        let allocations = median(own.iter().map(|turn| turn.allocations).collect());
        println!(
            "| {name} | {} | {:.2} | {:.1} |",
            format_duration(time),
            median(paired.collect()),
            allocations as f64 / 2.0
        );
    }
}
