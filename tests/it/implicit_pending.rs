//! Pending logins of the implicit flow, with valid and forged callbacks.

use serde_json::Value;
use webex_oauth::{
    Callback, Error, ErrorKind, ImplicitCallback, ImplicitResponse, PendingAuthorization, PendingImplicit,
};

use crate::issuer::{Issuer, Key, header};
use crate::support::parameter;

struct BegunLogin {
    issuer: Issuer,
    pending: PendingImplicit,
    state: String,
    nonce: String,
}

async fn begin_login(response: ImplicitResponse) -> BegunLogin {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let (url, pending) = issuer.webex.authorize().payload(&"cust10001").begin_implicit(response).unwrap();
    let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
    BegunLogin { issuer, pending, state, nonce }
}

impl BegunLogin {
    fn id_token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.issuer.claims(&self.nonce);
        change(&mut claims);
        Key::one().sign(&header("k1"), &claims)
    }
}

#[tokio::test]
async fn only_own_callback_ends_pending_implicit_login() {
    let started = begin_login(ImplicitResponse::IdToken).await;
    let token = started.id_token(|_| ());
    let mut waiting = started.pending;
    for listener in ["id_token=x".to_owned(), format!("id_token={token}&state=x"), "error=access_denied".to_owned()] {
        let callback = ImplicitCallback::parse(&listener).unwrap();
        let rejected = started.issuer.webex.accept_implicit(waiting, callback).await.unwrap_err();
        assert_eq!(rejected.payload::<String>().unwrap().as_deref(), Some("cust10001"));
        let (error, pending) = rejected.into_parts();
        waiting = pending.unwrap_or_else(|| panic!("{listener} has ended it: {error}"));
    }
    let callback = ImplicitCallback::parse(format!("id_token={token}&state={}", started.state)).unwrap();
    started.issuer.webex.accept_implicit(waiting, callback).await.unwrap();

    for bad in ["error=access_denied", "id_token=forged", "x=y"] {
        let started = begin_login(ImplicitResponse::IdToken).await;
        let callback = ImplicitCallback::parse(format!("{bad}&state={}", started.state)).unwrap();
        let rejected = started.issuer.webex.accept_implicit(started.pending, callback).await.unwrap_err();
        assert_eq!(rejected.payload::<String>().unwrap().as_deref(), Some("cust10001"));
        assert!(rejected.into_parts().1.is_none(), "{bad}");
    }
}

/// A pending login without a nonce: its stored form was modified.
fn remove_nonce(stored: &str) -> String {
    let (before, after) = stored.split_once(r#""nonce":""#).unwrap();
    format!("{before}{}", after.split_once(r#"","#).unwrap().1)
}

#[tokio::test]
async fn pending_login_without_nonce_is_rejected() {
    let started = begin_login(ImplicitResponse::IdToken).await;
    let stored = started.pending.to_stored().unwrap();
    let pending = PendingImplicit::from_stored(&remove_nonce(stored.expose())).unwrap();
    let callback =
        ImplicitCallback::parse(format!("id_token={}&state={}", started.id_token(|_| ()), started.state)).unwrap();
    let error = Error::from(started.issuer.webex.accept_implicit(pending, callback).await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::MissingIdToken, "{error}");

    let (url, pending) = started.issuer.webex.authorize().begin().unwrap();
    let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
    started.issuer.grant_tokens(Some(Key::one().sign(&header("k1"), &started.issuer.claims(&nonce))));
    let pending = PendingAuthorization::from_stored(&remove_nonce(pending.to_stored().unwrap().expose())).unwrap();
    let callback = Callback::parse(format!("code=c&state={state}")).unwrap();
    let error = started.issuer.webex.login(pending, callback).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingIdToken, "{error}");
    assert_eq!(started.issuer.requests_to("/verification").await, 0);
}
