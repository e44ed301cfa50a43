//! Targets for stored forms, which may be corrupt.

use serde_json::Value;
use webex_oauth::store::{Body, Entry, Head, MemoryStore, Precondition, TokenKey, TokenStore as _, WriteOutcome};
use webex_oauth::{Error, ErrorKind, PendingAuthorization, TokenManager, TokenSet};

use crate::fixture::{Fixture, SECRETS, block_on};
use crate::logins::check_tokens;
use crate::secret_leak::{assert_debug_redacted, assert_debug_redacts, check_error_for_secrets};

/// Checks an error for secrets. The error for an entry of another client quotes that client, which is not secret.
fn check_stored_error(error: &Error) {
    let is_other_client = error.kind() == ErrorKind::ClientMismatch;
    check_error_for_secrets(error, if is_other_client { &[] } else { &SECRETS });
}

fn check_rejection(error: &Error) -> bool {
    check_stored_error(error);
    assert!(
        matches!(error.kind(), ErrorKind::CorruptEntry | ErrorKind::ClientMismatch | ErrorKind::InvalidInput),
        "{error:?}"
    );
    false
}

/// Parses a stored token set. An accepted token set survives a round trip.
pub fn stored_tokens(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let tokens = match TokenSet::from_stored(text) {
        Ok(tokens) => tokens,
        Err(error) => return check_rejection(&error),
    };
    check_tokens(&tokens, text);
    // A refresh returns tokens or an error, also for a token set of another client.
    let fixture = Fixture::new();
    if let Err(error) = block_on(fixture.webex.refresh(&tokens)) {
        check_stored_error(&error);
    }
    true
}

/// Parses a stored pending authorization. An accepted one survives a round trip unless it is too long for a cookie.
pub fn stored_pending(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let pending = match PendingAuthorization::from_stored(text) {
        Ok(pending) => pending,
        Err(error) => return check_rejection(&error),
    };
    let stored: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
    for name in ["state", "nonce", "code_verifier", "payload"] {
        assert_debug_redacts(&pending, stored[name].as_str().unwrap_or_default(), text);
    }
    match pending.to_stored() {
        Ok(stored) => {
            let restored = PendingAuthorization::from_stored(stored.expose()).unwrap();
            assert_eq!(restored.to_stored().unwrap().expose(), stored.expose());
            assert_eq!((restored.id(), restored.begun_at()), (pending.id(), pending.begun_at()));
        }
        Err(error) => {
            check_rejection(&error);
            assert!(text.len() > 1024, "{error}");
        }
    }
    true
}

/// Loads a stored entry: the head in the first line, then the body. An entry that cannot be parsed is not changed. Only an entry
/// that yields a token is accepted.
pub fn stored_login(input: &[u8]) -> bool {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let Ok(head) = std::str::from_utf8(&input[..end]) else { return false };
    let head = match Head::from_text(head) {
        Ok(head) => head,
        // The head contains no secrets, so the error may quote it.
        Err(error) => return error.kind() != ErrorKind::CorruptEntry,
    };
    assert_eq!(Head::from_text(&head.to_text()).unwrap(), head);
    let entry = Entry { head, body: Body::new(input.get(end + 1..).unwrap_or_default()) };
    assert_debug_redacted(&entry.body);
    block_on(load_session(entry))
}

async fn load_session(entry: Entry) -> bool {
    let (fixture, store) = (Fixture::new(), MemoryStore::new());
    let key = TokenKey::new("cust10001").unwrap();
    assert_eq!(store.save(&key, &entry, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let manager = TokenManager::new(fixture.webex.clone(), store.clone()).unwrap();
    let session = manager.session(&key);
    let status = session.status().await;
    let token = session.access_token().await;
    manager.wait_idle().await.unwrap();
    let stored = store.load(&key).await.unwrap().expect("no error deletes an entry");
    for error in [status.as_ref().err(), token.as_ref().err()].into_iter().flatten() {
        check_stored_error(error);
        if matches!(error.kind(), ErrorKind::CorruptEntry | ErrorKind::ClientMismatch) {
            assert_eq!(stored, entry, "an entry that cannot be parsed is not changed");
        }
    }
    if let Ok(token) = &token {
        assert!(http::HeaderValue::from_str(token.expose()).is_ok());
    }
    token.is_ok()
}
