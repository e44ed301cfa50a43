//! The JWKS cache: the key sets that sign ID tokens. A token with an unknown key causes a fetch.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use crate::clock::Clock;
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::protocol::oidc::VerifiedIdToken;
use crate::protocol::oidc::id_token::{CheckedIdToken, SignatureCheck, invalid_id_token_error};
use crate::protocol::oidc::jws::JwkSet;
use crate::service::url::Endpoint;

/// The minimum interval between two fetches from one address. It doubles after each consecutive
/// failure, up to [`MAX_FETCH_INTERVAL`].
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum interval after failures, unless `Retry-After` is longer.
const MAX_FETCH_INTERVAL: Duration = Duration::from_secs(15);
/// The minimum interval after a failed fetch while the cached keys are still usable.
const MIN_RENEWAL_INTERVAL: Duration = Duration::from_secs(60);
/// The period within which a failed first request is retried once, because the login that waits for
/// it would fail.
const FAST_FAILURE: Duration = Duration::from_secs(10);
/// The maximum lifetime of a key set, and its lifetime if the server specifies none.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The period for which expired keys are still used while new ones are fetched.
const GRACE_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// The minimum lifetime of a key set.
const MIN_LIFETIME: Duration = Duration::from_secs(60);

/// The key sets of a service and of its issuers, by address.
///
/// Lookups use a snapshot and never wait. Callers that need an unknown key share one fetch. An
/// invalid response never replaces valid keys.
#[derive(Default)]
pub(crate) struct JwksCache {
    snapshots: ArcSwap<HashMap<String, Arc<Snapshot>>>,
    /// One lock per address, held during a fetch, so that a slow address does not block the others.
    fetch_slots: Mutex<HashMap<String, Arc<FetchSlot>>>,
    /// The limit on requests. All times here are those of the monotonic clock.
    limiter: Mutex<FetchLimiter>,
}

/// The lock of an address, with the failure of its last fetch, if it failed.
type FetchSlot = tokio::sync::Mutex<Option<Failure>>;

/// A failed fetch.
struct Failure {
    error: Error,
    failed_at: Duration,
    /// The number of consecutive failures before this one.
    previous_failures: u32,
}

impl Failure {
    /// Returns the remaining time until the address may be requested again.
    fn time_until_retry(&self, now: Duration) -> Duration {
        let gap =
            MIN_FETCH_INTERVAL.saturating_mul(2_u32.saturating_pow(self.previous_failures)).min(MAX_FETCH_INTERVAL);
        let wait = self.error.retry_after().unwrap_or_default().max(gap);
        self.failed_at.saturating_add(wait).saturating_sub(now)
    }

    /// Returns the error for a caller that receives it now, with the current `retry_after`.
    fn error(&self, now: Duration) -> Error {
        if !self.error.is_retryable() {
            return self.error.clone();
        }
        self.error.clone().with_retry_after(Some(self.time_until_retry(now).max(MIN_FETCH_INTERVAL)))
    }
}

/// The key set of one address, as fetched.
struct Snapshot {
    keys: JwkSet,
    /// The start of the request. Keys published later may be missing.
    requested_at: Duration,
    fetched_at: Duration,
    fresh_until: Duration,
}

impl Snapshot {
    fn is_unusable(&self, now: Duration) -> bool {
        now >= self.fresh_until.saturating_add(GRACE_PERIOD)
    }
}

/// A caller's request for the keys of an address.
struct KeyRequest<'a> {
    /// The token to verify. Without a token, any newer keys are sufficient.
    token: Option<&'a CheckedIdToken<'a>>,
    /// The cached keys when the caller arrived. They did not verify the token.
    cached: Option<Arc<Snapshot>>,
    arrived_at: Duration,
}

