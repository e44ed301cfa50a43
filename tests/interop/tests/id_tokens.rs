//! What `oauth2-mock-server` can be made to say in an ID token, each as a row: refused, and nothing more is asked for.

use serde_json::{Value, json};
use webex_oauth::{Callback, ErrorKind, Login, Result, Service, WebexOAuth};
use webex_oauth_interop::{Browser, Server, Wire, tell};

fn client(server: &Server, wire: &Wire) -> WebexOAuth {
    let at = |path: &str| format!("{}{path}", server.url());
    let service = Service::webex()
        .at(server.url())
        .with_token_endpoint(at("/token"))
        .with_keys_endpoint(at("/jwks"))
        .with_user_info_endpoint(at("/userinfo"))
        .with_issuer(server.url());
    let builder = WebexOAuth::builder().service(service).client_id("C1").client_secret(Server::SECRET);
    builder.redirect_uri(Server::REDIRECT_URI).scopes("openid").transport(wire.clone()).build().unwrap()
}

async fn log_in(webex: &WebexOAuth) -> Result<Login> {
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Browser::new().pass(url.as_str()).await;
    webex.login(pending, Callback::parse(callback).unwrap()).await
}

fn claim(name: &str, value: impl Into<Value>) -> Value {
    json!({ "claims": { name: value.into() } })
}

fn without(name: &str) -> Value {
    json!({ "without": [name] })
}

/// A time that lies so many seconds after the token was issued.
fn later(name: &str, seconds: i64) -> Value {
    json!({ "later": { name: seconds } })
}

const DAY: i64 = 24 * 60 * 60;

#[test]
fn each_wrong_claim_is_refused_for_its_reason_and_nothing_more_is_asked_for() {
    tell(async {
        let (server, wire) = (Server::mock().await, Wire::new());
        let webex = client(&server, &wire);
        for (lie, reason) in [
            (claim("iss", "https://idbroker.webex.com/idb/"), "its `iss` is"),
            (claim("iss", format!("{}/", server.url())), "its `iss` is"),
            (claim("iss", json!([server.url()])), "no `iss`"),
            (without("iss"), "no `iss`"),
            (claim("aud", "C2"), "`aud` is another client"),
            (claim("aud", json!(["C1", "C2"])), "other clients beside"),
            (claim("aud", json!([])), "`aud` is another client"),
            (claim("azp", "C2"), "`azp` is another client"),
            (without("aud"), "no `aud`"),
            (without("sub"), "no `sub`"),
            (claim("sub", ""), "no `sub`"),
            (claim("sub", "s".repeat(256)), "255"),
            (without("exp"), "no `exp`"),
            (claim("exp", 0), "expired"),
            (later("exp", -65), "expired"),
            (claim("exp", "soon"), "`exp` is no time"),
            (without("iat"), "no `iat`"),
            (later("iat", 120), "in the future"),
            (later("iat", -DAY - 65), "24 hours"),
            (later("nbf", 120), "not valid yet"),
            (without("nonce"), "no `nonce`"),
            (claim("nonce", "another"), "another login's"),
            (claim("nonce", json!(["x"])), "no `nonce`"),
            (claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "`at_hash`"),
            (claim("c_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "`c_hash`"),
            (json!({ "unsigned": "none" }), "only RS256"),
            (json!({ "unsigned": "HS256" }), "only RS256"),
        ] {
            server.order("lie", lie.clone()).await;

            let error = log_in(&webex).await.expect_err(&lie.to_string());

            assert_eq!(error.kind(), ErrorKind::IdToken, "{lie}: {error}");
            assert!(error.to_string().contains(reason), "{lie}: {error}");
            assert!(
                !error.is_retryable() && !error.is_login_required() && !error.is_misconfigured(),
                "{lie}: {error:?}"
            );
            assert_eq!(wire.paths(), ["/token"], "{lie}");
        }
    });
}

#[test]
fn a_token_without_signature_or_of_an_unknown_key_is_refused_by_the_keys() {
    tell(async {
        let (server, wire) = (Server::mock().await, Wire::new());
        for (lie, reason) in [
            (json!({ "unsigned": "RS256" }), "its signature is not its issuer's"),
            (json!({ "kid": "nobody's" }), "none of its issuer's keys"),
        ] {
            server.order("lie", lie.clone()).await;

            let error = log_in(&client(&server, &wire)).await.expect_err(&lie.to_string());

            assert_eq!(error.kind(), ErrorKind::IdToken, "{lie}: {error}");
            assert!(error.to_string().contains(reason), "{lie}: {error}");
            assert_eq!(wire.paths()[..2], ["/token", "/jwks"], "{lie}");
        }
    });
}

#[test]
fn what_may_vary_is_accepted_and_the_keys_are_fetched_once() {
    tell(async {
        let (server, wire) = (Server::mock().await, Wire::new());
        let webex = client(&server, &wire);
        for lie in [
            json!({}),
            claim("aud", json!(["C1"])),
            claim("azp", "C1"),
            without("nbf"),
            later("exp", -30),
            later("nbf", 30),
            claim("surprise", json!({ "deep": [1] })),
        ] {
            server.order("lie", lie.clone()).await;
            let login = log_in(&webex).await.unwrap_or_else(|error| panic!("{lie}: {error}"));
            assert_eq!(login.id_token().unwrap().subject(), "johndoe", "{lie}");
        }
        assert_eq!(wire.paths().iter().filter(|path| *path == "/jwks").count(), 1);
    });
}

#[test]
fn a_refresh_is_held_against_the_login_that_it_renews() {
    tell(async {
        let (server, wire) = (Server::mock().await, Wire::new());
        let webex = client(&server, &wire);
        let tokens = log_in(&webex).await.unwrap().into_tokens();
        webex.refresh(&tokens).await.unwrap();
        wire.paths();
        for (lie, reason) in [
            (claim("sub", "mallory"), "`sub`"),
            (claim("aud", "C2"), "`aud`"),
            (claim("iss", "https://idbroker.webex.com/idb"), "`iss`"),
        ] {
            server.order("lie", lie.clone()).await;

            let error = webex.refresh(&tokens).await.expect_err(&lie.to_string());

            assert_eq!(error.kind(), ErrorKind::IdToken, "{lie}: {error}");
            assert!(error.to_string().contains(reason) && !error.is_login_required(), "{lie}: {error}");
            assert_eq!(wire.paths(), ["/token"], "{lie}");
        }
        // About the same user, and wrong otherwise: the new tokens are kept without it.
        for lie in [
            claim("nonce", "another"),
            claim("iat", 0),
            later("iat", -10),
            later("exp", -65),
            json!({ "kid": "another" }),
            json!({ "unsigned": "none" }),
        ] {
            server.order("lie", lie.clone()).await;

            let newer = webex.refresh(&tokens).await.unwrap_or_else(|error| panic!("{lie}: {error}"));

            assert_ne!(newer.access_token(), tokens.access_token(), "{lie}");
            assert_eq!(newer.id_token(), tokens.id_token(), "{lie}");
            assert_eq!(wire.paths(), ["/token"], "{lie}");
        }
    });
}
