//! How fast is the mock? To start, to serve a refresh to a plain HTTP client, one after the other and 16 at once, and what the
//! relay adds to that.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use webex_oauth::Callback;
use webex_oauth::testing::MockWebex;

const AT_ONCE: u64 = 16;

/// A mock, and a refresh of a login of its.
struct Asked {
    mock: MockWebex,
    http: reqwest::Client,
    form: String,
}

impl Asked {
    async fn of(mock: MockWebex) -> Self {
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
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap();
    }
}

fn mock(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    for (name, is_relayed) in [("direct", false), ("relayed", true)] {
        let builder = move || if is_relayed { MockWebex::builder().relay() } else { MockWebex::builder() };
        let mut group = criterion.benchmark_group(format!("mock/{name}"));
        group.bench_function("start", |bencher| {
            // The mock is kept until the clock has stopped: its end is not its beginning.
            bencher.iter_batched(builder, |builder| runtime.block_on(builder.start()), BatchSize::PerIteration);
        });
        let asked = Arc::new(runtime.block_on(async { Asked::of(builder().start().await).await }));
        group.throughput(Throughput::Elements(1));
        group.bench_function("refresh", |bencher| bencher.iter(|| runtime.block_on(asked.refresh())));
        group.throughput(Throughput::Elements(AT_ONCE));
        group.bench_function("16 refreshes at once", |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let mut refreshes = JoinSet::new();
                    for _ in 0..AT_ONCE {
                        let asked = Arc::clone(&asked);
                        refreshes.spawn(async move { asked.refresh().await });
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
