//! The mock with plain HTTP, without this crate's client.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Client, Response, header, redirect};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{ErrorPage, MockService, MockUser, MockWebex};
use webex_oauth::{Callback, RevocationScope, Rotation, TokenSet};

use crate::browser::Browser;

const CALLBACK: &str = "http://localhost:1234/cb?tenant=1";
const VERIFIER: &str = "a-verifier-of-at-least-43-characters-0123456789";

fn http() -> Client {
    Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap()
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Returns a parameter of a URL.
fn parameter(url: &str, name: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).unwrap();
    url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
}

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

fn authorization_url(mock: &MockWebex, more: &[(&str, &str)]) -> String {
    let (client_id, redirect_uri, scopes) = (mock.client_id(), mock.redirect_uri(), mock.scopes().to_string());
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", &client_id),
        ("redirect_uri", &redirect_uri),
        ("scope", &scopes),
        ("state", "s t&a=te"),
    ];
    fields.extend(more);
    format!("{}?{}", mock.service().authorization_endpoint(), form(&fields))
}

async fn post(url: &str, fields: &[(&str, &str)], authorization: Option<String>) -> Response {
    let mut request = http().post(url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.body(form(fields)).send().await.unwrap()
}

/// Sends a request to the token endpoint, with the client credentials in the form.
async fn request_token(mock: &MockWebex, fields: &[(&str, &str)]) -> Response {
    let (client_id, client_secret) = (mock.client_id(), mock.client_secret());
    let fields = [&[("client_id", client_id.as_str()), ("client_secret", &client_secret)], fields].concat();
    post(mock.service().token_endpoint(), &fields, None).await
}

async fn exchange(mock: &MockWebex, callback: &str, verifier: &str) -> Response {
    let (code, redirect_uri) = (parameter(callback, "code").unwrap(), mock.redirect_uri());
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", verifier),
    ];
    request_token(mock, &fields).await
}

