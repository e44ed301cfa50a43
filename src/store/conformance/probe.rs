//! A wrapper for stores that converts wrong results to violations of a rule of the contract.

use std::error::Error as StdError;
use std::fmt;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::error::{Error, Result};
use crate::store::entry::{Body, Entry, Head, Revision};
use crate::store::key::TokenKey;
use crate::store::traits::{Precondition, TokenStore, WriteOutcome};

/// The maximum number of attempts to change an entry. Larger than the number of concurrent callers.
const MAX_ATTEMPTS: usize = 200;

/// The time limit for one call of the store.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A store whose wrong results are reported as violations of one rule.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    pub(crate) rule: ContractRule,
    pub(crate) store: &'a dyn TokenStore,
}

impl Probe<'_> {
    pub(crate) fn violation(&self, what: impl Into<String>) -> Violation {
        Violation { rule: self.rule, description: what.into() }
    }

    pub(crate) async fn load(&self, key: &TokenKey) -> Result<Option<Entry>, Violation> {
        self.expect_success(format!("loading {}", short_key(key)), self.store.load(key)).await
    }

    pub(crate) async fn save(
        &self,
        key: &TokenKey,
        entry: &Entry,
        expect: Precondition,
    ) -> Result<WriteOutcome, Violation> {
        self.expect_success(format!("saving {}", short_key(key)), self.store.save(key, entry, expect)).await
    }

    pub(crate) async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome, Violation> {
        self.expect_success(format!("deleting {}", short_key(key)), self.store.delete(key, expect)).await
    }

    /// Returns the result of a call that must succeed within the time limit.
    pub(crate) async fn expect_success<T>(
        &self,
        doing: String,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T, Violation> {
        match with_timeout(CALL_TIMEOUT, call).await {
            Some(response) => {
                response.map_err(|error| self.violation(format!("{doing} failed: {}", error_chain(&error))))
            }
            None => Err(self.violation(format!("{doing} took longer than {CALL_TIMEOUT:?}"))),
        }
    }

    /// Saves an entry and requires the outcome `answer`. The reason is `why`.
    pub(crate) async fn expect_save(
        &self,
        key: &TokenKey,
        entry: &Entry,
        expect: Precondition,
        response: WriteOutcome,
        why: &str,
    ) -> CheckResult {
        let given = self.save(key, entry, expect).await?;
        self.expect_outcome("saving", key, expect, given, response, why)
    }

    /// Deletes an entry and requires the outcome `answer`. The reason is `why`.
    pub(crate) async fn expect_delete(
        &self,
        key: &TokenKey,
        expect: Precondition,
        response: WriteOutcome,
        why: &str,
    ) -> CheckResult {
        let given = self.delete(key, expect).await?;
        self.expect_outcome("deleting", key, expect, given, response, why)
    }

    /// Saves a head, and checks the outcome. `why` is the reason for it.
    pub(crate) async fn expect_save_head(
        &self,
        key: &TokenKey,
        head: &Head,
        expected: Revision,
        right: WriteOutcome,
        why: &str,
    ) -> CheckResult {
        let call = self.store.save_head(key, head, expected);
        let given = self.expect_success(format!("saving the head of {}", short_key(key)), call).await?;
        self.expect_outcome("saving the head of", key, Precondition::Revision(expected), given, right, why)
    }

    fn expect_outcome(
        &self,
        doing: &str,
        key: &TokenKey,
        expect: Precondition,
        given: WriteOutcome,
        right: WriteOutcome,
        why: &str,
    ) -> CheckResult {
        if given == right {
            return Ok(());
        }
        let expect = match expect {
            Precondition::Absent => "Precondition::Absent",
            Precondition::Revision(_) => "Precondition::Revision",
        };
        Err(self.violation(format!(
            "{doing} {} with {expect} returned {given:?} instead of {right:?}: {why}",
            short_key(key)
        )))
    }

    /// Loads a key and requires this entry, or none.
    pub(crate) async fn expect_entry(&self, key: &TokenKey, entry: Option<&Entry>, why: &str) -> CheckResult {
        let kept = self.load(key).await?.map(|kept| kept.head.revision);
        let right = entry.map(|entry| entry.head.revision);
        if kept == right {
            return Ok(());
        }
        let what = match (kept, right) {
            (None, _) => "there is no entry",
            (Some(_), None) => "there is an entry",
            (Some(_), Some(_)) => "there is another revision",
        };
        Err(self.violation(format!("{what} under {}: {why}", short_key(key))))
    }

    /// Removes the entry of a key, whatever its revision.
    pub(crate) async fn delete_entry(&self, key: &TokenKey) -> CheckResult {
        for _ in 0..MAX_ATTEMPTS {
            let Some(kept) = self.load(key).await? else { return Ok(()) };
            // The next iteration checks the effect.
            let _ = self.delete(key, Precondition::Revision(kept.head.revision)).await?;
        }
        Err(self.violation(format!(
            "{} cannot be deleted: {MAX_ATTEMPTS} conflicts, although its revision was loaded before each attempt",
            short_key(key)
        )))
    }

    /// Changes an entry, and retries on conflicts. The number of attempts exceeds the number of
    /// possible conflicts.
    pub(crate) async fn change_entry<N>(&self, key: &TokenKey, next: N) -> CheckResult
    where
        N: Fn(Option<&Entry>) -> Result<Option<Entry>, Violation>,
    {
        for _ in 0..MAX_ATTEMPTS {
            let kept = self.load(key).await?;
            let Some(next) = next(kept.as_ref())? else { return Ok(()) };
            let expect = kept.map_or(Precondition::Absent, |kept| Precondition::Revision(kept.head.revision));
            match self.store.save(key, &next, expect).await {
                // After an error, the write may have happened. The next iteration checks.
                Ok(WriteOutcome::Conflict) => {}
                Err(error) if error.is_retryable() => {}
                Ok(WriteOutcome::Committed) => return Ok(()),
                Err(error) => {
                    return Err(self.violation(format!("saving {} failed: {}", short_key(key), error_chain(&error))));
                }
            }
        }
        let hint = "there were more conflicts than concurrent writes, or the store is overloaded";
        Err(self.violation(format!("{} could not be changed in {MAX_ATTEMPTS} attempts: {hint}", short_key(key))))
    }

    /// Creates an entry with this body.
    pub(crate) fn entry(&self, body: &[u8]) -> Result<Entry, Violation> {
        self.entry_due(body, None)
    }

    pub(crate) fn entry_due(&self, body: &[u8], due: Option<UnixTime>) -> Result<Entry, Violation> {
        let head = Head::new(due).map_err(|error| self.violation(error_chain(&error)))?;
        Ok(Entry { head, body: Body::new(body) })
    }

    /// Returns the same entry with a new revision.
    pub(crate) fn with_new_revision(&self, entry: &Entry) -> Result<Entry, Violation> {
        let mut entry = entry.clone();
        entry.head.revision = self.revision()?;
        Ok(entry)
    }

    pub(crate) fn revision(&self) -> Result<Revision, Violation> {
        Revision::new().map_err(|error| self.violation(error_chain(&error)))
    }

    pub(crate) fn key(&self, tenant: &str) -> Result<TokenKey, Violation> {
        TokenKey::new(tenant).map_err(|error| self.violation(error_chain(&error)))
    }
}

