//! What does refreshing a stored session with a lease cost, over a transport that responds immediately? The floor is a load and a
//! save. The two take turns, and the printed ratio is the median of the ratios of the turns. A second benchmark compares 64
//! concurrent saves with 64 sequential ones.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use url::Url;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{
    Entry, FileStore, Head, MemoryStore, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
};
use webex_oauth::transport::Transport;
use webex_oauth::{Callback, Result, Session, TokenManager, WebexOAuth};

const CONCURRENT_SAVES: usize = 64;
const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(1_209_600);
const RESPONSE: &str = r#"{"access_token":"ZDI3MGEyYzQtNmFlNS00NDNhLWFlNzAtZGVjNjE0MGU1OGZmZWNmZDEwN2ItYTU3","expires_in":1209599,
    "refresh_token":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTEyMzQ1Njc4","token_type":"Bearer"}"#;

/// A transport that returns a constant response and counts the requests.
#[derive(Clone, Debug, Default)]
struct ConstantTransport(Arc<AtomicUsize>);

#[async_trait::async_trait]
impl Transport for ConstantTransport {
    async fn exchange(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(http::Response::new(Bytes::from_static(RESPONSE.as_bytes())))
    }
}

/// A store that counts its operations.
#[derive(Clone, Debug)]
struct CountingStore<S>(S, Arc<AtomicUsize>);

#[async_trait::async_trait]
impl<S: TokenStore> TokenStore for CountingStore<S> {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.save_head(key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

fn user(number: usize) -> TokenKey {
    TokenKey::new("acme").unwrap().child(format!("user{number:07}")).unwrap()
}

fn client(clock: &ManualClock, server: &ConstantTransport) -> WebexOAuth {
    let builder = WebexOAuth::builder().client_id("C1").client_secret("s3cret").scopes("spark:all");
    let builder = builder.redirect_uri("http://localhost:5000/callback").transport(server.clone());
    builder.clock(clock.clone()).build().unwrap()
}

async fn store_session(webex: &WebexOAuth, store: impl TokenStore, key: &TokenKey) -> (TokenManager, Session) {
    let (url, pending) = webex.authorize().begin().unwrap();
    let url = Url::from(url);
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    let login = webex.login(pending, Callback::parse(format!("code=abc&state={state}")).unwrap()).await.unwrap();
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let session = manager.put(key, login).await.unwrap();
    (manager, session)
}

/// Returns two entries of a session that a manager has written. The benchmark saves them alternately.
async fn entries() -> [Entry; 2] {
    let webex = client(&ManualClock::new(UnixTime::from_secs(1_700_000_000)), &ConstantTransport::default());
    let store = MemoryStore::new();
    let mut entries = Vec::new();
    for _ in 0..2 {
        store_session(&webex, store.clone(), &user(0)).await;
        entries.push(store.load(&user(0)).await.unwrap().unwrap());
    }
    entries.try_into().unwrap()
}

fn refresh_with_lease(criterion: &mut Criterion) {
    let folder = folder("lease");
    measure_refresh(criterion, "memory", MemoryStore::new());
    measure_refresh(criterion, "file", FileStore::open(&folder).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}

fn measure_refresh(criterion: &mut Criterion, name: &str, store: impl TokenStore + Clone) {
    let runtime = runtime();
    let (clock, server) = (ManualClock::new(UnixTime::from_secs(1_700_000_000)), ConstantTransport::default());
    let webex = client(&clock, &server);
    let operations = Arc::new(AtomicUsize::new(0));
    let counting = CountingStore(store.clone(), Arc::clone(&operations));
    let (manager, session) = runtime.block_on(store_session(&webex, counting, &user(0)));
    let entries = runtime.block_on(entries());
    assert_eq!(
        runtime.block_on(store.save(&user(1), &entries[0], Precondition::Absent)).unwrap(),
        WriteOutcome::Committed
    );

    let (turns, ratios) = (Cell::new(0), RefCell::new(Vec::new()));
    let hand_written = async || {
        let stored = store.load(&user(1)).await.unwrap().unwrap();
        turns.set(turns.get() + 1);
        let precondition = Precondition::Revision(stored.head.revision());
        assert_eq!(
            store.save(&user(1), &entries[turns.get() % 2], precondition).await.unwrap(),
            WriteOutcome::Committed
        );
    };
    let refresh = async || {
        clock.advance(ACCESS_TOKEN_LIFETIME);
        session.access_token().await.unwrap();
        manager.wait_idle().await.unwrap();
    };
    operations.store(0, Ordering::Relaxed);
    server.0.store(0, Ordering::Relaxed);
    // Each turn runs both, whichever of them is measured.
    let turn = || {
        let start = Instant::now();
        runtime.block_on(hand_written());
        let floor = start.elapsed();
        runtime.block_on(refresh());
        let refresh = start.elapsed() - floor;
        ratios.borrow_mut().push(refresh.as_secs_f64() / floor.as_secs_f64());
        [floor, refresh]
    };
    let mut group = criterion.benchmark_group(format!("refresh, {name}"));
    group.throughput(Throughput::Elements(1));
    for (index, name) in ["floor: load and save", "refresh with a lease"].into_iter().enumerate() {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| turn()[index]).sum::<Duration>());
        });
    }
    group.finish();
    println!("{name}: {}", median(ratios.take()));
    let (operations, requests) = (operations.load(Ordering::Relaxed), server.0.load(Ordering::Relaxed));
    assert_eq!(requests, turns.get(), "one refresh per turn");
    println!("{name}: {:.2} store operations per refresh", operations as f64 / requests as f64);
}

