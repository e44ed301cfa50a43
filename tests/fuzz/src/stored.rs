//! What was written down, and may have been damaged since.

use serde_json::Value;
use webex_oauth::store::{Body, Entry, Head, MemoryStore, Precondition, TokenKey, TokenStore as _, WriteOutcome};
use webex_oauth::{Error, ErrorKind, PendingAuthorization, TokenManager, TokenSet};

use crate::leak::{assert_debug_silent, assert_hides, assert_sound_beside};
use crate::logins::check_tokens;
use crate::stage::{SECRETS, Stage, wait};

/// Whose the tokens of another are is no secret.
fn check(error: &Error) {
    let is_foreign = error.kind() == ErrorKind::ClientMismatch;
    assert_sound_beside(error, if is_foreign { &[] } else { &SECRETS });
}

fn refused(error: &Error) -> bool {
    check(error);
    assert!(
        matches!(error.kind(), ErrorKind::CorruptEntry | ErrorKind::ClientMismatch | ErrorKind::InvalidInput),
        "{error:?}"
    );
    false
}

/// A stored token set. What is accepted is written as it was read.
pub fn stored_tokens(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let tokens = match TokenSet::from_stored(text) {
        Ok(tokens) => tokens,
        Err(error) => return refused(&error),
    };
    check_tokens(&tokens, text);
    // Whoever it belongs to, its use is an answer and no accident.
    let stage = Stage::new();
    if let Err(error) = wait(stage.webex.refresh(&tokens)) {
        check(&error);
    }
    true
}

/// A stored pending authorization. What is accepted is written as it was read, unless it is too long for a cookie.
pub fn stored_pending(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let pending = match PendingAuthorization::from_stored(text) {
        Ok(pending) => pending,
        Err(error) => return refused(&error),
    };
    let stored: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
    for name in ["state", "nonce", "code_verifier", "payload"] {
        assert_hides(&pending, stored[name].as_str().unwrap_or_default(), text);
    }
    match pending.to_stored() {
        Ok(stored) => {
            let again = PendingAuthorization::from_stored(stored.expose()).unwrap();
            assert_eq!(again.to_stored().unwrap().expose(), stored.expose());
            assert_eq!((again.id(), again.begun_at()), (pending.id(), pending.begun_at()));
        }
        Err(error) => {
            refused(&error);
            assert!(text.len() > 1024, "{error}");
        }
    }
    true
}

/// A login as a store keeps it: the head in the first line, and the body. What cannot be read stays as it is; accepted is
/// what a token comes from.
pub fn stored_login(input: &[u8]) -> bool {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let Ok(head) = std::str::from_utf8(&input[..end]) else { return false };
    let head = match Head::from_text(head) {
        Ok(head) => head,
        // It is no secret, and its reader's words may be quoted.
        Err(error) => return error.kind() != ErrorKind::CorruptEntry,
    };
    assert_eq!(Head::from_text(&head.to_text()).unwrap(), head);
    let entry = Entry { head, body: Body::new(input.get(end + 1..).unwrap_or_default()) };
    assert_debug_silent(&entry.body);
    wait(keep(entry))
}

async fn keep(entry: Entry) -> bool {
    let (stage, store) = (Stage::new(), MemoryStore::new());
    let key = TokenKey::new("cust10001").unwrap();
    assert_eq!(store.save(&key, &entry, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let manager = TokenManager::new(stage.webex.clone(), store.clone()).unwrap();
    let session = manager.session(&key);
    let status = session.status().await;
    let token = session.access_token().await;
    manager.wait_idle().await.unwrap();
    let kept = store.load(&key).await.unwrap().expect("no error deletes a login");
    for error in [status.as_ref().err(), token.as_ref().err()].into_iter().flatten() {
        check(error);
        if matches!(error.kind(), ErrorKind::CorruptEntry | ErrorKind::ClientMismatch) {
            assert_eq!(kept, entry, "what cannot be read is left as it is");
        }
    }
    if let Ok(token) = &token {
        assert!(http::HeaderValue::from_str(token.expose()).is_ok());
    }
    token.is_ok()
}
