//! Checks of the `TokenStore` contract, one per rule.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::error::Result;
use crate::store::conformance::probe::{CheckResult, ContractRule, Probe, Violation, brief, polled};
use crate::store::entry::{Body, Entry, ExpiryBaseline, Lease, LeaseId, RefreshBlock};
use crate::store::key::TokenKey;
use crate::store::traits::{Precondition, TokenStore, WriteOutcome};

/// The number of callers that change one entry concurrently. Each adds its own byte to the body.
const CALLERS: u8 = 64;

/// The maximum number of polls before a future is dropped. Larger than the polls of any store's
/// call.
const POLLS: usize = 64;

/// Two handles on one store.
#[derive(Clone)]
pub(crate) struct Handles {
    pub(crate) first: Arc<dyn TokenStore>,
    pub(crate) second: Arc<dyn TokenStore>,
}

impl Handles {
    fn witnesses(&self, rule: ContractRule) -> [Probe<'_>; 2] {
        [&self.first, &self.second].map(|store| Probe { rule, store: &**store })
    }
}

/// Checks all rules, the simplest first, so that the reported rule is the one that is violated.
pub(crate) async fn all(handles: &Handles) -> CheckResult {
    read_your_writes(handles).await?;
    as_given(handles).await?;
    compare_and_swap(handles).await?;
    heads_alone(handles).await?;
    revisions(handles).await?;
    keys_apart(handles).await?;
    secrets_inside(handles).await?;
    cancel_safe(handles).await?;
    nothing_lost(handles).await
}

/// Stores an entry for a handle that is opened later.
pub(crate) async fn leave(handles: &Handles) -> Result<(TokenKey, Entry), Violation> {
    let [witness, _] = handles.witnesses(ContractRule::ReadYourWrites);
    let (key, entry) = (witness.key("conformance")?, witness.entry(b"1")?);
    witness.clear(&key).await?;
    witness.saves(&key, &entry, Precondition::Absent, WriteOutcome::Committed, "there was no entry").await?;
    Ok((key, entry))
}

/// Checks that a reopened store contains the entry that [`leave`] stored.
pub(crate) async fn find(store: &dyn TokenStore, (key, entry): (TokenKey, Entry)) -> CheckResult {
    let witness = Probe { rule: ContractRule::ReadYourWrites, store };
    witness.holds(&key, Some(&entry), "it was saved before the store was reopened").await?;
    witness.clear(&key).await
}

async fn read_your_writes(handles: &Handles) -> CheckResult {
    let witnesses = handles.witnesses(ContractRule::ReadYourWrites);
    let key = witnesses[0].key("conformance")?;
    witnesses[0].clear(&key).await?;
    for (writer, reader) in [(0, 1), (1, 0), (0, 0)] {
        let (writer, reader) = (witnesses[writer], witnesses[reader]);
        reader.holds(&key, None, "the entry was deleted").await?;
        let old = writer.entry(b"1")?;
        writer.saves(&key, &old, Precondition::Absent, WriteOutcome::Committed, "there was no entry").await?;
        let hint = "it was saved. (Does `open` open the same store each time?)";
        reader.holds(&key, Some(&old), hint).await?;
        let new = writer.revised(&old)?;
        writer
            .saves(
                &key,
                &new,
                Precondition::Revision(old.head.revision),
                WriteOutcome::Committed,
                "the entry has this revision",
            )
            .await?;
        reader.holds(&key, Some(&new), "it replaced another entry").await?;
        writer
            .deletes(
                &key,
                Precondition::Revision(new.head.revision),
                WriteOutcome::Committed,
                "the entry has this revision",
            )
            .await?;
        writer.holds(&key, None, "the entry was deleted").await?;
    }
    Ok(())
}

async fn heads_alone(handles: &Handles) -> CheckResult {
    let [writer, reader] = handles.witnesses(ContractRule::CompareAndSwap);
    let key = writer.key("conformance")?;
    writer.clear(&key).await?;
    let old = writer.entry(b"the body")?;
    let mut new = writer.revised(&old)?;
    new.head.due = Some(UnixTime::from_secs(1_700_000_000));
    let (before, after) = (old.head.revision, new.head.revision);
    writer.saves_head(&key, &new.head, before, WriteOutcome::Conflict, "there is no entry").await?;
    reader.holds(&key, None, "the new head had no entry").await?;
    writer.saves(&key, &old, Precondition::Absent, WriteOutcome::Committed, "there was no entry").await?;
    writer.saves_head(&key, &new.head, after, WriteOutcome::Conflict, "the entry has another revision").await?;
    reader.holds(&key, Some(&old), "the new head expected another revision").await?;
    writer.saves_head(&key, &new.head, before, WriteOutcome::Committed, "the entry has this revision").await?;
    if reader.load(&key).await?.as_ref() != Some(&new) {
        return Err(writer.broken("a new head is not the whole difference to the entry before"));
    }
    writer.saves_head(&key, &old.head, before, WriteOutcome::Conflict, "the entry has a new revision").await?;
    writer.clear(&key).await
}

