//! What does parsing a token response cost? Parsing is not public, so this is a complete refresh over a transport that responds
//! immediately: the form, the headers, the credentials, a tracking ID, and merging the response with the old tokens. The smallest
//! response shows this overhead. The floor, in the same run, is the form and a derive of the same fields.

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
const UNKNOWN_FIELDS: &str = r#","region":"eu","links":{"self":"https://example.com/1","next":null},"flags":[1,2,3]}"#;

#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsed")]
struct DerivedResponse {
    access_token: String,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    refresh_token_expires_in: Option<u64>,
    token_type: Option<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsed")]
struct FlattenedResponse {
    #[serde(flatten)]
    known: DerivedResponse,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Debug)]
struct ConstantTransport(Bytes);

#[async_trait::async_trait]
impl Transport for ConstantTransport {
    async fn exchange(&self, _: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        Ok(http::Response::new(self.0.clone()))
    }
}

fn client(response: &str) -> WebexOAuth {
    let builder = WebexOAuth::builder().client_id("C1").client_secret("s3cret").scopes("spark:all spark:people_read");
    let transport = ConstantTransport(Bytes::copy_from_slice(response.as_bytes()));
    builder.redirect_uri("http://localhost:5000/callback").transport(transport).build().unwrap()
}

fn tokens() -> TokenSet {
    let webex = client(WEBEX);
    let (url, pending) = webex.authorize().begin().unwrap();
    let url = Url::from(url);
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    let callback = Callback::parse(format!("code=abc&state={state}")).unwrap();
    poll_ready(webex.login(pending, callback)).unwrap().into_tokens()
}

fn refresh(criterion: &mut Criterion) {
    let tokens = tokens();
    let unknown = format!("{}{UNKNOWN_FIELDS}", WEBEX.trim_end_matches('}'));
    for (name, response) in [("smallest", SMALLEST), ("webex", WEBEX), ("unknown fields", &unknown)] {
        let webex = client(response);
        let parsed: FlattenedResponse = serde_json::from_str(response).unwrap();
        let refreshed = poll_ready(webex.refresh(&tokens)).unwrap();
        assert_eq!(refreshed.access_token().expose(), parsed.known.access_token);
        assert!(parsed.extra.iter().all(|(name, value)| refreshed.field(name) == Some(value)));

        let mut group = criterion.benchmark_group(format!("refresh with a constant response, {name}"));
        let body = Bytes::copy_from_slice(response.as_bytes());
        group.bench_function("floor: the form and a derive", |bencher| {
            bencher.iter(|| (form(&tokens), serde_json::from_slice::<DerivedResponse>(&body).unwrap()));
        });
        group.bench_function("floor: the form and a derive with flatten", |bencher| {
            bencher.iter(|| (form(&tokens), serde_json::from_slice::<FlattenedResponse>(&body).unwrap()));
        });
        group.bench_function("webex-oauth", |bencher| bencher.iter(|| poll_ready(webex.refresh(&tokens)).unwrap()));
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

/// Returns the output of a future that is ready at the first poll.
fn poll_ready<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future is not ready"),
    }
}

criterion_group!(benches, refresh);
criterion_main!(benches);
