//! Checks of the `TokenIndex` contract, one per rule.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::UnixTime;
use crate::store::conformance::probe::{CheckResult, ContractRule, Probe, Violation, brief};
use crate::store::entry::Entry;
use crate::store::key::TokenKey;
use crate::store::traits::{Cursor, Page, Precondition, TokenIndex, WriteOutcome};

/// The number of entries that the suite lists.
const LOGINS: usize = 240;

/// The maximum number of pages of a listing. A listing with more pages never ends.
const PAGES: usize = 100_000;

/// The time around which the entries of the suite are due.
const NOON: u64 = 1_700_000_000;

/// Roots that an incorrect filter confuses.
const TENANTS: [&str; 6] = ["cust1", "cust10001", "CUST1", "cust1/", "c%", "cüst_"];

/// Two handles on one store.
pub(crate) struct Indexes {
    pub(crate) first: Arc<dyn TokenIndex>,
    pub(crate) second: Arc<dyn TokenIndex>,
}

/// The filter of a listing.
#[derive(Clone, Copy, Debug)]
enum Ask {
    All,
    Tenant(&'static str),
    Due(UnixTime),
}

/// The entries of the suite.
type Kept = BTreeMap<TokenKey, Entry>;

/// Checks all rules, and removes the entries of the suite afterwards.
pub(crate) async fn all(indexes: &Indexes) -> CheckResult {
    let mut kept = fill(indexes).await?;
    pages(indexes, &kept).await?;
    nothing_else(indexes, &kept).await?;
    everything_once(indexes, &mut kept).await?;
    cursors(indexes, &mut kept).await?;
    let witness = indexes.witness(ContractRule::EverythingOnce);
    for key in kept.keys() {
        witness.clear(key).await?;
    }
    Ok(())
}

impl Indexes {
    fn witness(&self, rule: ContractRule) -> Probe<'_> {
        Probe { rule, store: &*self.first }
    }