async fn refresh(mock: &MockWebex, tokens: &Value) -> Response {
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    request_token(mock, &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
}

async fn json(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn login(mock: &MockWebex) -> Value {
    let url = authorization_url(mock, &[("code_challenge", &challenge()), ("code_challenge_method", "S256")]);
    let response = exchange(mock, &mock.approve(url), VERIFIER).await;
    assert_eq!(response.status(), 200);
    json(response).await
}

async fn assert_generic_error(response: Response, reason: &str) {
    assert_eq!(response.status(), 400);
    assert!(response.headers()["x-mock-reason"].to_str().unwrap().contains(reason), "{response:?}");
    let tracking_id = response.headers()["trackingid"].to_str().unwrap().to_owned();
    let body = json(response).await;
    assert_eq!(body["message"], "The request could not be understood by the server due to malformed syntax.");
    assert_eq!(body["trackingId"], tracking_id.as_str());
    assert!(body.get("access_token").is_none());
}

#[tokio::test]
async fn browser_login_returns_tokens_that_refresh() {
    let mock = MockWebex::builder()
        .redirect_uri(CALLBACK)
        .user(MockUser::new("jane@example.com").name("Jane Doe"))
        .user(MockUser::new("bob@example.com").name("Bob \"B\" Roe"))
        .start()
        .await;
    let more =
        [("code_challenge", &*challenge()), ("code_challenge_method", "S256"), ("login_hint", "bob@example.com")];
    let url = authorization_url(&mock, &more);

    let mut browser = Browser::new();
    let sign_in = browser.open(&url).await;
    assert_eq!((sign_in.status, sign_in.value("user")), (200, "bob@example.com"));
    let consent = browser.sign_in(&sign_in, "bob@example.com").await;
    for part in
        ["Integration under test", "spark:people_read", "<strong>Bob &quot;B&quot; Roe</strong> (bob@example.com)"]
    {
        assert!(consent.html.contains(part), "{part} in {}", consent.html);
    }
    for page in [&sign_in, &consent] {
        assert!(!page.html.contains("localhost:1234"), "no form carries an address: {}", page.html);
    }
    let response = browser.submit(&consent, &[("decision", "accept")]).await;
    assert_eq!(response.status(), 303);
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    let callback = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(callback.starts_with(&format!("{CALLBACK}&code=")), "{callback}");
    assert_eq!(parameter(&callback, "state").as_deref(), Some("s t&a=te"));

    let tokens = json(exchange(&mock, &callback, VERIFIER).await).await;
    let refreshed = json(refresh(&mock, &tokens).await).await;
    assert_ne!(refreshed["access_token"], tokens["access_token"]);
    assert_eq!(refreshed["refresh_token"], tokens["refresh_token"]);
    for tokens in [&tokens, &refreshed] {
        let url = mock.service().person_endpoint().unwrap().to_owned();
        let person = http().get(url).bearer_auth(tokens["access_token"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(person.status(), 200);
        assert_eq!(json(person).await["displayName"], "Bob \"B\" Roe");
    }
    assert_eq!((mock.token_requests(), mock.refreshes()), (2, 1));
}

#[tokio::test]
async fn denied_login_returns_access_denied() {
    let mock = MockWebex::start().await;
    let callback = mock.deny(authorization_url(&mock, &[]));
    assert_eq!(parameter(&callback, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&callback, "state").as_deref(), Some("s t&a=te"));
    assert_eq!(parameter(&callback, "code"), None);
}

#[tokio::test]
async fn client_may_authenticate_with_basic_header() {
    let mock = MockWebex::builder().client_secret("s&:+ ü").start().await;
    let callback = mock.approve(authorization_url(&mock, &[]));
    let (code, redirect_uri) = (parameter(&callback, "code").unwrap(), mock.redirect_uri());
    let fields = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", &redirect_uri)];
    let secret: String = form_urlencoded::byte_serialize(mock.client_secret().as_bytes()).collect();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:{secret}", mock.client_id())));
    assert_eq!(post(mock.service().token_endpoint(), &fields, Some(basic)).await.status(), 200);
}

#[tokio::test]
async fn meetings_accepts_plain_pkce_and_requires_site_on_refresh() {
    let user = MockUser::new("jane@example.com").site("acme");
    let mock = MockWebex::builder().service(MockService::Meetings).user(user).start().await;
    assert!(mock.service().token_endpoint().ends_with("/v1/oauth2/token"));
    let url = authorization_url(&mock, &[("code_challenge", "0123456789"), ("code_challenge_method", "plain")]);
    let tokens = json(exchange(&mock, &mock.approve(url), "0123456789").await).await;
    assert!(tokens["iss"].as_str().unwrap().starts_with("https://acme.webex.com/"));
    assert_eq!(refresh(&mock, &tokens).await.status(), 400);

    let (refresh_token, redirect_uri) = (tokens["refresh_token"].as_str().unwrap(), mock.redirect_uri());
    assert!(!refresh_token.to_ascii_lowercase().starts_with("acme_"));
    let prefixed = format!("ACME_{refresh_token}");
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &prefixed),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", "0123456789"),
    ];
    let refreshed = json(request_token(&mock, &fields).await).await;
    assert_eq!(refreshed["refresh_token"], refresh_token);
    assert_eq!(refreshed["user_name"], "jane@example.com");
}

#[tokio::test]
async fn reused_or_mismatched_code_is_rejected() {
    let mock = MockWebex::builder().redirect_uri(CALLBACK).redirect_uri("http://localhost:1234/other").start().await;
    let url = authorization_url(&mock, &[("code_challenge", &challenge()), ("code_challenge_method", "S256")]);

    let callback = mock.approve(&url);
    assert_eq!(exchange(&mock, &callback, VERIFIER).await.status(), 200);
    assert_generic_error(exchange(&mock, &callback, VERIFIER).await, "already used").await;

    let callback = mock.approve(&url);
    assert_generic_error(exchange(&mock, &callback, &VERIFIER.replace('a', "b")).await, "verifier").await;

    let code = parameter(&mock.approve(&url), "code").unwrap();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", "http://localhost:1234/other"),
        ("code_verifier", VERIFIER),
    ];
    assert_generic_error(request_token(&mock, &fields).await, "redirect URI").await;
}

#[tokio::test]
async fn wrong_client_secret_is_rejected_with_webex_message() {
    let mock = MockWebex::start().await;
    let tokens = login(&mock).await;
    let old = mock.client_secret();
    mock.change_secret("new");
    let (client_id, refresh_token) = (mock.client_id(), tokens["refresh_token"].as_str().unwrap());
    let fields = [
        ("client_id", &*client_id),
        ("client_secret", &*old),
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
    ];
    let request = http().post(mock.service().token_endpoint()).header("TrackingID", "MINE_1");
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(&fields));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["trackingid"], "MINE_1");
    let expected = serde_json::json!({
        "message": "Invalid client credentials",
        "errors": [{ "description": "The provided clientSecret is invalid" }],
        "trackingId": "MINE_1",
    });
    assert_eq!(json(response).await, expected);
    assert_eq!(refresh(&mock, &tokens).await.status(), 200);
}

