//! What does it cost to read a token response? Reading is no part of the public face, so this is a whole refresh over a
//! transport that answers at once: the form, the headers, the credentials, a tracking id, and the answer merged into what
//! was there. The smallest answer shows what all of it costs without much to read. The floor, in the same run, is the form
//! and a derive of the same fields.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;
use webex_oauth::transport::Transport;
use webex_oauth::{Callback, TokenSet, WebexOAuth};

const SMALLEST: &str = r#"{"access_token":"ZDI3MGEyYzQtNmFlNS00NDNhLWFlNzAtZGVjNjE0MGU1OGZmZWNmZDEwN2ItYTU3"}"#;
const WEBEX: &str = r#"{"access_token":"ZDI3MGEyYzQtNmFlNS00NDNhLWFlNzAtZGVjNjE0MGU1OGZmZWNmZDEwN2ItYTU3",
    "expires_in":1209599,"refresh_token":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTEyMzQ1Njc4",
    "refresh_token_expires_in":7775998,"token_type":"Bearer","scope":"spark:all spark:people_read"}"#;
const UNKNOWN: &str = r#","region":"eu","links":{"self":"https://example.com/1","next":null},"flags":[1,2,3]}"#;

#[derive(Deserialize)]
#[allow(dead_code, reason = "they are read, and that is all")]
struct Derived {
    access_token: String,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    refresh_token_expires_in: Option<u64>,
    token_type: Option<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "they are read, and that is all")]
struct Flattened {
    #[serde(flatten)]
    known: Derived,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Debug)]
struct Canned(Bytes);

#[async_trait::async_trait]
impl Transport for Canned {
    async fn exchange(&self, _: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        Ok(http::Response::new(self.0.clone()))
    }
}

fn client(answer: &str) -> WebexOAuth {
    let builder = WebexOAuth::builder().client_id("C1").client_secret("s3cret").scopes("spark:all spark:people_read");
    let transport = Canned(Bytes::copy_from_slice(answer.as_bytes()));
    builder.redirect_uri("http://localhost:5000/callback").transport(transport).build().unwrap()
}

fn tokens() -> TokenSet {
    let webex = client(WEBEX);
    let (url, pending) = webex.authorize().begin().unwrap();
    let url = Url::from(url);
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    let callback = Callback::parse(format!("code=abc&state={state}")).unwrap();
    ready(webex.login(pending, callback)).unwrap().into_tokens()
}

fn refresh(criterion: &mut Criterion) {
    let tokens = tokens();
    let unknown = format!("{}{UNKNOWN}", WEBEX.trim_end_matches('}'));
    for (name, answer) in [("smallest", SMALLEST), ("webex", WEBEX), ("unknown fields", &unknown)] {
        let webex = client(answer);
        let read: Flattened = serde_json::from_str(answer).unwrap();
        let refreshed = ready(webex.refresh(&tokens)).unwrap();
        assert_eq!(refreshed.access_token().expose(), read.known.access_token);
        assert!(read.extra.iter().all(|(name, value)| refreshed.field(name) == Some(value)));

        let mut group = criterion.benchmark_group(format!("refresh over a canned answer, {name}"));
        let body = Bytes::copy_from_slice(answer.as_bytes());
        group.bench_function("floor: the form and a derive", |bencher| {
            bencher.iter(|| (form(&tokens), serde_json::from_slice::<Derived>(&body).unwrap()));
        });
        group.bench_function("floor: the form and a derive with flatten", |bencher| {
            bencher.iter(|| (form(&tokens), serde_json::from_slice::<Flattened>(&body).unwrap()));
        });
        group.bench_function("webex-oauth", |bencher| bencher.iter(|| ready(webex.refresh(&tokens)).unwrap()));
        group.finish();
    }
}

fn form(tokens: &TokenSet) -> String {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(512));
    form.append_pair("grant_type", "refresh_token");
    form.append_pair("refresh_token", tokens.refresh_token().unwrap().expose());
    form.append_pair("client_id", "C1").append_pair("client_secret", "s3cret");
    form.finish()
}

/// The answer of a future that has it at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a canned answer needs no waiting"),
    }
}

criterion_group!(benches, refresh);
criterion_main!(benches);
