//! What does it cost to save a login and to load it? The floor of a file, in the same run, is what no durable write can do
//! without: write, flush, rename, flush the folder. The two take turns, and the ratio printed at the end is the median of the
//! ratios of each turn.
//!
//! The hundred thousand users of the full store are copies of one file under their own names, written without a flush: they
//! make the folders as long as real ones would, and nobody reads them.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use url::Url;
use webex_oauth::store::{Entry, FileStore, MemoryStore, Precondition, TokenKey, TokenStore, WriteOutcome};
use webex_oauth::transport::Transport;
use webex_oauth::{Callback, TokenManager, WebexOAuth};

const USERS: usize = 100_000;
const ANSWER: &str = r#"{"access_token":"ZDI3MGEyYzQtNmFlNS00NDNhLWFlNzAtZGVjNjE0MGU1OGZmZWNmZDEwN2ItYTU3","expires_in":1209599,
    "refresh_token":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTEyMzQ1Njc4","token_type":"Bearer"}"#;

#[derive(Debug)]
struct Canned;

#[async_trait::async_trait]
impl Transport for Canned {
    async fn exchange(&self, _: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        Ok(http::Response::new(Bytes::from_static(ANSWER.as_bytes())))
    }
}

fn user(number: usize) -> TokenKey {
    TokenKey::new("acme").unwrap().child(format!("user{number:07}")).unwrap()
}

/// Two entries of a login, as a manager writes them, to be saved in turn: each expects the other.
async fn entries() -> [Entry; 2] {
    let builder = WebexOAuth::builder().client_id("C1").client_secret("s3cret").scopes("spark:all").transport(Canned);
    let webex = builder.redirect_uri("http://localhost:5000/callback").build().unwrap();
    let store = MemoryStore::new();
    let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
    let mut entries = Vec::new();
    for _ in 0..2 {
        let (url, pending) = webex.authorize().begin().unwrap();
        let url = Url::from(url);
        let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
        let login = webex.login(pending, Callback::parse(format!("code=abc&state={state}")).unwrap()).await.unwrap();
        manager.put(&user(0), login.into_tokens()).await.unwrap();
        entries.push(store.load(&user(0)).await.unwrap().unwrap());
    }
    entries.try_into().unwrap()
}

/// A store that has the first of the two entries, and a turn that saves the other.
async fn saving(store: &impl TokenStore, entries: &[Entry; 2]) -> impl AsyncFn() {
    assert_eq!(store.save(&user(0), &entries[0], Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let turns = Cell::new(0);
    async move || {
        let (old, new) = (&entries[turns.get() % 2], &entries[(turns.get() + 1) % 2]);
        turns.set(turns.get() + 1);
        let saved = store.save(&user(0), new, Precondition::Revision(old.head.revision())).await.unwrap();
        assert_eq!(saved, WriteOutcome::Committed);
    }
}

fn files(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{}", std::process::id()));
    let entries = runtime.block_on(entries());
    for (name, users) in [("1 user", 1), ("100,000 users", USERS)] {
        let store = FileStore::open(folder.join(users.to_string())).unwrap();
        let save = runtime.block_on(saving(&store, &entries));
        populate(&store, users);
        // What was not flushed must not be written while something else is measured.
        let _ = std::process::Command::new("sync").status();
        let record = fs::read(store.path(&user(0))).unwrap();
        let shard = folder.join("floor");
        fs::create_dir_all(&shard).unwrap();

        let ratios = RefCell::new(Vec::new());
        // Both are made in each turn, whichever of them is asked for.
        let turn = || {
            let begun = Instant::now();
            by_hand(&shard, &record);
            let floor = begun.elapsed();
            runtime.block_on(save());
            let own = begun.elapsed() - floor;
            ratios.borrow_mut().push(own.as_secs_f64() / floor.as_secs_f64());
            [floor, own]
        };
        let mut group = criterion.benchmark_group(format!("file save, {name}"));
        for (index, name) in ["floor: write, flush, rename, flush", "FileStore"].into_iter().enumerate() {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| turn()[index]).sum::<Duration>());
            });
        }
        group.finish();
        let mut ratios = ratios.take();
        ratios.sort_by(f64::total_cmp);
        println!("{name}: median of {} paired ratios: {:.2}", ratios.len(), ratios[ratios.len() / 2]);
        assert_eq!(fs::read(shard.join("login")).unwrap(), record);

        let mut group = criterion.benchmark_group(format!("file load, {name}"));
        group.bench_function("floor: read", |bencher| bencher.iter(|| fs::read(store.path(&user(0))).unwrap()));
        group.bench_function("FileStore", |bencher| {
            bencher.iter(|| runtime.block_on(store.load(&user(0))).unwrap().unwrap());
        });
        group.finish();
    }
    fs::remove_dir_all(folder).unwrap();
}

fn populate(store: &FileStore, users: usize) {
    let record = fs::read(store.path(&user(0))).unwrap();
    for number in 1..users {
        let path = store.path(&user(number));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &record).unwrap();
    }
}

fn by_hand(folder: &Path, record: &[u8]) {
    let (new, place) = (folder.join("new"), folder.join("login"));
    let mut file = File::create_new(&new).unwrap();
    file.write_all(record).unwrap();
    file.sync_all().unwrap();
    fs::rename(&new, place).unwrap();
    File::open(folder).unwrap().sync_all().unwrap();
}

fn memory(criterion: &mut Criterion) {
    let runtime = runtime();
    let entries = runtime.block_on(entries());
    let store = MemoryStore::new();
    let save = runtime.block_on(saving(&store, &entries));
    let mut group = criterion.benchmark_group("memory");
    group.bench_function("load", |bencher| {
        bencher.iter(|| runtime.block_on(store.load(&user(0))).unwrap().unwrap());
    });
    group.bench_function("save", |bencher| bencher.iter(|| runtime.block_on(save())));
    group.finish();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

criterion_group!(benches, files, memory);
criterion_main!(benches);
