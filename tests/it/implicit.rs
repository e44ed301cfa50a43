//! The implicit flow: tokens in the fragment, and what keeps them from being somebody else's.

use std::time::Duration;

use serde_json::{Value, json};
use webex_oauth::{
    Callback, Error, ErrorKind, ImplicitCallback, ImplicitLogin, ImplicitResponse, PendingAuthorization,
    PendingImplicit, Prompt, Service,
};

use crate::issuer::{Issuer, Key, NOW, SUBJECT, half_hash, header};
use crate::support::{builder, parameter};

const TOKEN: &str = "PLANTED-access-token-3";

struct Begun {
    issuer: Issuer,
    pending: PendingImplicit,
    state: String,
    nonce: String,
}

async fn begin(response: ImplicitResponse) -> Begun {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let (url, pending) = issuer.webex.authorize().payload(&"cust10001").begin_implicit(response).unwrap();
    let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
    Begun { issuer, pending, state, nonce }
}

impl Begun {
    fn id_token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.issuer.claims(&self.nonce);
        change(&mut claims);
        Key::one().sign(&header("k1"), &claims)
    }

    async fn end(self, fragment: String) -> Result<ImplicitLogin, Error> {
        let url = format!("http://localhost:5000/auth/cisco/callback#{fragment}");
        Ok(self.issuer.webex.accept_implicit(self.pending, ImplicitCallback::parse(url)?).await?)
    }
}

#[tokio::test]
async fn the_url_asks_for_what_is_wanted_with_a_nonce_and_without_pkce() {
    for (response, name) in [
        (ImplicitResponse::IdToken, "id_token"),
        (ImplicitResponse::Token, "token"),
        (ImplicitResponse::IdTokenToken, "id_token token"),
    ] {
        let issuer = Issuer::start().await;
        let (url, _) = issuer.webex.authorize().begin_implicit(response).unwrap();
        assert_eq!(parameter(url.as_str(), "response_type"), name);
        assert!(url.as_str().contains("nonce=") && !url.as_str().contains("code_challenge"));
    }
    let webex = builder(Service::webex()).build().unwrap();
    let error = webex.authorize().begin_implicit(ImplicitResponse::IdToken).unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("openid"), "{error}");
    webex.authorize().begin_implicit(ImplicitResponse::Token).unwrap();
}

#[tokio::test]
async fn an_id_token_alone_is_proven() {
    let begun = begin(ImplicitResponse::IdToken).await;
    let stored = begun.pending.to_stored().unwrap();
    let restored = PendingImplicit::from_stored(stored.expose()).unwrap();
    assert_eq!(restored.id(), begun.pending.id());
    let begun = Begun { pending: restored, ..begun };
    let fragment = format!("id_token={}&state={}", begun.id_token(|_| ()), begun.state);
    let callback = ImplicitCallback::parse(&fragment).unwrap();
    assert_eq!(callback.pending_id(), Some(begun.pending.id()));
    let login = begun.end(fragment).await.unwrap();
    assert_eq!(login.id_token.as_ref().unwrap().subject(), SUBJECT);
    assert!(login.tokens.is_none());
    assert_eq!(login.payload::<String>().unwrap().as_deref(), Some("cust10001"));
}

