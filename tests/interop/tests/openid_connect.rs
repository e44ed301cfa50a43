//! OpenID Connect at the certified `oidc-provider`: ID tokens, keys, userinfo, discovery, and refreshes.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::oidc::SigningAlgorithm;
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::{
    AccessToken, Callback, ErrorKind, FieldSource, Login, Result, Rotation, Service, TokenManager, WebexOAuth,
    WebexOAuthBuilder,
};
use webex_oauth_interop::{Browser, RecordingTransport, Server, run_with_servers};

async fn server() -> Server {
    Server::oidc_provider(Duration::from_secs(3600), "on").await
}

/// Returns a builder with a clock that advances by sleeping, because key fetches are at least a second apart.
fn builder(server: &Server, transport: &RecordingTransport) -> WebexOAuthBuilder {
    let at = |path: &str| format!("{}{path}", server.url());
    let service = Service::webex()
        .with_base_url(server.url())
        .with_authorization_endpoint(at("/auth"))
        .with_token_endpoint(at("/token"))
        .with_jwks_endpoint(at("/jwks"))
        .with_user_info_endpoint(at("/me"))
        .with_issuer(server.url())
        .with_rotation(Rotation::Strict);
    WebexOAuth::builder()
        .service(service)
        .client_id("basic")
        .client_secret(Server::SECRET)
        .redirect_uri(Server::REDIRECT_URI)
        .scopes("openid email profile")
        .clock(ManualClock::new(UnixTime::from(SystemTime::now())).auto_advance())
        .transport(transport.clone())
}

async fn log_in(webex: &WebexOAuth, user: &str) -> Result<Login> {
    let (url, pending) = webex.authorize().max_age(Duration::from_secs(600)).begin().unwrap();
    let callback = Browser::new().consent(url.as_str(), user).await;
    webex.login(pending, Callback::parse(callback).unwrap()).await
}

/// Changes one character in a part of a token.
fn with_modified_part(token: &str, part: usize) -> String {
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let first = if parts[part].starts_with('A') { "B" } else { "A" };
    parts[part].replace_range(..1, first);
    parts.join(".")
}

#[test]
fn login_returns_verified_id_token_and_userinfo() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        let webex = builder(&server, &transport).build().unwrap();

        let login = log_in(&webex, "jane").await.unwrap();

        let id_token = login.id_token().unwrap();
        assert_eq!((id_token.issuer(), id_token.subject()), (server.url(), "jane"));
        assert!(id_token.auth_time().is_some(), "`max_age` was requested");
        let info = webex.user_info(id_token, login.tokens().access_token()).await.unwrap();
        assert_eq!((info.email(), info.is_email_verified()), (Some("jane@example.com"), Some(true)));
        assert_eq!((info.name(), info.given_name(), info.locale()), (Some("jane Smith"), Some("jane"), Some("en_US")));
        assert_eq!(transport.take_paths(), ["/token", "/jwks", "/me"]);
        log_in(&webex, "john").await.unwrap();
        assert_eq!(transport.take_paths(), ["/token"], "the keys are cached");
    });
}

#[test]
fn verified_userinfo_email_satisfies_required_domain() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        let webex = builder(&server, &transport).build().unwrap();
        let mut login = log_in(&webex, "jane").await.unwrap();
        assert_eq!(login.require_email_domain("example.com").unwrap_err().kind(), ErrorKind::InvalidInput);

        webex.user_info_for(&mut login).await.unwrap();

        login.require_email_domain("example.com").unwrap();
        assert_eq!(login.require_email_domain("example.org").unwrap_err().kind(), ErrorKind::AccountMismatch);
        let (store, key) = (MemoryStore::new(), TokenKey::new("jane").unwrap());
        let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
        manager.put(&key, log_in(&webex, "jane").await.unwrap()).await.unwrap().user_info().await.unwrap();
        let session = TokenManager::new(webex, store).unwrap().session(&key);
        let account = session.account().await.unwrap();
        let email = account.details().find(|detail| detail.value == "jane@example.com").unwrap();
        assert!(email.origin == FieldSource::UserInfo && email.is_verified(), "{email:?}");
        assert_eq!(account.subject(), Some(("jane", server.url())));
    });
}

#[test]
fn userinfo_of_other_user_is_rejected() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        let webex = builder(&server, &transport).build().unwrap();
        let (jane, john) = (log_in(&webex, "jane").await.unwrap(), log_in(&webex, "john").await.unwrap());

        let error = webex.user_info(jane.id_token().unwrap(), john.tokens().access_token()).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::UserInfo);
        assert!(error.to_string().contains("`sub` does not match the ID token"), "{error}");
    });
}

#[test]
fn unknown_access_token_is_rejected_at_userinfo() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        let webex = builder(&server, &transport).build().unwrap();
        let login = log_in(&webex, "jane").await.unwrap();

        let error =
            webex.user_info(login.id_token().unwrap(), &AccessToken::new("another").unwrap()).await.unwrap_err();

        assert!(error.is_token_rejected() && !error.is_login_required(), "{error:?}");
    });
}

#[test]
fn refreshed_id_token_of_other_user_is_rejected() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        let webex = builder(&server, &transport).build().unwrap();
        let mut tokens = log_in(&webex, "jane").await.unwrap().into_tokens();
        transport.edit_token_response(|response| {
            assert!(response["id_token"].is_string(), "the server returns an ID token with each refresh")
        });
        for _ in 0..3 {
            tokens = webex.refresh(&tokens).await.unwrap();
        }

        let other_id_token =
            log_in(&webex, "john").await.unwrap().into_tokens().id_token().unwrap().expose().to_owned();
        transport.edit_token_response(move |response| response["id_token"] = other_id_token.clone().into());
        let error = webex.refresh(&tokens).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::InvalidIdToken);
        assert!(error.is_login_required(), "the refresh token is used up: {error}");
    });
}

