//! What does a token at hand cost? The floor, in the same run, is one atomic load, one clock and one clone.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use webex_oauth::clock::{Clock, SystemClock};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{AccessToken, Callback, Session, TokenManager};

/// Logs Jane in and keeps her under `keys`.
async fn kept(keys: &[TokenKey]) -> (MockWebex, TokenManager, Vec<Session>) {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let mut sessions = Vec::new();
    for key in keys {
        sessions.push(manager.put(key, login.tokens().clone()).await.unwrap());
    }
    (mock, manager, sessions)
}

fn hot(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let keys = [TokenKey::new("jane").unwrap(), TokenKey::new("bob").unwrap()];
    let (_mock, manager, sessions) = runtime.block_on(kept(&keys));
    let _guard = runtime.enter();

    let mut group = criterion.benchmark_group("hot");
    let floor = ArcSwap::from_pointee((AccessToken::new("token").unwrap(), SystemClock::new().now()));
    let clock = SystemClock::new();
    group.bench_function("floor: ArcSwap and one clock", |bencher| {
        bencher.iter(|| {
            let current = floor.load();
            (black_box(clock.elapsed()) < Duration::MAX).then(|| current.0.clone())
        });
    });
    group.bench_function("session", |bencher| {
        bencher.iter(|| futures_ready(sessions[0].access_token()));
    });
    group.bench_function("manager by key", |bencher| {
        bencher.iter(|| futures_ready(manager.access_token(&keys[0])));
    });
    for (name, own) in [("two threads, two sessions", [0, 1]), ("two threads, one session", [0, 0])] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let begun = Instant::now();
                std::thread::scope(|scope| {
                    for index in own {
                        let session = &sessions[index];
                        scope.spawn(move || (0..times).for_each(|_| drop(futures_ready(session.access_token()))));
                    }
                });
                begun.elapsed()
            });
        });
    }
    group.finish();
}

/// The answer of a future that has it at once.
fn futures_ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("a token at hand needs no waiting"),
    }
}

fn herd(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let key = [TokenKey::new("jane").unwrap()];
    let (mock, _manager, sessions) = runtime.block_on(kept(&key));
    let session = Arc::new(sessions[0].clone());
    let mut rounds = 0;
    criterion.bench_function("10,000 callers on a refused token", |bencher| {
        bencher.iter_custom(|times| {
            let begun = Instant::now();
            for _ in 0..times {
                rounds += 1;
                runtime.block_on(async {
                    session.invalidate(&session.access_token().await.unwrap());
                    let callers: Vec<_> = (0..10_000)
                        .map(|_| {
                            let session = Arc::clone(&session);
                            tokio::spawn(async move { session.access_token().await.unwrap() })
                        })
                        .collect();
                    for caller in callers {
                        caller.await.unwrap();
                    }
                });
            }
            begun.elapsed()
        });
    });
    println!("refreshes in {rounds} rounds: {}", mock.refreshes());
}

criterion_group!(benches, hot, herd);
criterion_main!(benches);
