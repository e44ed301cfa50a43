//! The conformance suite detects faulty stores: each store breaks one rule on purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use webex_oauth::clock::UnixTime;
use webex_oauth::store::{
    Body, Cursor, Entry, Head, MemoryStore, Page, Precondition, Revision, TokenIndex, TokenKey, TokenStore,
    WriteOutcome, conformance,
};
use webex_oauth::{Error, Result, Transience};

/// The flaw of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Correct,
    IgnoresExpect,
    IgnoresExpectedRevisionsOfHeads,
    EmptiesBodiesOfNewHeads,
    IgnoresAbsentOnSave,
    ComparesAndSwapsInTwoSteps,
    DeletesUnconditionally,
    DeletesNothing,
    IgnoresAbsentOnDelete,
    RejectsDeleteOfAbsentEntry,
    ComparesGenerations,
    RemembersDeletedRevisions,
    ReadsStaleEntries,
    DelaysWrites,
    OpensSeparateStore,
    LosesEntriesWhenReopened,
    FoldsCase,
    NormalizesUnicode,
    TrimsKeys,
    ResolvesDots,
    JoinsParts,
    IgnoresUsers,
    CutsAtNul,
    CutsLongKeys,
    TreatsKeysAsPatterns,
    TruncatesBodies,
    ReadsBodiesAsText,
    DropsLeases,
    DropsRefreshBlocks,
    DropsDueTimes,
    DropsExpiryTimes,
    PrintsBodies,
    WritesHeadsFirst,
    StaysLockedWhenCancelled,
    HangsWhenCancelled,
    FailsIntermittently,
    MatchesTenantsByPrefix,
    IgnoresCaseOfTenants,
    DueIsExclusive,
    NeverDueIsDue,
    PagesByNumber,
    CursorsNeedTheirEntry,
    CursorsNeedTheirHandle,
    PagesOverlap,
    PagesWithoutEnd,
    IgnoresLimits,
    StopsAtAnEmptyPage,
    ListsByAge,
}

use Flaw::*;

use crate::support::save_head;

/// A minimal store with one flaw.
#[derive(Clone)]
struct FlawedStore {
    flaw: Flaw,
    state: Arc<Mutex<StoreState>>,
    /// The first value that this handle loaded.
    seen: Arc<Mutex<BTreeMap<String, Option<Entry>>>>,
}

#[derive(Default)]
struct StoreState {
    entries: BTreeMap<String, (TokenKey, Entry, u64)>,
    deleted: Vec<Precondition>,
    delayed: Option<(String, TokenKey, Entry)>,
    busy: bool,
    calls: u64,
    opened: u64,
}

impl fmt::Debug for FlawedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flawed")?;
        if self.flaw == PrintsBodies {
            let shelf = self.lock_state();
            let bodies = shelf.entries.values().map(|(_, entry, _)| String::from_utf8_lossy(entry.body.expose()));
            f.debug_list().entries(bodies).finish()?;
        }
        Ok(())
    }
}

impl FlawedStore {
    fn new(flaw: Flaw) -> Self {
        Self { flaw, state: Arc::default(), seen: Arc::default() }
    }

    /// Returns another handle to the same store.
    fn reopen(&self) -> Self {
        let mut shelf = self.lock_state();
        shelf.opened += 1;
        match self.flaw {
            OpensSeparateStore => Self::new(self.flaw),
            LosesEntriesWhenReopened if shelf.opened > 2 => Self::new(self.flaw),
            _ => Self { seen: Arc::default(), ..self.clone() },
        }
    }

