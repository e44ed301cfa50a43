//! Discovery, WebFinger, and the logout URL.

use serde_json::{Value, json};
use webex_oauth::{AccessToken, Callback, ErrorKind, RevocationScope, Service};

use crate::issuer::{Issuer, Key, NOW, SUBJECT, header};
use crate::support::{builder, json as answer, parameter};

/// The sample document of Webex, with the test's own addresses.
fn document(issuer: &Issuer) -> Value {
    let base = issuer.server.uri();
    json!({
        "issuer": "https://idbroker-b-us.webex.com/idb",
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/access_token"),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "jwks_uri": format!("{base}/verification"),
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile", "phone", "address"],
        "claims_supported": ["aud", "sub"],
        "grant_types_supported": ["authorization_code", "implicit", "refresh_token"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["plain", "S256"],
    })
}

const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

#[tokio::test]
async fn rp_29_discovered_endpoints_are_used() {
    let mut issuer = Issuer::start().await;
    let elsewhere = |path: &str| format!("{}{path}", issuer.server.uri());
    let mut document = document(&issuer);
    for (name, path) in [
        ("authorization_endpoint", "/other/authorize"),
        ("token_endpoint", "/other/token"),
        ("userinfo_endpoint", "/other/userinfo"),
        ("jwks_uri", "/other/keys"),
        ("revocation_endpoint", "/other/revoke"),
    ] {
        document[name] = elsewhere(path).into();
    }
    issuer.set_response(DISCOVERY_PATH, answer(200, &document.to_string()));
    let found = issuer.webex.discover().await.unwrap();
    let service =
        Service::webex().with_base_url(issuer.server.uri()).with_issuer(issuer.issuer_url()).with_discovery(&found);
    issuer.webex = builder(service).scopes("openid").clock(issuer.clock.clone()).build().unwrap();
    let webex = &issuer.webex;

    let (url, pending) = webex.authorize().begin().unwrap();
    let [nonce, state] = ["nonce", "state"].map(|name| parameter(url.as_str(), name));
    let key = Key::one();
    issuer.set_response("/other/keys", answer(200, &json!({"keys": [key.jwk(Some("k1"))]}).to_string()));
    let tokens = json!({"access_token": "a", "refresh_token": "r",
        "id_token": key.sign(&header("k1"), &issuer.claims(&nonce))});
    issuer.set_response("/other/token", answer(200, &tokens.to_string()));
    issuer.set_response("/other/userinfo", answer(200, &json!({"sub": SUBJECT}).to_string()));
    issuer.set_response("/other/revoke", answer(200, ""));
    let callback = Callback::parse(format!("code=c0de&state={state}")).unwrap();
    let login = webex.login(pending, callback).await.unwrap();
    webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap();
    webex.refresh(login.tokens()).await.unwrap();
    webex.revoke(login.tokens(), RevocationScope::AllSessions).await.unwrap();

    assert!(url.as_str().starts_with(&elsewhere("/other/authorize?")), "{url}");
    let requested = issuer.server.received_requests().await.unwrap();
    let requested: Vec<_> = requested.iter().map(|request| request.url.path()).collect();
    let token = "/other/token";
    assert_eq!(
        requested,
        [DISCOVERY_PATH, token, "/other/keys", "/other/userinfo", token, "/other/revoke"],
        "and nowhere else"
    );
}

#[tokio::test]
async fn discovery_fields_are_read_by_name() {
    let issuer = Issuer::start().await;
    let base = issuer.server.uri();
    let mut document = document(&issuer);
    for name in ["device_authorization", "revocation", "introspection", "end_session"] {
        document[format!("{name}_endpoint")] = format!("{base}/{name}").into();
    }
    // Webex's values for these are the defaults.
    document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    for name in ["request_parameter_supported", "authorization_response_iss_parameter_supported"] {
        document[name] = true.into();
    }
    issuer.set_response(DISCOVERY_PATH, answer(200, &document.to_string()));

    let found = issuer.webex.discover().await.unwrap();

    assert_eq!(found.issuer(), Some("https://idbroker-b-us.webex.com/idb"), "on another host, as Webex has it");
    for (endpoint, path) in [
        (found.authorization_endpoint(), "authorize"),
        (found.token_endpoint(), "access_token"),
        (found.user_info_endpoint(), "userinfo"),
        (found.jwks_endpoint(), "verification"),
        (found.device_authorization_endpoint(), "device_authorization"),
        (found.revocation_endpoint(), "revocation"),
        (found.introspection_endpoint(), "introspection"),
        (found.end_session_endpoint(), "end_session"),
    ] {
        assert_eq!(endpoint, Some(&*format!("{base}/{path}")));
    }
    for (list, expected) in [
        (found.scopes_supported(), &["openid", "email", "profile", "phone", "address"][..]),
        (found.claims_supported(), &["aud", "sub"]),
        (found.response_types_supported(), &["code", "id_token"]),
        (found.grant_types_supported(), &["authorization_code", "implicit", "refresh_token"]),
        (found.subject_types_supported(), &["public"]),
        (found.id_token_signing_algorithms(), &["RS256"]),
        (found.token_endpoint_auth_methods(), &["client_secret_post"]),
        (found.code_challenge_methods(), &["plain", "S256"]),
    ] {
        assert_eq!(list, expected);
    }
    assert!(found.is_request_parameter_supported() && !found.is_request_uri_parameter_supported());
    assert!(found.is_issuer_in_callbacks());
    assert_eq!((found.field("claims_supported"), found.field("none")), (Some(&json!(["aud", "sub"])), None));
}

#[tokio::test]
async fn rp_30_keys_are_fetched_from_discovered_jwks_uri() {
    for place in ["/jwks-of-monday", "/jwks-of-tuesday"] {
        let mut issuer = Issuer::start().await;
        let mut document = document(&issuer);
        document["jwks_uri"] = format!("{}{place}", issuer.server.uri()).into();
        issuer.set_response(DISCOVERY_PATH, answer(200, &document.to_string()));
        let key = Key::one();
        issuer.set_response(place, answer(200, &json!({"keys": [key.jwk(Some("k1"))]}).to_string()));
        let found = issuer.webex.discover().await.unwrap();
        assert_eq!(found.jwks_endpoint(), document["jwks_uri"].as_str());
        issuer.change_service(|service| service.with_discovery(&found));
        issuer.login(|nonce| Some(key.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
        assert_eq!((issuer.requests_to(place).await, issuer.requests_to("/verification").await), (1, 0));
    }
}

#[tokio::test]
async fn missing_discovery_fields_have_standard_defaults() {
    let issuer = Issuer::start().await;
    issuer.set_response(DISCOVERY_PATH, answer(200, &json!({"issuer": issuer.issuer_url()}).to_string()));
    let found = issuer.webex.discover().await.unwrap();
    for endpoint in [
        found.authorization_endpoint(),
        found.token_endpoint(),
        found.user_info_endpoint(),
        found.jwks_endpoint(),
        found.device_authorization_endpoint(),
        found.revocation_endpoint(),
        found.introspection_endpoint(),
        found.end_session_endpoint(),
    ] {
        assert_eq!(endpoint, None);
    }
    for (list, expected) in [
        (found.scopes_supported(), &[][..]),
        (found.claims_supported(), &[]),
        (found.response_types_supported(), &[]),
        (found.grant_types_supported(), &["authorization_code", "implicit"]),
        (found.subject_types_supported(), &[]),
        (found.id_token_signing_algorithms(), &[]),
        (found.token_endpoint_auth_methods(), &["client_secret_basic"]),
        (found.code_challenge_methods(), &[]),
    ] {
        assert_eq!(list, expected);
    }
    assert!(!found.is_request_parameter_supported() && found.is_request_uri_parameter_supported());
    assert!(!found.is_issuer_in_callbacks());
    let service = Service::webex();
    let endpoints = |service: &Service| {
        let own = [service.authorization_endpoint(), service.token_endpoint()].map(|url| Some(url.to_owned()));
        let optional = [
            service.person_endpoint(),
            service.jwks_endpoint(),
            service.user_info_endpoint(),
            service.revocation_endpoint(),
            service.device_authorization_endpoint(),
            service.device_token_endpoint(),
        ];
        (own, optional.map(|url| url.map(str::to_owned)))
    };
    assert_eq!(endpoints(&service.clone().with_discovery(&found)), endpoints(&service), "nothing changes");
}

#[tokio::test]
async fn rp_31_document_with_foreign_issuer_or_endpoint_is_rejected() {
    let issuer = Issuer::start().await;
    for (name, value, reason) in [
        ("issuer", json!("https://idbroker.webex.com/idb1"), "with_issuer"),
        ("issuer", json!("https://evil.example"), "https://evil.example"),
        ("issuer", Value::Null, "`issuer` is missing"),
        ("token_endpoint", json!("https://evil.example/token"), "with_api_host"),
        ("jwks_uri", json!("http://webexapis.com/keys"), "https"),
        ("jwks_uri", json!("https://127.0.0.1.evil.example/"), "on the untrusted host"),
        ("revocation_endpoint", json!(["x"]), "is not a string"),
        ("end_session_endpoint", json!("javascript:alert(1)"), "https"),
        ("token_endpoint", json!("https://idbroker.webex.com/idb/oauth2/v1/access_token"), "with_api_host"),
        ("userinfo_endpoint", json!("https://idbroker.webex.com/idb/userinfo"), "with_api_host"),
        ("revocation_endpoint", json!("https://idbroker.webex.com.evil.example/revoke"), "with_api_host"),
        ("revocation_endpoint", json!("https://idbroker.webex.com:8443/revoke"), "with_api_host"),
        ("end_session_endpoint", json!("http://idbroker.webex.com/logout"), "https"),
    ] {
        let mut document = document(&issuer);
        document[name] = value;
        issuer.set_response(DISCOVERY_PATH, answer(200, &document.to_string()));
        let before = issuer.request_count();
        let error = issuer.webex.discover().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Discovery && error.to_string().contains(reason), "{name}: {error}");
        assert!(!error.is_retryable(), "{error}");
        assert_eq!(issuer.request_count() - before, 1, "{error}");
    }
    for (status, body) in [(200, "<html>"), (503, ""), (200, r#"{"issuer":"a","issuer":"b"}"#)] {
        issuer.set_response(DISCOVERY_PATH, answer(status, body));
        let error = issuer.webex.discover().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Discovery && error.is_retryable(), "{error}");
    }
}

/// Webex serves both at its brokers, which are the issuers.
#[tokio::test]
async fn revocation_and_logout_endpoints_on_issuer_host_are_accepted() {
    let issuer = Issuer::start().await;
    let mut document = document(&issuer);
    document["revocation_endpoint"] = "https://idbroker-eu.webex.com/idb/oauth2/v1/revoke".into();
    document["end_session_endpoint"] = "https://idbroker.webex.com/idb/oauth2/v1/logout".into();
    issuer.set_response(DISCOVERY_PATH, answer(200, &document.to_string()));
    let found = issuer.webex.discover().await.unwrap();
    assert_eq!(found.end_session_endpoint(), document["end_session_endpoint"].as_str());
    let service = issuer.webex.service().clone().with_discovery(&found);
    assert_eq!(service.revocation_endpoint(), document["revocation_endpoint"].as_str());
}

#[tokio::test]
async fn discovered_device_endpoint_changes_device_token_endpoint() {
    let issuer = Issuer::start().await;
    let named = |path: &str| format!("{}{path}", issuer.server.uri());
    for (device, moved) in [("/device/authorize", named("/device/token")), ("/device", named("/access_token"))] {
        let document = json!({"issuer": issuer.issuer_url(), "device_authorization_endpoint": named(device)});
        issuer.set_response(DISCOVERY_PATH, answer(200, &document.to_string()));
        let found = issuer.webex.discover().await.unwrap();
        let service = issuer.webex.service().clone().with_discovery(&found);
        assert_eq!(service.device_authorization_endpoint(), Some(&*named(device)));
        assert_eq!(service.device_token_endpoint(), Some(&*moved));
    }
}

#[tokio::test]
async fn rp_34_home_issuer_must_be_trusted_by_service() {
    let issuer = Issuer::start().await;
    let link = |href: &str| {
        json!({"subject": "acct:joe@example.com",
            "links": [{"rel": "x", "href": "y"}, {"rel": "http://openid.net/specs/connect/1.0/issuer", "href": href}]})
        .to_string()
    };
    issuer.set_response("/.well-known/webfinger", answer(200, &link("https://idbroker-eu.webex.com/idb")));
    let home = issuer.webex.home_issuer("joe+x&y=z@example.com").await.unwrap();
    assert_eq!(home, "https://idbroker-eu.webex.com/idb");
    let requested = issuer.server.received_requests().await.unwrap().last().unwrap().url.to_string();
    assert_eq!(parameter(&requested, "resource"), "acct:joe+x&y=z@example.com");
    for (body, reason) in [
        (link("https://evil.example/idb"), "is not trusted"),
        (link("https://idbroker-eu.webex.com/idb1"), "is not trusted"),
        ("{}".to_owned(), "it contains no issuer"),
        (r#"{"links":[{"rel":"http://openid.net/specs/connect/1.0/issuer"}]}"#.to_owned(), "it contains no issuer"),
    ] {
        issuer.set_response("/.well-known/webfinger", answer(200, &body));
        let before = issuer.request_count();
        let error = issuer.webex.home_issuer("joe@example.com").await.unwrap_err();
        assert!(error.kind() == ErrorKind::Discovery && error.to_string().contains(reason), "{error}");
        assert_eq!(issuer.request_count() - before, 1, "{error}");
    }
    for bad in ["", "joe", "@example.com", "joe@", "joe smith@example.com", "joe@example.com\n"] {
        assert_eq!(issuer.webex.home_issuer(bad).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{bad:?}");
    }
}

#[tokio::test]
async fn rp_44_logout_url_uses_issuer_of_user_and_omits_token() {
    let issuer = Issuer::start().await;
    let key = Key::one();
    issuer.publish(&[key.jwk(Some("k1"))]);
    let login = issuer.login(|nonce| Some(key.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
    let goto = "https://app.example.com/bye?x=1&y=2";
    let home = login.id_token().map(|id_token| id_token.issuer());
    let url = issuer.webex.logout_url(home, goto).unwrap();
    assert!(url.as_str().starts_with(&format!("{}/oauth2/v1/logout?", issuer.issuer_url())), "{url}");
    assert_eq!(parameter(url.as_str(), "goto"), goto);
    assert!(!url.as_str().contains("token="));
    let token = login.tokens().access_token();
    let url = issuer.webex.insecure_logout_url_with_token(home, goto, token).unwrap();
    assert_eq!(parameter(url.as_str(), "token"), token.expose());
    let url = issuer.webex.logout_url(None, goto).unwrap();
    assert_eq!(url.host_str(), Some("idbroker.webex.com"));
    for bad in ["", "/bye", "javascript:alert(1)", "app.example.com"] {
        assert_eq!(issuer.webex.logout_url(None, bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
    }
    let meetings = builder(Service::meetings()).build().unwrap();
    assert_eq!(meetings.logout_url(None, goto).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn token_expiry_is_read_in_milliseconds() {
    let issuer = Issuer::start().await;
    let token = AccessToken::new("PLANTED-access-token-3").unwrap();
    let at = "/authorizations/tokenExpiry";
    issuer.set_response(at, answer(200, &format!(r#"{{"exp": {}}}"#, NOW * 1000 + 999)));
    assert_eq!(issuer.webex.token_expiry(&token).await.unwrap().as_secs(), NOW);
    for bad in ["{}", r#"{"exp":"soon"}"#, "", "[1]"] {
        issuer.set_response(at, answer(200, bad));
        assert_eq!(issuer.webex.token_expiry(&token).await.unwrap_err().kind(), ErrorKind::PersonRequest, "{bad}");
    }
    issuer.set_response(at, answer(401, r#"{"message":"no"}"#));
    assert!(issuer.webex.token_expiry(&token).await.unwrap_err().is_token_rejected());
}