#[test]
fn discovered_configuration_is_sufficient_for_login() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        // Only the base URL and the issuer are configured.
        let service =
            Service::webex().with_base_url(server.url()).with_issuer(server.url()).with_rotation(Rotation::Strict);
        let discovery =
            builder(&server, &transport).service(service.clone()).build().unwrap().discover().await.unwrap();
        assert_eq!(discovery.issuer(), Some(server.url()));
        assert!(discovery.is_issuer_in_callbacks());
        assert!(
            discovery.code_challenge_methods().contains(&"S256") && discovery.scopes_supported().contains(&"spark:all")
        );
        let webex = builder(&server, &transport).service(service.with_discovery(&discovery)).build().unwrap();

        let login = log_in(&webex, "jane").await.unwrap();
        let info = webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap();
        let new_tokens = webex.refresh(login.tokens()).await.unwrap();

        assert_eq!((info.subject(), info.email()), ("jane", Some("jane@example.com")));
        assert_ne!(new_tokens.access_token(), login.tokens().access_token());
        webex.user_info(login.id_token().unwrap(), new_tokens.access_token()).await.unwrap();
        assert_eq!(
            transport.take_paths(),
            ["/.well-known/openid-configuration", "/token", "/jwks", "/me", "/token", "/me"]
        );
    });
}

#[test]
fn callback_without_expected_issuer_is_rejected() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        let discovery = builder(&server, &transport).build().unwrap().discover().await.unwrap();
        let service = Service::webex().with_base_url(server.url()).with_issuer(server.url()).with_discovery(&discovery);
        let webex = builder(&server, &transport).service(service).build().unwrap();
        transport.take_paths();
        for user in ["jane", "john"] {
            let (url, pending) = webex.authorize().begin().unwrap();
            let callback = Browser::new().consent(url.as_str(), user).await;
            assert!(callback.contains("&iss="), "{callback}");
            let without_issuer = callback.replace("&iss=", "&other=");

            let error = webex.login(pending, Callback::parse(without_issuer).unwrap()).await.unwrap_err();

            assert_eq!(error.kind(), ErrorKind::MissingIssuer, "{error}");
        }
        assert!(transport.take_paths().is_empty());
    });
}

#[test]
fn modified_id_token_is_rejected() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        let webex = builder(&server, &transport).build().unwrap();
        let other_login = log_in(&webex, "jane").await.unwrap();
        let other_id_token = other_login.tokens().id_token().unwrap().expose().to_owned();
        transport.take_paths();
        let tampered = |part| {
            move |response: &mut Value| {
                response["id_token"] = with_modified_part(response["id_token"].as_str().unwrap(), part).into();
            }
        };
        type Edit = Box<dyn Fn(&mut Value) + Send>;
        let edits: [(&str, Edit); 5] = [
            ("signature does not match", Box::new(tampered(2))),
            ("payload cannot be parsed", Box::new(tampered(1))),
            ("header cannot be parsed", Box::new(tampered(0))),
            ("`nonce` does not match", Box::new(move |response| response["id_token"] = other_id_token.clone().into())),
            ("three dot-separated parts", Box::new(|response| response["id_token"] = "x".into())),
        ];
        for (reason, edit) in edits {
            transport.edit_token_response(edit);

            let error = log_in(&webex, "jane").await.unwrap_err();

            assert_eq!(error.kind(), ErrorKind::InvalidIdToken, "{error}");
            assert!(error.to_string().contains(reason), "{reason}: {error}");
            // Only if no key of the service matches, the keys of the issuer are fetched. There is no other request.
            let mut paths = transport.take_paths();
            paths.retain(|path| reason != "signature does not match" || path != "/oauth2/v2/keys/verificationjwk");
            assert_eq!(paths, ["/token"], "{reason}: no further request");
        }
        transport.edit_token_response(|response| response["id_token"] = json!(null));
        assert_eq!(log_in(&webex, "jane").await.unwrap_err().kind(), ErrorKind::MissingIdToken);
    });
}

#[test]
fn es256_is_accepted_only_if_allowed() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        let default = builder(&server, &transport).client_id("es256");
        let error = log_in(&default.build().unwrap(), "jane").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidIdToken);
        assert!(error.to_string().contains("(expected RS256)"), "{error}");

        let allowed = builder(&server, &transport).client_id("es256").id_token_algorithms([SigningAlgorithm::Es256]);
        let login = log_in(&allowed.build().unwrap(), "jane").await.unwrap();
        assert_eq!(login.id_token().unwrap().subject(), "jane");

        let only_es256 = builder(&server, &transport).id_token_algorithms([SigningAlgorithm::Es256]).build().unwrap();
        assert_eq!(log_in(&only_es256, "jane").await.unwrap_err().kind(), ErrorKind::InvalidIdToken);
    });
}

#[test]
fn rotated_keys_are_fetched_once() {
    run_with_servers(async {
        let (server, transport) = (server().await, RecordingTransport::new());
        let webex = builder(&server, &transport).build().unwrap();
        log_in(&webex, "jane").await.unwrap();
        server.send_command("rotate_keys", Value::Null).await;
        transport.take_paths();

        let tokens = log_in(&webex, "jane").await.unwrap().into_tokens();
        webex.refresh(&tokens).await.unwrap();

        assert_eq!(transport.take_paths(), ["/token", "/jwks", "/token"]);
    });
}