impl KeyRequest<'_> {
    /// Returns `true` if the keys that another caller has fetched in the meantime settle this
    /// request.
    ///
    /// If they were requested before the token arrived, its key may have been published in between.
    /// They then settle the request only if they verify the token.
    fn is_satisfied_by(&self, snapshot: &Arc<Snapshot>) -> bool {
        let is_newer = self.cached.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, snapshot));
        let has_key = || {
            self.token.is_none_or(|token| matches!(token.verify_signature(&snapshot.keys), SignatureCheck::Valid(_)))
        };
        is_newer && (snapshot.requested_at >= self.arrived_at || has_key())
    }
}

/// The address of a key set, with the owner that its requests are counted for.
#[derive(Clone)]
pub(crate) struct KeyAddress {
    pub(crate) endpoint: Endpoint,
    pub(crate) issuer_kind: IssuerKind,
}

/// A key set from a response.
pub(crate) struct FetchedKeys {
    pub(crate) keys: JwkSet,
    /// The lifetime that the server specified, if any.
    pub(crate) max_age: Option<Duration>,
}

/// A source of key sets.
pub(crate) trait JwksSource: Send + Sync + 'static {
    /// Returns the clock for all times here.
    fn clock(&self) -> &dyn Clock;

    /// Fetches the keys of an address.
    fn fetch_keys(&self, address: &Endpoint) -> impl Future<Output = Result<FetchedKeys>> + Send;
}

/// A verified ID token.
pub(crate) struct Verified {
    pub(crate) id_token: VerifiedIdToken,
    /// The address whose expired keys verified the token. The caller fetches them in the
    /// background.
    pub(crate) expired_address: Option<KeyAddress>,
}