#[tokio::test]
async fn an_access_token_beside_it_must_be_the_one_that_it_was_issued_with() {
    let fragment = |begun: &Begun, hash: Option<&str>| {
        let id_token = begun.id_token(|claims| claims["at_hash"] = hash.map(half_hash).into());
        format!("access_token={TOKEN}&id_token={id_token}&token_type=Bearer&expires_in=1209599&state={}", begun.state)
    };
    let begun = begin(ImplicitResponse::IdTokenToken).await;
    let good = fragment(&begun, Some(TOKEN));
    let login = begun.end(good).await.unwrap();
    let tokens = login.tokens.unwrap();
    assert_eq!(tokens.access_token().expose(), TOKEN);
    assert_eq!(tokens.expires_at().unwrap().as_secs(), NOW + 1_209_599);
    assert!(tokens.refresh_token().is_none());

    let begun = begin(ImplicitResponse::IdTokenToken).await;
    let swapped = fragment(&begun, Some("another"));
    let error = begun.end(swapped).await.unwrap_err();
    assert!(error.kind() == ErrorKind::IdToken && error.to_string().contains("at_hash"), "{error}");

    let begun = begin(ImplicitResponse::IdTokenToken).await;
    let missing = fragment(&begun, None);
    let error = begun.end(missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IdTokenHashMissing);

    let mut begun = begin(ImplicitResponse::IdTokenToken).await;
    let missing = fragment(&begun, None);
    let service = Service::webex().at(begun.issuer.server.uri()).with_issuer(begun.issuer.name());
    let settings = builder(service).clock(begun.issuer.clock.clone());
    begun.issuer.webex = settings.insecure_accept_missing_at_hash().build().unwrap();
    begun.end(missing).await.unwrap();
}