    fn lock_state(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry_name(&self, key: &TokenKey) -> String {
        let name = match (self.flaw, key.child_name()) {
            (IgnoresUsers, _) | (_, None) => format!("{:?}", key.root()),
            (JoinsParts, Some(user)) => format!("{:?}", format!("{}{user}", key.root())),
            (_, Some(user)) => format!("{:?} {user:?}", key.root()),
        };
        match self.flaw {
            FoldsCase => name.to_lowercase(),
            NormalizesUnicode => name.replace("e\\u{301}", "é"),
            TrimsKeys => format!("{:?}", (key.root().trim(), key.child_name().map(str::trim))),
            ResolvesDots => name.replace("a/../", "").replace("./", ""),
            CutsAtNul => name.split("\\0").next().unwrap().to_owned(),
            CutsLongKeys => name.chars().take(255).collect(),
            TreatsKeysAsPatterns => name.replace('?', "*"),
            _ => name,
        }
    }

    /// Returns the remaining part of an entry.
    fn apply_flaw(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        let forget = |head: &Head, field: &str| {
            let mut head: serde_json::Value = serde_json::from_str(&head.to_text()).unwrap();
            head.as_object_mut().unwrap().remove(field);
            Head::from_text(&head.to_string()).unwrap()
        };
        match self.flaw {
            TruncatesBodies => {
                let bytes = entry.body.expose();
                entry.body = Body::new(&bytes[..bytes.len().min(4096)]);
            }
            ReadsBodiesAsText => entry.body = Body::new(String::from_utf8_lossy(entry.body.expose()).as_bytes()),
            DropsLeases => entry.head = forget(&entry.head, "claim"),
            DropsRefreshBlocks => entry.head = forget(&entry.head, "hold"),
            DropsDueTimes => entry.head = forget(&entry.head, "due"),
            DropsExpiryTimes => entry.head = forget(&entry.head, "ends"),
            _ => {}
        }
        entry
    }

    fn is_met(&self, shelf: &StoreState, name: &str, entry: Option<&Entry>, expect: Precondition) -> bool {
        let kept = shelf.entries.get(name).map(|(_, kept, _)| kept);
        match (self.flaw, expect, entry) {
            (IgnoresExpect, _, Some(_)) | (DeletesUnconditionally, _, None) => true,
            (IgnoresAbsentOnSave, Precondition::Absent, Some(_)) => true,
            (IgnoresAbsentOnDelete, Precondition::Absent, None) => true,
            (RejectsDeleteOfAbsentEntry, Precondition::Absent, None) => false,
            (ComparesGenerations, Precondition::Revision(_), Some(entry)) => {
                kept.is_some_and(|kept| kept.head.generation() == entry.head.generation())
            }
            (RemembersDeletedRevisions, Precondition::Revision(_), _) if shelf.deleted.contains(&expect) => {
                kept.is_some()
            }
            _ => expect.matches(kept.map(|kept| kept.head.revision())),
        }
    }

    /// Yields once, where a store would access its disk. A flaw may apply on a drop there.
    async fn pause(&self) -> Result<()> {
        if matches!(self.flaw, StaysLockedWhenCancelled | HangsWhenCancelled) {
            while std::mem::replace(&mut self.lock_state().busy, true) {
                if self.flaw == StaysLockedWhenCancelled {
                    return Err(Error::store("it is locked", Transience::Transient));
                }
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
        tokio::task::yield_now().await;
        self.lock_state().busy = false;
        Ok(())
    }

    fn list(&self, after: Option<&Cursor>, limit: usize, wanted: impl Fn(&TokenKey, &Entry) -> bool) -> Page {
        let shelf = self.lock_state();
        let mut all: Vec<_> = shelf.entries.iter().collect();
        if self.flaw == ListsByAge {
            all.sort_by_key(|(_, (.., age))| *age);
        }
        let all: Vec<_> = all.into_iter().filter(|(_, (key, entry, _))| wanted(key, entry)).collect();
        let place = |(name, (.., age)): (&String, &(TokenKey, Entry, u64)), number: usize| match self.flaw {
            PagesByNumber => format!("{number:09}"),
            ListsByAge => format!("{age:09}"),
            CursorsNeedTheirHandle => format!("{:p} {name}", Arc::as_ptr(&self.seen)),
            _ => name.clone(),
        };
        let numbered = all.iter().enumerate().map(|(number, (name, kept))| (place((name, kept), number), &kept.0));
        let after = after.map(Cursor::as_str);
        if self.flaw == CursorsNeedTheirEntry && after.is_some_and(|after| !shelf.entries.contains_key(after)) {
            return Page::default();
        }
        let is_behind = |place: &str| match (self.flaw, after) {
            (_, None) | (PagesWithoutEnd, _) => true,
            (PagesOverlap, Some(after)) if limit > 2 => place >= after,
            (_, Some(after)) => place > after,
        };
        let limit = if self.flaw == IgnoresLimits { usize::MAX } else { limit.max(1) };
        let mut rest = numbered.filter(|(place, _)| is_behind(place));
        let listed: Vec<_> = rest.by_ref().take(limit).collect();
        let is_end = self.flaw != PagesWithoutEnd && rest.next().is_none();
        let next = listed.last().filter(|_| !is_end).map(|(place, _)| Cursor::new(place.clone()));
        Page { keys: listed.into_iter().map(|(_, key)| key.clone()).collect(), next }
    }
}

#[async_trait]
impl TokenStore for FlawedStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        self.pause().await?;
        let name = self.entry_name(key);
        let mut shelf = self.lock_state();
        shelf.calls += 1;
        if self.flaw == FailsIntermittently && shelf.calls.is_multiple_of(50) {
            return Err(Error::store("the connection was lost", Transience::Transient));
        }
        let kept = shelf.entries.get(&name).map(|(_, entry, _)| entry.clone());
        match self.flaw {
            ReadsStaleEntries => Ok(self.seen.lock().unwrap().entry(name).or_insert(kept).clone()),
            _ => Ok(kept),
        }
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        self.pause().await?;
        let name = self.entry_name(key);
        if !self.is_met(&self.lock_state(), &name, Some(entry), expect) {
            return Ok(WriteOutcome::Conflict);
        }
        if self.flaw == ComparesAndSwapsInTwoSteps {
            tokio::task::yield_now().await;
        }
        let entry = self.apply_flaw(entry);
        if self.flaw == WritesHeadsFirst {
            if let Some((_, kept, _)) = self.lock_state().entries.get_mut(&name) {
                kept.head = entry.head.clone();
            }
            tokio::task::yield_now().await;
        }
        let mut shelf = self.lock_state();
        shelf.calls += 1;
        let age = shelf.calls;
        if self.flaw == DelaysWrites {
            if let Some((name, key, entry)) = shelf.delayed.take() {
                shelf.entries.insert(name, (key, entry, age));
            }
            shelf.delayed = Some((name, key.clone(), entry));
        } else {
            shelf.entries.insert(name, (key.clone(), entry, age));
        }
        Ok(WriteOutcome::Committed)
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        let Some(stored) = self.load(key).await? else { return Ok(WriteOutcome::Conflict) };
        match self.flaw {
            IgnoresExpectedRevisionsOfHeads => {
                let entry = Entry { head: head.clone(), body: stored.body };
                self.save(key, &entry, Precondition::Revision(stored.head.revision())).await
            }
            EmptiesBodiesOfNewHeads => {
                let entry = Entry { head: head.clone(), body: Body::new(Vec::new()) };
                self.save(key, &entry, Precondition::Revision(expected)).await
            }
            _ => save_head(self, self, key, head, expected).await,
        }
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        self.pause().await?;
        let name = self.entry_name(key);
        let mut shelf = self.lock_state();
        if !self.is_met(&shelf, &name, None, expect) {
            return Ok(WriteOutcome::Conflict);
        }
        if self.flaw != DeletesNothing {
            shelf.entries.remove(&name);
        }
        shelf.deleted.push(expect);
        Ok(WriteOutcome::Committed)
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        Some(self)
    }
}

#[async_trait]
impl TokenIndex for FlawedStore {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let flaw = self.flaw;
        let page = self.list(after, limit, |_, entry| match entry.head.due() {
            None => flaw == NeverDueIsDue,
            Some(due) if flaw == DueIsExclusive => due < before,
            Some(due) => due <= before,
        });
        match flaw {
            // It examines a few entries for each page, and treats a page without matches as the last one.
            StopsAtAnEmptyPage if limit == 1 => {
                let all = self.list(after, limit, |_, _| true);
                let is_due = |key: &TokenKey| page.keys.contains(key);
                let keys: Vec<_> = all.keys.into_iter().filter(is_due).collect();
                let next = if keys.is_empty() { None } else { all.next };
                Ok(Page { keys, next })
            }
            _ => Ok(page),
        }
    }

    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let flaw = self.flaw;
        Ok(self.list(after, limit, |key, _| match (tenant, flaw) {
            (None, _) => true,
            (Some(tenant), MatchesTenantsByPrefix) => key.root().starts_with(tenant),
            (Some(tenant), IgnoresCaseOfTenants) => key.root().eq_ignore_ascii_case(tenant),
            (Some(tenant), _) => key.root() == tenant,
        }))
    }
}

