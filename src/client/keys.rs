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
/// How long they are good at least.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// The key sets of a service and of its issuers, by their address.
///
/// Who reads never waits: keys are looked up in a snapshot. Who needs a key that is not there shares one fetch with all
/// others, and a bad answer never takes the place of good keys.
#[derive(Default)]
pub(super) struct KeyRing {
    known: ArcSwap<HashMap<String, Arc<Snapshot>>>,
    /// Held while fetching.
    fetching: tokio::sync::Mutex<()>,
    /// When the last fetches began, by the clock that never goes back.
    fetches: Mutex<VecDeque<Duration>>,
}

/// The keys of one address as they were fetched.
struct Snapshot {
    keys: JwkSet,
    fetched_at: Duration,
    good_until: Duration,
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
    /// issuer's.
    pub(super) async fn prove(
        &self,
        checked: &Checked<'_>,
        addresses: &[Endpoint],
        clock: &dyn Clock,
        server: &impl KeyServer,
    ) -> Result<Proven> {
        let seen: Vec<_> = addresses.iter().map(|address| self.snapshot(address)).collect();
        for (address, snapshot) in addresses.iter().zip(&seen) {
            let Some(snapshot) = snapshot else { continue };
            if let Some(id_token) = found(checked, &snapshot.keys)? {
                let is_outdated = clock.elapsed() >= snapshot.good_until;
                return Ok(Proven { id_token, outdated: is_outdated.then(|| address.clone()) });
            }
        }
        let mut trouble = None;
        for (place, (address, snapshot)) in addresses.iter().zip(seen).enumerate() {
            match self.fetched(address, snapshot, clock, server).await {
                Ok(snapshot) => {
                    if let Some(id_token) = found(checked, &snapshot.keys)? {
                        return Ok(Proven { id_token, outdated: None });
                    }
                }
                // Not every issuer publishes keys of its own where Webex's do.
                Err(error) if place > 0 && is_absent(&error) => {}
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        Err(trouble.unwrap_or_else(|| refused("none of its issuer's keys is the one that it names")))
    }

    /// Fetches keys anew that have had their time, unless somebody is at it. Whatever goes wrong, the old ones stay.
    pub(super) async fn renew(&self, address: &Endpoint, clock: &dyn Clock, server: &impl KeyServer) {
        if self.fetching.try_lock().is_ok() {
            let _ = self.fetched(address, self.snapshot(address), clock, server).await;
        }
    }

    /// Fetches keys unless others have just done so.
    async fn fetched(
        &self,
        address: &Endpoint,
        seen: Option<Arc<Snapshot>>,
        clock: &dyn Clock,
        server: &impl KeyServer,
    ) -> Result<Arc<Snapshot>> {
        let _fetching = self.fetching.lock().await;
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
        self.spend(clock.elapsed())?;
        let Fetched { keys, max_age } = server.keys_at(address).await?;
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

/// The token, proven by these keys; `None` when they cannot tell.
fn found(checked: &Checked<'_>, keys: &JwkSet) -> Result<Option<VerifiedIdToken>> {
    match checked.against(keys) {
        Finding::Valid(id_token) => Ok(Some(id_token)),
        Finding::UnknownKey => Ok(None),
        // A token that names no key may be of one that is newer than these.
        Finding::Forged if checked.key_id().is_none() => Ok(None),
        Finding::Forged => Err(refused("its signature is not its issuer's")),
        Finding::Ambiguous => Err(refused("it names no key, and its issuer has several")),
    }
}
