//! What do a code exchange and a refresh cost over HTTP on the loopback interface? The floor, in the same run, is reqwest with the
//! same forms. The two take turns, and the printed ratio is the median of the ratios of the turns.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::cell::RefCell;
use std::time::{Duration, Instant};

use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::Value;
use tokio::runtime::Runtime;
use url::Url;
use webex_oauth::{AuthorizationCode, Callback, Service, WebexOAuth};

const RESPONSE: &str = r#"{"access_token":"ZDI3MGEyYzQtNmFlNS00NDNhLWFlNzAtZGVjNjE0MGU1OGZmZWNmZDEwN2ItYTU3",
    "expires_in":1209599,"refresh_token":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTEyMzQ1Njc4",
    "refresh_token_expires_in":7775998,"token_type":"Bearer","scope":"spark:all"}"#;

/// Starts a token endpoint on its own thread and returns its base URL. It runs until the process ends.
fn start_endpoint() -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            let handler = || async { ([(CONTENT_TYPE, "application/json")], RESPONSE) };
            axum::serve(listener, axum::Router::new().route("/access_token", post(handler))).await.unwrap();
        });
    });
    format!("http://{}", receiver.recv().unwrap())
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn authorization_code(webex: &WebexOAuth) -> AuthorizationCode {
    let (url, pending) = webex.authorize().begin().unwrap();
    let url = Url::from(url);
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    webex.accept(pending, Callback::parse(format!("code=abc&state={state}")).unwrap()).unwrap()
}

async fn webex_oauth(webex: &WebexOAuth, code: AuthorizationCode) -> usize {
    let tokens = webex.exchange(code).await.unwrap().into_tokens();
    webex.refresh(&tokens).await.unwrap().access_token().expose().len()
}

async fn hand_written(client: &reqwest::Client, url: &str) -> usize {
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let code = [("grant_type", "authorization_code"), ("code", "abc"), ("code_verifier", verifier)];
    let tokens = send(client, url, &code).await;
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    send(client, url, &refresh).await["access_token"].as_str().unwrap().len()
}

async fn send(client: &reqwest::Client, url: &str, pairs: &[(&str, &str)]) -> Value {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(512));
    form.extend_pairs(pairs).append_pair("client_id", "C1").append_pair("client_secret", "s3cret");
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form.finish());
    serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap()
}

fn exchange_and_refresh(criterion: &mut Criterion) {
    let base = start_endpoint();
    let url = format!("{base}/access_token");
    let runtime = runtime();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let builder =
        WebexOAuth::builder().service(Service::webex().with_base_url(&base)).client_id("C1").client_secret("s3cret");
    let webex = builder.redirect_uri("http://localhost:5000/callback").scopes("spark:all").build().unwrap();
    assert_eq!(
        runtime.block_on(webex_oauth(&webex, authorization_code(&webex))),
        runtime.block_on(hand_written(&client, &url))
    );

    let ratios = RefCell::new(Vec::new());
    // Each turn runs both, whichever of them is measured.
    let turn = || {
        let code = authorization_code(&webex);
        let start = Instant::now();
        runtime.block_on(hand_written(&client, &url));
        let floor = start.elapsed();
        runtime.block_on(webex_oauth(&webex, code));
        let measured = start.elapsed() - floor;
        ratios.borrow_mut().push(measured.as_secs_f64() / floor.as_secs_f64());
        [floor, measured]
    };
    let mut group = criterion.benchmark_group("exchange and refresh");
    for (index, name) in ["floor: reqwest and serde_json", "webex-oauth"].into_iter().enumerate() {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| turn()[index]).sum::<Duration>());
        });
    }
    group.finish();
    let mut ratios = ratios.take();
    ratios.sort_by(f64::total_cmp);
    println!("median of {} paired ratios: {:.2}", ratios.len(), ratios[ratios.len() / 2]);
}

criterion_group!(benches, exchange_and_refresh);
criterion_main!(benches);
