//! What does it take to keep very many users in memory, and to find one of them?

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use webex_oauth::store::{MemoryStore, TokenKey, TokenStore as _};
use webex_oauth::{AccessToken, TokenManager, TokenSet};

use crate::counting::live_bytes;
use crate::measure::{median, ready, shown};
use crate::webex::{self, Canned};

const CROWDS: [usize; 3] = [10_000, 100_000, 1_000_000];
const LOOKS: usize = 100_000;

pub fn run(runtime: &Runtime) {
    let _guard = runtime.enter();
    println!("\n## Very many users in memory\n");
    println!("Bytes for each user beside the text of the stored login; a get is of a random user, {LOOKS} of them.\n");
    println!(
        "| users | a login's text | store | store and manager | by hand | get by hand | get of the manager | load of the store |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for crowd in CROWDS {
        measure(crowd);
    }
}

fn measure(crowd: usize) {
    let webex = webex::client_over(Canned(webex::answer(1_209_599).into()));
    let template = ready(webex::tokens(&webex)).to_stored().expect("a text").expose().to_owned();
    let user =
        |number: usize| TokenKey::new("acme").and_then(|key| key.child(format!("user{number:07}"))).expect("a key");
    // Tokens as a store brings them: nobody shares a text with another.
    let tokens = |number: usize| {
        let text = template
            .replace(&webex::access_token(1), &webex::access_token(number))
            .replace(&webex::refresh_token(1), &webex::refresh_token(number));
        TokenSet::from_stored(&text).expect("tokens")
    };

    let store = MemoryStore::new();
    let manager = TokenManager::new(webex.clone(), store.clone()).expect("a manager");
    let before = live_bytes();
    for number in 0..crowd {
        drop(ready(manager.put(&user(number), tokens(number))).expect("a session"));
    }
    let both = per_user(live_bytes() - before, crowd);
    let text = ready(store.load(&user(1))).expect("a login").expect("a login").body.expose().len();

    // The same logins once more, in a store alone.
    let alone = MemoryStore::new();
    let before = live_bytes();
    for number in 0..crowd {
        let mut entry = ready(store.load(&user(number))).expect("a login").expect("a login");
        entry.body = webex_oauth::store::Body::new(entry.body.expose());
        let saved =
            ready(alone.save(&user(number), &entry, webex_oauth::store::Precondition::Absent)).expect("it is saved");
        assert_eq!(saved, webex_oauth::store::WriteOutcome::Committed);
    }
    let only_store = per_user(live_bytes() - before, crowd);

    let before = live_bytes();
    let map = Shards::new();
    for number in 0..crowd {
        map.put(user(number), webex::access_token(number), template.clone().into_boxed_str());
    }
    let hand = per_user(live_bytes() - before, crowd);

    let keys: Vec<_> = (0..LOOKS).map(|look| user(scattered(look) % crowd)).collect();
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..5 {
        times[0].push(look(&keys, |key| drop(map.get(key).expect("a token"))));
        times[1].push(look(&keys, |key| drop(ready(manager.access_token(key)).expect("a token"))));
        times[2].push(look(&keys, |key| drop(ready(alone.load(key)).expect("a login").expect("a login"))));
    }
    let number = scattered(7) % crowd;
    assert_eq!(ready(manager.access_token(&user(number))).expect("a token").expose(), webex::access_token(number));
    assert_eq!(map.get(&user(number)).expect("a token").expose(), webex::access_token(number));
    let [by_hand, managed, loaded] = times.map(median);
    let beside = |bytes: i64| bytes - i64::try_from(text).unwrap_or(i64::MAX);
    let ratio = |time: Duration| format!("{} ({:.2})", shown(time), time.as_secs_f64() / by_hand.as_secs_f64());
    println!(
        "| {crowd} | {text} | {} | {} | {} | {} | {} | {} |",
        beside(only_store),
        beside(both),
        beside(hand),
        shown(by_hand),
        ratio(managed),
        ratio(loaded),
    );
}

fn per_user(bytes: i64, crowd: usize) -> i64 {
    bytes / i64::try_from(crowd).expect("a crowd")
}

fn look(keys: &[TokenKey], get: impl Fn(&TokenKey)) -> Duration {
    let begun = Instant::now();
    keys.iter().for_each(get);
    begun.elapsed() / u32::try_from(keys.len()).expect("not so many")
}

/// Numbers in no order (splitmix64).
fn scattered(number: usize) -> usize {
    let mut mixed = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) as usize
}

/// What one would write by hand: 64 maps with a lock each, and in them the token and the text of the login.
struct Shards {
    hasher: RandomState,
    maps: Vec<Shard>,
}

type Shard = Mutex<HashMap<TokenKey, (AccessToken, Box<str>)>>;

impl Shards {
    fn new() -> Self {
        Self { hasher: RandomState::new(), maps: (0..64).map(|_| Mutex::default()).collect() }
    }

    fn shard(&self, key: &TokenKey) -> &Shard {
        &self.maps[(self.hasher.hash_one(key) >> 58) as usize]
    }

    fn put(&self, key: TokenKey, token: String, login: Box<str>) {
        let kept = (AccessToken::new(token).expect("a token"), login);
        self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner).insert(key, kept);
    }

    fn get(&self, key: &TokenKey) -> Option<AccessToken> {
        let map = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        map.get(key).map(|(token, _)| token.clone())
    }
}