async fn as_given(handles: &Handles) -> CheckResult {
    let [witness, other] = handles.witnesses(ContractRule::AsGiven);
    let key = witness.key("conformance")?;
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let bodies: [&[u8]; 7] = [
        b"",
        b"\0",
        b"{\"v\":1}\r\n",
        &every_byte,
        "hé\u{301} \u{feff}'\"\\%".as_bytes(),
        b"\xff\xfe\x80 ",
        &every_byte.repeat(256),
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        for mut entry in heads(witness)? {
            entry.body = Body::new(body);
            witness.clear(&key).await?;
            witness.saves(&key, &entry, Precondition::Absent, WriteOutcome::Committed, "there was no entry").await?;
            let kept = other.load(&key).await?;
            let kept = kept.ok_or_else(|| witness.broken("there is no entry, but it was saved"))?;
            if kept.body != entry.body {
                let (came, went) = (kept.body.expose().len(), body.len());
                let what = format!("body {number} of the suite ({went} bytes) was loaded as {came} different bytes");
                return Err(witness.broken(what));
            }
            if kept.head != entry.head {
                let (kept, head) = (kept.head.to_text(), entry.head.to_text());
                return Err(witness.broken(format!("the head {head} was loaded as {kept}")));
            }
        }
    }
    witness.clear(&key).await
}

/// Returns entries whose heads cover all fields.
fn heads(witness: Probe<'_>) -> Result<[Entry; 4], Violation> {
    let time = UnixTime::from_secs(1_700_000_000);
    let plain = witness.entry(b"")?;
    let mut claimed = witness.entry_due(b"", Some(time))?;
    claimed.head.generation = u64::from(u32::MAX) + 1;
    let id = LeaseId::new().map_err(|error| witness.broken(error.to_string()))?;
    claimed.head.claim = Some(Lease { id, at: time, lease: Duration::from_secs(60) });
    let mut waiting = witness.entry_due(b"", Some(UnixTime::MAX))?;
    waiting.head.hold = Some(RefreshBlock::RetryAt(UnixTime::from_secs(0)));
    let mut rejected = witness.entry_due(b"", Some(UnixTime::from_secs(0)))?;
    rejected.head.generation = 7;
    rejected.head.claim = claimed.head.claim;
    rejected.head.ends = Some(time);
    rejected.head.anchor = Some(ExpiryBaseline { at: time, end: UnixTime::from_secs(1) });
    rejected.head.interrupted = true;
    rejected.head.hold = Some(RefreshBlock::Rejected {
        generation: 7,
        code: Some("invalid_grant".to_owned()),
        at: None,
        is_dead: false,
    });
    Ok([plain, claimed, waiting, rejected])
}

