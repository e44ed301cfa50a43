//! Pasted callbacks, from a browser on another host.

use webex_oauth::ErrorKind;

use super::fixture::{Fixture, assert_kind, path_and_query, response_status};

#[tokio::test]
async fn pasted_callback_variants_are_accepted() {
    type PasteEdit = fn(&str) -> String;
    let changes: [PasteEdit; 14] = [
        |back| back.to_owned(),
        |back| back.split_once('?').unwrap().1.to_owned(),
        |back| format!("  \"{}\n  {}\"\n", &back[..40], &back[40..]),
        |back| format!("<{back}>"),
        |back| format!("\u{1b}[200~{back}\u{1b}[201~"),
        |back| format!("[200~{back}[201~"),
        |back| format!("\u{1b}[200~{back}"),
        |back| format!("{back}\u{7f}"),
        |back| back.replace('&', "&amp;"),
        |back| format!("\u{201c}{back}\u{201d}"),
        |back| format!("[here]({back})"),
        |back| format!("It ended at {back}. What now?"),
        |back| back.replace('&', "\\&"),
        |back| form_urlencoded::byte_serialize(back.as_bytes()).collect(),
    ];
    for change in changes {
        let stage = Fixture::new().await;
        let waiting = stage.begin();
        let (paste, back) = (waiting.paste_handle(), change(&stage.mock.approve(waiting.url())));
        let login = tokio::spawn(waiting.wait());

        std::thread::spawn(move || paste.paste(&back)).join().unwrap().unwrap();

        login.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn invalid_paste_returns_specific_error_and_allows_retry() {
    let stage = Fixture::new().await;
    let waiting = stage.begin();
    let paste = waiting.paste_handle();
    let (begin, back) = (waiting.url().to_string(), stage.mock.approve(waiting.url()));
    let state = back.split(['?', '&']).find(|pair| pair.starts_with("state=")).unwrap();
    let login = tokio::spawn(waiting.wait());

    for (text, kind) in [
        (begin, ErrorKind::AmbiguousCallback),
        (format!("?{state}"), ErrorKind::AmbiguousCallback),
        (format!("?{state}&code=x&error=access_denied"), ErrorKind::AmbiguousCallback),
        (String::new(), ErrorKind::MissingState),
        ("y".to_owned(), ErrorKind::MissingState),
        ("http://localhost:5000/auth/callback".to_owned(), ErrorKind::MissingState),
        (format!("{back}x"), ErrorKind::StateMismatch),
        (format!("{back}{back}"), ErrorKind::DuplicateParameter),
        ("x".repeat(20_000), ErrorKind::InvalidCallback),
        (format!("It ended at {back}x"), ErrorKind::StateMismatch),
        (format!("{}\u{2026}", &back[..back.len() - 5]), ErrorKind::StateMismatch),
        ("error=access_denied".to_owned(), ErrorKind::AuthorizationRejected),
    ] {
        let error = paste.paste(&text).unwrap_err();
        assert_kind(&error, kind, &[]);
        assert!(!login.is_finished() && !error.is_login_required(), "{text}: {error}");
        assert_eq!(text.contains('\u{2026}'), error.to_string().contains("was truncated"), "{error}");
    }

    paste.paste(&back).unwrap();
    assert_kind(&paste.paste(&format!("{back}x")).unwrap_err(), ErrorKind::StateMismatch, &[]);
    paste.paste(&back).unwrap();
    login.await.unwrap().unwrap();
    assert_eq!(stage.mock.token_requests(), 1);
    assert_kind(&paste.paste(&back).unwrap_err(), ErrorKind::PendingExpired, &["no longer waiting"]);
}

#[tokio::test]
async fn pasted_denial_ends_wait() {
    let stage = Fixture::new().await;
    let waiting = stage.begin();
    let paste = waiting.paste_handle();
    let back = stage.mock.deny(waiting.url());

    paste.paste(&back).unwrap();

    assert!(waiting.wait().await.unwrap_err().is_denied());
}

#[tokio::test]
async fn browser_callback_after_paste_is_served() {
    let stage = Fixture::new().await;
    let waiting = stage.begin();
    let back = stage.mock.approve(waiting.url());
    waiting.paste_handle().paste(&back).unwrap();

    let target = path_and_query(&back);
    let (page, login) = tokio::join!(stage.get(&target), waiting.wait());

    login.unwrap();
    assert_eq!(response_status(&page), 200);
}