/// Returns the violation that the suite reports, if any. The clock skips all waits.
fn reported_violation(suite: impl Future<Output = ()>) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(suite)));
    outcome.err().map(|panic| panic.downcast_ref::<String>().unwrap().clone())
}

fn assert_violations(table: &[(Flaw, &str)], suite: impl Fn(FlawedStore) -> Option<String>) {
    assert_eq!(suite(FlawedStore::new(Correct)), None);
    let mut wrong = Vec::new();
    for (flaw, rule) in table {
        let said = suite(FlawedStore::new(*flaw)).unwrap_or_else(|| "nothing".to_owned());
        if !said.starts_with(&format!("the store breaks {rule}")) {
            wrong.push(format!("{flaw:?} should break {rule}, but the suite says: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_store_flaw_is_reported_under_its_rule() {
    let table = [
        (IgnoresExpect, "rule 1 of TokenStore"),
        (IgnoresExpectedRevisionsOfHeads, "rule 1 of TokenStore"),
        (EmptiesBodiesOfNewHeads, "rule 1 of TokenStore"),
        (IgnoresAbsentOnSave, "rule 1 of TokenStore"),
        (ComparesAndSwapsInTwoSteps, "rule 1 of TokenStore"),
        (DeletesUnconditionally, "rule 1 of TokenStore"),
        (IgnoresAbsentOnDelete, "rule 1 of TokenStore"),
        (RejectsDeleteOfAbsentEntry, "rule 1 of TokenStore"),
        (ComparesGenerations, "rule 1 of TokenStore"),
        (RemembersDeletedRevisions, "rule 2 of TokenStore"),
        (ReadsStaleEntries, "rule 4 of TokenStore"),
        (DelaysWrites, "rule 4 of TokenStore"),
        (DeletesNothing, "rule 4 of TokenStore"),
        (OpensSeparateStore, "rule 4 of TokenStore"),
        (LosesEntriesWhenReopened, "rule 4 of TokenStore"),
        (FoldsCase, "rule 5 of TokenStore"),
        (NormalizesUnicode, "rule 5 of TokenStore"),
        (TrimsKeys, "rule 5 of TokenStore"),
        (ResolvesDots, "rule 5 of TokenStore"),
        (JoinsParts, "rule 5 of TokenStore"),
        (IgnoresUsers, "rule 5 of TokenStore"),
        (CutsAtNul, "rule 5 of TokenStore"),
        (CutsLongKeys, "rule 5 of TokenStore"),
        (TreatsKeysAsPatterns, "rule 5 of TokenStore"),
        (TruncatesBodies, "rule 6 of TokenStore"),
        (ReadsBodiesAsText, "rule 6 of TokenStore"),
        (DropsLeases, "rule 6 of TokenStore"),
        (DropsRefreshBlocks, "rule 6 of TokenStore"),
        (DropsDueTimes, "rule 6 of TokenStore"),
        (DropsExpiryTimes, "rule 6 of TokenStore"),
        (PrintsBodies, "rule 7 of TokenStore"),
        (WritesHeadsFirst, "rule 8 of TokenStore"),
        (StaysLockedWhenCancelled, "rule 8 of TokenStore"),
        (HangsWhenCancelled, "rule 8 of TokenStore"),
        (FailsIntermittently, "rule"),
    ];
    assert_violations(&table, |store| reported_violation(conformance::run(async || store.reopen())));
}

#[test]
fn each_index_flaw_is_reported_under_its_rule() {
    let table = [
        (StopsAtAnEmptyPage, "rule 1 of TokenIndex"),
        (PagesOverlap, "rule 1 of TokenIndex"),
        (ListsByAge, "rule 1 of TokenIndex"),
        (CursorsNeedTheirHandle, "rule 1 of TokenIndex"),
        (MatchesTenantsByPrefix, "rule 2 of TokenIndex"),
        (IgnoresCaseOfTenants, "rule 2 of TokenIndex"),
        (DueIsExclusive, "rule 1 of TokenIndex"),
        (NeverDueIsDue, "rule 2 of TokenIndex"),
        (PagesWithoutEnd, "rule 3 of TokenIndex"),
        (IgnoresLimits, "rule 3 of TokenIndex"),
        (PagesByNumber, "rule 4 of TokenIndex"),
        (CursorsNeedTheirEntry, "rule 4 of TokenIndex"),
    ];
    assert_violations(&table, |store| reported_violation(conformance::run_index(async || store.reopen())));
}

#[test]
fn conformance_reports_open_of_different_stores() {
    let said = reported_violation(conformance::run(async || MemoryStore::new())).unwrap();
    assert!(said.contains("Does `open` open the same store each time?"), "{said}");
}
