//! What does it cost to refresh a kept login? Through the claim, over a transport that answers at once, against what no kept
//! login can do without: to load it and to save it, by hand. The two take turns, and the ratio printed at the end is the
//! median of the ratios of each turn; so is how much 64 saves at once gain over 64 one by one.

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

const AT_ONCE: usize = 64;
const LIFE: Duration = Duration::from_secs(1_209_600);
const ANSWER: &str = r#"{"access_token":"ZDI3MGEyYzQtNmFlNS00NDNhLWFlNzAtZGVjNjE0MGU1OGZmZWNmZDEwN2ItYTU3","expires_in":1209599,
    "refresh_token":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTEyMzQ1Njc4","token_type":"Bearer"}"#;

/// A server without a network.
#[derive(Clone, Debug, Default)]
struct Canned(Arc<AtomicUsize>);

#[async_trait::async_trait]
impl Transport for Canned {
    async fn exchange(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(http::Response::new(Bytes::from_static(ANSWER.as_bytes())))
    }
}

/// A store that counts what is asked of it.
#[derive(Clone, Debug)]
struct Counting<S>(S, Arc<AtomicUsize>);

#[async_trait::async_trait]
impl<S: TokenStore> TokenStore for Counting<S> {
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

fn client(clock: &ManualClock, server: &Canned) -> WebexOAuth {
    let builder = WebexOAuth::builder().client_id("C1").client_secret("s3cret").scopes("spark:all");
    let builder = builder.redirect_uri("http://localhost:5000/callback").transport(server.clone());
    builder.clock(clock.clone()).build().unwrap()
}

async fn kept(webex: &WebexOAuth, store: impl TokenStore, key: &TokenKey) -> (TokenManager, Session) {
    let (url, pending) = webex.authorize().begin().unwrap();
    let url = Url::from(url);
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    let login = webex.login(pending, Callback::parse(format!("code=abc&state={state}")).unwrap()).await.unwrap();
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let session = manager.put(key, login).await.unwrap();
    (manager, session)
}

/// Entries of one login, as a manager writes them, to be saved in turn.
async fn entries() -> [Entry; 2] {
    let webex = client(&ManualClock::new(UnixTime::from_secs(1_700_000_000)), &Canned::default());
    let store = MemoryStore::new();
    let mut entries = Vec::new();
    for _ in 0..2 {
        kept(&webex, store.clone(), &user(0)).await;
        entries.push(store.load(&user(0)).await.unwrap().unwrap());
    }
    entries.try_into().unwrap()
}

fn through_the_claim(criterion: &mut Criterion) {
    let folder = folder("claim");
    refresh(criterion, "memory", MemoryStore::new());
    refresh(criterion, "file", FileStore::open(&folder).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
}

fn refresh(criterion: &mut Criterion, name: &str, store: impl TokenStore + Clone) {
    let runtime = runtime();
    let (clock, server) = (ManualClock::new(UnixTime::from_secs(1_700_000_000)), Canned::default());
    let webex = client(&clock, &server);
    let asked = Arc::new(AtomicUsize::new(0));
    let counting = Counting(store.clone(), Arc::clone(&asked));
    let (manager, session) = runtime.block_on(kept(&webex, counting, &user(0)));
    let entries = runtime.block_on(entries());
    assert_eq!(
        runtime.block_on(store.save(&user(1), &entries[0], Precondition::Absent)).unwrap(),
        WriteOutcome::Committed
    );

    let (turns, ratios) = (Cell::new(0), RefCell::new(Vec::new()));
    let by_hand = async || {
        let kept = store.load(&user(1)).await.unwrap().unwrap();
        turns.set(turns.get() + 1);
        let expect = Precondition::Revision(kept.head.revision());
        assert_eq!(store.save(&user(1), &entries[turns.get() % 2], expect).await.unwrap(), WriteOutcome::Committed);
    };
    let claimed = async || {
        clock.advance(LIFE);
        session.access_token().await.unwrap();
        manager.wait_idle().await.unwrap();
    };
    asked.store(0, Ordering::Relaxed);
    server.0.store(0, Ordering::Relaxed);
    // Both are made in each turn, whichever of them is asked for.
    let turn = || {
        let begun = Instant::now();
        runtime.block_on(by_hand());
        let floor = begun.elapsed();
        runtime.block_on(claimed());
        let own = begun.elapsed() - floor;
        ratios.borrow_mut().push(own.as_secs_f64() / floor.as_secs_f64());
        [floor, own]
    };
    let mut group = criterion.benchmark_group(format!("refresh, {name}"));
    group.throughput(Throughput::Elements(1));
    for (index, name) in ["floor: load and save by hand", "through the claim"].into_iter().enumerate() {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| turn()[index]).sum::<Duration>());
        });
    }
    group.finish();
    println!("{name}: {}", median(ratios.take()));
    let (asked, sent) = (asked.load(Ordering::Relaxed), server.0.load(Ordering::Relaxed));
    assert_eq!(sent, turns.get(), "one refresh a turn");
    println!("{name}: {:.2} store operations a refresh", asked as f64 / sent as f64);
}

fn at_once(criterion: &mut Criterion) {
    let (runtime, folder) = (runtime(), folder("at-once"));
    let store = FileStore::open(&folder).unwrap();
    let entries = runtime.block_on(entries());
    for number in 0..AT_ONCE {
        assert_eq!(
            runtime.block_on(store.save(&user(number), &entries[0], Precondition::Absent)).unwrap(),
            WriteOutcome::Committed
        );
    }
    let (turns, ratios) = (Cell::new(0), RefCell::new(Vec::new()));
    let saves = || {
        let [old, new] = [turns.get() % 2, (turns.get() + 1) % 2].map(|index| &entries[index]);
        turns.set(turns.get() + 1);
        let (store, new, expect) = (store.clone(), new.clone(), Precondition::Revision(old.head.revision()));
        (0..AT_ONCE).map(move |number| {
            let (store, new) = (store.clone(), new.clone());
            async move { assert_eq!(store.save(&user(number), &new, expect).await.unwrap(), WriteOutcome::Committed) }
        })
    };
    let turn = || {
        let begun = Instant::now();
        saves().for_each(|save| runtime.block_on(save));
        let one_by_one = begun.elapsed();
        runtime.block_on(async {
            for save in saves().map(tokio::spawn).collect::<Vec<_>>() {
                save.await.unwrap();
            }
        });
        let at_once = begun.elapsed() - one_by_one;
        ratios.borrow_mut().push(at_once.as_secs_f64() / one_by_one.as_secs_f64());
        [one_by_one, at_once]
    };
    let mut group = criterion.benchmark_group(format!("{AT_ONCE} saves, file"));
    group.throughput(Throughput::Elements(AT_ONCE as u64));
    for (index, name) in ["one by one", "at once"].into_iter().enumerate() {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| turn()[index]).sum::<Duration>());
        });
    }
    group.finish();
    println!("{AT_ONCE} at once: {}", median(ratios.take()));
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

criterion_group!(benches, through_the_claim, at_once);
criterion_main!(benches);
