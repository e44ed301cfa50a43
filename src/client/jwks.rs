//! The JWKS cache: the key sets that sign ID tokens. A token with an unknown key causes a fetch.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::protocol::oidc::VerifiedIdToken;
use crate::protocol::oidc::key::JwkSet;
use crate::protocol::oidc::verify::{Checked, Finding, refused};
use crate::service::url::Endpoint;

/// The minimum interval between two fetches from one address. It doubles after each consecutive
/// failure, up to [`MAX_GAP`].
const GAP: Duration = Duration::from_secs(1);
/// The maximum interval after failures, unless `Retry-After` is longer.
const MAX_GAP: Duration = Duration::from_secs(15);
/// The minimum interval after a failed renewal of keys that are still usable.
const RENEWAL_GAP: Duration = Duration::from_secs(60);
/// The period within which a failed first request is retried once, because the login that waits for
/// it would fail.
const SOON: Duration = Duration::from_secs(10);
/// The maximum lifetime of a key set, and its lifetime if the server specifies none.
const MAX_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// The period for which expired keys are still used while new ones are fetched.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// The minimum lifetime of a key set.
const MIN_LIFE: Duration = Duration::from_secs(60);

/// The key sets of a service and of its issuers, by address.
///
/// Lookups use a snapshot and never wait. Callers that need an unknown key share one fetch. An
/// invalid response never replaces valid keys.
#[derive(Default)]
pub(crate) struct JwksCache {
    known: ArcSwap<HashMap<String, Arc<Snapshot>>>,
    /// One lock per address, held during a fetch, so that a slow address does not block the others.
    doors: Mutex<HashMap<String, Arc<FetchSlot>>>,
    /// The limit on requests. All times here are those of the monotonic clock.
    budget: Mutex<FetchLimiter>,
}

/// The lock of an address, with the failure of its last fetch, if it failed.
type FetchSlot = tokio::sync::Mutex<Option<Failure>>;

/// A failed fetch.
struct Failure {
    error: Error,
    at: Duration,
    /// The number of consecutive failures before this one.
    before: u32,
}

impl Failure {
    /// Returns the remaining time until the address may be requested again.
    fn wait(&self, now: Duration) -> Duration {
        let gap = GAP.saturating_mul(2_u32.saturating_pow(self.before)).min(MAX_GAP);
        let wait = self.error.retry_after().unwrap_or_default().max(gap);
        self.at.saturating_add(wait).saturating_sub(now)
    }

    /// Returns the error for a caller that receives it now, with the current `retry_after`.
    fn error(&self, now: Duration) -> Error {
        if !self.error.is_retryable() {
            return self.error.clone();
        }
        self.error.clone().with_retry_after(Some(self.wait(now).max(GAP)))
    }
}

/// The key set of one address, as fetched.
struct Snapshot {
    keys: JwkSet,
    /// The start of the request. Keys published later may be missing.
    asked_at: Duration,
    fetched_at: Duration,
    good_until: Duration,
}

impl Snapshot {
    fn is_over(&self, now: Duration) -> bool {
        now >= self.good_until.saturating_add(GRACE)
    }
}

/// A caller's request for the keys of an address.
struct KeyRequest<'a> {
    /// The token to verify. Without a token, any newer keys are sufficient.
    token: Option<&'a Checked<'a>>,
    /// The cached keys when the caller arrived. They did not verify the token.
    seen: Option<Arc<Snapshot>>,
    came: Duration,
}

impl KeyRequest<'_> {
    /// Returns `true` if the keys that another caller has fetched in the meantime settle this
    /// request.
    ///
    /// If they were requested before the token arrived, its key may have been published in between.
    /// They then settle the request only if they verify the token.
    fn matches(&self, snapshot: &Arc<Snapshot>) -> bool {
        let is_newer = self.seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, snapshot));
        let has_key = || self.token.is_none_or(|token| matches!(token.against(&snapshot.keys), Finding::Valid(_)));
        is_newer && (snapshot.asked_at >= self.came || has_key())
    }
}

/// The address of a key set, with the owner that its requests are counted for.
#[derive(Clone)]
pub(crate) struct KeyAddress {
    pub(crate) at: Endpoint,
    pub(crate) whose: IssuerKind,
}

/// A key set from a response.
pub(crate) struct Fetched {
    pub(crate) keys: JwkSet,
    /// The lifetime that the server specified, if any.
    pub(crate) max_age: Option<Duration>,
}

/// A source of key sets.
pub(crate) trait JwksSource: Send + Sync + 'static {
    /// Returns the clock for all times here.
    fn clock(&self) -> &dyn Clock;

    /// Fetches the keys of an address.
    fn keys_at(&self, address: &Endpoint) -> impl Future<Output = Result<Fetched>> + Send;
}

