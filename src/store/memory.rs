//! An in-memory token store.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::store::entry::{
    Body, Entry, ExpiryBaseline, Head, Lease, LoginId, RefreshBlock, Revision, UnauthorizedRefreshes, Version,
};
use crate::store::key::TokenKey;
use crate::store::traits::{Cursor, Page, Precondition, TokenIndex, TokenStore, WriteOutcome};

/// A power of two: the first bits of a hash choose the shard.
const SHARDS: usize = 64;

/// The maximum number of entries that are examined for one page, so that a listing holds no lock
/// for long.
const MAX_SCANNED_ENTRIES: usize = 4096;

/// A store in memory, for tests and for programs whose users log in again after each start.
///
/// Clones are the same store. Nothing is written to disk. Removed entries are wiped.
///
/// # Cost
///
/// An entry takes about 200 bytes in addition to its key and body. A load takes up to 2
/// microseconds with a million sessions, and about 0.3 microseconds with ten thousand. A listing
/// examines every session, which takes about 0.2 seconds for a million. It locks the store briefly
/// for each page.
///
/// # Example
///
/// ```
/// use webex_oauth::store::{MemoryStore, TokenKey, TokenStore as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// let store = MemoryStore::new();
/// assert!(store.load(&TokenKey::new("cust10001")?).await?.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Shards>);

struct Shards {
    hasher: RandomState,
    maps: [RwLock<BTreeMap<Position, StoredEntry>>; SHARDS],
}

/// The position of a key. The hash is compared quickly and, unlike the order of a hash map, is
/// stable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    hash: u64,
    key: TokenKey,
}

/// An entry, with its rarely used fields in a separate allocation to save memory.
struct StoredEntry {
    revision: Revision,
    login: LoginId,
    generation: u64,
    due: Option<UnixTime>,
    rare_fields: Option<Box<RareHeadFields>>,
    body: Body,
}

/// The rarely used fields of a head.
#[derive(Clone, Default, PartialEq, Eq)]
struct RareHeadFields {
    claim: Option<Lease>,
    hold: Option<RefreshBlock>,
    interrupted: bool,
    ends: Option<UnixTime>,
    anchor: Option<ExpiryBaseline>,
    unauthorized: Option<UnauthorizedRefreshes>,
    unexplained: u32,
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self(Arc::new(Shards { hasher: RandomState::new(), maps: std::array::from_fn(|_| RwLock::default()) }))
    }

    fn position(&self, key: &TokenKey) -> Position {
        Position { hash: self.0.hasher.hash_one(key), key: key.clone() }
    }

    fn read_shard(&self, shard: usize) -> RwLockReadGuard<'_, BTreeMap<Position, StoredEntry>> {
        self.0.maps[shard].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_shard(&self, shard: usize) -> RwLockWriteGuard<'_, BTreeMap<Position, StoredEntry>> {
        self.0.maps[shard].write().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(
        &self,
        after: Option<&Cursor>,
        limit: usize,
        requested: impl Fn(&TokenKey, &StoredEntry) -> bool,
    ) -> Result<Page> {
        let after = after.map(Position::from_cursor).transpose()?;
        let (mut page, mut looks) = (Page::default(), 0);
        for shard in after.as_ref().map_or(0, Position::shard)..SHARDS {
            let map = self.read_shard(shard);
            let start = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            for (position, kept) in map.range((start, Bound::Unbounded)) {
                if requested(&position.key, kept) {
                    page.keys.push(position.key.clone());
                }
                looks += 1;
                if page.keys.len() >= limit.max(1) || looks == MAX_SCANNED_ENTRIES {
                    page.next = Some(position.cursor());
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        let position = self.position(key);
        Ok(self.read_shard(position.shard()).get(&position).map(StoredEntry::to_entry))
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        let position = self.position(key);
        let mut map = self.write_shard(position.shard());
        if !expect.matches(map.get(&position).map(|kept| kept.revision)) {
            return Ok(WriteOutcome::Conflict);
        }
        map.insert(position, StoredEntry::new(entry));
        Ok(WriteOutcome::Committed)
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        let position = self.position(key);
        let mut map = self.write_shard(position.shard());
        match map.get_mut(&position) {
            Some(kept) if kept.revision == expected => {
                *kept = StoredEntry::new(&Entry { head: head.clone(), body: kept.body.clone() });
                Ok(WriteOutcome::Committed)
            }
            _ => Ok(WriteOutcome::Conflict),
        }
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        let position = self.position(key);
        let mut map = self.write_shard(position.shard());
        if !expect.matches(map.get(&position).map(|kept| kept.revision)) {
            return Ok(WriteOutcome::Conflict);
        }
        map.remove(&position);
        Ok(WriteOutcome::Committed)
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        Some(self)
    }
}

#[async_trait]
impl TokenIndex for MemoryStore {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.list(after, limit, |_, kept| kept.due.is_some_and(|due| due <= before))
    }

    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.list(after, limit, |key, _| tenant.is_none_or(|tenant| key.root() == tenant))
    }
}

