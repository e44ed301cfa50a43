//! How fast does the mock start and respond to refreshes, sequentially and 16 concurrently, with and without the relay?

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use webex_oauth::Callback;
use webex_oauth::testing::MockWebex;

const CONCURRENT_REFRESHES: u64 = 16;

/// A mock and the form of a refresh request.
struct RefreshClient {
    mock: MockWebex,
    http: reqwest::Client,
    form: String,
}

impl RefreshClient {
    async fn new(mock: MockWebex) -> Self {
        let webex = mock.client();
        let (url, pending) = webex.authorize().begin().unwrap();
        let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", &mock.client_id())
            .append_pair("client_secret", &mock.client_secret())
            .append_pair("refresh_token", login.tokens().refresh_token().unwrap().expose())
            .finish();
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), form, mock }
    }

    async fn refresh(&self) {
        let request = self.http.post(format!("{}/access_token", self.mock.uri()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(self.form.clone());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap();
    }
}

fn mock(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    for (name, is_relayed) in [("direct", false), ("relayed", true)] {
        let builder = move || if is_relayed { MockWebex::builder().relay() } else { MockWebex::builder() };
        let mut group = criterion.benchmark_group(format!("mock/{name}"));
        group.bench_function("start", |bencher| {
            // The mock is dropped after the measurement, because stopping it is not part of the start.
            bencher.iter_batched(builder, |builder| runtime.block_on(builder.start()), BatchSize::PerIteration);
        });
        let client = Arc::new(runtime.block_on(async { RefreshClient::new(builder().start().await).await }));
        group.throughput(Throughput::Elements(1));
        group.bench_function("refresh", |bencher| bencher.iter(|| runtime.block_on(client.refresh())));
        group.throughput(Throughput::Elements(CONCURRENT_REFRESHES));
        group.bench_function("16 concurrent refreshes", |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let mut refreshes = JoinSet::new();
                    for _ in 0..CONCURRENT_REFRESHES {
                        let client = Arc::clone(&client);
                        refreshes.spawn(async move { client.refresh().await });
                    }
                    refreshes.join_all().await
                })
            });
        });
        group.finish();
    }
}

criterion_group!(benches, mock);
criterion_main!(benches);
