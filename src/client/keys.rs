//! The keys that ID tokens are signed with: kept, and fetched when a token is signed with a key that is not known.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::oidc::claims::VerifiedIdToken;
use crate::oidc::jwk::JwkSet;
use crate::oidc::verify::{Checked, Finding, refused};

/// The shortest time between two fetches from one address.
const GAP: Duration = Duration::from_secs(1);
/// How many fetches there may be, of all addresses together, ...
const BUDGET: usize = 10;
/// ... in this time: whoever sends forged tokens makes no more requests than that.
const BUDGET_TIME: Duration = Duration::from_secs(5 * 60);
/// How long keys are good whose server does not say, and at most.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long keys that have had their time still serve while they are fetched anew; after that, nobody believes them.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long they are good at least.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// The key sets of a service and of its issuers, by their address.
///
/// Who reads never waits: keys are looked up in a snapshot. Who needs a key that is not there shares one fetch with all
/// others, and a bad answer never takes the place of good keys.
#[derive(Default)]
pub(super) struct KeyRing {
    known: ArcSwap<HashMap<String, Arc<Snapshot>>>,
    /// One for each address, held while its keys are fetched: an address that hangs is in nobody else's way.
    doors: Mutex<HashMap<String, Arc<Door>>>,
    /// When the last fetches began, by the clock that never goes back.
    fetches: Mutex<VecDeque<Duration>>,
}

/// Who fetches, and when and why the last fetch failed.
type Door = tokio::sync::Mutex<Option<(Duration, Error)>>;

/// The keys of one address as they were fetched.
struct Snapshot {
    keys: JwkSet,
    fetched_at: Duration,
    good_until: Duration,
}

impl Snapshot {
    fn is_over(&self, now: Duration) -> bool {
        now >= self.good_until.saturating_add(GRACE)
    }
}

/// An answer with keys.
pub(super) struct Fetched {
    pub(super) keys: JwkSet,
    /// How long they may be kept, if the server said so.
    pub(super) max_age: Option<Duration>,
}

/// Where keys are fetched from.
pub(super) trait KeyServer: Sync {
    /// The keys of an address.
    fn keys_at(&self, address: &Endpoint) -> impl Future<Output = Result<Fetched>> + Send;
}

/// A proven ID token.
pub(super) struct Proven {
    pub(super) id_token: VerifiedIdToken,
    /// The address whose keys have had their time, though they did: they should be fetched again behind the caller's back.
    pub(super) outdated: Option<Endpoint>,
}

