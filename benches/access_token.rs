//! What does a cached token cost? The floor, in the same run, is one atomic load, one clock, and one clone.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark")]

use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use webex_oauth::clock::{Clock, SystemClock};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{AccessToken, Callback, Session, TokenManager, TokenSet};

/// Logs in and stores a session under each key.
async fn store_sessions(keys: &[TokenKey]) -> (MockWebex, TokenManager, Vec<(Session, TokenSet)>) {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let mut sessions = Vec::new();
    for key in keys {
        let session = manager.put(key, login.tokens().clone()).await.unwrap();
        sessions.push((session, login.tokens().clone()));
    }
    (mock, manager, sessions)
}

fn cached_token(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let keys = [TokenKey::new("jane").unwrap(), TokenKey::new("bob").unwrap()];
    let (_mock, manager, sessions) = runtime.block_on(store_sessions(&keys));
    let _guard = runtime.enter();

    let session = &sessions[0].0;
    assert_eq!(poll_ready(session.access_token()).unwrap(), *sessions[0].1.access_token());
    assert_eq!(poll_ready(manager.access_token(&keys[1])).unwrap(), *sessions[1].1.access_token());

    let mut group = criterion.benchmark_group("cached token");
    let floor = ArcSwap::from_pointee((AccessToken::new("token").unwrap(), SystemClock::new().now()));
    let clock = SystemClock::new();
    group.bench_function("floor: ArcSwap and one clock", |bencher| {
        bencher.iter(|| {
            let current = floor.load();
            (black_box(clock.elapsed()) < Duration::MAX).then(|| current.0.clone())
        });
    });
    group.bench_function("session", |bencher| {
        bencher.iter(|| poll_ready(session.access_token()));
    });
    group.bench_function("manager by key", |bencher| {
        bencher.iter(|| poll_ready(manager.access_token(&keys[0])));
    });
    for (name, indices) in [("two threads, two sessions", [0, 1]), ("two threads, one session", [0, 0])] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let start = Instant::now();
                std::thread::scope(|scope| {
                    for index in indices {
                        let session = &sessions[index].0;
                        scope.spawn(move || (0..times).for_each(|_| drop(poll_ready(session.access_token()))));
                    }
                });
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// Returns the output of a future that is ready at the first poll.
fn poll_ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the token is not cached"),
    }
}

fn concurrent_callers(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let key = TokenKey::new("jane").unwrap();
    let (mock, manager, tokens) = runtime.block_on(store_sessions(std::slice::from_ref(&key)));
    let expired = expired(&tokens[0].1);
    let rounds = Cell::new(0);
    criterion.bench_function("10,000 callers with an expired token", |bencher| {
        bencher.iter_custom(|times| {
            let round = || {
                rounds.set(rounds.get() + 1);
                runtime.block_on(async {
                    let session = manager.put(&key, expired.clone()).await.unwrap();
                    let start = Instant::now();
                    let call = || {
                        let session = session.clone();
                        tokio::spawn(async move { session.access_token().await.unwrap() })
                    };
                    let callers: Vec<_> = (0..10_000).map(|_| call()).collect();
                    for caller in callers {
                        caller.await.unwrap();
                    }
                    let time = start.elapsed();
                    manager.wait_idle().await.unwrap();
                    time
                })
            };
            (0..times).map(|_| round()).sum::<Duration>()
        });
    });
    assert_eq!(mock.refreshes(), rounds.get(), "one refresh per round");
}

/// Returns the tokens with an access token that has expired.
fn expired(tokens: &TokenSet) -> TokenSet {
    let mut stored: serde_json::Value = serde_json::from_str(tokens.to_stored().unwrap().expose()).unwrap();
    stored["expires_at"] = stored["received_at"].clone();
    TokenSet::from_stored(&stored.to_string()).unwrap()
}

criterion_group!(benches, cached_token, concurrent_callers);
criterion_main!(benches);