impl Position {
    /// Returns the shard: the first bits of the hash, so that shards and places have the same
    /// order.
    fn shard(&self) -> usize {
        // Six bits fit in any `usize`.
        (self.hash >> (u64::BITS - SHARDS.ilog2())) as usize
    }

    /// Sixteen digits of the hash, then the string form of the key.
    fn cursor(&self) -> Cursor {
        Cursor::new(format!("{:016x}{}", self.hash, self.key))
    }

    fn from_cursor(cursor: &Cursor) -> Result<Self> {
        let position = || {
            let (hash, key) = cursor.as_str().split_at_checked(16)?;
            Some(Self { hash: u64::from_str_radix(hash, 16).ok()?, key: key.parse().ok()? })
        };
        position()
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "invalid cursor: it was not created by a memory store"))
    }
}

impl StoredEntry {
    fn new(entry: &Entry) -> Self {
        let Head {
            v: Version,
            revision,
            login,
            generation,
            claim,
            hold,
            interrupted,
            due,
            ends,
            anchor,
            unauthorized,
            unexplained,
        } = entry.head.clone();
        let marks = RareHeadFields { claim, hold, interrupted, ends, anchor, unauthorized, unexplained };
        let marks = (marks != RareHeadFields::default()).then(|| Box::new(marks));
        Self { revision, login, generation, due, rare_fields: marks, body: entry.body.clone() }
    }

    fn to_entry(&self) -> Entry {
        let RareHeadFields { claim, hold, interrupted, ends, anchor, unauthorized, unexplained } =
            self.rare_fields.as_deref().cloned().unwrap_or_default();
        let (revision, login, generation, due) = (self.revision, self.login, self.generation, self.due);
        let head = Head {
            v: Version,
            revision,
            login,
            generation,
            claim,
            hold,
            interrupted,
            due,
            ends,
            anchor,
            unauthorized,
            unexplained,
        };
        Entry { head, body: self.body.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_round_trips_and_invalid_cursor_is_rejected() {
        let store = MemoryStore::new();
        let key = TokenKey::new("cüst").unwrap();
        for key in [key.clone(), key.child("00jane").unwrap()] {
            let position = store.position(&key);
            assert!(Position::from_cursor(&position.cursor()).unwrap() == position);
        }
        for text in ["", "0", "zzzzzzzzzzzzzzzz00a", "000000000000000000", "000000000000000009a", "00000000000000é0a"]
        {
            assert_eq!(
                Position::from_cursor(&Cursor::new(text)).err().unwrap().kind(),
                ErrorKind::InvalidInput,
                "{text}"
            );
        }
    }

    #[test]
    fn memory_entry_stays_within_size_limit() {
        assert!(size_of::<StoredEntry>() <= 72 && size_of::<Position>() <= 32);
    }
}