fn concurrent_saves(criterion: &mut Criterion) {
    let (runtime, folder) = (runtime(), folder("concurrent"));
    let store = FileStore::open(&folder).unwrap();
    let entries = runtime.block_on(entries());
    for number in 0..CONCURRENT_SAVES {
        assert_eq!(
            runtime.block_on(store.save(&user(number), &entries[0], Precondition::Absent)).unwrap(),
            WriteOutcome::Committed
        );
    }
    let (turns, ratios) = (Cell::new(0), RefCell::new(Vec::new()));
    let saves = || {
        let [old, new] = [turns.get() % 2, (turns.get() + 1) % 2].map(|index| &entries[index]);
        turns.set(turns.get() + 1);
        let (store, new, precondition) = (store.clone(), new.clone(), Precondition::Revision(old.head.revision()));
        (0..CONCURRENT_SAVES).map(move |number| {
            let (store, new) = (store.clone(), new.clone());
            async move { assert_eq!(store.save(&user(number), &new, precondition).await.unwrap(), WriteOutcome::Committed) }
        })
    };
    let turn = || {
        let start = Instant::now();
        saves().for_each(|save| runtime.block_on(save));
        let sequential = start.elapsed();
        runtime.block_on(async {
            for save in saves().map(tokio::spawn).collect::<Vec<_>>() {
                save.await.unwrap();
            }
        });
        let concurrent = start.elapsed() - sequential;
        ratios.borrow_mut().push(concurrent.as_secs_f64() / sequential.as_secs_f64());
        [sequential, concurrent]
    };
    let mut group = criterion.benchmark_group(format!("{CONCURRENT_SAVES} saves, file"));
    group.throughput(Throughput::Elements(CONCURRENT_SAVES as u64));
    for (index, name) in ["sequential", "concurrent"].into_iter().enumerate() {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| turn()[index]).sum::<Duration>());
        });
    }
    group.finish();
    println!("{CONCURRENT_SAVES} concurrent saves: {}", median(ratios.take()));
    std::fs::remove_dir_all(folder).unwrap();
}

fn median(mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    format!("median of {} paired ratios: {:.2}", ratios.len(), ratios[ratios.len() / 2])
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("refresh-{name}-{}", std::process::id()))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

criterion_group!(benches, refresh_with_lease, concurrent_saves);
criterion_main!(benches);