impl KeyRing {
    /// Proves that a checked token was signed by its issuer. The addresses are asked in turn: the service's own, then the
    /// issuer's. What one set refuses another may know; the last word has whoever was asked now.
    pub(super) async fn prove(
        &self,
        checked: &Checked<'_>,
        addresses: &[Endpoint],
        clock: &dyn Clock,
        server: &impl KeyServer,
    ) -> Result<Proven> {
        let seen: Vec<_> = addresses.iter().map(|address| self.snapshot(address)).collect();
        for (address, snapshot) in addresses.iter().zip(&seen) {
            let Some(snapshot) = snapshot.as_ref().filter(|snapshot| !snapshot.is_over(clock.elapsed())) else {
                continue;
            };
            if let Finding::Valid(id_token) = checked.against(&snapshot.keys) {
                let is_outdated = clock.elapsed() >= snapshot.good_until;
                return Ok(Proven { id_token, outdated: is_outdated.then(|| address.clone()) });
            }
        }
        let (mut trouble, mut refusal) = (None, None);
        for (place, (address, seen)) in addresses.iter().zip(seen).enumerate() {
            // A set that names the key and was fetched lately has no other of that name.
            let is_settled = seen.as_ref().is_some_and(|seen| {
                clock.elapsed() < seen.good_until && checked.key_id().is_some() && is_forged(checked, &seen.keys)
            });
            let snapshot = match seen {
                Some(snapshot) if is_settled => Ok(snapshot),
                seen => self.fetched(address, seen, clock, server).await,
            };
            match snapshot.map(|snapshot| checked.against(&snapshot.keys)) {
                Ok(Finding::Valid(id_token)) => return Ok(Proven { id_token, outdated: None }),
                Ok(Finding::Forged) => refusal = refusal.or(Some("its signature is not its issuer's")),
                Ok(Finding::Ambiguous) => refusal = refusal.or(Some("it names no key, and its issuer has several")),
                Ok(Finding::UnknownKey) => {}
                // Not every issuer publishes keys of its own where Webex's do.
                Err(error) if place > 0 && is_absent(&error) => {}
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        match (refusal, trouble) {
            (Some(refusal), _) => Err(refused(refusal)),
            (None, Some(trouble)) => Err(trouble),
            (None, None) => Err(refused("none of its issuer's keys is the one that it names")),
        }
    }

    /// The token, proven by keys that are at hand; nothing is fetched.
    pub(super) fn known(
        &self,
        checked: &Checked<'_>,
        addresses: &[Endpoint],
        now: Duration,
    ) -> Option<VerifiedIdToken> {
        let snapshots = addresses.iter().filter_map(|address| self.snapshot(address));
        let mut living = snapshots.filter(|snapshot| !snapshot.is_over(now));
        living.find_map(|snapshot| match checked.against(&snapshot.keys) {
            Finding::Valid(id_token) => Some(id_token),
            _ => None,
        })
    }

    /// Fetches keys anew that have had their time, unless somebody is at it. Whatever goes wrong, the old ones stay.
    pub(super) async fn renew(&self, address: &Endpoint, clock: &dyn Clock, server: &impl KeyServer) {
        if self.door(address).try_lock().is_ok() {
            let _ = self.fetched(address, self.snapshot(address), clock, server).await;
        }
    }

    /// The keys of an address as they are now: fetched, unless others have done so while this one waited.
    async fn fetched(
        &self,
        address: &Endpoint,
        seen: Option<Arc<Snapshot>>,
        clock: &dyn Clock,
        server: &impl KeyServer,
    ) -> Result<Arc<Snapshot>> {
        let came = clock.elapsed();
        let door = self.door(address);
        let mut last_failure = door.lock().await;
        if let Some(snapshot) = self.snapshot(address) {
            if seen.is_none_or(|seen| !Arc::ptr_eq(&seen, &snapshot)) {
                return Ok(snapshot);
            }
            // The key was made known just now, perhaps.
            let age = clock.elapsed().saturating_sub(snapshot.fetched_at);
            if age < GAP {
                clock.sleep(GAP - age).await;
            }
        }
        // Whoever came before it was known shares a failure, and whoever comes right after it.
        if let Some((failed_at, error)) = &*last_failure
            && (*failed_at >= came || clock.elapsed().saturating_sub(*failed_at) < GAP)
        {
            return Err(error.clone());
        }
        self.spend(clock.elapsed())?;
        let Fetched { keys, max_age } = match server.keys_at(address).await {
            Ok(fetched) => fetched,
            Err(error) => {
                // An outage is no forgery.
                if !is_absent(&error) {
                    self.give_back();
                }
                *last_failure = Some((clock.elapsed(), error.clone()));
                return Err(error);
            }
        };
        *last_failure = None;
        let now = clock.elapsed();
        let life = max_age.unwrap_or(LONGEST_LIFE).clamp(SHORTEST_LIFE, LONGEST_LIFE);
        let snapshot = Arc::new(Snapshot { keys, fetched_at: now, good_until: now.saturating_add(life) });
        self.known.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(name(address), Arc::clone(&snapshot));
            known
        });
        Ok(snapshot)
    }

    /// Where those wait who want the keys of an address; inside is when and why the last fetch failed.
    fn door(&self, address: &Endpoint) -> Arc<Door> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(doors.entry(name(address)).or_default())
    }

    fn give_back(&self) {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner).pop_back();
    }

    /// What is known of an address.
    fn snapshot(&self, address: &Endpoint) -> Option<Arc<Snapshot>> {
        self.known.load().get(address.url().as_str()).cloned()
    }

    /// Takes one fetch out of the budget.
    fn spend(&self, now: Duration) -> Result<()> {
        let mut fetches = self.fetches.lock().unwrap_or_else(PoisonError::into_inner);
        while fetches.front().is_some_and(|begun| now.saturating_sub(*begun) >= BUDGET_TIME) {
            fetches.pop_front();
        }
        if let (true, Some(first)) = (fetches.len() >= BUDGET, fetches.front()) {
            let wait = BUDGET_TIME.saturating_sub(now.saturating_sub(*first)).max(Duration::from_secs(1));
            let message = "keys were fetched too often for tokens that name keys which nobody has";
            return Err(Error::new(ErrorKind::Keys, message).with_remedy(Remedy::Later).with_retry_after(Some(wait)));
        }
        fetches.push_back(now);
        Ok(())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("addresses", &self.known.load().keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn name(address: &Endpoint) -> String {
    address.url().as_str().to_owned()
}

/// Whether a server said that it has no such thing.
fn is_absent(error: &Error) -> bool {
    let status = error.server().and_then(|server| server.status());
    status.is_some_and(|status| matches!(status, 400 | 401 | 403 | 404 | 405 | 410))
}

/// Whether a set has the key that a token names, and it did not sign it.
fn is_forged(checked: &Checked<'_>, keys: &JwkSet) -> bool {
    matches!(checked.against(keys), Finding::Forged)
}
