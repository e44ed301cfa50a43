//! What do saving and loading a session cost? The floor of a file store, in the same run, is a durable write: write, flush, rename,
//! and flush the folder. The two take turns, and the printed ratio is the median of the ratios of the turns.
//!
//! The 100,000 users of the full store are copies of one file, written without a flush. They are not read, but the folders have
//! realistic sizes.

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

const MAX_USERS: usize = 100_000;
const RESPONSE: &str = r#"{"access_token":"ZDI3MGEyYzQtNmFlNS00NDNhLWFlNzAtZGVjNjE0MGU1OGZmZWNmZDEwN2ItYTU3","expires_in":1209599,
    "refresh_token":"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTEyMzQ1Njc4","token_type":"Bearer"}"#;

#[derive(Debug)]
struct ConstantTransport;

#[async_trait::async_trait]
impl Transport for ConstantTransport {
    async fn exchange(&self, _: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        Ok(http::Response::new(Bytes::from_static(RESPONSE.as_bytes())))
    }
}

fn user(number: usize) -> TokenKey {
    TokenKey::new("acme").unwrap().child(format!("user{number:07}")).unwrap()
}

/// Returns two entries of a session that a manager has written. The benchmark saves them alternately, each with the revision of
/// the other as precondition.
async fn entries() -> [Entry; 2] {
    let builder =
        WebexOAuth::builder().client_id("C1").client_secret("s3cret").scopes("spark:all").transport(ConstantTransport);
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

/// Saves the first entry and returns a function that saves the entries alternately.
async fn alternating_save(store: &impl TokenStore, entries: &[Entry; 2]) -> impl AsyncFn() {
    assert_eq!(store.save(&user(0), &entries[0], Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let turns = Cell::new(0);
    async move || {
        let (old, new) = (&entries[turns.get() % 2], &entries[(turns.get() + 1) % 2]);
        turns.set(turns.get() + 1);
        let saved = store.save(&user(0), new, Precondition::Revision(old.head.revision())).await.unwrap();
        assert_eq!(saved, WriteOutcome::Committed);
    }
}

fn file_store(criterion: &mut Criterion) {
    let runtime = runtime();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("store-{}", std::process::id()));
    let entries = runtime.block_on(entries());
    for (name, users) in [("1 user", 1), ("100,000 users", MAX_USERS)] {
        let store = FileStore::open(folder.join(users.to_string())).unwrap();
        let save = runtime.block_on(alternating_save(&store, &entries));
        populate(&store, users);
        // Unflushed data must not be written during the measurement.
        let _ = std::process::Command::new("sync").status();
        let record = fs::read(store.path(&user(0))).unwrap();
        let floor_folder = folder.join("floor");
        fs::create_dir_all(&floor_folder).unwrap();

        let ratios = RefCell::new(Vec::new());
        // Each turn runs both, whichever of them is measured.
        let turn = || {
            let start = Instant::now();
            hand_written(&floor_folder, &record);
            let floor = start.elapsed();
            runtime.block_on(save());
            let store_save = start.elapsed() - floor;
            ratios.borrow_mut().push(store_save.as_secs_f64() / floor.as_secs_f64());
            [floor, store_save]
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
        assert_eq!(fs::read(floor_folder.join("login")).unwrap(), record);

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

fn hand_written(folder: &Path, record: &[u8]) {
    let (temporary, destination) = (folder.join("new"), folder.join("login"));
    let mut file = File::create_new(&temporary).unwrap();
    file.write_all(record).unwrap();
    file.sync_all().unwrap();
    fs::rename(&temporary, destination).unwrap();
    File::open(folder).unwrap().sync_all().unwrap();
}

fn memory_store(criterion: &mut Criterion) {
    let runtime = runtime();
    let entries = runtime.block_on(entries());
    let store = MemoryStore::new();
    let save = runtime.block_on(alternating_save(&store, &entries));
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

criterion_group!(benches, file_store, memory_store);
criterion_main!(benches);
