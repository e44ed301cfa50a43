//! Checks of the `TokenIndex` contract, one per rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::UnixTime;
use crate::store::conformance::probe::{CheckResult, ContractRule, Probe, Violation, short_key};
use crate::store::entry::Entry;
use crate::store::key::TokenKey;
use crate::store::traits::{Cursor, Page, Precondition, TokenIndex, WriteOutcome};

/// The number of entries that the suite lists.
const ENTRY_COUNT: usize = 240;

/// The maximum number of pages of a listing. A listing with more pages never ends.
const MAX_PAGES: usize = 100_000;

/// The time around which the entries of the suite are due.
const DUE_TIME: u64 = 1_700_000_000;

/// Roots that an incorrect filter confuses.
const TENANTS: [&str; 6] = ["cust1", "cust10001", "CUST1", "cust1/", "c%", "cüst_"];

/// Two handles on one store.
pub(crate) struct Indexes {
    pub(crate) first: Arc<dyn TokenIndex>,
    pub(crate) second: Arc<dyn TokenIndex>,
}

/// The filter of a listing.
#[derive(Clone, Copy, Debug)]
enum ListFilter {
    All,
    Tenant(&'static str),
    Due(UnixTime),
}

/// The entries of the suite.
type StoredEntries = BTreeMap<TokenKey, Entry>;

/// Checks all rules, and removes the entries of the suite afterwards.
pub(crate) async fn check_all_rules(indexes: &Indexes) -> CheckResult {
    let mut kept = store_entries(indexes).await?;
    check_short_pages(indexes, &kept).await?;
    check_exact_listing(indexes, &kept).await?;
    check_complete_listing(indexes, &mut kept).await?;
    check_stable_cursors(indexes, &mut kept).await?;
    let witness = indexes.probe(ContractRule::CompleteListing);
    for key in kept.keys() {
        witness.delete_entry(key).await?;
    }
    Ok(())
}

impl Indexes {
    fn probe(&self, rule: ContractRule) -> Probe<'_> {
        Probe { rule, store: &*self.first }
    }

