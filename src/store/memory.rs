//! A store that lives as long as the process.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;

use super::entry::{UnauthorizedRefreshes, Version};
use super::{
    Body, Cursor, Entry, ExpiryBaseline, Head, Lease, LoginId, Page, Precondition, RefreshBlock, Revision, TokenIndex,
    TokenKey, TokenStore, WriteOutcome,
};
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};

/// A power of two: the first bits of a hash choose the shard.
const SHARDS: usize = 64;

/// How many logins are looked at for one page, so that no listing holds a lock for long.
const LOOKS: usize = 4096;

/// Keeps logins in memory: for tests, and for programs whose users log in anew after each start.
///
/// Clones are the same store. Nothing is written to disk; what is removed is wiped.
///
/// # Cost
///
/// About 200 bytes for each login besides its text. Loading one of a million takes a microsecond or two, one of ten
/// thousand a sixth of that. Listing looks at every login, whichever it asks for: at a million in a fifth of a second, in
/// pages that hold a lock for a moment each.
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
    maps: [RwLock<BTreeMap<Place, Kept>>; SHARDS],
}

/// Where a key lies: by its hash, which is quickly compared and, unlike a hash map's order, never changes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    hash: u64,
    key: TokenKey,
}

/// An entry, with what is seldom there put elsewhere: a million of them count.
struct Kept {
    revision: Revision,
    login: LoginId,
    generation: u64,
    due: Option<UnixTime>,
    marks: Option<Box<Marks>>,
    body: Body,
}

/// What most heads have none of.
#[derive(Clone, Default, PartialEq, Eq)]
struct Marks {
    claim: Option<Lease>,
    hold: Option<RefreshBlock>,
    interrupted: bool,
    ends: Option<UnixTime>,
    anchor: Option<ExpiryBaseline>,
    unauthorized: Option<UnauthorizedRefreshes>,
    unexplained: u32,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self(Arc::new(Shards { hasher: RandomState::new(), maps: std::array::from_fn(|_| RwLock::default()) }))
    }

    fn place(&self, key: &TokenKey) -> Place {
        Place { hash: self.0.hasher.hash_one(key), key: key.clone() }
    }

    fn read(&self, shard: usize) -> RwLockReadGuard<'_, BTreeMap<Place, Kept>> {
        self.0.maps[shard].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: usize) -> RwLockWriteGuard<'_, BTreeMap<Place, Kept>> {
        self.0.maps[shard].write().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, after: Option<&Cursor>, limit: usize, asked_for: impl Fn(&TokenKey, &Kept) -> bool) -> Result<Page> {
        let after = after.map(Place::read).transpose()?;
        let (mut page, mut looks) = (Page::default(), 0);
        for shard in after.as_ref().map_or(0, Place::shard)..SHARDS {
            let map = self.read(shard);
            let start = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            for (place, kept) in map.range((start, Bound::Unbounded)) {
                if asked_for(&place.key, kept) {
                    page.keys.push(place.key.clone());
                }
                looks += 1;
                if page.keys.len() >= limit.max(1) || looks == LOOKS {
                    page.next = Some(place.cursor());
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
        let place = self.place(key);
        Ok(self.read(place.shard()).get(&place).map(Kept::entry))
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        let place = self.place(key);
        let mut map = self.write(place.shard());
        if !expect.matches(map.get(&place).map(|kept| kept.revision)) {
            return Ok(WriteOutcome::Conflict);
        }
        map.insert(place, Kept::new(entry));
        Ok(WriteOutcome::Committed)
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        let place = self.place(key);
        let mut map = self.write(place.shard());
        if !expect.matches(map.get(&place).map(|kept| kept.revision)) {
            return Ok(WriteOutcome::Conflict);
        }
        map.remove(&place);
        Ok(WriteOutcome::Committed)
    }
}

#[async_trait]
impl TokenIndex for MemoryStore {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.list(after, limit, |_, kept| kept.due.is_some_and(|due| due <= before))
    }

    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.list(after, limit, |key, _| tenant.is_none_or(|tenant| key.tenant() == tenant))
    }
}

impl Place {
    /// The first bits of the hash, so that the shards follow each other in the order of their places.
    fn shard(&self) -> usize {
        // Six bits fit any usize.
        (self.hash >> (u64::BITS - SHARDS.ilog2())) as usize
    }

    /// Sixteen digits of hash, two of the first part's length (00 without a second part), and the parts.
    fn cursor(&self) -> Cursor {
        let (tenant, user) = (self.key.tenant(), self.key.user_part());
        let length = user.map_or(0, |_| tenant.len());
        Cursor::new(format!("{:016x}{length:02x}{tenant}{}", self.hash, user.unwrap_or_default()))
    }

    fn read(cursor: &Cursor) -> Result<Self> {
        let place = || {
            let (hash, rest) = cursor.as_str().split_at_checked(16)?;
            let (length, parts) = rest.split_at_checked(2)?;
            let key = match usize::from_str_radix(length, 16).ok()? {
                0 => TokenKey::new(parts),
                length => {
                    let (tenant, user) = parts.split_at_checked(length)?;
                    TokenKey::new(tenant).and_then(|key| key.user(user))
                }
            };
            Some(Self { hash: u64::from_str_radix(hash, 16).ok()?, key: key.ok()? })
        };
        place().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "this cursor is not one of a memory store"))
    }
}

impl Kept {
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
        let marks = Marks { claim, hold, interrupted, ends, anchor, unauthorized, unexplained };
        let marks = (marks != Marks::default()).then(|| Box::new(marks));
        Self { revision, login, generation, due, marks, body: entry.body.clone() }
    }

    fn entry(&self) -> Entry {
        let Marks { claim, hold, interrupted, ends, anchor, unauthorized, unexplained } =
            self.marks.as_deref().cloned().unwrap_or_default();
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
    fn a_cursor_leads_back_to_its_place() {
        let store = MemoryStore::new();
        let key = TokenKey::new("cüst").unwrap();
        for key in [key.clone(), key.user("00jane").unwrap()] {
            let place = store.place(&key);
            assert!(Place::read(&place.cursor()).unwrap() == place);
        }
        for text in ["", "0", "zzzzzzzzzzzzzzzz00a", "000000000000000000", "000000000000000009a", "00000000000000é0a"]
        {
            assert_eq!(Place::read(&Cursor::new(text)).err().unwrap().kind(), ErrorKind::InvalidInput, "{text}");
        }
    }

    #[test]
    fn an_entry_in_memory_is_small() {
        assert!(size_of::<Kept>() <= 72 && size_of::<Place>() <= 32);
    }
}