async fn compare_and_swap(handles: &Handles) -> CheckResult {
    let [first, second] = handles.witnesses(ContractRule::CompareAndSwap);
    let key = first.key("conformance")?;
    first.clear(&key).await?;
    let one = first.entry(b"1")?;
    let stranger = Precondition::Revision(first.revision()?);

    first.saves(&key, &one, stranger, WriteOutcome::Conflict, "there is no entry").await?;
    first.deletes(&key, stranger, WriteOutcome::Conflict, "there is no entry").await?;
    first.deletes(&key, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
    first.holds(&key, None, "all saves so far were conflicts").await?;

    first.saves(&key, &one, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
    let two = first.revised(&one)?;
    for witness in [first, second] {
        witness.saves(&key, &two, Precondition::Absent, WriteOutcome::Conflict, "there is an entry").await?;
        witness.saves(&key, &two, stranger, WriteOutcome::Conflict, "the entry has another revision").await?;
        witness.deletes(&key, Precondition::Absent, WriteOutcome::Conflict, "there is an entry").await?;
        witness.deletes(&key, stranger, WriteOutcome::Conflict, "the entry has another revision").await?;
        witness.holds(&key, Some(&one), "a conflict changes nothing").await?;
    }

    let (seen_one, seen_two) = (Precondition::Revision(one.head.revision), Precondition::Revision(two.head.revision));
    second.saves(&key, &two, seen_one, WriteOutcome::Committed, "the entry has this revision").await?;
    first.saves(&key, &first.revised(&one)?, seen_one, WriteOutcome::Conflict, "the entry was replaced").await?;
    first.deletes(&key, seen_one, WriteOutcome::Conflict, "the entry was replaced").await?;
    first.holds(&key, Some(&two), "a conflict changes nothing").await?;
    first.deletes(&key, seen_two, WriteOutcome::Committed, "the entry has this revision").await?;
    second.deletes(&key, seen_two, WriteOutcome::Conflict, "the entry was deleted").await?;
    second.holds(&key, None, "the entry was deleted").await
}

async fn revisions(handles: &Handles) -> CheckResult {
    let [first, second] = handles.witnesses(ContractRule::Revisions);
    let key = first.key("conformance")?;
    first.clear(&key).await?;
    let old = first.entry(b"1")?;
    let seen_old = Precondition::Revision(old.head.revision);
    first.saves(&key, &old, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
    first.deletes(&key, seen_old, WriteOutcome::Committed, "the entry has this revision").await?;
    first.saves(&key, &first.revised(&old)?, seen_old, WriteOutcome::Conflict, "the entry was deleted").await?;
    first
        .saves(&key, &first.revised(&old)?, Precondition::Absent, WriteOutcome::Committed, "there is no entry")
        .await?;
    let why = "the revision is from before a delete";
    second.saves(&key, &first.revised(&old)?, seen_old, WriteOutcome::Conflict, why).await?;
    second.deletes(&key, seen_old, WriteOutcome::Conflict, why).await?;
    first.clear(&key).await
}

async fn keys_apart(handles: &Handles) -> CheckResult {
    let [first, second] = handles.witnesses(ContractRule::KeysApart);
    let keys = keys().map_err(|error| first.broken(error.to_string()))?;
    for key in &keys {
        first.clear(key).await?;
    }
    let mut entries = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let entry = first.entry(number.to_string().as_bytes())?;
        let why = "only other keys of the suite have entries";
        first.saves(key, &entry, Precondition::Absent, WriteOutcome::Committed, why).await?;
        entries.push(entry);
    }
    for (key, entry) in keys.iter().zip(&entries) {
        second.holds(key, Some(entry), "it was saved together with other keys of the suite").await?;
    }
    for (number, key) in keys.iter().enumerate().filter(|(number, _)| number % 2 == 0) {
        let expect = Precondition::Revision(entries[number].head.revision);
        first.deletes(key, expect, WriteOutcome::Committed, "the entry has this revision").await?;
    }
    for (number, key) in keys.iter().enumerate() {
        let left = (number % 2 == 1).then(|| &entries[number]);
        second.holds(key, left, "other keys of the suite were deleted").await?;
        second.clear(key).await?;
    }
    Ok(())
}

async fn secrets_inside(handles: &Handles) -> CheckResult {
    const SECRET: &str = "PLANTED-body-of-the-suite";
    let [witness, _] = handles.witnesses(ContractRule::SecretsInside);
    let key = witness.key("conformance")?;
    witness.clear(&key).await?;
    let entry = witness.entry(SECRET.as_bytes())?;
    witness.saves(&key, &entry, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
    let shown = format!("{:?} {:#?}", witness.store, witness.store);
    if shown.contains(SECRET) || shown.contains(&format!("{:?}", SECRET.as_bytes())) {
        return Err(witness.broken("the `Debug` output of the store contains a body"));
    }
    witness.clear(&key).await
}

/// Drops a save and a delete after each number of polls.
async fn cancel_safe(handles: &Handles) -> CheckResult {
    let [first, second] = handles.witnesses(ContractRule::CancelSafe);
    let key = first.key("conformance")?;
    for polls in 1..=POLLS {
        first.clear(&key).await?;
        let old = first.entry(&b"old".repeat(1000))?;
        first.saves(&key, &old, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
        let mut new = first.entry(&b"newer".repeat(1000))?;
        new.head.generation = 1;
        let expect = Precondition::Revision(old.head.revision);
        let saved = polled(polls, first.store.save(&key, &new, expect)).await;
        goes_on(second, &key, &[Some(&old), Some(&new)]).await?;

        let Some(kept) = first.load(&key).await? else { return Err(first.broken("a dropped `save` removed an entry")) };
        let expect = Precondition::Revision(kept.head.revision);
        let deleted = polled(polls, first.store.delete(&key, expect)).await;
        goes_on(second, &key, &[Some(&kept), None]).await?;
        if saved.is_some() && deleted.is_some() {
            break;
        }
    }
    first.clear(&key).await
}

/// Checks that the entry is in one of the possible states after a dropped call, and that the store
/// still accepts writes.
async fn goes_on(witness: Probe<'_>, key: &TokenKey, outcomes: &[Option<&Entry>]) -> CheckResult {
    let kept = witness.load(key).await?;
    if !outcomes.contains(&kept.as_ref()) {
        let what = "after a future was dropped, the entry is neither the old one nor the new one";
        return Err(witness.broken(format!("{what}, under {}", brief(key))));
    }
    let next = |kept: Option<&Entry>| match kept {
        Some(kept) if kept.body.expose() == b"next" => Ok(None),
        _ => witness.entry(b"next").map(Some),
    };
    witness.change(key, next).await
}

/// Changes an entry concurrently through both handles. Each caller adds a byte to the body, and all
/// bytes must be present afterwards.
async fn nothing_lost(handles: &Handles) -> CheckResult {
    let [first, _] = handles.witnesses(ContractRule::CompareAndSwap);
    let key = first.key("conformance")?;
    first.clear(&key).await?;
    let callers: Vec<_> =
        (0..CALLERS).map(|number| tokio::spawn(add_own_byte(handles.clone(), key.clone(), number))).collect();
    for caller in callers {
        caller.await.map_err(|error| first.broken(format!("a call panicked: {error}")))??;
    }
    let mut bytes = first.load(&key).await?.map_or(Vec::new(), |entry| entry.body.expose().to_vec());
    bytes.sort_unstable();
    if bytes.iter().copied().ne(0..CALLERS) {
        let what = format!("{CALLERS} callers changed an entry concurrently, but it contains {} changes", bytes.len());
        return Err(first.broken(what));
    }
    first.clear(&key).await
}

async fn add_own_byte(handles: Handles, key: TokenKey, number: u8) -> CheckResult {
    let witness = handles.witnesses(ContractRule::CompareAndSwap)[usize::from(number % 2)];
    let next = |kept: Option<&Entry>| {
        let bytes = kept.map_or(&[][..], |kept| kept.body.expose());
        match bytes.contains(&number) {
            true => Ok(None),
            false => witness.entry(&[bytes, &[number]].concat()).map(Some),
        }
    };
    witness.change(&key, next).await
}

/// Parts of a key. All of them differ byte by byte.
#[rustfmt::skip]
const PARTS: &[&str] = &[
    // Paths and names that some file systems reject or treat as equal.
    "a", "A", "b", "ab", "a/b", "a\\b", "/", "//", ".", "..", "../a", "a/../b", "./a", "a.", "CON", "nul", "lock",
    // Characters that may be trimmed or may terminate a string.
    " ", " a", "a ", "\0", "a\0", "a\0b", "\n", "a\n", "a\r\n", "\t", "\u{7f}", "\u{1b}[0m", "\u{feff}a", "a\u{200b}",
    // Strings that are equal after normalization or case folding.
    "é", "e\u{301}", "É", "ß", "ss", "SS", "ſ", "s", "i", "İ", "ı", "K", "\u{212a}", "k", "ﬁ", "fi", "\u{1f600}",
    // Strings with a special meaning in other languages and formats.
    "%", "a%2Fb", "%2e%2e", "*", "a*", "?", "a:b", "a|b", "a,b", "a\u{1f}b", "'", "\"", "'; DROP TABLE tokens; --", "$a", "~",
    "-", "--help", "null", "None", "0", "00", "10", "1e1", "{}", "[\"a\",\"b\"]", "conformance",
];

/// Pairs of parts that collide with other keys when concatenated.
#[rustfmt::skip]
const PAIRS: &[(&str, &str)] = &[
    ("a", "b"), ("a", "B"), ("A", "b"), ("b", "a"), ("a", "bc"), ("ab", "c"), ("a", "/b"), ("a/", "b"), ("a", "a"), ("a", "b/c"),
    ("a/b", "c"), ("a:", "b"), ("a", ":b"), ("a\0", "b"), ("a", "\0b"), ("a", "\0"), (".", "."), ("..", ".."), ("é", "é"),
    ("e\u{301}", "é"),
];

/// Returns all keys of the suite, including keys of the maximum length.
pub(crate) fn keys() -> Result<Vec<TokenKey>> {
    let (long, nearly) = ("x".repeat(255), format!("{}y", "x".repeat(254)));
    let (long, nearly) = (long.as_str(), nearly.as_str());
    let parts = PARTS.iter().copied().chain([long, nearly]).map(TokenKey::new);
    let longest = [(long, long), (long, nearly), (nearly, long), (long, "x"), ("x", long)];
    let pairs = PAIRS.iter().chain(&longest).map(|(tenant, user)| TokenKey::new(tenant)?.child(user));
    parts.chain(pairs).collect()
}
