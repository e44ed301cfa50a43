//! What does it cost to read a token response? Everybody makes a whole refresh request over a transport that answers at
//! once, so the form, its headers and its credentials are in every row; the smallest answer shows how much they are.

use std::sync::Arc;

use oauth2::{EmptyExtraTokenFields, ExtraTokenFields, RefreshToken, TokenResponse as _};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::measure::{contender, race, ready, table};
use crate::peers::{self, Extra};
use crate::webex::{self, CLIENT_ID, CLIENT_SECRET, Canned};

#[derive(Deserialize)]
pub struct Derived {
    pub access_token: String,
    pub expires_in: Option<u64>,
    pub refresh_token: Option<String>,
    pub refresh_token_expires_in: Option<u64>,
    pub token_type: Option<String>,
    pub scope: Option<String>,
}

#[derive(Deserialize)]
pub struct Flattened {
    #[serde(flatten)]
    known: Derived,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// Fields that no version of the protocol has.
const UNKNOWN: &str =
    r#","region":"eu","links":{"self":"https://example.com/1","next":null},"flags":[1,2,3],"note":"kept""#;

pub fn run() {
    let smallest = format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, webex::access_token(1));
    let full = webex::answer(1_209_599);
    let unknown = format!("{}{UNKNOWN}}}", full.trim_end_matches('}'));
    compare::<EmptyExtraTokenFields>("A refresh over a canned answer: the smallest", &smallest);
    compare::<EmptyExtraTokenFields>("A refresh over a canned answer: Webex's", &full);
    compare::<Extra>("A refresh over a canned answer: Webex's and four unknown fields, which are kept", &unknown);
}

fn compare<Fields: ExtraTokenFields + Clone + 'static>(title: &str, answer: &str) {
    let keeps_unknown = answer.contains("region");
    // A login of the same kind before, so that a refresh merges what it finds.
    let webex = webex::client_over(Canned(answer.into()));
    let tokens = ready(webex::tokens(&webex));
    let tokens = if tokens.refresh_token().is_some() {
        tokens
    } else {
        let full = webex::client_over(Canned(webex::answer(1_209_599).into()));
        ready(webex::tokens(&full))
    };
    let oauth2 = peers::oauth2::<Fields>("https://webexapis.com/v1");
    let openid = peers::openidconnect("https://webexapis.com/v1");
    let refresh_token = RefreshToken::new(webex::refresh_token(1));
    let body: Arc<str> = answer.into();
    let canned = |_: oauth2::HttpRequest| {
        let body = Arc::clone(&body);
        async move { Ok::<_, std::io::Error>(http::Response::new(body.as_bytes().to_vec())) }
    };

    let ours = || ready(webex.refresh(&tokens)).expect("tokens");
    let theirs = || ready(oauth2.exchange_refresh_token(&refresh_token).request_async(&canned)).expect("tokens");
    let openids = || ready(openid.exchange_refresh_token(&refresh_token).request_async(&canned)).expect("tokens");
    let derived = || serde_json::from_slice::<Derived>(&by_hand(&body)).expect("tokens");
    let flattened = || serde_json::from_slice::<Flattened>(&by_hand(&body)).expect("tokens");

    let access_token = webex::access_token(1);
    assert_eq!(ours().access_token().expose(), access_token);
    assert_eq!(ours().field("region").is_some(), keeps_unknown);
    assert_eq!(*theirs().access_token().secret(), access_token);
    assert_eq!(*openids().access_token().secret(), access_token);
    let Flattened { known, extra } = flattened();
    assert!(known.access_token == access_token && extra.contains_key("region") == keeps_unknown);
    let Derived { access_token: read, expires_in, refresh_token: next, refresh_token_expires_in, token_type, scope } =
        derived();
    assert!(read == access_token && token_type.is_some());
    assert_eq!(expires_in.is_some() && next.is_some() && refresh_token_expires_in.is_some(), scope.is_some());

    let rows = race(vec![
        contender("by hand: the form, serde_json derive", derived),
        contender("by hand: the form, derive with `flatten`", flattened),
        contender("webex-oauth", ours),
        contender(if keeps_unknown { "oauth2, keeping them too" } else { "oauth2" }, theirs),
        contender(if keeps_unknown { "openidconnect, dropping them" } else { "openidconnect" }, openids),
        contender("only serde_json derive, no request", || serde_json::from_slice::<Derived>(body.as_bytes())),
        contender("only derive with `flatten`, no request", || serde_json::from_slice::<Flattened>(body.as_bytes())),
    ]);
    table(title, &rows);
}

/// A request as HTTP clients take it, and the canned answer's own bytes.
fn by_hand(answer: &str) -> Vec<u8> {
    let form = form(&[("grant_type", "refresh_token"), ("refresh_token", &webex::refresh_token(1))]);
    let request = http::Request::post("https://webexapis.com/v1/access_token")
        .header("accept", "application/json")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .expect("a request");
    std::hint::black_box(request);
    answer.as_bytes().to_vec()
}

/// A form with the client's id and secret in it.
pub fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(512));
    form.extend_pairs(pairs);
    form.append_pair("client_id", CLIENT_ID).append_pair("client_secret", CLIENT_SECRET);
    form.finish()
}