/// A verified ID token.
pub(crate) struct Verified {
    pub(crate) id_token: VerifiedIdToken,
    /// The address whose expired keys verified the token. The caller fetches them in the
    /// background.
    pub(crate) outdated: Option<KeyAddress>,
}

impl JwksCache {
    /// Verifies the signature of a checked token.
    ///
    /// The addresses are tried in order: the service, then the issuer. One address may have a key
    /// that another does not, so the result depends on all of them.
    pub(crate) async fn prove(
        self: &Arc<Self>,
        checked: &Checked<'_>,
        addresses: &[KeyAddress],
        server: &Arc<impl JwksSource>,
    ) -> Result<Verified> {
        let clock = server.clock();
        let came = clock.elapsed();
        let seen: Vec<_> = addresses.iter().map(|address| self.snapshot(&address.at)).collect();
        for (address, snapshot) in addresses.iter().zip(&seen) {
            let Some(snapshot) = snapshot.as_ref().filter(|snapshot| !snapshot.is_over(clock.elapsed())) else {
                continue;
            };
            if let Finding::Valid(id_token) = checked.against(&snapshot.keys) {
                let is_outdated = clock.elapsed() >= snapshot.good_until;
                return Ok(Verified { id_token, outdated: is_outdated.then(|| address.clone()) });
            }
        }
        let (mut trouble, mut refusal) = (None, None);
        for (place, (address, seen)) in addresses.iter().zip(seen).enumerate() {
            // A valid set that contains the key ID has no other key with that ID.
            let is_settled = seen.as_ref().is_some_and(|seen| {
                clock.elapsed() < seen.good_until && checked.key_id().is_some() && is_forged(checked, &seen.keys)
            });
            let snapshot = match seen {
                Some(snapshot) if is_settled => Ok(snapshot),
                seen => self.fetched(address, &KeyRequest { token: Some(checked), seen, came }, server).await,
            };
            match snapshot.map(|snapshot| checked.against(&snapshot.keys)) {
                Ok(Finding::Valid(id_token)) => return Ok(Verified { id_token, outdated: None }),
                Ok(Finding::Forged) => refusal = refusal.or(Some("the signature does not match the issuer's key")),
                Ok(Finding::Ambiguous) => {
                    refusal = refusal.or(Some("`kid` is missing, and the issuer has several keys"))
                }
                Ok(Finding::UnknownKey) => {}
                // Some issuers do not publish keys where Webex's issuers do.
                Err(error) if place > 0 && is_absent(&error) => {}
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        match (refusal, trouble) {
            (Some(refusal), _) => Err(refused(refusal)),
            (None, Some(trouble)) => Err(trouble),
            (None, None) => Err(refused("the issuer has no key for its `kid` and `alg`")),
        }
    }

    /// Verifies a token with cached keys only.
    pub(crate) fn known(
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

    /// Fetches expired keys, unless a fetch is in progress or failed recently. The old keys remain
    /// if the fetch fails.
    pub(crate) async fn renew(self: &Arc<Self>, address: &KeyAddress, server: &Arc<impl JwksSource>) {
        let came = server.clock().elapsed();
        let is_due = |failure: &Failure| came.saturating_sub(failure.at) >= RENEWAL_GAP;
        if self.door(&address.at).try_lock().is_ok_and(|failure| failure.as_ref().is_none_or(is_due)) {
            let wish = KeyRequest { token: None, seen: self.snapshot(&address.at), came };
            let _ = self.fetched(address, &wish, server).await;
        }
    }

    /// Fetches the keys of an address, unless another caller has done so in the meantime.
    async fn fetched(
        self: &Arc<Self>,
        address: &KeyAddress,
        wish: &KeyRequest<'_>,
        server: &Arc<impl JwksSource>,
    ) -> Result<Arc<Snapshot>> {
        let clock = server.clock();
        let last_failure = self.door(&address.at).lock_owned().await;
        if let Some(snapshot) = self.snapshot(&address.at) {
            if wish.matches(&snapshot) {
                return Ok(snapshot);
            }
            // The key may have been published just now.
            let age = clock.elapsed().saturating_sub(snapshot.fetched_at);
            if age < GAP {
                clock.sleep(GAP - age).await;
            }
        }
        let now = clock.elapsed();
        // A failure applies to callers that arrived before it, and to all callers until the
        // interval has passed.
        let is_shared = |failure: &&Failure| failure.at >= wish.came || !failure.wait(now).is_zero();
        if let Some(failure) = last_failure.as_ref().filter(is_shared) {
            return Err(failure.error(now));
        }
        let spent = self.spend(now, address.whose)?;
        let (ring, server) = (Arc::clone(self), Arc::clone(server));
        let fetch = Fetch { ring, address: address.clone(), server, last_failure }.run(spent);
        // The fetch runs in its own task, so that it completes for later callers even if this one
        // is dropped.
        let Ok(runtime) = Handle::try_current() else { return fetch.await };
        runtime.spawn(fetch).await.unwrap_or_else(|_| {
            let message = "key set request failed: the runtime shut down, or the transport panicked; retry later";
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

    /// Returns the lock of an address.
    fn door(&self, address: &Endpoint) -> Arc<FetchSlot> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(doors.entry(name(address)).or_default())
    }

    /// Returns the cached keys of an address.
    fn snapshot(&self, address: &Endpoint) -> Option<Arc<Snapshot>> {
        self.known.load().get(address.url().as_str()).cloned()
    }

    /// Counts a request.
    fn spend(&self, now: Duration, whose: IssuerKind) -> Result<Permit> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).spend(now, whose)
    }
}

/// A fetch in progress, with everything that it needs to complete in its own task.
struct Fetch<S> {
    ring: Arc<JwksCache>,
    address: KeyAddress,
    server: Arc<S>,
    /// The lock of the address, held until the fetch completes.
    last_failure: OwnedMutexGuard<Option<Failure>>,
}

impl<S: JwksSource> Fetch<S> {
    /// Fetches the keys, and stores them or the failure.
    async fn run(mut self, spent: Permit) -> Result<Arc<Snapshot>> {
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

    /// Sends one request, which has already been counted.
    async fn ask(&self, spent: Permit) -> Result<Snapshot> {
        match self.server.keys_at(&self.address.at).await {
            Ok(Fetched { keys, max_age }) => {
                let fetched_at = self.server.clock().elapsed();
                let life = max_age.unwrap_or(MAX_LIFE).clamp(MIN_LIFE, MAX_LIFE);
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

impl fmt::Debug for JwksCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksCache")
            .field("addresses", &self.known.load().keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn name(address: &Endpoint) -> String {
    address.url().as_str().to_owned()
}

/// Returns `true` if the server reported that the resource does not exist or is not accessible.
fn is_absent(error: &Error) -> bool {
    let status = error.server().and_then(|server| server.status());
    status.is_some_and(|status| matches!(status, 400 | 401 | 403 | 404 | 405 | 410))
}

/// Returns `true` if a request may have been sent.
fn was_sent(error: &Error) -> bool {
    error.kind() == ErrorKind::Jwks
}

/// Returns `true` if the server did not respond, or responded with a 5xx status. A server that
/// sends `Retry-After` with another status, or an unreadable response, is not down.
fn is_down(error: &Error) -> bool {
    let status = error.server().and_then(|server| server.status());
    let is_unanswered = error.delivery().is_some() && error.is_retryable();
    is_unanswered || status.is_some_and(|status| status >= 500)
}

/// Returns `true` if a retry within [`GAP`] may succeed.
fn is_fleeting(error: &Error) -> bool {
    is_down(error) && error.retry_after().is_none_or(|wait| wait <= GAP)
}

/// Returns `true` if the set contains the key that the token names, and that key did not sign it.
fn is_forged(checked: &Checked<'_>, keys: &JwkSet) -> bool {
    matches!(checked.against(keys), Finding::Forged)
}

/// The maximum number of requests to all addresses within [`TIME`].
const MAX_COUNT: usize = 10;
/// The maximum number of requests to unavailable servers within [`TIME`]. They are counted
/// separately, because tokens do not cause them.
const MAX_WASTED: usize = 60;
/// The period over which requests are counted.
const TIME: Duration = Duration::from_secs(5 * 60);

/// The owner of the address that a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssuerKind {
    /// The service. Its key set is requested first, for any token.
    Service,
    /// An issuer, requested after the service. All issuers together get half of the requests, so
    /// that tokens with unknown keys leave enough for the service.
    Issuer,
}

impl IssuerKind {
    /// Returns the part of `most` requests that this owner may use.
    const fn share(self, most: usize) -> usize {
        match self {
            Self::Service => most,
            Self::Issuer => most / 2,
        }
    }
}

/// A request that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    pub(crate) begun: Duration,
    whose: IssuerKind,
}

/// The requests of the last five minutes.
#[derive(Debug, Default)]
pub(crate) struct FetchLimiter {
    asked: VecDeque<Permit>,
    in_vain: VecDeque<Permit>,
}

impl FetchLimiter {
    /// Counts a request that begins now.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Jwks`]: the limit is reached. `retry_after` is the time until another request
    ///   is allowed.
    pub(crate) fn spend(&mut self, now: Duration, whose: IssuerKind) -> Result<Permit> {
        let forged = "too many key set requests: recent ID tokens name unknown keys; retry later";
        let down = "too many key set requests: the server is unavailable; retry later";
        for (requests, most, message) in [(&mut self.asked, MAX_COUNT, forged), (&mut self.in_vain, MAX_WASTED, down)] {
            requests.retain(|spent| now.saturating_sub(spent.begun) < TIME);
            let all = wait(requests.iter(), most, now);
            let own = requests.iter().filter(|spent| spent.whose == whose);
            if let Some(wait) = all.max(wait(own, whose.share(most), now)) {
                let error = Error::new(ErrorKind::Jwks, message).with_remedy(Remedy::Later);
                return Err(error.with_retry_after(Some(wait)));
            }
        }
        let spent = Permit { begun: now, whose };
        self.asked.push_back(spent);
        Ok(spent)
    }

    /// Removes a request that was never sent.
    pub(crate) fn give_back(&mut self, spent: Permit) {
        if let Some(place) = self.asked.iter().rposition(|other| *other == spent) {
            self.asked.remove(place);
        }
    }

    /// Moves a request to an unavailable server to the separate count.
    pub(crate) fn excuse(&mut self, spent: Permit) {
        self.give_back(spent);
        self.in_vain.push_back(spent);
    }
}

/// Returns the time until the oldest request no longer counts, if `most` requests are counted.
fn wait<'a>(requests: impl Iterator<Item = &'a Permit> + Clone, most: usize, now: Duration) -> Option<Duration> {
    let is_used_up = requests.clone().count() >= most;
    let first = requests.map(|spent| spent.begun).min().filter(|_| is_used_up)?;
    Some(TIME.saturating_sub(now.saturating_sub(first)).max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn fetch_limit_is_ten_requests_per_five_minutes() {
        let mut budget = FetchLimiter::default();
        for begun in 0..10 {
            budget.spend(secs(begun), IssuerKind::Service).unwrap();
        }
        let error = budget.spend(secs(10), IssuerKind::Service).unwrap_err();
        assert!(error.is_retryable() && error.retry_after() == Some(secs(290)), "{error}");
        assert_eq!(budget.spend(secs(299), IssuerKind::Service).unwrap_err().retry_after(), Some(secs(1)));
        budget.spend(secs(300), IssuerKind::Service).unwrap();
        assert!(budget.spend(secs(300), IssuerKind::Service).is_err());
    }

    #[test]
    fn fetches_from_unavailable_server_have_separate_limit() {
        let mut budget = FetchLimiter::default();
        for begun in 0..60 {
            let spent = budget.spend(secs(begun), IssuerKind::Service).unwrap();
            budget.excuse(spent);
        }
        let error = budget.spend(secs(60), IssuerKind::Service).unwrap_err();
        assert!(error.to_string().contains("unavailable") && error.retry_after() == Some(secs(240)), "{error}");
        budget.spend(secs(300), IssuerKind::Service).unwrap();
    }

    #[test]
    fn unsent_fetch_is_not_counted() {
        let mut budget = FetchLimiter::default();
        for begun in 0..1000 {
            let spent = budget.spend(secs(begun), IssuerKind::Service).unwrap();
            budget.give_back(spent);
        }
        // A request is removed only once.
        let spent = budget.spend(secs(1000), IssuerKind::Service).unwrap();
        for other in [Permit { begun: secs(7), ..spent }, Permit { whose: IssuerKind::Issuer, ..spent }] {
            budget.give_back(other);
        }
        assert_eq!(budget.asked, [spent]);
    }

    #[test]
    fn issuers_use_at_most_half_of_fetch_limit() {
        let mut budget = FetchLimiter::default();
        budget.spend(secs(0), IssuerKind::Service).unwrap();
        for begun in 1..6 {
            budget.spend(secs(begun), IssuerKind::Issuer).unwrap();
        }
        let error = budget.spend(secs(6), IssuerKind::Issuer).unwrap_err();
        assert_eq!(error.retry_after(), Some(secs(295)), "until the first request to an issuer no longer counts");
        for begun in 6..10 {
            budget.spend(secs(begun), IssuerKind::Service).unwrap();
        }
        assert_eq!(budget.spend(secs(10), IssuerKind::Service).unwrap_err().retry_after(), Some(secs(290)));
        assert!(budget.spend(secs(300), IssuerKind::Issuer).is_err());
        budget.spend(secs(301), IssuerKind::Issuer).unwrap();
    }

    #[test]
    fn unavailable_issuers_use_at_most_half_of_separate_limit() {
        let mut budget = FetchLimiter::default();
        for begun in 0..30 {
            let spent = budget.spend(secs(begun), IssuerKind::Issuer).unwrap();
            budget.excuse(spent);
        }
        assert_eq!(budget.spend(secs(30), IssuerKind::Issuer).unwrap_err().retry_after(), Some(secs(270)));
        for begun in 30..60 {
            let spent = budget.spend(secs(begun), IssuerKind::Service).unwrap();
            budget.excuse(spent);
        }
        assert_eq!(budget.spend(secs(60), IssuerKind::Service).unwrap_err().retry_after(), Some(secs(240)));
    }
}