impl JwksCache {
    /// Verifies the signature of a checked token.
    ///
    /// The addresses are tried in order: the service, then the issuer. One address may have a key
    /// that another does not, so the result depends on all of them.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        checked: &CheckedIdToken<'_>,
        addresses: &[KeyAddress],
        server: &Arc<impl JwksSource>,
    ) -> Result<Verified> {
        let clock = server.clock();
        let came = clock.elapsed();
        let seen: Vec<_> = addresses.iter().map(|address| self.snapshot(&address.endpoint)).collect();
        for (address, snapshot) in addresses.iter().zip(&seen) {
            let Some(snapshot) = snapshot.as_ref().filter(|snapshot| !snapshot.is_unusable(clock.elapsed())) else {
                continue;
            };
            if let SignatureCheck::Valid(id_token) = checked.verify_signature(&snapshot.keys) {
                let is_outdated = clock.elapsed() >= snapshot.fresh_until;
                return Ok(Verified { id_token, expired_address: is_outdated.then(|| address.clone()) });
            }
        }
        let (mut last_error, mut refusal) = (None, None);
        for (position, (address, seen)) in addresses.iter().zip(seen).enumerate() {
            // A valid set that contains the key ID has no other key with that ID.
            let is_settled = seen.as_ref().is_some_and(|seen| {
                clock.elapsed() < seen.fresh_until
                    && checked.key_id().is_some()
                    && has_invalid_signature(checked, &seen.keys)
            });
            let snapshot = match seen {
                Some(snapshot) if is_settled => Ok(snapshot),
                seen => {
                    self.fetch_if_needed(
                        address,
                        &KeyRequest { token: Some(checked), cached: seen, arrived_at: came },
                        server,
                    )
                    .await
                }
            };
            match snapshot.map(|snapshot| checked.verify_signature(&snapshot.keys)) {
                Ok(SignatureCheck::Valid(id_token)) => return Ok(Verified { id_token, expired_address: None }),
                Ok(SignatureCheck::InvalidSignature) => {
                    refusal = refusal.or(Some("the signature does not match the issuer's key"))
                }
                Ok(SignatureCheck::AmbiguousKey) => {
                    refusal = refusal.or(Some("`kid` is missing, and the issuer has several keys"))
                }
                Ok(SignatureCheck::UnknownKey) => {}
                // Some issuers do not publish keys where Webex's issuers do.
                Err(error) if position > 0 && is_missing_resource(&error) => {}
                Err(error) => last_error = last_error.or(Some(error)),
            }
        }
        match (refusal, last_error) {
            (Some(refusal), _) => Err(invalid_id_token_error(refusal)),
            (None, Some(last_error)) => Err(last_error),
            (None, None) => Err(invalid_id_token_error("the issuer has no key for its `kid` and `alg`")),
        }
    }

    /// Verifies a token with cached keys only.
    pub(crate) fn verify_with_cached_keys(
        &self,
        checked: &CheckedIdToken<'_>,
        addresses: &[KeyAddress],
        now: Duration,
    ) -> Option<VerifiedIdToken> {
        let snapshots = addresses.iter().filter_map(|address| self.snapshot(&address.endpoint));
        let mut living = snapshots.filter(|snapshot| !snapshot.is_unusable(now));
        living.find_map(|snapshot| match checked.verify_signature(&snapshot.keys) {
            SignatureCheck::Valid(id_token) => Some(id_token),
            _ => None,
        })
    }

    /// Fetches expired keys, unless a fetch is in progress or failed recently. The old keys remain
    /// if the fetch fails.
    pub(crate) async fn refresh_keys(self: &Arc<Self>, address: &KeyAddress, server: &Arc<impl JwksSource>) {
        let came = server.clock().elapsed();
        let is_due = |failure: &Failure| came.saturating_sub(failure.failed_at) >= MIN_RENEWAL_INTERVAL;
        if self.fetch_slot(&address.endpoint).try_lock().is_ok_and(|failure| failure.as_ref().is_none_or(is_due)) {
            let wish = KeyRequest { token: None, cached: self.snapshot(&address.endpoint), arrived_at: came };
            let _ = self.fetch_if_needed(address, &wish, server).await;
        }
    }

    /// Fetches the keys of an address, unless another caller has done so in the meantime.
    async fn fetch_if_needed(
        self: &Arc<Self>,
        address: &KeyAddress,
        wish: &KeyRequest<'_>,
        server: &Arc<impl JwksSource>,
    ) -> Result<Arc<Snapshot>> {
        let clock = server.clock();
        let last_failure = self.fetch_slot(&address.endpoint).lock_owned().await;
        if let Some(snapshot) = self.snapshot(&address.endpoint) {
            if wish.is_satisfied_by(&snapshot) {
                return Ok(snapshot);
            }
            // The key may have been published just now.
            let age = clock.elapsed().saturating_sub(snapshot.fetched_at);
            if age < MIN_FETCH_INTERVAL {
                clock.sleep(MIN_FETCH_INTERVAL - age).await;
            }
        }
        let now = clock.elapsed();
        // A failure applies to callers that arrived before it, and to all callers until the
        // interval has passed.
        let is_shared =
            |failure: &&Failure| failure.failed_at >= wish.arrived_at || !failure.time_until_retry(now).is_zero();
        if let Some(failure) = last_failure.as_ref().filter(is_shared) {
            return Err(failure.error(now));
        }
        let spent = self.acquire_permit(now, address.issuer_kind)?;
        let (ring, server) = (Arc::clone(self), Arc::clone(server));
        let fetch = Fetch { cache: ring, address: address.clone(), source: server, last_failure }.run(spent);
        // The fetch runs in its own task, so that it completes for later callers even if this one
        // is dropped.
        let Ok(runtime) = Handle::try_current() else { return fetch.await };
        runtime.spawn(fetch).await.unwrap_or_else(|_| {
            let message = "key set request failed: the runtime shut down, or the transport panicked; retry later";
            Err(Error::new(ErrorKind::Jwks, message).with_class(ErrorClass::Retryable))
        })
    }

    fn insert_snapshot(&self, address: &Endpoint, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        self.snapshots.rcu(|stored| {
            let mut stored = HashMap::clone(stored);
            stored.insert(cache_key(address), Arc::clone(&snapshot));
            stored
        });
        snapshot
    }

    /// Returns the lock of an address.
    fn fetch_slot(&self, address: &Endpoint) -> Arc<FetchSlot> {
        let mut listeners = self.fetch_slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(listeners.entry(cache_key(address)).or_default())
    }

    /// Returns the cached keys of an address.
    fn snapshot(&self, address: &Endpoint) -> Option<Arc<Snapshot>> {
        self.snapshots.load().get(address.url().as_str()).cloned()
    }

    /// Counts a request.
    fn acquire_permit(&self, now: Duration, owner: IssuerKind) -> Result<Permit> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner).acquire(now, owner)
    }
}

