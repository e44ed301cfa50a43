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
const TRIES: usize = 200;

/// The time limit for one call of the store.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store whose wrong results are reported as violations of one rule.
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    pub(crate) rule: ContractRule,
    pub(crate) store: &'a dyn TokenStore,
}

impl Probe<'_> {
    pub(crate) fn broken(&self, what: impl Into<String>) -> Violation {
        Violation { rule: self.rule, what: what.into() }
    }

    pub(crate) async fn load(&self, key: &TokenKey) -> Result<Option<Entry>, Violation> {
        self.answer(format!("loading {}", brief(key)), self.store.load(key)).await
    }

    pub(crate) async fn save(
        &self,
        key: &TokenKey,
        entry: &Entry,
        expect: Precondition,
    ) -> Result<WriteOutcome, Violation> {
        self.answer(format!("saving {}", brief(key)), self.store.save(key, entry, expect)).await
    }

    pub(crate) async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome, Violation> {
        self.answer(format!("deleting {}", brief(key)), self.store.delete(key, expect)).await
    }

    /// Returns the result of a call that must succeed within the time limit.
    pub(crate) async fn answer<T>(&self, doing: String, call: impl Future<Output = Result<T>>) -> Result<T, Violation> {
        match within(PATIENCE, call).await {
            Some(answer) => answer.map_err(|error| self.broken(format!("{doing} failed: {}", whole(&error)))),
            None => Err(self.broken(format!("{doing} took longer than {PATIENCE:?}"))),
        }
    }

    /// Saves an entry and requires the outcome `answer`. The reason is `why`.
    pub(crate) async fn saves(
        &self,
        key: &TokenKey,
        entry: &Entry,
        expect: Precondition,
        answer: WriteOutcome,
        why: &str,
    ) -> CheckResult {
        let given = self.save(key, entry, expect).await?;
        self.agree("saving", key, expect, given, answer, why)
    }

    /// Deletes an entry and requires the outcome `answer`. The reason is `why`.
    pub(crate) async fn deletes(
        &self,
        key: &TokenKey,
        expect: Precondition,
        answer: WriteOutcome,
        why: &str,
    ) -> CheckResult {
        let given = self.delete(key, expect).await?;
        self.agree("deleting", key, expect, given, answer, why)
    }

    /// Saves a head, and checks the outcome. `why` is the reason for it.
    pub(crate) async fn saves_head(
        &self,
        key: &TokenKey,
        head: &Head,
        expected: Revision,
        right: WriteOutcome,
        why: &str,
    ) -> CheckResult {
        let call = self.store.save_head(key, head, expected);
        let given = self.answer(format!("saving the head of {}", brief(key)), call).await?;
        self.agree("saving the head of", key, Precondition::Revision(expected), given, right, why)
    }

    fn agree(
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
        Err(self.broken(format!("{doing} {} with {expect} returned {given:?} instead of {right:?}: {why}", brief(key))))
    }

    /// Loads a key and requires this entry, or none.
    pub(crate) async fn holds(&self, key: &TokenKey, entry: Option<&Entry>, why: &str) -> CheckResult {
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
        Err(self.broken(format!("{what} under {}: {why}", brief(key))))
    }

    /// Removes the entry of a key, whatever its revision.
    pub(crate) async fn clear(&self, key: &TokenKey) -> CheckResult {
        for _ in 0..TRIES {
            let Some(kept) = self.load(key).await? else { return Ok(()) };
            // The next iteration checks the effect.
            let _ = self.delete(key, Precondition::Revision(kept.head.revision)).await?;
        }
        Err(self.broken(format!(
            "{} cannot be deleted: {TRIES} conflicts, although its revision was loaded before each attempt",
            brief(key)
        )))
    }

    /// Changes an entry, and retries on conflicts. The number of attempts exceeds the number of
    /// possible conflicts.
    pub(crate) async fn change<N>(&self, key: &TokenKey, next: N) -> CheckResult
    where
        N: Fn(Option<&Entry>) -> Result<Option<Entry>, Violation>,
    {
        for _ in 0..TRIES {
            let kept = self.load(key).await?;
            let Some(next) = next(kept.as_ref())? else { return Ok(()) };
            let expect = kept.map_or(Precondition::Absent, |kept| Precondition::Revision(kept.head.revision));
            match self.store.save(key, &next, expect).await {
                // After an error, the write may have happened. The next iteration checks.
                Ok(WriteOutcome::Conflict) => {}
                Err(error) if error.is_retryable() => {}
                Ok(WriteOutcome::Committed) => return Ok(()),
                Err(error) => return Err(self.broken(format!("saving {} failed: {}", brief(key), whole(&error)))),
            }
        }
        let hint = "there were more conflicts than concurrent writes, or the store is overloaded";
        Err(self.broken(format!("{} could not be changed in {TRIES} attempts: {hint}", brief(key))))
    }

    /// Creates an entry with this body.
    pub(crate) fn entry(&self, body: &[u8]) -> Result<Entry, Violation> {
        self.entry_due(body, None)
    }

    pub(crate) fn entry_due(&self, body: &[u8], due: Option<UnixTime>) -> Result<Entry, Violation> {
        let head = Head::begin(due).map_err(|error| self.broken(whole(&error)))?;
        Ok(Entry { head, body: Body::new(body) })
    }

    /// Returns the same entry with a new revision.
    pub(crate) fn revised(&self, entry: &Entry) -> Result<Entry, Violation> {
        let mut entry = entry.clone();
        entry.head.revision = self.revision()?;
        Ok(entry)
    }

    pub(crate) fn revision(&self) -> Result<Revision, Violation> {
        Revision::new().map_err(|error| self.broken(whole(&error)))
    }

    pub(crate) fn key(&self, tenant: &str) -> Result<TokenKey, Violation> {
        TokenKey::new(tenant).map_err(|error| self.broken(whole(&error)))
    }
}

/// Returns a key as a string, truncated to 60 characters.
pub(crate) fn brief(key: &TokenKey) -> String {
    let text = format!("{key:?}");
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

/// Returns the output of `future`, or `None` if it takes longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
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
pub(crate) async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
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
fn whole(error: &Error) -> String {
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
    KeysApart,
    AsGiven,
    SecretsInside,
    CancelSafe,
    EverythingOnce,
    NothingElse,
    Pages,
    Cursors,
}

/// A violation of a rule.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) rule: ContractRule,
    pub(crate) what: String,
}

/// The result of a check.
pub(crate) type CheckResult = Result<(), Violation>;

impl fmt::Display for ContractRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CompareAndSwap => "rule 1 of TokenStore's contract (atomic writes)",
            Self::Revisions => "rule 2 of TokenStore's contract (opaque revisions)",
            Self::ReadYourWrites => "rule 4 of TokenStore's contract (read your writes)",
            Self::KeysApart => "rule 5 of TokenStore's contract (exact keys)",
            Self::AsGiven => "rule 6 of TokenStore's contract (exact entries)",
            Self::SecretsInside => "rule 7 of TokenStore's contract (no leaks)",
            Self::CancelSafe => "rule 8 of TokenStore's contract (cancel safety)",
            Self::EverythingOnce => "rule 1 of TokenIndex's contract (complete)",
            Self::NothingElse => "rule 2 of TokenIndex's contract (exact)",
            Self::Pages => "rule 3 of TokenIndex's contract (short pages)",
            Self::Cursors => "rule 4 of TokenIndex's contract (stable cursors)",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store breaks {}: {}", self.rule, self.what)
    }
}
