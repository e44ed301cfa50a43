//! Checks of the `TokenStore` contract, one per rule.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::error::Result;
use crate::store::conformance::probe::{CheckResult, ContractRule, Probe, Violation, poll_at_most, short_key};
use crate::store::entry::{Body, Entry, ExpiryBaseline, Lease, LeaseId, RefreshBlock};
use crate::store::key::TokenKey;
use crate::store::traits::{Precondition, TokenStore, WriteOutcome};

/// The number of callers that change one entry concurrently. Each adds its own byte to the body.
const CALLERS: u8 = 64;

/// The maximum number of polls before a future is dropped. Larger than the polls of any store's
/// call.
const MAX_POLLS: usize = 64;

/// Two handles on one store.
#[derive(Clone)]
pub(crate) struct Handles {
    pub(crate) first: Arc<dyn TokenStore>,
    pub(crate) second: Arc<dyn TokenStore>,
}

impl Handles {
    fn probes(&self, rule: ContractRule) -> [Probe<'_>; 2] {
        [&self.first, &self.second].map(|store| Probe { rule, store: &**store })
    }
}

/// Checks all rules, the simplest first, so that the reported rule is the one that is violated.
pub(crate) async fn check_all_rules(handles: &Handles) -> CheckResult {
    check_read_your_writes(handles).await?;
    check_exact_entries(handles).await?;
    check_compare_and_swap(handles).await?;
    check_save_head(handles).await?;
    check_revisions(handles).await?;
    check_exact_keys(handles).await?;
    check_no_leaks(handles).await?;
    check_cancel_safety(handles).await?;
    check_concurrent_changes(handles).await
}

/// Stores an entry for a handle that is opened later.
pub(crate) async fn store_for_reopen(handles: &Handles) -> Result<(TokenKey, Entry), Violation> {
    let [witness, _] = handles.probes(ContractRule::ReadYourWrites);
    let (key, entry) = (witness.key("conformance")?, witness.entry(b"1")?);
    witness.delete_entry(&key).await?;
    witness.expect_save(&key, &entry, Precondition::Absent, WriteOutcome::Committed, "there was no entry").await?;
    Ok((key, entry))
}

/// Checks that a reopened store contains the entry that [`leave`] stored.
pub(crate) async fn check_reopened(store: &dyn TokenStore, (key, entry): (TokenKey, Entry)) -> CheckResult {
    let probe = Probe { rule: ContractRule::ReadYourWrites, store };
    probe.expect_entry(&key, Some(&entry), "it was saved before the store was reopened").await?;
    probe.delete_entry(&key).await
}

async fn check_read_your_writes(handles: &Handles) -> CheckResult {
    let witnesses = handles.probes(ContractRule::ReadYourWrites);
    let key = witnesses[0].key("conformance")?;
    witnesses[0].delete_entry(&key).await?;
    for (writer, reader) in [(0, 1), (1, 0), (0, 0)] {
        let (writer, reader) = (witnesses[writer], witnesses[reader]);
        reader.expect_entry(&key, None, "the entry was deleted").await?;
        let old = writer.entry(b"1")?;
        writer.expect_save(&key, &old, Precondition::Absent, WriteOutcome::Committed, "there was no entry").await?;
        let hint = "it was saved. (Does `open` open the same store each time?)";
        reader.expect_entry(&key, Some(&old), hint).await?;
        let new = writer.with_new_revision(&old)?;
        writer
            .expect_save(
                &key,
                &new,
                Precondition::Revision(old.head.revision),
                WriteOutcome::Committed,
                "the entry has this revision",
            )
            .await?;
        reader.expect_entry(&key, Some(&new), "it replaced another entry").await?;
        writer
            .expect_delete(
                &key,
                Precondition::Revision(new.head.revision),
                WriteOutcome::Committed,
                "the entry has this revision",
            )
            .await?;
        writer.expect_entry(&key, None, "the entry was deleted").await?;
    }
    Ok(())
}

