//! Pasted callbacks, from a browser on another host.

use webex_oauth::ErrorKind;

use super::fixture::{Fixture, assert_kind, path_and_query, response_status};

#[tokio::test]
async fn pasted_callback_variants_are_accepted() {
    type PasteEdit = fn(&str) -> String;
    let changes: [PasteEdit; 14] = [
        |callback| callback.to_owned(),
        |callback| callback.split_once('?').unwrap().1.to_owned(),
        |callback| format!("  \"{}\n  {}\"\n", &callback[..40], &callback[40..]),
        |callback| format!("<{callback}>"),
        |callback| format!("\u{1b}[200~{callback}\u{1b}[201~"),
        |callback| format!("[200~{callback}[201~"),
        |callback| format!("\u{1b}[200~{callback}"),
        |callback| format!("{callback}\u{7f}"),
        |callback| callback.replace('&', "&amp;"),
        |callback| format!("\u{201c}{callback}\u{201d}"),
        |callback| format!("[here]({callback})"),
        |callback| format!("It ended at {callback}. What now?"),
        |callback| callback.replace('&', "\\&"),
        |callback| form_urlencoded::byte_serialize(callback.as_bytes()).collect(),
    ];
    for change in changes {
        let fixture = Fixture::new().await;
        let waiting = fixture.begin();
        let (paste, callback) = (waiting.paste_handle(), change(&fixture.mock.approve(waiting.url())));
        let login = tokio::spawn(waiting.wait());

        std::thread::spawn(move || paste.paste(&callback)).join().unwrap().unwrap();

        login.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn invalid_paste_returns_specific_error_and_allows_retry() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let paste = waiting.paste_handle();
    let (begin, callback) = (waiting.url().to_string(), fixture.mock.approve(waiting.url()));
    let state = callback.split(['?', '&']).find(|pair| pair.starts_with("state=")).unwrap();
    let login = tokio::spawn(waiting.wait());

    for (text, kind) in [
        (begin, ErrorKind::AmbiguousCallback),
        (format!("?{state}"), ErrorKind::AmbiguousCallback),
        (format!("?{state}&code=x&error=access_denied"), ErrorKind::AmbiguousCallback),
        (String::new(), ErrorKind::MissingState),
        ("y".to_owned(), ErrorKind::MissingState),
        ("http://localhost:5000/auth/callback".to_owned(), ErrorKind::MissingState),
        (format!("{callback}x"), ErrorKind::StateMismatch),
        (format!("{callback}{callback}"), ErrorKind::DuplicateParameter),
        ("x".repeat(20_000), ErrorKind::InvalidCallback),
        (format!("It ended at {callback}x"), ErrorKind::StateMismatch),
        (format!("{}\u{2026}", &callback[..callback.len() - 5]), ErrorKind::StateMismatch),
        ("error=access_denied".to_owned(), ErrorKind::AuthorizationRejected),
    ] {
        let error = paste.paste(&text).unwrap_err();
        assert_kind(&error, kind, &[]);
        assert!(!login.is_finished() && !error.is_login_required(), "{text}: {error}");
        assert_eq!(text.contains('\u{2026}'), error.to_string().contains("was truncated"), "{error}");
    }

    paste.paste(&callback).unwrap();
    assert_kind(&paste.paste(&format!("{callback}x")).unwrap_err(), ErrorKind::StateMismatch, &[]);
    paste.paste(&callback).unwrap();
    login.await.unwrap().unwrap();
    assert_eq!(fixture.mock.token_requests(), 1);
    assert_kind(&paste.paste(&callback).unwrap_err(), ErrorKind::PendingExpired, &["no longer waiting"]);
}

#[tokio::test]
async fn pasted_denial_ends_wait() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let paste = waiting.paste_handle();
    let callback = fixture.mock.deny(waiting.url());

    paste.paste(&callback).unwrap();

    assert!(waiting.wait().await.unwrap_err().is_denied());
}

#[tokio::test]
async fn browser_callback_after_paste_is_served() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = fixture.mock.approve(waiting.url());
    waiting.paste_handle().paste(&callback).unwrap();

    let target = path_and_query(&callback);
    let (page, login) = tokio::join!(fixture.get(&target), waiting.wait());

    login.unwrap();
    assert_eq!(response_status(&page), 200);
}
