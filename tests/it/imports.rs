//! Imported tokens, unknown scopes, and stores behind pointers.

use std::sync::Arc;
use std::time::Duration;

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{Encrypted, EncryptionKey, EncryptionKeys, MemoryStore, TokenKey, TokenStore};
use webex_oauth::testing::{Fault, MockEndpoint, MockUser, MockWebex};
use webex_oauth::{AccessToken, Callback, ErrorKind, ImportedTokens, KeepAlive, TokenManager, TokenSet, WebexOAuth};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn key(name: &str) -> TokenKey {
    TokenKey::new(name).unwrap()
}

async fn start_mock() -> (MockWebex, ManualClock, WebexOAuth) {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder()
        .user(MockUser::new("jane@example.com"))
        .user(MockUser::new("bob@example.com"))
        .clock(clock.clone())
        .start()
        .await;
    let webex = mock.client();
    (mock, clock, webex)
}

async fn log_in(mock: &MockWebex, webex: &WebexOAuth, email: &str) -> TokenSet {
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Callback::parse(mock.approve_as(&url, email)).unwrap();
    webex.login(pending, callback).await.unwrap().into_tokens()
}

/// The tokens as another program stored them.
fn export_tokens(tokens: &TokenSet) -> ImportedTokens {
    let access_token = AccessToken::new(tokens.access_token().expose()).unwrap();
    ImportedTokens::new(tokens.refresh_token().unwrap().clone())
        .access_token(access_token, tokens.expires_at().unwrap())
}

#[tokio::test]
async fn import_with_access_token_sends_no_request() {
    let (mock, _clock, webex) = start_mock().await;
    let tokens = log_in(&mock, &webex, "jane@example.com").await;
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let before = mock.requests_to(MockEndpoint::Any);

    let session =
        manager.import(&key("jane"), export_tokens(&tokens).scopes("spark:all".parse().unwrap())).await.unwrap();

    assert_eq!(&session.access_token().await.unwrap(), tokens.access_token());
    let wanted = "spark:all spark:kms".parse().unwrap();
    assert_eq!(session.missing_scopes(&wanted).await.unwrap().unwrap().to_string(), "spark:kms");
    assert_eq!(mock.requests_to(MockEndpoint::Any), before);
}

#[tokio::test]
async fn import_with_expired_access_token_refreshes_once() {
    let (mock, clock, webex) = start_mock().await;
    let tokens = log_in(&mock, &webex, "jane@example.com").await;
    clock.set(tokens.expires_at().unwrap() + HOUR);
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();

    let session = manager.import(&key("jane"), export_tokens(&tokens)).await.unwrap();

    assert_ne!(&session.access_token().await.unwrap(), tokens.access_token());
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn imported_scopes_are_unknown_until_response_contains_scope() {
    let (mock, clock, webex) = start_mock().await;
    let tokens = log_in(&mock, &webex, "jane@example.com").await;
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.import(&key("jane"), export_tokens(&tokens)).await.unwrap();
    let wanted = "spark:all".parse().unwrap();
    assert!(session.missing_scopes(&wanted).await.unwrap().is_none());
    assert!(session.status().await.unwrap().unwrap().scopes.is_none());

    clock.advance(HOUR);
    mock.on(MockEndpoint::Refresh).respond_with(Fault::remove_member("scope"));
    session.refresh().await.unwrap();
    assert!(session.missing_scopes(&wanted).await.unwrap().is_none(), "the response contained no scope");

    clock.advance(HOUR);
    session.refresh().await.unwrap();
    assert!(session.missing_scopes(&wanted).await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn import_over_session_of_other_account_is_rejected() {
    let (mock, _clock, webex) = start_mock().await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
    session.person().await.unwrap();
    let bobs = log_in(&mock, &webex, "bob@example.com").await;

    let error = manager.import(&key("jane"), export_tokens(&bobs)).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::AccountMismatch, "{error}");
}

#[tokio::test]
async fn keep_alive_sets_expiry_of_imported_refresh_token() {
    let (mock, clock, webex) = start_mock().await;
    let tokens = log_in(&mock, &webex, "jane@example.com").await;
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.import(&key("jane"), export_tokens(&tokens)).await.unwrap();
    assert!(session.status().await.unwrap().unwrap().refresh_token_expires_at.is_none());
    clock.advance(HOUR);

    let report = KeepAlive::new(&manager).unwrap().delay_between(Duration::ZERO).sweep().await.unwrap();

    assert_eq!(report.refreshed, 1);
    assert!(session.status().await.unwrap().unwrap().refresh_token_expires_at.is_some());
}

#[tokio::test]
async fn boxed_and_shared_stores_support_listing() {
    let (mock, _clock, webex) = start_mock().await;
    let tokens = log_in(&mock, &webex, "jane@example.com").await;
    let shared: Arc<dyn TokenStore> = Arc::new(MemoryStore::new());
    let boxed: Box<dyn TokenStore> = Box::new(Arc::clone(&shared));
    let keys = EncryptionKeys::new("1", EncryptionKey::generate().unwrap()).unwrap();
    let encrypted: Box<dyn TokenStore> = Box::new(Encrypted::new(boxed, keys));
    let manager = TokenManager::new(webex, encrypted).unwrap();
    for name in ["jane", "joe"] {
        manager.put(&key("cust1").child(name).unwrap(), tokens.clone()).await.unwrap();
    }
    assert!(shared.load(&key("cust1").child("joe").unwrap()).await.unwrap().is_some());

    assert_eq!(manager.remove_all("cust1").await.unwrap(), 2);

    assert!(shared.load(&key("cust1").child("joe").unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn request_scopes_adds_granted_scopes_and_login_hint() {
    let (mock, _clock, webex) = start_mock().await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
    session.person().await.unwrap();

    let request = session.request_scopes(&"spark:rooms_read".parse().unwrap()).await.unwrap();

    let (url, _) = request.begin().unwrap();
    let url = url::Url::parse(url.as_str()).unwrap();
    let value = |name: &str| url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned());
    let scopes = value("scope").unwrap();
    assert!(scopes.contains("spark:all") && scopes.contains("spark:rooms_read"), "{scopes}");
    assert_eq!(value("login_hint").as_deref(), Some("jane@example.com"));
}

#[tokio::test]
async fn stated_expiry_of_import_is_used_if_response_has_none() {
    let (mock, _clock, webex) = start_mock().await;
    let tokens = log_in(&mock, &webex, "jane@example.com").await;
    let silent = Fault::edit(|json| {
        json.as_object_mut().unwrap().retain(|name, _| !name.starts_with("refresh_token"));
    });
    mock.on(MockEndpoint::Refresh).respond_with(silent);
    let end = NOW + HOUR * 24 * 30;
    let imported = ImportedTokens::new(tokens.refresh_token().unwrap().clone()).refresh_token_expires_at(end);

    let imported = webex.import(imported).await.unwrap();

    assert_eq!(imported.refresh_token_expires_at(), Some(end));
}

#[tokio::test]
async fn expired_import_is_refreshed_before_account_comparison() {
    let (mock, clock, webex) = start_mock().await;
    let tokens = log_in(&mock, &webex, "jane@example.com").await;
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), tokens.clone()).await.unwrap();
    session.person().await.unwrap();
    clock.set(tokens.expires_at().unwrap() + HOUR);

    let session = manager.import(&key("jane"), export_tokens(&tokens)).await.unwrap();

    assert_ne!(&session.access_token().await.unwrap(), tokens.access_token());
}
