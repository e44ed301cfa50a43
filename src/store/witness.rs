//! What a store answers, as evidence for or against one rule.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::rule::{Broken, Rule, Verdict};
use super::{Body, Entry, Head, Precondition, Revision, TokenKey, TokenStore, WriteOutcome};
use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::error::{Error, Result};

/// How often a change is tried against others' changes; more often than there are others.
const TRIES: usize = 200;

/// How long a store may take for one call.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks a store in the name of one rule.
#[derive(Clone, Copy)]
pub(super) struct Witness<'a> {
    pub(super) rule: Rule,
    pub(super) store: &'a dyn TokenStore,
}

impl Witness<'_> {
    pub(super) fn broken(&self, what: impl Into<String>) -> Broken {
        Broken { rule: self.rule, what: what.into() }
    }

    pub(super) async fn load(&self, key: &TokenKey) -> Result<Option<Entry>, Broken> {
        self.answer(format!("loading {}", brief(key)), self.store.load(key)).await
    }

    pub(super) async fn save(
        &self,
        key: &TokenKey,
        entry: &Entry,
        expect: Precondition,
    ) -> Result<WriteOutcome, Broken> {
        self.answer(format!("saving {}", brief(key)), self.store.save(key, entry, expect)).await
    }

    pub(super) async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome, Broken> {
        self.answer(format!("deleting {}", brief(key)), self.store.delete(key, expect)).await
    }

    /// The answer to a call that has no reason to fail, nor to wait for ever.
    pub(super) async fn answer<T>(&self, doing: String, call: impl Future<Output = Result<T>>) -> Result<T, Broken> {
        match within(PATIENCE, call).await {
            Some(answer) => answer.map_err(|error| self.broken(format!("{doing} failed: {}", whole(&error)))),
            None => Err(self.broken(format!("{doing} took longer than {PATIENCE:?}"))),
        }
    }

    /// Saves where `answer` is the only right one; `why` says so.
    pub(super) async fn saves(
        &self,
        key: &TokenKey,
        entry: &Entry,
        expect: Precondition,
        answer: WriteOutcome,
        why: &str,
    ) -> Verdict {
        let given = self.save(key, entry, expect).await?;
        self.agree("saving", key, expect, given, answer, why)
    }

    /// Deletes where `answer` is the only right one; `why` says so.
    pub(super) async fn deletes(
        &self,
        key: &TokenKey,
        expect: Precondition,
        answer: WriteOutcome,
        why: &str,
    ) -> Verdict {
        let given = self.delete(key, expect).await?;
        self.agree("deleting", key, expect, given, answer, why)
    }

    fn agree(
        &self,
        doing: &str,
        key: &TokenKey,
        expect: Precondition,
        given: WriteOutcome,
        right: WriteOutcome,
        why: &str,
    ) -> Verdict {
        if given == right {
            return Ok(());
        }
        let expect = match expect {
            Precondition::Absent => "Precondition::Absent",
            Precondition::Revision(_) => "Precondition::Revision",
        };
        Err(self.broken(format!("{doing} {} with {expect} gave {given:?}, not {right:?}: {why}", brief(key))))
    }

    /// Loads what must be this entry, or nothing.
    pub(super) async fn holds(&self, key: &TokenKey, entry: Option<&Entry>, why: &str) -> Verdict {
        let kept = self.load(key).await?.map(|kept| kept.head.revision);
        let right = entry.map(|entry| entry.head.revision);
        if kept == right {
            return Ok(());
        }
        let what = match (kept, right) {
            (None, _) => "nothing is there",
            (Some(_), None) => "something is there",
            (Some(_), Some(_)) => "another revision is there",
        };
        Err(self.broken(format!("{what} under {}: {why}", brief(key))))
    }

    /// Removes whatever is there.
    pub(super) async fn clear(&self, key: &TokenKey) -> Verdict {
        for _ in 0..TRIES {
            let Some(kept) = self.load(key).await? else { return Ok(()) };
            // Another try of this loop sees what came of it.
            let _ = self.delete(key, Precondition::Revision(kept.head.revision)).await?;
        }
        Err(self.broken(format!(
            "{} cannot be deleted, however often its revision is loaded: {TRIES} conflicts",
            brief(key)
        )))
    }

    /// Changes what is there over and over until it is changed: as often as others can be faster, and no more.
    pub(super) async fn change<N>(&self, key: &TokenKey, next: N) -> Verdict
    where
        N: Fn(Option<&Entry>) -> Result<Option<Entry>, Broken>,
    {
        for _ in 0..TRIES {
            let kept = self.load(key).await?;
            let Some(next) = next(kept.as_ref())? else { return Ok(()) };
            let expect = kept.map_or(Precondition::Absent, |kept| Precondition::Revision(kept.head.revision));
            match self.store.save(key, &next, expect).await {
                // An error may be of a change that happened: another look will tell.
                Ok(WriteOutcome::Conflict) => {}
                Err(error) if error.is_retryable() => {}
                Ok(WriteOutcome::Committed) => return Ok(()),
                Err(error) => return Err(self.broken(format!("saving {} failed: {}", brief(key), whole(&error)))),
            }
        }
        let hint = "more conflicts than there were changes, or a store that is too busy";
        Err(self.broken(format!("{} could not be changed in {TRIES} tries: {hint}", brief(key))))
    }

    /// A login with this body.
    pub(super) fn entry(&self, body: &[u8]) -> Result<Entry, Broken> {
        self.entry_due(body, None)
    }

    pub(super) fn entry_due(&self, body: &[u8], due: Option<UnixTime>) -> Result<Entry, Broken> {
        let head = Head::begin(due).map_err(|error| self.broken(whole(&error)))?;
        Ok(Entry { head, body: Body::new(body) })
    }

    /// The same entry at another revision.
    pub(super) fn revised(&self, entry: &Entry) -> Result<Entry, Broken> {
        let mut entry = entry.clone();
        entry.head.revision = self.revision()?;
        Ok(entry)
    }

    pub(super) fn revision(&self) -> Result<Revision, Broken> {
        Revision::new().map_err(|error| self.broken(whole(&error)))
    }

    pub(super) fn key(&self, tenant: &str) -> Result<TokenKey, Broken> {
        TokenKey::new(tenant).map_err(|error| self.broken(whole(&error)))
    }
}

/// A key, shortened.
pub(super) fn brief(key: &TokenKey) -> String {
    let text = key.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}

/// What `future` comes to, unless it takes longer.
pub(super) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
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

/// What `future` comes to, unless it still waits after being polled `polls` times; then it is dropped.
pub(super) async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
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

/// An error with its causes.
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