/// Returns a key as a string, truncated to 60 characters.
pub(crate) fn short_key(key: &TokenKey) -> String {
    let text = format!("{key:?}");
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

/// Returns the output of `future`, or `None` if it takes longer than `limit`.
pub(crate) async fn with_timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let clock = SystemClock::new();
    let (mut future, mut end) = (pin!(future), clock.sleep(limit));
    std::future::poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        end.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// Returns the output of `future`, or drops it and returns `None` if it is pending after `polls`
/// polls.
pub(crate) async fn poll_at_most<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut count) = (pin!(future), 0);
    std::future::poll_fn(|context| {
        count += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if count >= polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Returns an error with its causes.
fn error_chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A rule that the suite checks, in the order of the two contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContractRule {
    CompareAndSwap,
    Revisions,
    ReadYourWrites,
    ExactKeys,
    ExactEntries,
    NoLeaks,
    CancelSafety,
    CompleteListing,
    ExactListing,
    Pages,
    Cursors,
}

/// A violation of a rule.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) rule: ContractRule,
    pub(crate) description: String,
}

/// The result of a check.
pub(crate) type CheckResult = Result<(), Violation>;

impl fmt::Display for ContractRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CompareAndSwap => "rule 1 of TokenStore's contract (atomic writes)",
            Self::Revisions => "rule 2 of TokenStore's contract (opaque revisions)",
            Self::ReadYourWrites => "rule 4 of TokenStore's contract (read your writes)",
            Self::ExactKeys => "rule 5 of TokenStore's contract (exact keys)",
            Self::ExactEntries => "rule 6 of TokenStore's contract (exact entries)",
            Self::NoLeaks => "rule 7 of TokenStore's contract (no leaks)",
            Self::CancelSafety => "rule 8 of TokenStore's contract (cancel safety)",
            Self::CompleteListing => "rule 1 of TokenIndex's contract (complete)",
            Self::ExactListing => "rule 2 of TokenIndex's contract (exact)",
            Self::Pages => "rule 3 of TokenIndex's contract (short pages)",
            Self::Cursors => "rule 4 of TokenIndex's contract (stable cursors)",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store breaks {}: {}", self.rule, self.description)
    }
}