async fn check_save_head(handles: &Handles) -> CheckResult {
    let [writer, reader] = handles.probes(ContractRule::CompareAndSwap);
    let key = writer.key("conformance")?;
    writer.delete_entry(&key).await?;
    let old = writer.entry(b"the body")?;
    let mut new = writer.with_new_revision(&old)?;
    new.head.due = Some(UnixTime::from_secs(1_700_000_000));
    let (before, after) = (old.head.revision, new.head.revision);
    writer.expect_save_head(&key, &new.head, before, WriteOutcome::Conflict, "there is no entry").await?;
    reader.expect_entry(&key, None, "the new head had no entry").await?;
    writer.expect_save(&key, &old, Precondition::Absent, WriteOutcome::Committed, "there was no entry").await?;
    writer.expect_save_head(&key, &new.head, after, WriteOutcome::Conflict, "the entry has another revision").await?;
    reader.expect_entry(&key, Some(&old), "the new head expected another revision").await?;
    writer.expect_save_head(&key, &new.head, before, WriteOutcome::Committed, "the entry has this revision").await?;
    if reader.load(&key).await?.as_ref() != Some(&new) {
        return Err(writer.violation("a new head is not the whole difference to the entry before"));
    }
    writer.expect_save_head(&key, &old.head, before, WriteOutcome::Conflict, "the entry has a new revision").await?;
    writer.delete_entry(&key).await
}

async fn check_exact_entries(handles: &Handles) -> CheckResult {
    let [probe, other] = handles.probes(ContractRule::ExactEntries);
    let key = probe.key("conformance")?;
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
        for mut entry in sample_entries(probe)? {
            entry.body = Body::new(body);
            probe.delete_entry(&key).await?;
            probe
                .expect_save(&key, &entry, Precondition::Absent, WriteOutcome::Committed, "there was no entry")
                .await?;
            let kept = other.load(&key).await?;
            let kept = kept.ok_or_else(|| probe.violation("there is no entry, but it was saved"))?;
            if kept.body != entry.body {
                let (came, went) = (kept.body.expose().len(), body.len());
                let what = format!("body {number} of the suite ({went} bytes) was loaded as {came} different bytes");
                return Err(probe.violation(what));
            }
            if kept.head != entry.head {
                let (kept, head) = (kept.head.to_text(), entry.head.to_text());
                return Err(probe.violation(format!("the head {head} was loaded as {kept}")));
            }
        }
    }
    probe.delete_entry(&key).await
}

/// Returns entries whose heads cover all fields.
fn sample_entries(probe: Probe<'_>) -> Result<[Entry; 4], Violation> {
    let time = UnixTime::from_secs(1_700_000_000);
    let plain = probe.entry(b"")?;
    let mut leased = probe.entry_due(b"", Some(time))?;
    leased.head.generation = u64::from(u32::MAX) + 1;
    let id = LeaseId::new().map_err(|error| probe.violation(error.to_string()))?;
    leased.head.claim = Some(Lease { id, at: time, lease: Duration::from_secs(60) });
    let mut waiting = probe.entry_due(b"", Some(UnixTime::MAX))?;
    waiting.head.hold = Some(RefreshBlock::RetryAt(UnixTime::from_secs(0)));
    let mut rejected = probe.entry_due(b"", Some(UnixTime::from_secs(0)))?;
    rejected.head.generation = 7;
    rejected.head.claim = leased.head.claim;
    rejected.head.ends = Some(time);
    rejected.head.anchor = Some(ExpiryBaseline { at: time, end: UnixTime::from_secs(1) });
    rejected.head.interrupted = true;
    rejected.head.hold = Some(RefreshBlock::Rejected {
        generation: 7,
        code: Some("invalid_grant".to_owned()),
        at: None,
        is_dead: false,
    });
    Ok([plain, leased, waiting, rejected])
}

