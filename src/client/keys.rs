//! The keys that ID tokens are signed with: kept, and fetched when a token is signed with a key that is not known.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use super::budget::{Budget, Spent, Whose};
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::oidc::claims::VerifiedIdToken;
use crate::oidc::jwk::JwkSet;
use crate::oidc::verify::{Checked, Finding, refused};

/// The shortest time between two fetches from one address; after failures in a row it doubles, ...
const GAP: Duration = Duration::from_secs(1);
/// ... up to this. A server that asks for more time gets it.
const LONGEST_GAP: Duration = Duration::from_secs(15);
/// The shortest time between a failed renewal of keys that still serve and the next.
const RENEWAL_GAP: Duration = Duration::from_secs(60);
/// The first request that fails, if it fails this soon, is repeated once: a login that waits for it would be lost.
const SOON: Duration = Duration::from_secs(10);
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
    /// By the clock that never goes back, as all times here.
    budget: Mutex<Budget>,
}

/// Who fetches, and why the last fetch failed, if it did.
type Door = tokio::sync::Mutex<Option<Failure>>;

/// A fetch that failed.
struct Failure {
    error: Error,
    at: Duration,
    /// How many failures there were before it, without a success between.
    before: u32,
}

impl Failure {
    /// How long the address is left alone from now on.
    fn wait(&self, now: Duration) -> Duration {
        let gap = GAP.saturating_mul(2_u32.saturating_pow(self.before)).min(LONGEST_GAP);
        let wait = self.error.retry_after().unwrap_or_default().max(gap);
        self.at.saturating_add(wait).saturating_sub(now)
    }

    /// The same for somebody who hears of it now.
    fn error(&self, now: Duration) -> Error {
        if !self.error.is_retryable() {
            return self.error.clone();
        }
        self.error.clone().with_retry_after(Some(self.wait(now).max(GAP)))
    }
}

/// The keys of one address as they were fetched.
struct Snapshot {
    keys: JwkSet,
    /// When the request for them began: what was published later may be missing.
    asked_at: Duration,
    fetched_at: Duration,
    good_until: Duration,
}

impl Snapshot {
    fn is_over(&self, now: Duration) -> bool {
        now >= self.good_until.saturating_add(GRACE)
    }
}

/// What somebody needs the keys of an address for.
struct Wish<'a> {
    /// A token to prove; without one, any newer keys will do.
    token: Option<&'a Checked<'a>>,
    /// What was there when it came, and was not enough.
    seen: Option<Arc<Snapshot>>,
    came: Duration,
}

impl Wish<'_> {
    /// Whether keys that others have fetched meanwhile are the last word. If they were asked for before the token came, the
    /// key that it was signed with may have been published in between: then they are only if they have it.
    fn matches(&self, snapshot: &Arc<Snapshot>) -> bool {
        let is_newer = self.seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, snapshot));
        let has_key = || self.token.is_none_or(|token| matches!(token.against(&snapshot.keys), Finding::Valid(_)));
        is_newer && (snapshot.asked_at >= self.came || has_key())
    }
}

/// An address of keys, and whose requests those to it are.
#[derive(Clone)]
pub(super) struct KeyAddress {
    pub(super) at: Endpoint,
    pub(super) whose: Whose,
}

/// An answer with keys.
pub(super) struct Fetched {
    pub(super) keys: JwkSet,
    /// How long they may be kept, if the server said so.
    pub(super) max_age: Option<Duration>,
}

/// Where keys are fetched from.
pub(super) trait KeyServer: Send + Sync + 'static {
    /// The clock that all times here are by.
    fn clock(&self) -> &dyn Clock;

    /// The keys of an address.
    fn keys_at(&self, address: &Endpoint) -> impl Future<Output = Result<Fetched>> + Send;
}

/// A proven ID token.
pub(super) struct Proven {
    pub(super) id_token: VerifiedIdToken,
    /// The address whose keys have had their time, though they did: they should be fetched again behind the caller's back.
    pub(super) outdated: Option<KeyAddress>,
}

impl KeyRing {
    /// Proves that a checked token was signed by its issuer. The addresses are asked in turn: the service's own, then the
    /// issuer's. What one set refuses another may know; the last word has whoever was asked now.
    pub(super) async fn prove(
        self: &Arc<Self>,
        checked: &Checked<'_>,
        addresses: &[KeyAddress],
        server: &Arc<impl KeyServer>,
    ) -> Result<Proven> {
        let clock = server.clock();
        let came = clock.elapsed();
        let seen: Vec<_> = addresses.iter().map(|address| self.snapshot(&address.at)).collect();
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
                seen => self.fetched(address, &Wish { token: Some(checked), seen, came }, server).await,
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
        addresses: &[KeyAddress],
        now: Duration,
    ) -> Option<VerifiedIdToken> {
        let snapshots = addresses.iter().filter_map(|address| self.snapshot(&address.at));
        let mut living = snapshots.filter(|snapshot| !snapshot.is_over(now));
        living.find_map(|snapshot| match checked.against(&snapshot.keys) {
            Finding::Valid(id_token) => Some(id_token),
            _ => None,
        })
    }

    /// Fetches keys anew that have had their time, unless somebody is at it or has just failed. Whatever goes wrong, the old
    /// ones stay.
    pub(super) async fn renew(self: &Arc<Self>, address: &KeyAddress, server: &Arc<impl KeyServer>) {
        let came = server.clock().elapsed();
        let is_due = |failure: &Failure| came.saturating_sub(failure.at) >= RENEWAL_GAP;
        if self.door(&address.at).try_lock().is_ok_and(|failure| failure.as_ref().is_none_or(is_due)) {
            let wish = Wish { token: None, seen: self.snapshot(&address.at), came };
            let _ = self.fetched(address, &wish, server).await;
        }
    }