    async fn page(
        &self,
        rule: ContractRule,
        ask: ListFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Violation> {
        let page = match ask {
            ListFilter::All => self.first.keys(None, after, limit),
            ListFilter::Tenant(tenant) => self.first.keys(Some(tenant), after, limit),
            ListFilter::Due(before) => self.first.due(before, after, limit),
        };
        self.probe(rule).expect_success(format!("listing {ask:?}"), page).await
    }

    /// Returns the same handles in reverse order.
    fn swapped(&self) -> Self {
        Self { first: Arc::clone(&self.second), second: Arc::clone(&self.first) }
    }

    /// Lists all pages, and calls `between` after each page.
    async fn list(
        &self,
        rule: ContractRule,
        ask: ListFilter,
        limit: usize,
        mut between: impl AsyncFnMut(&Page) -> CheckResult,
    ) -> Result<Vec<TokenKey>, Violation> {
        let (mut keys, mut after) = (Vec::new(), None);
        let handles = [self, &self.swapped()];
        for turn in 0..MAX_PAGES {
            // Each cursor is passed to the handle that did not create it.
            let page = handles[turn % 2].page(rule, ask, after.as_ref(), limit).await?;
            if page.keys.len() > limit.max(1) {
                let what = format!("a page contains {} keys, but the limit is {limit}: {ask:?}", page.keys.len());
                return Err(Violation { rule: ContractRule::Pages, description: what });
            }
            keys.extend(page.keys.iter().cloned());
            between(&page).await?;
            match page.next {
                None => return Ok(keys),
                next => after = next,
            }
        }
        Err(Violation {
            rule: ContractRule::Pages,
            description: format!("no last page within {MAX_PAGES} pages with limit {limit}: {ask:?}"),
        })
    }
}

/// Stores entries for all roots that are due before, at, or after [`DUE_TIME`], or never.
async fn store_entries(indexes: &Indexes) -> Result<StoredEntries, Violation> {
    let witness = indexes.probe(ContractRule::CompleteListing);
    let mut kept = StoredEntries::new();
    for number in 0..ENTRY_COUNT {
        let tenant = witness.key(TENANTS[number % TENANTS.len()])?;
        let key = match number / TENANTS.len() {
            0 => tenant,
            user => tenant.child(format!("user{user}")).map_err(|error| witness.violation(error.to_string()))?,
        };
        let due = match number / TENANTS.len() % 4 {
            0 => None,
            step => Some(UnixTime::from_secs(DUE_TIME - 2 + step as u64)),
        };
        witness.delete_entry(&key).await?;
        let entry = witness.entry_due(number.to_string().as_bytes(), due)?;
        witness.expect_save(&key, &entry, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
        kept.insert(key, entry);
    }
    Ok(kept)
}

async fn check_short_pages(indexes: &Indexes, kept: &StoredEntries) -> CheckResult {
    for limit in [0, 1, 3, 100, usize::MAX] {
        for ask in [ListFilter::All, ListFilter::Tenant("cust1"), ListFilter::Due(UnixTime::from_secs(DUE_TIME))] {
            let keys = indexes.list(ContractRule::Pages, ask, limit, async |_| Ok(())).await?;
            check_listed_once(ContractRule::CompleteListing, ask, &keys, kept)?;
        }
    }
    Ok(())
}

async fn check_exact_listing(indexes: &Indexes, kept: &StoredEntries) -> CheckResult {
    let tenants =
        TENANTS.iter().chain(&["cust", "cust1user1", "c", "", "c_", "%"]).map(|tenant| ListFilter::Tenant(tenant));
    let expiry = [0, DUE_TIME - 2, DUE_TIME - 1, DUE_TIME, DUE_TIME + 1, DUE_TIME + 2, u64::MAX];
    let expiry = expiry.into_iter().map(|context| ListFilter::Due(UnixTime::from_secs(context)));
    let witness = indexes.probe(ContractRule::ExactListing);
    for ask in tenants.chain(expiry) {
        let keys = indexes.list(ContractRule::ExactListing, ask, 50, async |_| Ok(())).await?;
        for key in &keys {
            // An entry that the suite did not store may be listed if it matches.
            let entry = match kept.get(key) {
                Some(entry) => Some(entry.clone()),
                None => witness.load(key).await?,
            };
            if !entry.is_some_and(|entry| ask.matches(key, &entry)) {
                return Err(witness.violation(format!("{ask:?} lists {}", short_key(key))));
            }
        }
        check_listed_once(ContractRule::CompleteListing, ask, &keys, kept)?;
    }
    Ok(())
}

/// Checks that entries that are saved again during a listing are listed exactly once.
async fn check_complete_listing(indexes: &Indexes, kept: &mut StoredEntries) -> CheckResult {
    let witness = indexes.probe(ContractRule::CompleteListing);
    for ask in [ListFilter::All, ListFilter::Due(UnixTime::from_secs(DUE_TIME))] {
        let requested: Vec<_> =
            kept.iter().filter(|(key, entry)| ask.matches(key, entry)).map(|(key, _)| key.clone()).collect();
        let (mut turn, mut changed) = (0, kept.clone());
        let again = async |page: &Page| {
            // A listed entry, one from the front, and one from the back.
            let others = [&requested[turn % requested.len()], &requested[requested.len() - 1 - turn % requested.len()]];
            turn += 1;
            for key in page.keys.first().into_iter().chain(others) {
                let Some(entry) = changed.get_mut(key) else { continue };
                let next = witness.with_new_revision(entry)?;
                let expect = Precondition::Revision(entry.head.revision);
                witness.expect_save(key, &next, expect, WriteOutcome::Committed, "the entry has this revision").await?;
                *entry = next;
            }
            Ok(())
        };
        let keys = indexes.list(ContractRule::CompleteListing, ask, 7, again).await?;
        *kept = changed;
        check_listed_once(ContractRule::CompleteListing, ask, &keys, kept)?;
    }
    Ok(())
}

/// Checks that deleting listed entries during a listing does not hide others.
async fn check_stable_cursors(indexes: &Indexes, kept: &mut StoredEntries) -> CheckResult {
    let witness = indexes.probe(ContractRule::Cursors);
    for ask in [ListFilter::Due(UnixTime::from_secs(DUE_TIME + 1)), ListFilter::All] {
        let mut left = kept.clone();
        let delete_listed = async |page: &Page| {
            for key in page.keys.iter().rev().step_by(2) {
                let Some(entry) = left.remove(key) else { continue };
                let expect = Precondition::Revision(entry.head.revision);
                witness.expect_delete(key, expect, WriteOutcome::Committed, "the entry has this revision").await?;
            }
            Ok(())
        };
        let keys = indexes.list(ContractRule::Cursors, ask, 5, delete_listed).await?;
        check_listed_once(ContractRule::Cursors, ask, &keys, kept)?;
        *kept = left;
    }
    Ok(())
}

/// Checks that a listing contains each matching entry of the suite exactly once, and no other one.
fn check_listed_once(rule: ContractRule, ask: ListFilter, keys: &[TokenKey], kept: &StoredEntries) -> CheckResult {
    let mut times = BTreeMap::<_, usize>::new();
    keys.iter().for_each(|key| *times.entry(key).or_default() += 1);
    for (key, entry) in kept {
        let (is, right) = (times.get(key).copied().unwrap_or_default(), usize::from(ask.matches(key, entry)));
        let rule = if right == 0 { ContractRule::ExactListing } else { rule };
        if is != right {
            let what = format!("{ask:?} lists {} {is} times instead of {right} times", short_key(key));
            return Err(Violation { rule, description: what });
        }
    }
    Ok(())
}

impl ListFilter {
    fn matches(self, key: &TokenKey, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(tenant) => key.root() == tenant,
            Self::Due(before) => entry.head.due.is_some_and(|due| due <= before),
        }
    }
}