async fn check_compare_and_swap(handles: &Handles) -> CheckResult {
    let [first, second] = handles.probes(ContractRule::CompareAndSwap);
    let key = first.key("conformance")?;
    first.delete_entry(&key).await?;
    let one = first.entry(b"1")?;
    let foreign_revision = Precondition::Revision(first.revision()?);

    first.expect_save(&key, &one, foreign_revision, WriteOutcome::Conflict, "there is no entry").await?;
    first.expect_delete(&key, foreign_revision, WriteOutcome::Conflict, "there is no entry").await?;
    first.expect_delete(&key, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
    first.expect_entry(&key, None, "all saves so far were conflicts").await?;

    first.expect_save(&key, &one, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
    let two = first.with_new_revision(&one)?;
    for probe in [first, second] {
        probe.expect_save(&key, &two, Precondition::Absent, WriteOutcome::Conflict, "there is an entry").await?;
        probe
            .expect_save(&key, &two, foreign_revision, WriteOutcome::Conflict, "the entry has another revision")
            .await?;
        probe.expect_delete(&key, Precondition::Absent, WriteOutcome::Conflict, "there is an entry").await?;
        probe.expect_delete(&key, foreign_revision, WriteOutcome::Conflict, "the entry has another revision").await?;
        probe.expect_entry(&key, Some(&one), "a conflict changes nothing").await?;
    }

    let (seen_one, seen_two) = (Precondition::Revision(one.head.revision), Precondition::Revision(two.head.revision));
    second.expect_save(&key, &two, seen_one, WriteOutcome::Committed, "the entry has this revision").await?;
    first
        .expect_save(&key, &first.with_new_revision(&one)?, seen_one, WriteOutcome::Conflict, "the entry was replaced")
        .await?;
    first.expect_delete(&key, seen_one, WriteOutcome::Conflict, "the entry was replaced").await?;
    first.expect_entry(&key, Some(&two), "a conflict changes nothing").await?;
    first.expect_delete(&key, seen_two, WriteOutcome::Committed, "the entry has this revision").await?;
    second.expect_delete(&key, seen_two, WriteOutcome::Conflict, "the entry was deleted").await?;
    second.expect_entry(&key, None, "the entry was deleted").await
}

async fn check_revisions(handles: &Handles) -> CheckResult {
    let [first, second] = handles.probes(ContractRule::Revisions);
    let key = first.key("conformance")?;
    first.delete_entry(&key).await?;
    let old = first.entry(b"1")?;
    let seen_old = Precondition::Revision(old.head.revision);
    first.expect_save(&key, &old, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
    first.expect_delete(&key, seen_old, WriteOutcome::Committed, "the entry has this revision").await?;
    first
        .expect_save(&key, &first.with_new_revision(&old)?, seen_old, WriteOutcome::Conflict, "the entry was deleted")
        .await?;
    first
        .expect_save(
            &key,
            &first.with_new_revision(&old)?,
            Precondition::Absent,
            WriteOutcome::Committed,
            "there is no entry",
        )
        .await?;
    let why = "the revision is from before a delete";
    second.expect_save(&key, &first.with_new_revision(&old)?, seen_old, WriteOutcome::Conflict, why).await?;
    second.expect_delete(&key, seen_old, WriteOutcome::Conflict, why).await?;
    first.delete_entry(&key).await
}

async fn check_exact_keys(handles: &Handles) -> CheckResult {
    let [first, second] = handles.probes(ContractRule::ExactKeys);
    let keys = tricky_keys().map_err(|error| first.violation(error.to_string()))?;
    for key in &keys {
        first.delete_entry(key).await?;
    }
    let mut entries = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let entry = first.entry(number.to_string().as_bytes())?;
        let why = "only other keys of the suite have entries";
        first.expect_save(key, &entry, Precondition::Absent, WriteOutcome::Committed, why).await?;
        entries.push(entry);
    }
    for (key, entry) in keys.iter().zip(&entries) {
        second.expect_entry(key, Some(entry), "it was saved together with other keys of the suite").await?;
    }
    for (number, key) in keys.iter().enumerate().filter(|(number, _)| number % 2 == 0) {
        let expect = Precondition::Revision(entries[number].head.revision);
        first.expect_delete(key, expect, WriteOutcome::Committed, "the entry has this revision").await?;
    }
    for (number, key) in keys.iter().enumerate() {
        let left = (number % 2 == 1).then(|| &entries[number]);
        second.expect_entry(key, left, "other keys of the suite were deleted").await?;
        second.delete_entry(key).await?;
    }
    Ok(())
}

async fn check_no_leaks(handles: &Handles) -> CheckResult {
    const SECRET: &str = "PLANTED-body-of-the-suite";
    let [witness, _] = handles.probes(ContractRule::NoLeaks);
    let key = witness.key("conformance")?;
    witness.delete_entry(&key).await?;
    let entry = witness.entry(SECRET.as_bytes())?;
    witness.expect_save(&key, &entry, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
    let displayed = format!("{:?} {:#?}", witness.store, witness.store);
    if displayed.contains(SECRET) || displayed.contains(&format!("{:?}", SECRET.as_bytes())) {
        return Err(witness.violation("the `Debug` output of the store contains a body"));
    }
    witness.delete_entry(&key).await
}

/// Drops a save and a delete after each number of polls.
async fn check_cancel_safety(handles: &Handles) -> CheckResult {
    let [first, second] = handles.probes(ContractRule::CancelSafety);
    let key = first.key("conformance")?;
    for polls in 1..=MAX_POLLS {
        first.delete_entry(&key).await?;
        let old = first.entry(&b"old".repeat(1000))?;
        first.expect_save(&key, &old, Precondition::Absent, WriteOutcome::Committed, "there is no entry").await?;
        let mut new = first.entry(&b"newer".repeat(1000))?;
        new.head.generation = 1;
        let expect = Precondition::Revision(old.head.revision);
        let saved = poll_at_most(polls, first.store.save(&key, &new, expect)).await;
        check_usable_after_drop(second, &key, &[Some(&old), Some(&new)]).await?;

        let Some(kept) = first.load(&key).await? else {
            return Err(first.violation("a dropped `save` removed an entry"));
        };
        let expect = Precondition::Revision(kept.head.revision);
        let deleted = poll_at_most(polls, first.store.delete(&key, expect)).await;
        check_usable_after_drop(second, &key, &[Some(&kept), None]).await?;
        if saved.is_some() && deleted.is_some() {
            break;
        }
    }
    first.delete_entry(&key).await
}

/// Checks that the entry is in one of the possible states after a dropped call, and that the store
/// still accepts writes.
async fn check_usable_after_drop(probe: Probe<'_>, key: &TokenKey, outcomes: &[Option<&Entry>]) -> CheckResult {
    let kept = probe.load(key).await?;
    if !outcomes.contains(&kept.as_ref()) {
        let what = "after a future was dropped, the entry is neither the old one nor the new one";
        return Err(probe.violation(format!("{what}, under {}", short_key(key))));
    }
    let next = |kept: Option<&Entry>| match kept {
        Some(kept) if kept.body.expose() == b"next" => Ok(None),
        _ => probe.entry(b"next").map(Some),
    };
    probe.change_entry(key, next).await
}

/// Changes an entry concurrently through both handles. Each caller adds a byte to the body, and all
/// bytes must be present afterwards.
async fn check_concurrent_changes(handles: &Handles) -> CheckResult {
    let [first, _] = handles.probes(ContractRule::CompareAndSwap);
    let key = first.key("conformance")?;
    first.delete_entry(&key).await?;
    let callers: Vec<_> =
        (0..CALLERS).map(|number| tokio::spawn(add_own_byte(handles.clone(), key.clone(), number))).collect();
    for caller in callers {
        caller.await.map_err(|error| first.violation(format!("a call panicked: {error}")))??;
    }
    let mut bytes = first.load(&key).await?.map_or(Vec::new(), |entry| entry.body.expose().to_vec());
    bytes.sort_unstable();
    if bytes.iter().copied().ne(0..CALLERS) {
        let what = format!("{CALLERS} callers changed an entry concurrently, but it contains {} changes", bytes.len());
        return Err(first.violation(what));
    }
    first.delete_entry(&key).await
}

async fn add_own_byte(handles: Handles, key: TokenKey, number: u8) -> CheckResult {
    let probe = handles.probes(ContractRule::CompareAndSwap)[usize::from(number % 2)];
    let next = |kept: Option<&Entry>| {
        let bytes = kept.map_or(&[][..], |kept| kept.body.expose());
        match bytes.contains(&number) {
            true => Ok(None),
            false => probe.entry(&[bytes, &[number]].concat()).map(Some),
        }
    };
    probe.change_entry(&key, next).await
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
pub(crate) fn tricky_keys() -> Result<Vec<TokenKey>> {
    let (long, nearly) = ("x".repeat(255), format!("{}y", "x".repeat(254)));
    let (long, nearly) = (long.as_str(), nearly.as_str());
    let parts = PARTS.iter().copied().chain([long, nearly]).map(TokenKey::new);
    let longest = [(long, long), (long, nearly), (nearly, long), (long, "x"), ("x", long)];
    let pairs = PAIRS.iter().chain(&longest).map(|(tenant, user)| TokenKey::new(tenant)?.child(user));
    parts.chain(pairs).collect()
}