#[tokio::test]
async fn authorization_errors_are_pages_without_redirect() {
    let mock = MockWebex::start().await;
    let url = authorization_url(&mock, &[]);
    let foreign = url.replace(&mock.client_id(), "C0ffee");
    let elsewhere = url.replace("localhost", "127.0.0.1");
    let denied = MockWebex::builder().client_id(mock.client_id()).start().await;
    denied.deny_by_administrator();
    let denied_url = authorization_url(&denied, &[]);

    for (mock, url, status, words, page) in [
        (&mock, foreign, 400, "We've encountered an error", ErrorPage::UnknownClient),
        (&mock, elsewhere, 400, "Try again later", ErrorPage::RedirectUriMismatch),
        (&denied, denied_url, 403, "Your administrator denied access", ErrorPage::DeniedByAdministrator),
    ] {
        let response = http().get(&url).send().await.unwrap();
        assert_eq!(response.status(), status);
        assert!(response.headers().get("location").is_none());
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
        assert!(response.text().await.unwrap().contains(words), "{words}");
        assert_eq!(mock.try_approve(&url), Err(page));
    }
}

#[tokio::test]
#[should_panic(expected = "unknown client ID: no integration of the mock has it")]
async fn approve_panics_on_unknown_client_id() {
    let mock = MockWebex::start().await;
    mock.approve(format!("{}?client_id=C0ffee", mock.service().authorization_endpoint()));
}

#[tokio::test]
#[should_panic(expected = "not an authorization URL of the mock")]
async fn approve_panics_on_url_of_real_webex() {
    MockWebex::start().await.approve("https://webexapis.com/v1/authorize?client_id=C0ffee");
}

#[tokio::test]
async fn second_login_shares_refresh_token_and_remaining_lifetime() {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    let mock =
        MockWebex::builder().clock(clock.clone()).refresh_token_lifetime(Duration::from_secs(1000)).start().await;
    let first = login(&mock).await;
    assert_eq!(first["refresh_token_expires_in"], 1000);

    clock.advance(Duration::from_secs(999));
    let second = login(&mock).await;
    assert_eq!(second["refresh_token"], first["refresh_token"]);
    assert_eq!(second["refresh_token_expires_in"], 1);
    assert_eq!(json(refresh(&mock, &first).await).await["refresh_token_expires_in"], 1);

    clock.advance(Duration::from_secs(1));
    assert_generic_error(refresh(&mock, &first).await, "refresh token").await;
    assert_ne!(login(&mock).await["refresh_token"], first["refresh_token"]);
}

#[tokio::test]
async fn strict_rotation_invalidates_previous_refresh_token() {
    let jane = "jane@example.com";
    let users = [MockUser::new(jane), MockUser::new("bob@example.com")];
    let builder = users.into_iter().fold(MockWebex::builder(), |builder, user| builder.user(user));
    let mock = builder.rotation(Rotation::Strict).start().await;
    assert!(format!("{:?}", mock.service()).contains("Strict"), "{:?}", mock.service());
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let is_alive = |tokens: &TokenSet| mock.is_refresh_token_valid(tokens.refresh_token().unwrap().expose());

    let refreshed = webex.refresh(login.tokens()).await.unwrap();

    assert!(is_alive(&refreshed) && !is_alive(login.tokens()) && !mock.is_refresh_token_valid("anything"));
    assert!(webex.refresh(login.tokens()).await.unwrap_err().is_login_required());
    webex.refresh(&refreshed).await.unwrap();
    assert_eq!((mock.refreshes_for(jane), mock.refreshes_for("bob@example.com"), mock.refreshes()), (2, 0, 3));
}

