//! The account of a login: the data in the ID token, userinfo, and `people/me`, with the source of
//! each value. An e-mail address counts only if it is verified.

use std::time::Duration;

use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::{MockService, MockUser, MockWebex};
use webex_oauth::{
    Account, Callback, Error, ErrorKind, FieldSource, ImportedTokens, Login, PutOptions, RefreshToken, Session,
    TokenManager, TokenSet, WebexOAuth,
};

use crate::issuer::{Issuer, Key, NOW, SUBJECT, header};
use crate::support::{json as answer, parameter};

const JANE: &str = "jane@example.com";

/// An e-mail address in a response, with the value of `email_verified`, or nothing.
type EmailClaims = Option<(&'static str, Option<Value>)>;

fn set_email_claims(claims: &mut Value, said: EmailClaims) {
    if let Some((email, verified)) = said {
        claims["email"] = email.into();
        if let Some(verified) = verified {
            claims["email_verified"] = verified;
        }
    }
}

/// A login with an ID token that contains these claims about an address.
async fn log_in(id_token: EmailClaims) -> (Issuer, Login) {
    let issuer = Issuer::start().await;
    let key = Key::one();
    issuer.publish(&[key.jwk(Some("k1"))]);
    let signed = |nonce: &str| {
        let mut claims = issuer.claims(nonce);
        set_email_claims(&mut claims, id_token);
        Some(key.sign(&header("k1"), &claims))
    };
    let login = issuer.login(signed).await.unwrap();
    (issuer, login)
}

async fn fetch_user_info(issuer: &Issuer, login: &mut Login, said: EmailClaims) {
    let mut claims = json!({"sub": SUBJECT});
    set_email_claims(&mut claims, said);
    issuer.set_response("/userinfo", answer(200, &claims.to_string()));
    issuer.webex.user_info_for(login).await.unwrap();
}

async fn identify(issuer: &Issuer, login: &mut Login, email: &str, more: Value) {
    let mut person = json!({"id": "P1", "emails": [email]});
    person.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    issuer.set_response("/people/me", answer(200, &person.to_string()));
    issuer.webex.identify(login).await.unwrap();
}

fn email_domain_error(login: &Login) -> Error {
    login.require_email_domain("example.com").unwrap_err()
}

fn email_claims(email: &'static str, verified: impl Into<Value>) -> EmailClaims {
    Some((email, Some(verified.into())))
}

/// Returns the sources of the known values, and the addresses, each with whether it is verified.
fn account_fields(account: &Account) -> (Vec<FieldSource>, Vec<(&str, FieldSource, bool)>) {
    let mut origins: Vec<_> = account.details().map(|detail| detail.origin).collect();
    origins.dedup();
    let addresses = account.details().filter(|detail| detail.name.starts_with("email"));
    (origins, addresses.map(|address| (address.value, address.origin, address.is_verified())).collect())
}

/// A setting with quotation marks matches no organization or domain, and would lock all users out.
#[tokio::test]
async fn quoted_organization_or_domain_is_rejected_as_invalid_input() {
    let (mock, webex, _) = start_mock().await;
    let (url, pending) = webex.authorize().begin().unwrap();
    let mut login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    webex.identify(&mut login).await.unwrap();
    let organization = login.person().unwrap().organization_id().unwrap().to_owned();
    login.require_organization(&organization).unwrap();
    login.require_email_domain("example.com").unwrap();
    for (before, after) in
        [("'", "'"), ("\"", "\""), ("\u{201c}", "\u{201d}"), ("", "\n"), (" ", ""), ("<", ">"), ("\u{feff}", "")]
    {
        for error in [
            login.require_organization(&format!("{before}{organization}{after}")).unwrap_err(),
            login.require_email_domain(&format!("{before}example.com{after}")).unwrap_err(),
            webex
                .import(ImportedTokens::new(RefreshToken::new("r").unwrap()).site(format!("{before}acme{after}")))
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{before}{after}: {error}");
        }
    }
}

#[tokio::test]
async fn email_unverified_by_id_token_is_rejected_despite_people_me() {
    for (said, opens) in [
        (email_claims(JANE, false), false),
        (email_claims(JANE, "false"), false),
        (email_claims(JANE, " False"), false),
        (email_claims(JANE, "perhaps"), false),
        (email_claims("Jane.Doe@EXAMPLE.com", false), false),
        (email_claims(JANE, Value::Null), true),
        (Some((JANE, None)), true),
        (email_claims(JANE, true), true),
        (email_claims("jane@evil.example", false), true),
        (email_claims("jane@evil.example", true), false),
        (None, true),
    ] {
        let (issuer, mut login) = log_in(said.clone()).await;
        identify(&issuer, &mut login, JANE, json!({"invitePending": "false"})).await;
        let admitted = login.require_email_domain("example.com");
        assert_eq!(admitted.is_ok(), opens, "{said:?}: {admitted:?}");
        if let Err(error) = admitted {
            let reason = if said == email_claims("jane@evil.example", true) {
                "in \"evil.example\""
            } else {
                "the ID token reports"
            };
            assert!(
                error.kind() == ErrorKind::AccountMismatch && error.to_string().contains(reason),
                "{said:?}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn unverified_email_is_rejected_and_unknown_needs_identify() {
    for verified in [json!(false), json!("false")] {
        let (_, login) = log_in(email_claims(JANE, verified)).await;
        let error = email_domain_error(&login);
        assert!(error.kind() == ErrorKind::AccountMismatch && error.to_string().contains("as unverified"), "{error}");
    }
    for silent in [None, Some((JANE, None)), email_claims(JANE, Value::Null)] {
        let (_, login) = log_in(silent).await;
        let error = email_domain_error(&login);
        assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("identify"), "{error}");
    }
}

#[tokio::test]
async fn userinfo_email_is_accepted_only_if_verified() {
    for (id_token, user_info, opens) in [
        (None, email_claims(JANE, true), true),
        (None, email_claims(JANE, "true"), true),
        (Some((JANE, None)), email_claims(JANE, "true"), true),
        (email_claims(JANE, false), email_claims(JANE, "true"), false),
        (email_claims(JANE, true), email_claims(JANE, "false"), false),
        (None, email_claims("jane@evil.example", "true"), false),
        (None, email_claims(JANE, "false"), false),
    ] {
        let (issuer, mut login) = log_in(id_token.clone()).await;
        fetch_user_info(&issuer, &mut login, user_info.clone()).await;
        let admitted = login.require_email_domain("example.com");
        assert_eq!(admitted.is_ok(), opens, "{id_token:?} {user_info:?}: {admitted:?}");
        if let Err(error) = admitted {
            assert_eq!(error.kind(), ErrorKind::AccountMismatch, "{error}");
        }
    }
    // The `email_verified` of userinfo also applies to an address from people/me.
    let (issuer, mut login) = log_in(None).await;
    identify(&issuer, &mut login, JANE, json!({})).await;
    login.require_email_domain("example.com").unwrap();
    fetch_user_info(&issuer, &mut login, email_claims(JANE, "false")).await;
    assert!(email_domain_error(&login).to_string().contains("userinfo reports"));
    // A response without `email_verified` leaves the address unverified.
    let (issuer, mut login) = log_in(None).await;
    fetch_user_info(&issuer, &mut login, Some((JANE, None))).await;
    assert_eq!(email_domain_error(&login).kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn pending_invitation_is_rejected_despite_verified_id_token() {
    let (issuer, mut login) = log_in(email_claims(JANE, true)).await;
    identify(&issuer, &mut login, JANE, json!({"invitePending": "true"})).await;
    assert!(email_domain_error(&login).to_string().contains("has not confirmed the address"));
    // Webex omits the field for some users. They are not rejected.
    for silent in [json!({}), json!({"invitePending": null})] {
        let (issuer, mut login) = log_in(None).await;
        identify(&issuer, &mut login, JANE, silent).await;
        login.require_email_domain("example.com").unwrap();
    }
}

#[tokio::test]
async fn second_identify_replaces_first_person() {
    let (issuer, mut login) = log_in(None).await;
    identify(&issuer, &mut login, JANE, json!({"id": "P1", "orgId": "O1"})).await;
    login.require_organization("O1").unwrap();
    identify(&issuer, &mut login, "jane@example.org", json!({"id": "P2", "orgId": "O2"})).await;
    assert_eq!(login.person().unwrap().id(), login.tokens().account().person_id().unwrap());
    login.require_organization("O2").unwrap();
    assert_eq!(login.require_organization("O1").unwrap_err().kind(), ErrorKind::AccountMismatch);
    assert_eq!(email_domain_error(&login).kind(), ErrorKind::AccountMismatch);
}

#[tokio::test]
async fn email_verification_follows_sources_and_survives_storage() {
    for (verified, is_proof) in [
        (Some(json!(true)), true),
        (Some(json!("true")), true),
        (Some(json!(false)), false),
        (Some(json!("false")), false),
        (Some(Value::Null), false),
        (None, false),
    ] {
        let (issuer, mut login) = log_in(Some((JANE, verified.clone()))).await;
        fetch_user_info(&issuer, &mut login, Some((JANE, verified.clone()))).await;
        let stored = login.tokens().to_stored().unwrap();
        let restored = TokenSet::from_stored(stored.expose()).unwrap();
        for account in [login.tokens().account(), restored.account()] {
            let addresses = [(JANE, FieldSource::IdToken, is_proof), (JANE, FieldSource::UserInfo, is_proof)];
            assert_eq!(account_fields(account).1, addresses, "{verified:?}");
            let proven: Vec<_> =
                account.details().filter(|detail| detail.is_verified()).map(|detail| detail.name).collect();
            assert!(proven.ends_with(&["iss", "sub"]), "the user is identified by issuer and subject: {proven:?}");
            assert_eq!(account.to_string(), JANE);
        }
    }
    for (more, is_proof) in
        [(json!({"invitePending": "true"}), false), (json!({"invitePending": false}), true), (json!({}), true)]
    {
        let (issuer, mut login) = log_in(None).await;
        identify(&issuer, &mut login, JANE, more).await;
        let stored = login.tokens().to_stored().unwrap();
        let restored = TokenSet::from_stored(stored.expose()).unwrap();
        for account in [login.tokens().account(), restored.account()] {
            assert_eq!(account_fields(account).1, [(JANE, FieldSource::PeopleMe, is_proof)]);
        }
    }
}

/// A Webex without addresses in ID tokens, like the real one, and a client that requests userinfo.
async fn start_mock() -> (MockWebex, WebexOAuth, ManualClock) {
    let clock = ManualClock::new(UnixTime::from_secs(NOW)).auto_advance();
    let jane = MockUser::new(JANE).name("Jane Doe").home("eu");
    let mock =
        MockWebex::builder().user(jane).user(MockUser::new("bob@example.com")).clock(clock.clone()).start().await;
    let webex = mock.client_builder().scopes("openid email profile spark:people_read").build().unwrap();
    (mock, webex, clock)
}

async fn log_in_at(mock: &MockWebex, webex: &WebexOAuth, email: &str) -> Login {
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve_as(&url, email)).unwrap()).await.unwrap()
}

fn key() -> TokenKey {
    TokenKey::new("jane").unwrap()
}

/// Jane's login, stored and loaded again.
async fn stored_session(mock: &MockWebex, webex: &WebexOAuth) -> (MemoryStore, Session) {
    let store = MemoryStore::new();
    let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
    manager.put(&key(), log_in_at(mock, webex, JANE).await).await.unwrap();
    let session = reopen_session(webex, &store);
    (store, session)
}

fn reopen_session(webex: &WebexOAuth, store: &MemoryStore) -> Session {
    TokenManager::new(webex.clone(), store.clone()).unwrap().session(&key())
}

#[tokio::test]
async fn userinfo_of_login_satisfies_required_domain() {
    let (mock, webex, _clock) = start_mock().await;
    let mut login = log_in_at(&mock, &webex, JANE).await;
    assert_eq!(email_domain_error(&login).kind(), ErrorKind::InvalidInput, "Webex puts no address into the ID token");

    // Both futures can run in a separate task.
    let asking = tokio::spawn(async move { webex.user_info_for(&mut login).await.map(|info| (info, login)) });
    let (info, login) = asking.await.unwrap().unwrap();

    assert_eq!((info.email(), info.name()), (Some(JANE), Some("Jane Doe")));
    login.require_email_domain("example.com").unwrap();
    assert_eq!(login.require_email_domain("example.org").unwrap_err().kind(), ErrorKind::AccountMismatch);
    let account = login.tokens().account();
    assert_eq!((account.email(), account.display_name()), (Some(JANE), Some("Jane Doe")));
}

#[tokio::test]
async fn session_account_merges_all_sources_and_survives_restart() {
    let (mock, webex, clock) = start_mock().await;
    let (store, session) = stored_session(&mock, &webex).await;
    assert_eq!(account_fields(&session.account().await.unwrap()).0, [FieldSource::IdToken]);

    session.person().await.unwrap();
    let account = session.account().await.unwrap();
    assert_eq!(
        account_fields(&account),
        (
            vec![FieldSource::PeopleMe, FieldSource::IdToken, FieldSource::PeopleMe],
            vec![(JANE, FieldSource::PeopleMe, true)]
        )
    );
    let info = session.user_info().await.unwrap();

    assert_eq!((info.subject(), info.email()), (&*MockUser::new(JANE).uuid(), Some(JANE)));
    clock.advance(Duration::from_secs(30));
    session.refresh().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
    let account = session.account().await.unwrap();
    for account in [&account, &reopen_session(&webex, &store).account().await.unwrap()] {
        let (origins, addresses) = account_fields(account);
        assert_eq!(addresses, [(JANE, FieldSource::UserInfo, true), (JANE, FieldSource::PeopleMe, true)]);
        for origin in [FieldSource::IdToken, FieldSource::UserInfo, FieldSource::PeopleMe] {
            assert!(origins.contains(&origin), "{origins:?}");
        }
        assert!(
            account
                .details()
                .any(|detail| (detail.name, detail.value, detail.origin) == ("name", "Jane Doe", FieldSource::UserInfo))
        );
        assert_eq!((account.email(), account.display_name()), (Some(JANE), Some("Jane Doe")));
        assert!(account.organization_id().is_some() && account.subject().is_some());
    }
}

#[tokio::test]
async fn session_userinfo_refreshes_expired_token_first() {
    let (mock, webex, clock) = start_mock().await;
    let (_, session) = stored_session(&mock, &webex).await;
    clock.advance(Duration::from_secs(30));
    mock.expire_access_tokens(JANE);

    assert_eq!(session.user_info().await.unwrap().email(), Some(JANE));

    assert_eq!(mock.refreshes(), 1);
    assert_eq!(session.account().await.unwrap().email(), Some(JANE), "noted with the new tokens");
    mock.revoke(JANE);
    clock.advance(Duration::from_secs(60));
    assert!(session.user_info().await.unwrap_err().is_login_required());
}

#[tokio::test]
async fn userinfo_of_other_user_is_rejected_and_not_stored() {
    let (issuer, login) = log_in(None).await;
    let manager = TokenManager::new(issuer.webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key(), login).await.unwrap();
    let mallorys = json!({"sub": format!("{SUBJECT}1"), "email": "mallory@example.com", "email_verified": true});
    issuer.set_response("/userinfo", answer(200, &mallorys.to_string()));

    let error = session.user_info().await.unwrap_err();

    assert!(error.kind() == ErrorKind::UserInfo && error.to_string().contains("`sub` does not match"), "{error}");
    assert_eq!(session.account().await.unwrap().email(), None);
    issuer.set_response("/userinfo", answer(503, ""));
    assert!(session.user_info().await.unwrap_err().is_retryable());
}

#[tokio::test]
async fn userinfo_without_verified_user_fails_without_request() {
    let issuer = Issuer::start().await;
    issuer.grant_tokens(None);
    let (url, pending) = issuer.webex.authorize().scopes("spark:all").begin().unwrap();
    let callback = format!("code=c&state={}", parameter(url.as_str(), "state"));
    let mut login = issuer.webex.login(pending, Callback::parse(callback).unwrap()).await.unwrap();
    let fresh = issuer.webex.user_info_for(&mut login).await.unwrap_err();
    let manager = TokenManager::new(issuer.webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key(), login).await.unwrap();
    for error in [fresh, session.user_info().await.unwrap_err()] {
        assert!(error.kind() == ErrorKind::UserInfo && error.is_misconfigured(), "{error}");
        assert!(error.to_string().contains("request the scope `openid`"), "{error}");
    }
    assert_eq!(issuer.requests_to("/userinfo").await, 0);
    let nobody = manager.session(&TokenKey::new("nobody").unwrap());
    assert_eq!(nobody.user_info().await.unwrap_err().kind(), ErrorKind::SessionNotFound);

    let meetings = MockWebex::builder().service(MockService::Meetings).start().await;
    let webex = meetings.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let mut login = webex.login(pending, Callback::parse(meetings.approve(&url)).unwrap()).await.unwrap();
    assert_eq!(webex.user_info_for(&mut login).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn session_logout_url_uses_home_issuer() {
    let (mock, webex, _clock) = start_mock().await;
    let (_, session) = stored_session(&mock, &webex).await;
    let account = session.account().await.unwrap();
    let (subject, issuer) = account.subject().unwrap();
    assert_eq!(subject, MockUser::new(JANE).uuid());
    assert!(issuer.ends_with("/idb-eu"), "{issuer}");
    let url = webex.logout_url(Some(issuer), "https://app.example.com/bye").unwrap();
    assert!(url.as_str().starts_with(&format!("{issuer}/oauth2/v1/logout?")), "{url}");
    let error = webex.logout_url(Some("https://evil.example/idb"), "https://app.example.com/bye").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn new_login_of_other_user_drops_old_claims() {
    let (mock, webex, _clock) = start_mock().await;
    let store = MemoryStore::new();
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let session = manager.put(&key(), log_in_at(&mock, &webex, JANE).await).await.unwrap();
    session.user_info().await.unwrap();
    manager
        .put_opts(
            &key(),
            log_in_at(&mock, &webex, "bob@example.com").await.into_tokens(),
            PutOptions::new().replace_account(),
        )
        .await
        .unwrap();
    assert_eq!(session.account().await.unwrap().email(), None);
    let asking = tokio::spawn(async move { session.user_info().await });
    assert_eq!(asking.await.unwrap().unwrap().email(), Some("bob@example.com"));
    tokio::time::timeout(Duration::from_secs(30), manager.wait_idle()).await.unwrap().unwrap();
}
