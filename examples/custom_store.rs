//! Implements a store that counts the calls of another store, and tests it with the conformance
//! suite.
//!
//! Run with `cargo run --example custom_store`. It requires no network. The documentation of
//! `webex_oauth::store` contains a complete store.

#[path = "process/arguments.rs"]
mod arguments;
#[path = "process/exit.rs"]
mod exit;
#[path = "process/folder.rs"]
mod folder;

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use webex_oauth::Result;
use webex_oauth::store::{
    Entry, FileStore, Head, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome, conformance,
};

use self::folder::Folder;

const HELP: &str = "Tests a custom store with the conformance suite\n\nUsage: custom_store";

/// A store that counts calls, for example for a dashboard.
#[derive(Clone, Debug)]
struct CountingStore<S> {
    store: S,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    loads: AtomicU64,
    changes: AtomicU64,
    conflicts: AtomicU64,
    failures: AtomicU64,
}

impl<S: TokenStore> CountingStore<S> {
    fn new(store: S) -> Self {
        Self { store, counts: Arc::default() }
    }

    fn count(&self, outcome: Result<WriteOutcome>) -> Result<WriteOutcome> {
        let counter = match outcome {
            Ok(WriteOutcome::Committed) => &self.counts.changes,
            Ok(WriteOutcome::Conflict) => &self.counts.conflicts,
            Err(_) => &self.counts.failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome
    }
}

#[async_trait]
impl<S: TokenStore> TokenStore for CountingStore<S> {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        self.counts.loads.fetch_add(1, Ordering::Relaxed);
        self.store.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        let outcome = self.store.save(key, entry, expect).await;
        self.count(outcome)
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        let outcome = self.store.save_head(key, head, expected).await;
        self.count(outcome)
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        let outcome = self.store.delete(key, expect).await;
        self.count(outcome)
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        self.store.as_index()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(code) = arguments::parse(HELP, []) {
        return code;
    }
    exit::exit_code(run_conformance_suite().await)
}

async fn run_conformance_suite() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Folder::new("custom-store")?;
    let store = CountingStore::new(FileStore::open(folder.path())?);

    conformance::run(async || store.clone()).await;

    writeln!(stdout(), "The store passed the conformance suite. Calls: {:?}", store.counts)?;
    Ok(())
}