/// A fetch in progress, with everything that it needs to complete in its own task.
struct Fetch<S> {
    cache: Arc<JwksCache>,
    address: KeyAddress,
    source: Arc<S>,
    /// The lock of the address, held until the fetch completes.
    last_failure: OwnedMutexGuard<Option<Failure>>,
}

impl<S: JwksSource> Fetch<S> {
    /// Fetches the keys, and stores them or the failure.
    async fn run(mut self, spent: Permit) -> Result<Arc<Snapshot>> {
        let server = Arc::clone(&self.source);
        let clock = server.clock();
        let mut response = self.send_request(spent).await;
        if self.last_failure.is_none()
            && response.as_ref().is_err_and(is_transient)
            && clock.elapsed().saturating_sub(spent.started_at) < FAST_FAILURE
        {
            clock.sleep(MIN_FETCH_INTERVAL).await;
            if let Ok(again) = self.cache.acquire_permit(clock.elapsed(), self.address.issuer_kind) {
                response = self.send_request(again).await;
            }
        }
        match response {
            Ok(snapshot) => {
                *self.last_failure = None;
                Ok(self.cache.insert_snapshot(&self.address.endpoint, snapshot))
            }
            Err(error) if may_have_been_sent(&error) => {
                let before = self.last_failure.as_ref().map_or(0, |last| last.previous_failures.saturating_add(1));
                let at = clock.elapsed();
                Err(self.last_failure.insert(Failure { error, failed_at: at, previous_failures: before }).error(at))
            }
            Err(error) => Err(error),
        }
    }

    /// Sends one request, which has already been counted.
    async fn send_request(&self, spent: Permit) -> Result<Snapshot> {
        match self.source.fetch_keys(&self.address.endpoint).await {
            Ok(FetchedKeys { keys, max_age }) => {
                let fetched_at = self.source.clock().elapsed();
                let lifetime = max_age.unwrap_or(MAX_LIFETIME).clamp(MIN_LIFETIME, MAX_LIFETIME);
                let good_until = fetched_at.saturating_add(lifetime);
                Ok(Snapshot { keys, requested_at: spent.started_at, fetched_at, fresh_until: good_until })
            }
            Err(error) => {
                let mut fetch_limiter = self.cache.limiter.lock().unwrap_or_else(PoisonError::into_inner);
                if !may_have_been_sent(&error) {
                    fetch_limiter.release(spent);
                } else if is_server_down(&error) {
                    fetch_limiter.reclassify_as_unavailable(spent);
                }
                Err(error)
            }
        }
    }
}

