//! What does beginning a login cost? The floor, in the same run, is the same URL in one string, with the same random generator.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use form_urlencoded::byte_serialize;
use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use url::Url;
use webex_oauth::{Prompt, Service, WebexOAuth};

const REDIRECT_URI: &str = "https://rooms.example.com/auth/webex/callback";
const SCOPES: &str = "spark:all spark:people_read meeting:schedules_read";

fn begin_login(criterion: &mut Criterion) {
    let client = |service: Service| {
        let builder = WebexOAuth::builder().service(service).client_id("C1").client_secret("s3cret");
        builder.redirect_uri(REDIRECT_URI).scopes(SCOPES).build().unwrap()
    };
    let (webex, meetings) = (client(Service::webex()), client(Service::meetings()));
    assert_eq!(query_parameters(webex.authorize().begin().unwrap().0.as_str()), query_parameters(&hand_written().0));

    let mut group = criterion.benchmark_group("authorize");
    group.bench_function("floor: one string", |bencher| bencher.iter(hand_written));
    group.bench_function("webex", |bencher| bencher.iter(|| webex.authorize().begin().unwrap()));
    group.bench_function("webex, all options", |bencher| {
        bencher.iter(|| {
            let request = webex.authorize().login_hint("jane@example.com").prompt(Prompt::SelectAccount);
            request.state_suffix("eu1").payload(&"/rooms/7").begin().unwrap()
        });
    });
    group.bench_function("meetings", |bencher| bencher.iter(|| meetings.authorize().begin().unwrap()));
    group.finish();
}

/// Returns the query parameters of a URL, with the lengths of random values instead of the values.
fn query_parameters(url: &str) -> Vec<(String, String)> {
    let url = Url::parse(url).unwrap();
    let is_random = |name: &str| name == "state" || name == "code_challenge";
    let without_random_value = |(name, value): (String, String)| {
        let value = if is_random(&name) { value.len().to_string() } else { value };
        (name, value)
    };
    url.query_pairs().into_owned().map(without_random_value).collect()
}

/// Returns the URL, the state, and the code verifier.
fn hand_written() -> (String, String, String) {
    let mut bytes = [0; 64];
    SysRng.try_fill_bytes(&mut bytes).unwrap();
    let (state, verifier) = (URL_SAFE_NO_PAD.encode(&bytes[..32]), URL_SAFE_NO_PAD.encode(&bytes[32..]));
    let mut url = String::with_capacity(1024);
    url.push_str("https://webexapis.com/v1/authorize?response_type=code&client_id=C1&redirect_uri=");
    url.extend(byte_serialize(REDIRECT_URI.as_bytes()));
    url.push_str("&scope=");
    url.extend(byte_serialize(SCOPES.as_bytes()));
    url.push_str("&state=");
    url.push_str(&state);
    url.push_str("&code_challenge=");
    URL_SAFE_NO_PAD.encode_string(Sha256::digest(&verifier), &mut url);
    url.push_str("&code_challenge_method=S256");
    (url, state, verifier)
}

criterion_group!(benches, begin_login);
criterion_main!(benches);