#[tokio::test]
async fn what_is_missing_foreign_or_repeated_is_refused_and_no_key_is_asked_for() {
    type Fragment = fn(&Begun) -> String;
    let rows: [(&str, Fragment, ErrorKind); 9] = [
        ("no state", |begun| format!("id_token={}", begun.id_token(|_| ())), ErrorKind::StateMissing),
        ("another's state", |begun| format!("id_token={}&state=x", begun.id_token(|_| ())), ErrorKind::StateMismatch),
        ("no ID token", |begun| format!("access_token=a&state={}", begun.state), ErrorKind::IdTokenMissing),
        ("twice", |begun| format!("id_token=a&id_token=b&state={}", begun.state), ErrorKind::CallbackDuplicate),
        ("both", |begun| format!("id_token=a&error=access_denied&state={}", begun.state), ErrorKind::CallbackAmbiguous),
        ("denied", |begun| format!("error=access_denied&state={}", begun.state), ErrorKind::Authorization),
        (
            "another login's nonce",
            |begun| format!("id_token={}&state={}", begun.id_token(|claims| claims["nonce"] = "x".into()), begun.state),
            ErrorKind::IdToken,
        ),
        ("a code", |begun| format!("code=c&state={}", begun.state), ErrorKind::IdTokenMissing),
        (
            "another issuer",
            |begun| format!("id_token=a&iss=https%3A%2F%2Fevil.example&state={}", begun.state),
            ErrorKind::IssuerMismatch,
        ),
    ];
    for (what, fragment, kind) in rows {
        let begun = begin(ImplicitResponse::IdToken).await;
        let fragment = fragment(&begun);
        let Begun { issuer, pending, .. } = begun;
        let error = match ImplicitCallback::parse(fragment) {
            Ok(callback) => issuer.webex.accept_implicit(pending, callback).await.unwrap_err().into(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert!(issuer.server.received_requests().await.unwrap().is_empty(), "{what}");
    }
    let begun = begin(ImplicitResponse::Token).await;
    let fragment = format!("access_token=a&token_type=mac&state={}", begun.state);
    assert!(begun.end(fragment).await.unwrap_err().to_string().contains("token_type"));
    let begun = begin(ImplicitResponse::Token).await;
    begun.issuer.clock.advance(Duration::from_secs(601));
    let fragment = format!("access_token=a&state={}", begun.state);
    assert_eq!(begun.end(fragment).await.unwrap_err().kind(), ErrorKind::PendingExpired);
}

#[tokio::test]
async fn a_silent_login_of_somebody_who_is_not_signed_in_is_an_answer() {
    let issuer = Issuer::start().await;
    let request = issuer.webex.authorize().prompt(Prompt::None);
    let (url, pending) = request.begin_implicit(ImplicitResponse::IdToken).unwrap();
    assert_eq!(parameter(url.as_str(), "prompt"), "none");
    let state = parameter(url.as_str(), "state");
    let callback = ImplicitCallback::parse(format!("#error=login_required&state={state}")).unwrap();
    let refused = issuer.webex.accept_implicit(pending, callback).await.unwrap_err();
    let error = refused.error();
    assert!(error.is_login_required(), "{error}");
    assert_eq!(error.server().and_then(|server| server.code()), Some("login_required"));
}

#[tokio::test]
async fn a_strangers_callback_ends_no_login_and_its_own_ends_it_whatever_it_brings() {
    let begun = begin(ImplicitResponse::IdToken).await;
    let token = begun.id_token(|_| ());
    let mut waiting = begun.pending;
    for stranger in ["id_token=x".to_owned(), format!("id_token={token}&state=x"), "error=access_denied".to_owned()] {
        let callback = ImplicitCallback::parse(&stranger).unwrap();
        let refused = begun.issuer.webex.accept_implicit(waiting, callback).await.unwrap_err();
        assert_eq!(refused.payload::<String>().unwrap().as_deref(), Some("cust10001"));
        let (error, pending) = refused.into_parts();
        waiting = pending.unwrap_or_else(|| panic!("{stranger} has ended it: {error}"));
    }
    let callback = ImplicitCallback::parse(format!("id_token={token}&state={}", begun.state)).unwrap();
    begun.issuer.webex.accept_implicit(waiting, callback).await.unwrap();

    for bad in ["error=access_denied", "id_token=forged", "x=y"] {
        let begun = begin(ImplicitResponse::IdToken).await;
        let callback = ImplicitCallback::parse(format!("{bad}&state={}", begun.state)).unwrap();
        let refused = begun.issuer.webex.accept_implicit(begun.pending, callback).await.unwrap_err();
        assert_eq!(refused.payload::<String>().unwrap().as_deref(), Some("cust10001"));
        assert!(refused.into_parts().1.is_none(), "{bad}");
    }
}

/// A pending login that says no nonce: its stored form was tampered with.
fn without_nonce(stored: &str) -> String {
    let (before, after) = stored.split_once(r#""nonce":""#).unwrap();
    format!("{before}{}", after.split_once(r#"","#).unwrap().1)
}

#[tokio::test]
async fn a_login_that_lost_its_nonce_proves_nobody() {
    let begun = begin(ImplicitResponse::IdToken).await;
    let stored = begun.pending.to_stored().unwrap();
    let pending = PendingImplicit::from_stored(&without_nonce(stored.expose())).unwrap();
    let callback =
        ImplicitCallback::parse(format!("id_token={}&state={}", begun.id_token(|_| ()), begun.state)).unwrap();
    let error = Error::from(begun.issuer.webex.accept_implicit(pending, callback).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::IdTokenMissing, "{error}");

    let (url, pending) = begun.issuer.webex.authorize().begin().unwrap();
    let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
    begun.issuer.grant(Some(Key::one().sign(&header("k1"), &begun.issuer.claims(&nonce))));
    let pending = PendingAuthorization::from_stored(&without_nonce(pending.to_stored().unwrap().expose())).unwrap();
    let callback = Callback::parse(format!("code=c&state={state}")).unwrap();
    let error = begun.issuer.webex.login(pending, callback).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IdTokenMissing, "{error}");
    assert_eq!(begun.issuer.requests("/verification").await, 0);
}

#[tokio::test]
async fn a_posted_fragment_is_read_by_a_web_framework() {
    let begun = begin(ImplicitResponse::IdToken).await;
    let form = json!({"id_token": begun.id_token(|_| ()), "state": begun.state, "other": "x"});
    let callback: ImplicitCallback = serde_json::from_value(form).unwrap();
    assert!(!format!("{callback:?}").contains(&begun.state));
    begun.issuer.webex.accept_implicit(begun.pending, callback).await.unwrap();
}