    /// The keys of an address as they are now: fetched, unless others have done so while this one waited.
    async fn fetched(
        self: &Arc<Self>,
        address: &KeyAddress,
        wish: &Wish<'_>,
        server: &Arc<impl KeyServer>,
    ) -> Result<Arc<Snapshot>> {
        let clock = server.clock();
        let last_failure = self.door(&address.at).lock_owned().await;
        if let Some(snapshot) = self.snapshot(&address.at) {
            if wish.matches(&snapshot) {
                return Ok(snapshot);
            }
            // The key was made known just now, perhaps.
            let age = clock.elapsed().saturating_sub(snapshot.fetched_at);
            if age < GAP {
                clock.sleep(GAP - age).await;
            }
        }
        let now = clock.elapsed();
        // Whoever came before it was known shares a failure, and whoever comes while the address is left alone.
        let is_shared = |failure: &&Failure| failure.at >= wish.came || !failure.wait(now).is_zero();
        if let Some(failure) = last_failure.as_ref().filter(is_shared) {
            return Err(failure.error(now));
        }
        let spent = self.spend(now, address.whose)?;
        let (ring, server) = (Arc::clone(self), Arc::clone(server));
        let fetch = Fetch { ring, address: address.clone(), server, last_failure }.run(spent);
        // In a task of its own: what is paid for serves those who come next, though whoever asked goes away.
        let Ok(runtime) = Handle::try_current() else { return fetch.await };
        runtime.spawn(fetch).await.unwrap_or_else(|_| {
            let message = "the runtime ended, or the transport panicked, while the keys of ID tokens were fetched";
            Err(Error::new(ErrorKind::Jwks, message).with_remedy(Remedy::Later))
        })
    }

    fn keep(&self, address: &Endpoint, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        self.known.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(name(address), Arc::clone(&snapshot));
            known
        });
        snapshot
    }

    /// Where those wait who want the keys of an address; inside is when and why the last fetch failed.
    fn door(&self, address: &Endpoint) -> Arc<Door> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(doors.entry(name(address)).or_default())
    }

    /// What is known of an address.
    fn snapshot(&self, address: &Endpoint) -> Option<Arc<Snapshot>> {
        self.known.load().get(address.url().as_str()).cloned()
    }

    /// Takes one request out of the budget.
    fn spend(&self, now: Duration, whose: Whose) -> Result<Spent> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).spend(now, whose)
    }
}

/// A fetch that is under way, with all that it needs to come to its end alone.
struct Fetch<S> {
    ring: Arc<KeyRing>,
    address: KeyAddress,
    server: Arc<S>,
    /// The door, shut while this lives.
    last_failure: OwnedMutexGuard<Option<Failure>>,
}

impl<S: KeyServer> Fetch<S> {
    /// Keeps what comes of it: the keys, or the failure.
    async fn run(mut self, spent: Spent) -> Result<Arc<Snapshot>> {
        let server = Arc::clone(&self.server);
        let clock = server.clock();
        let mut answer = self.ask(spent).await;
        if self.last_failure.is_none()
            && answer.as_ref().is_err_and(is_fleeting)
            && clock.elapsed().saturating_sub(spent.begun) < SOON
        {
            clock.sleep(GAP).await;
            if let Ok(again) = self.ring.spend(clock.elapsed(), self.address.whose) {
                answer = self.ask(again).await;
            }
        }
        match answer {
            Ok(snapshot) => {
                *self.last_failure = None;
                Ok(self.ring.keep(&self.address.at, snapshot))
            }
            Err(error) if was_sent(&error) => {
                let before = self.last_failure.as_ref().map_or(0, |last| last.before.saturating_add(1));
                let at = clock.elapsed();
                Err(self.last_failure.insert(Failure { error, at, before }).error(at))
            }
            Err(error) => Err(error),
        }
    }

    /// One request, which was paid for when it began.
    async fn ask(&self, spent: Spent) -> Result<Snapshot> {
        match self.server.keys_at(&self.address.at).await {
            Ok(Fetched { keys, max_age }) => {
                let fetched_at = self.server.clock().elapsed();
                let life = max_age.unwrap_or(LONGEST_LIFE).clamp(SHORTEST_LIFE, LONGEST_LIFE);
                let good_until = fetched_at.saturating_add(life);
                Ok(Snapshot { keys, asked_at: spent.begun, fetched_at, good_until })
            }
            Err(error) => {
                let mut budget = self.ring.budget.lock().unwrap_or_else(PoisonError::into_inner);
                if !was_sent(&error) {
                    budget.give_back(spent);
                } else if is_down(&error) {
                    budget.excuse(spent);
                }
                Err(error)
            }
        }
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

/// Whether a request left this machine, as far as the error tells.
fn was_sent(error: &Error) -> bool {
    error.kind() == ErrorKind::Jwks
}

/// Whether nobody answered, or a server that says itself that it is not well. One that asks to be left alone, or whose answer
/// cannot be read, has been asked all the same.
fn is_down(error: &Error) -> bool {
    let status = error.server().and_then(|server| server.status());
    let is_unanswered = error.delivery().is_some() && error.is_retryable();
    is_unanswered || status.is_some_and(|status| status >= 500)
}

/// Whether a failure may be over in a moment, for all that the server says.
fn is_fleeting(error: &Error) -> bool {
    is_down(error) && error.retry_after().is_none_or(|wait| wait <= GAP)
}

/// Whether a set has the key that a token names, and it did not sign it.
fn is_forged(checked: &Checked<'_>, keys: &JwkSet) -> bool {
    matches!(checked.against(keys), Finding::Forged)
}