impl fmt::Debug for JwksCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksCache")
            .field("addresses", &self.snapshots.load().keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn cache_key(address: &Endpoint) -> String {
    address.url().as_str().to_owned()
}

/// Returns `true` if the server reported that the resource does not exist or is not accessible.
fn is_missing_resource(error: &Error) -> bool {
    let status = error.server().and_then(|server| server.status());
    status.is_some_and(|status| matches!(status, 400 | 401 | 403 | 404 | 405 | 410))
}

/// Returns `true` if a request may have been sent.
fn may_have_been_sent(error: &Error) -> bool {
    error.kind() == ErrorKind::Jwks
}

/// Returns `true` if the server did not respond, or responded with a 5xx status. A server that
/// sends `Retry-After` with another status, or an unreadable response, is not down.
fn is_server_down(error: &Error) -> bool {
    let status = error.server().and_then(|server| server.status());
    let is_unanswered = error.delivery().is_some() && error.is_retryable();
    is_unanswered || status.is_some_and(|status| status >= 500)
}

/// Returns `true` if a retry within [`MIN_FETCH_INTERVAL`] may succeed.
fn is_transient(error: &Error) -> bool {
    is_server_down(error) && error.retry_after().is_none_or(|wait| wait <= MIN_FETCH_INTERVAL)
}

/// Returns `true` if the set contains the key that the token names, and that key did not sign it.
fn has_invalid_signature(checked: &CheckedIdToken<'_>, keys: &JwkSet) -> bool {
    matches!(checked.verify_signature(keys), SignatureCheck::InvalidSignature)
}

/// The maximum number of requests to all addresses within [`WINDOW`].
const MAX_FETCHES: usize = 10;
/// The maximum number of requests to unavailable servers within [`WINDOW`]. They are counted
/// separately, because tokens do not cause them.
const MAX_UNAVAILABLE_FETCHES: usize = 60;
/// The period over which requests are counted.
const WINDOW: Duration = Duration::from_secs(5 * 60);

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
    const fn max_fetches(self, most: usize) -> usize {
        match self {
            Self::Service => most,
            Self::Issuer => most / 2,
        }
    }
}

/// A request that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    pub(crate) started_at: Duration,
    issuer_kind: IssuerKind,
}

/// The requests of the last five minutes.
#[derive(Debug, Default)]
pub(crate) struct FetchLimiter {
    fetches: VecDeque<Permit>,
    unavailable_fetches: VecDeque<Permit>,
}

impl FetchLimiter {
    /// Counts a request that begins now.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Jwks`]: the limit is reached. `retry_after` is the time until another request
    ///   is allowed.
    pub(crate) fn acquire(&mut self, now: Duration, owner: IssuerKind) -> Result<Permit> {
        let forged = "too many key set requests: recent ID tokens name unknown keys; retry later";
        let down = "too many key set requests: the server is unavailable; retry later";
        for (requests, most, message) in
            [(&mut self.fetches, MAX_FETCHES, forged), (&mut self.unavailable_fetches, MAX_UNAVAILABLE_FETCHES, down)]
        {
            requests.retain(|spent| now.saturating_sub(spent.started_at) < WINDOW);
            let all = time_until_allowed(requests.iter(), most, now);
            let own = requests.iter().filter(|spent| spent.issuer_kind == owner);
            if let Some(wait) = all.max(time_until_allowed(own, owner.max_fetches(most), now)) {
                let error = Error::new(ErrorKind::Jwks, message).with_class(ErrorClass::Retryable);
                return Err(error.with_retry_after(Some(wait)));
            }
        }
        let spent = Permit { started_at: now, issuer_kind: owner };
        self.fetches.push_back(spent);
        Ok(spent)
    }

    /// Removes a request that was never sent.
    pub(crate) fn release(&mut self, spent: Permit) {
        if let Some(position) = self.fetches.iter().rposition(|other| *other == spent) {
            self.fetches.remove(position);
        }
    }

    /// Moves a request to an unavailable server to the separate count.
    pub(crate) fn reclassify_as_unavailable(&mut self, spent: Permit) {
        self.release(spent);
        self.unavailable_fetches.push_back(spent);
    }
}