#[tokio::test]
async fn revoke_ends_tokens_of_one_user_and_remove_ends_all() {
    let mock = MockWebex::builder()
        .user(MockUser::new("jane@example.com"))
        .user(MockUser::new("bob@example.com"))
        .start()
        .await;
    let jane = login(&mock).await;
    let bob = json(exchange_as(&mock, "bob@example.com").await).await;

    mock.revoke("jane@example.com");
    let response = refresh(&mock, &jane).await;
    let words = "The refresh token provided is expired, revoked, malformed, or invalid";
    assert_eq!(json(response).await["errors"][0]["description"], words);
    assert_eq!(refresh(&mock, &bob).await.status(), 200);

    mock.remove_tokens();
    assert_eq!(refresh(&mock, &bob).await.status(), 400);
}

async fn exchange_as(mock: &MockWebex, email: &str) -> Response {
    let callback = mock.approve_as(authorization_url(mock, &[]), email);
    let (code, redirect_uri) = (parameter(&callback, "code").unwrap(), mock.redirect_uri());
    let fields = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", &redirect_uri)];
    request_token(mock, &fields).await
}

#[tokio::test]
async fn many_mocks_start_quickly_on_distinct_ports() {
    let start = Instant::now();
    for _ in 0..70 {
        let mock = MockWebex::start().await;
        assert!(mock.uri().starts_with("http://127.0.0.1:"));
    }
    let each = start.elapsed() / 70;
    assert!(each < Duration::from_millis(50), "{each:?} each");

    let mut together = Vec::new();
    for _ in 0..70 {
        together.push(MockWebex::start().await);
    }
    let addresses: HashSet<_> = together.iter().map(MockWebex::uri).collect();
    assert_eq!(addresses.len(), 70);
    drop(together);
}

#[tokio::test]
async fn port_in_use_panics_with_port_number() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    let started = tokio::spawn(MockWebex::builder().port(port).start()).await;

    let panic = started.unwrap_err().into_panic();
    let message = panic.downcast::<String>().unwrap();
    assert!(message.starts_with(&format!("failed to listen on port {port}: ")), "{message}");
}

/// wiremock's recorded requests are cleared from time to time. No request may be affected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_parallel_requests_receive_responses() {
    let mock = MockWebex::start().await;
    let (client, url) = (http(), mock.service().person_endpoint().unwrap().to_owned());
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move {
                for _ in 0..600 {
                    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// The mock revokes exactly this token, not a similar one.
#[tokio::test]
async fn revocation_of_forged_token_revokes_nothing() {
    let mock = MockWebex::start().await;
    let service = mock.service().with_revocation_endpoint(mock.revocation_endpoint());
    let webex = mock.client_builder().service(service).build().unwrap();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let token = login.tokens().access_token().expose();
    let (sealed, _) = token.split_once('_').unwrap();
    let forged = login.tokens().to_stored().unwrap().expose().replace(token, &format!("{sealed}_anything"));

    webex.revoke(&TokenSet::from_stored(&forged).unwrap(), RevocationScope::ThisSession).await.unwrap();

    webex.person(login.tokens().access_token()).await.unwrap();
    webex.revoke(login.tokens(), RevocationScope::ThisSession).await.unwrap();
    webex.person(login.tokens().access_token()).await.unwrap_err();
}

#[tokio::test]
async fn expired_access_tokens_leave_refresh_token_valid() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();

    mock.expire_access_tokens("jane@example.com");

    webex.person(login.tokens().access_token()).await.unwrap_err();
    let refreshed = webex.refresh(login.tokens()).await.unwrap();
    webex.person(refreshed.access_token()).await.unwrap();
}