    async fn page(
        &self,
        rule: ContractRule,
        ask: Ask,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Violation> {
        let page = match ask {
            Ask::All => self.first.keys(None, after, limit),
            Ask::Tenant(tenant) => self.first.keys(Some(tenant), after, limit),
            Ask::Due(before) => self.first.due(before, after, limit),
        };
        self.witness(rule).answer(format!("listing {ask:?}"), page).await
    }

    /// Returns the same handles in reverse order.
    fn swapped(&self) -> Self {
        Self { first: Arc::clone(&self.second), second: Arc::clone(&self.first) }
    }

    /// Lists all pages, and calls `between` after each page.
    async fn list(
        &self,
        rule: ContractRule,
        ask: Ask,
        limit: usize,
        mut between: impl AsyncFnMut(&Page) -> CheckResult,
    ) -> Result<Vec<TokenKey>, Violation> {
        let (mut keys, mut after) = (Vec::new(), None);
        let handles = [self, &self.swapped()];
        for turn in 0..PAGES {
            // Each cursor is passed to the handle that did not create it.
            let page = handles[turn % 2].page(rule, ask, after.as_ref(), limit).await?;
            if page.keys.len() > limit.max(1) {
                let what = format!("a page contains {} keys, but the limit is {limit}: {ask:?}", page.keys.len());
                return Err(Violation { rule: ContractRule::Pages, what });
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
            what: format!("no last page within {PAGES} pages with limit {limit}: {ask:?}"),
        })
    }
}

/// Stores entries for all roots that are due before, at, or after `NOON`, or never.
async fn fill(indexes: &Indexes) -> Result<Kept, Violation> {
    let witness = indexes.witness(ContractRule::EverythingOnce);
    let mut kept = Kept::new();
    for number in 0..LOGINS {
        let tenant = witness.key(TENANTS[number % TENANTS.len()])?;
        let key = match number / TENANTS.len() {
            0 => tenant,
            user => tenant.child(format!("user{user}")).map_err(|error| witness.broken(error.to_string()))?,
        };
        let due = match number / TENANTS.len() % 4 {
            0 => None,
            step => Some(UnixTime::from_secs(NOON - 2 + step as u64)),
        };
        witness.clear(&key).await?;
        let entry = witness.entry_due(number.to_string().as_bytes(), due)?;
        witness.saves(&key, &entry, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
        kept.insert(key, entry);
    }
    Ok(kept)
}

async fn pages(indexes: &Indexes, kept: &Kept) -> CheckResult {
    for limit in [0, 1, 3, 100, usize::MAX] {
        for ask in [Ask::All, Ask::Tenant("cust1"), Ask::Due(UnixTime::from_secs(NOON))] {
            let keys = indexes.list(ContractRule::Pages, ask, limit, async |_| Ok(())).await?;
            once(ContractRule::EverythingOnce, ask, &keys, kept)?;
        }
    }
    Ok(())
}

async fn nothing_else(indexes: &Indexes, kept: &Kept) -> CheckResult {
    let tenants = TENANTS.iter().chain(&["cust", "cust1user1", "c", "", "c_", "%"]).map(|tenant| Ask::Tenant(tenant));
    let moments = [0, NOON - 2, NOON - 1, NOON, NOON + 1, NOON + 2, u64::MAX];
    let moments = moments.into_iter().map(|moment| Ask::Due(UnixTime::from_secs(moment)));
    let witness = indexes.witness(ContractRule::NothingElse);
    for ask in tenants.chain(moments) {
        let keys = indexes.list(ContractRule::NothingElse, ask, 50, async |_| Ok(())).await?;
        for key in &keys {
            // An entry that the suite did not store may be listed if it matches.
            let entry = match kept.get(key) {
                Some(entry) => Some(entry.clone()),
                None => witness.load(key).await?,
            };
            if !entry.is_some_and(|entry| ask.wants(key, &entry)) {
                return Err(witness.broken(format!("{ask:?} lists {}", brief(key))));
            }
        }
        once(ContractRule::EverythingOnce, ask, &keys, kept)?;
    }
    Ok(())
}

/// Checks that entries that are saved again during a listing are listed exactly once.
async fn everything_once(indexes: &Indexes, kept: &mut Kept) -> CheckResult {
    let witness = indexes.witness(ContractRule::EverythingOnce);
    for ask in [Ask::All, Ask::Due(UnixTime::from_secs(NOON))] {
        let asked_for: Vec<_> =
            kept.iter().filter(|(key, entry)| ask.wants(key, entry)).map(|(key, _)| key.clone()).collect();
        let (mut turn, mut changed) = (0, kept.clone());
        let again = async |page: &Page| {
            // A listed entry, one from the front, and one from the back.
            let others = [&asked_for[turn % asked_for.len()], &asked_for[asked_for.len() - 1 - turn % asked_for.len()]];
            turn += 1;
            for key in page.keys.first().into_iter().chain(others) {
                let Some(entry) = changed.get_mut(key) else { continue };
                let next = witness.revised(entry)?;
                let expect = Precondition::Revision(entry.head.revision);
                witness.saves(key, &next, expect, WriteOutcome::Committed, "the entry has this revision").await?;
                *entry = next;
            }
            Ok(())
        };
        let keys = indexes.list(ContractRule::EverythingOnce, ask, 7, again).await?;
        *kept = changed;
        once(ContractRule::EverythingOnce, ask, &keys, kept)?;
    }
    Ok(())
}

/// Checks that deleting listed entries during a listing does not hide others.
async fn cursors(indexes: &Indexes, kept: &mut Kept) -> CheckResult {
    let witness = indexes.witness(ContractRule::Cursors);
    for ask in [Ask::Due(UnixTime::from_secs(NOON + 1)), Ask::All] {
        let mut left = kept.clone();
        let delete_listed = async |page: &Page| {
            for key in page.keys.iter().rev().step_by(2) {
                let Some(entry) = left.remove(key) else { continue };
                let expect = Precondition::Revision(entry.head.revision);
                witness.deletes(key, expect, WriteOutcome::Committed, "the entry has this revision").await?;
            }
            Ok(())
        };
        let keys = indexes.list(ContractRule::Cursors, ask, 5, delete_listed).await?;
        once(ContractRule::Cursors, ask, &keys, kept)?;
        *kept = left;
    }
    Ok(())
}

/// Checks that a listing contains each matching entry of the suite exactly once, and no other one.
fn once(rule: ContractRule, ask: Ask, keys: &[TokenKey], kept: &Kept) -> CheckResult {
    let mut times = BTreeMap::<_, usize>::new();
    keys.iter().for_each(|key| *times.entry(key).or_default() += 1);
    for (key, entry) in kept {
        let (is, right) = (times.get(key).copied().unwrap_or_default(), usize::from(ask.wants(key, entry)));
        let rule = if right == 0 { ContractRule::NothingElse } else { rule };
        if is != right {
            let what = format!("{ask:?} lists {} {is} times instead of {right} times", brief(key));
            return Err(Violation { rule, what });
        }
    }
    Ok(())
}

impl Ask {
    fn wants(self, key: &TokenKey, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Tenant(tenant) => key.root() == tenant,
            Self::Due(before) => entry.head.due.is_some_and(|due| due <= before),
        }
    }
}