/// Returns the time until the oldest request no longer counts, if `most` requests are counted.
fn time_until_allowed<'a>(
    requests: impl Iterator<Item = &'a Permit> + Clone,
    most: usize,
    now: Duration,
) -> Option<Duration> {
    let is_used_up = requests.clone().count() >= most;
    let first = requests.map(|spent| spent.started_at).min().filter(|_| is_used_up)?;
    Some(WINDOW.saturating_sub(now.saturating_sub(first)).max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn fetch_limit_is_ten_requests_per_five_minutes() {
        let mut fetch_limiter = FetchLimiter::default();
        for started in 0..10 {
            fetch_limiter.acquire(secs(started), IssuerKind::Service).unwrap();
        }
        let error = fetch_limiter.acquire(secs(10), IssuerKind::Service).unwrap_err();
        assert!(error.is_retryable() && error.retry_after() == Some(secs(290)), "{error}");
        assert_eq!(fetch_limiter.acquire(secs(299), IssuerKind::Service).unwrap_err().retry_after(), Some(secs(1)));
        fetch_limiter.acquire(secs(300), IssuerKind::Service).unwrap();
        assert!(fetch_limiter.acquire(secs(300), IssuerKind::Service).is_err());
    }

    #[test]
    fn fetches_from_unavailable_server_have_separate_limit() {
        let mut fetch_limiter = FetchLimiter::default();
        for started in 0..60 {
            let spent = fetch_limiter.acquire(secs(started), IssuerKind::Service).unwrap();
            fetch_limiter.reclassify_as_unavailable(spent);
        }
        let error = fetch_limiter.acquire(secs(60), IssuerKind::Service).unwrap_err();
        assert!(error.to_string().contains("unavailable") && error.retry_after() == Some(secs(240)), "{error}");
        fetch_limiter.acquire(secs(300), IssuerKind::Service).unwrap();
    }

    #[test]
    fn unsent_fetch_is_not_counted() {
        let mut fetch_limiter = FetchLimiter::default();
        for started in 0..1000 {
            let spent = fetch_limiter.acquire(secs(started), IssuerKind::Service).unwrap();
            fetch_limiter.release(spent);
        }
        // A request is removed only once.
        let spent = fetch_limiter.acquire(secs(1000), IssuerKind::Service).unwrap();
        for other in [Permit { started_at: secs(7), ..spent }, Permit { issuer_kind: IssuerKind::Issuer, ..spent }] {
            fetch_limiter.release(other);
        }
        assert_eq!(fetch_limiter.fetches, [spent]);
    }

    #[test]
    fn issuers_use_at_most_half_of_fetch_limit() {
        let mut fetch_limiter = FetchLimiter::default();
        fetch_limiter.acquire(secs(0), IssuerKind::Service).unwrap();
        for started in 1..6 {
            fetch_limiter.acquire(secs(started), IssuerKind::Issuer).unwrap();
        }
        let error = fetch_limiter.acquire(secs(6), IssuerKind::Issuer).unwrap_err();
        assert_eq!(error.retry_after(), Some(secs(295)), "until the first request to an issuer no longer counts");
        for started in 6..10 {
            fetch_limiter.acquire(secs(started), IssuerKind::Service).unwrap();
        }
        assert_eq!(fetch_limiter.acquire(secs(10), IssuerKind::Service).unwrap_err().retry_after(), Some(secs(290)));
        assert!(fetch_limiter.acquire(secs(300), IssuerKind::Issuer).is_err());
        fetch_limiter.acquire(secs(301), IssuerKind::Issuer).unwrap();
    }

    #[test]
    fn unavailable_issuers_use_at_most_half_of_separate_limit() {
        let mut fetch_limiter = FetchLimiter::default();
        for started in 0..30 {
            let spent = fetch_limiter.acquire(secs(started), IssuerKind::Issuer).unwrap();
            fetch_limiter.reclassify_as_unavailable(spent);
        }
        assert_eq!(fetch_limiter.acquire(secs(30), IssuerKind::Issuer).unwrap_err().retry_after(), Some(secs(270)));
        for started in 30..60 {
            let spent = fetch_limiter.acquire(secs(started), IssuerKind::Service).unwrap();
            fetch_limiter.reclassify_as_unavailable(spent);
        }
        assert_eq!(fetch_limiter.acquire(secs(60), IssuerKind::Service).unwrap_err().retry_after(), Some(secs(240)));
    }
}
