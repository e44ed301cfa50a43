//! What do many users in memory cost, in bytes per user and in time per look-up?

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use webex_oauth::store::{MemoryStore, TokenKey, TokenStore as _};
use webex_oauth::{AccessToken, TokenManager, TokenSet};

use crate::allocator::allocated_bytes;
use crate::measure::{format_duration, median, poll_ready};
use crate::webex::{self, ConstantTransport};

const USER_COUNTS: [usize; 3] = [10_000, 100_000, 1_000_000];
const LOOKUPS: usize = 100_000;

pub fn run(runtime: &Runtime) {
    let _guard = runtime.enter();
    println!("\n## Many users in memory\n");
    println!(
        "Bytes per user in addition to the stored session. Times are per look-up of a random user, the mean of {LOOKUPS}.\n"
    );
    println!(
        "| users | stored session | store | store and manager | hand-written | get, hand-written | get, manager | load, store |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for user_count in USER_COUNTS {
        measure_users(user_count);
    }
}

fn measure_users(user_count: usize) {
    let webex = webex::client_over(ConstantTransport(webex::token_response(1_209_599).into()));
    let template = poll_ready(webex::tokens(&webex)).to_stored().expect("a stored form").expose().to_owned();
    let user =
        |number: usize| TokenKey::new("acme").and_then(|key| key.child(format!("user{number:07}"))).expect("a key");
    // The tokens of each user have their own strings, as after loading from a store.
    let tokens = |number: usize| {
        let text = template
            .replace(&webex::access_token(1), &webex::access_token(number))
            .replace(&webex::refresh_token(1), &webex::refresh_token(number));
        TokenSet::from_stored(&text).expect("tokens")
    };

    let store = MemoryStore::new();
    let manager = TokenManager::new(webex.clone(), store.clone()).expect("a manager");
    let before = allocated_bytes();
    for number in 0..user_count {
        drop(poll_ready(manager.put(&user(number), tokens(number))).expect("a session"));
    }
    let store_and_manager = per_user(allocated_bytes() - before, user_count);
    let stored_length = poll_ready(store.load(&user(1))).expect("an entry").expect("an entry").body.expose().len();

    // The same sessions again, in a store without a manager.
    let other_store = MemoryStore::new();
    let before = allocated_bytes();
    for number in 0..user_count {
        let mut entry = poll_ready(store.load(&user(number))).expect("an entry").expect("an entry");
        entry.body = webex_oauth::store::Body::new(entry.body.expose());
        let saved = poll_ready(other_store.save(&user(number), &entry, webex_oauth::store::Precondition::Absent))
            .expect("a write outcome");
        assert_eq!(saved, webex_oauth::store::WriteOutcome::Committed);
    }
    let only_store = per_user(allocated_bytes() - before, user_count);

    let before = allocated_bytes();
    let map = ShardedMap::new();
    for number in 0..user_count {
        map.put(user(number), webex::access_token(number), template.clone().into_boxed_str());
    }
    let sharded_map = per_user(allocated_bytes() - before, user_count);

    let keys: Vec<_> = (0..LOOKUPS).map(|lookup| user(pseudorandom(lookup) % user_count)).collect();
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..5 {
        times[0].push(time_lookups(&keys, |key| drop(map.get(key).expect("a token"))));
        times[1].push(time_lookups(&keys, |key| drop(poll_ready(manager.access_token(key)).expect("a token"))));
        times[2].push(time_lookups(&keys, |key| {
            drop(poll_ready(other_store.load(key)).expect("an entry").expect("an entry"))
        }));
    }
    let number = pseudorandom(7) % user_count;
    assert_eq!(poll_ready(manager.access_token(&user(number))).expect("a token").expose(), webex::access_token(number));
    assert_eq!(map.get(&user(number)).expect("a token").expose(), webex::access_token(number));
    let [hand_written, manager_get, store_load] = times.map(median);
    let overhead = |bytes: i64| bytes - i64::try_from(stored_length).unwrap_or(i64::MAX);
    let ratio =
        |time: Duration| format!("{} ({:.2})", format_duration(time), time.as_secs_f64() / hand_written.as_secs_f64());
    println!(
        "| {user_count} | {stored_length} | {} | {} | {} | {} | {} | {} |",
        overhead(only_store),
        overhead(store_and_manager),
        overhead(sharded_map),
        format_duration(hand_written),
        ratio(manager_get),
        ratio(store_load),
    );
}

fn per_user(bytes: i64, user_count: usize) -> i64 {
    bytes / i64::try_from(user_count).expect("a small number")
}

fn time_lookups(keys: &[TokenKey], get: impl Fn(&TokenKey)) -> Duration {
    let start = Instant::now();
    keys.iter().for_each(get);
    start.elapsed() / u32::try_from(keys.len()).expect("a small number")
}

/// Returns a pseudorandom number (SplitMix64).
fn pseudorandom(number: usize) -> usize {
    let mut mixed = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as usize
}

/// A hand-written cache: 64 maps, each with a lock, of access token and stored session.
struct ShardedMap {
    hasher: RandomState,
    shards: Vec<Shard>,
}

type Shard = Mutex<HashMap<TokenKey, (AccessToken, Box<str>)>>;

impl ShardedMap {
    fn new() -> Self {
        Self { hasher: RandomState::new(), shards: (0..64).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, key: &TokenKey) -> &Shard {
        &self.shards[(self.hasher.hash_one(key) >> 58) as usize]
    }

    fn put(&self, key: TokenKey, token: String, session: Box<str>) {
        let value = (AccessToken::new(token).expect("a token"), session);
        self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }

    fn get(&self, key: &TokenKey) -> Option<AccessToken> {
        let map = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key).map(|(token, _)| token.clone())
    }
}
