//! What does parsing a token response cost? Each contender performs a complete refresh over a transport that responds immediately.
//! The rows therefore include the form, headers, and credentials. The smallest response shows their cost.

use std::sync::Arc;

use oauth2::{EmptyExtraTokenFields, ExtraTokenFields, RefreshToken, TokenResponse as _};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::measure::{Contender, measure, poll_ready, print_table};
use crate::peers::{self, ExtraFields};
use crate::webex::{self, CLIENT_ID, CLIENT_SECRET, ConstantTransport};

#[derive(Deserialize)]
pub struct DerivedResponse {
    pub access_token: String,
    pub expires_in: Option<u64>,
    pub refresh_token: Option<String>,
    pub refresh_token_expires_in: Option<u64>,
    pub token_type: Option<String>,
    pub scope: Option<String>,
}

#[derive(Deserialize)]
pub struct FlattenedResponse {
    #[serde(flatten)]
    known: DerivedResponse,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// Fields that are not part of the protocol.
const UNKNOWN_FIELDS: &str =
    r#","region":"eu","links":{"self":"https://example.com/1","next":null},"flags":[1,2,3],"note":"kept""#;

pub fn run() {
    let smallest = format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, webex::access_token(1));
    let full = webex::token_response(1_209_599);
    let unknown = format!("{}{UNKNOWN_FIELDS}}}", full.trim_end_matches('}'));
    compare::<EmptyExtraTokenFields>("A refresh with a constant response: smallest", &smallest);
    compare::<EmptyExtraTokenFields>("A refresh with a constant response: Webex", &full);
    compare::<ExtraFields>(
        "A refresh with a constant response: Webex with four unknown fields, which are kept",
        &unknown,
    );
}

fn compare<Fields: ExtraTokenFields + Clone + 'static>(title: &str, response: &str) {
    let keeps_unknown = response.contains("region");
    // The earlier tokens have the same fields, so that the refresh merges them.
    let webex = webex::client_over(ConstantTransport(response.into()));
    let tokens = poll_ready(webex::tokens(&webex));
    let tokens = if tokens.refresh_token().is_some() {
        tokens
    } else {
        let full = webex::client_over(ConstantTransport(webex::token_response(1_209_599).into()));
        poll_ready(webex::tokens(&full))
    };
    let oauth2 = peers::oauth2::<Fields>("https://webexapis.com/v1");
    let openid = peers::openidconnect("https://webexapis.com/v1");
    let refresh_token = RefreshToken::new(webex::refresh_token(1));
    let body: Arc<str> = response.into();
    let http_client = |_: oauth2::HttpRequest| {
        let body = Arc::clone(&body);
        async move { Ok::<_, std::io::Error>(http::Response::new(body.as_bytes().to_vec())) }
    };

    let webex_oauth = || poll_ready(webex.refresh(&tokens)).expect("tokens");
    let oauth2_crate =
        || poll_ready(oauth2.exchange_refresh_token(&refresh_token).request_async(&http_client)).expect("tokens");
    let openidconnect =
        || poll_ready(openid.exchange_refresh_token(&refresh_token).request_async(&http_client)).expect("tokens");
    let derived = || serde_json::from_slice::<DerivedResponse>(&hand_written(&body)).expect("tokens");
    let flattened = || serde_json::from_slice::<FlattenedResponse>(&hand_written(&body)).expect("tokens");

    let access_token = webex::access_token(1);
    assert_eq!(webex_oauth().access_token().expose(), access_token);
    assert_eq!(webex_oauth().field("region").is_some(), keeps_unknown);
    assert_eq!(*oauth2_crate().access_token().secret(), access_token);
    assert_eq!(*openidconnect().access_token().secret(), access_token);
    let FlattenedResponse { known, extra } = flattened();
    assert!(known.access_token == access_token && extra.contains_key("region") == keeps_unknown);
    let DerivedResponse {
        access_token: parsed,
        expires_in,
        refresh_token: new_refresh_token,
        refresh_token_expires_in,
        token_type,
        scope,
    } = derived();
    assert!(parsed == access_token && token_type.is_some());
    assert_eq!(
        expires_in.is_some() && new_refresh_token.is_some() && refresh_token_expires_in.is_some(),
        scope.is_some()
    );

    let rows = measure(vec![
        Contender::new("hand-written: the form, serde_json derive", derived),
        Contender::new("hand-written: the form, derive with `flatten`", flattened),
        Contender::new("webex-oauth", webex_oauth),
        Contender::new(if keeps_unknown { "oauth2, keeping them" } else { "oauth2" }, oauth2_crate),
        Contender::new(if keeps_unknown { "openidconnect, dropping them" } else { "openidconnect" }, openidconnect),
        Contender::new("only serde_json derive, no request", || {
            serde_json::from_slice::<DerivedResponse>(body.as_bytes())
        }),
        Contender::new("only derive with `flatten`, no request", || {
            serde_json::from_slice::<FlattenedResponse>(body.as_bytes())
        }),
    ]);
    print_table(title, &rows);
}

/// Builds a request and returns the bytes of the response.
fn hand_written(response: &str) -> Vec<u8> {
    let form = form(&[("grant_type", "refresh_token"), ("refresh_token", &webex::refresh_token(1))]);
    let request = http::Request::post("https://webexapis.com/v1/access_token")
        .header("accept", "application/json")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .expect("a request");
    std::hint::black_box(request);
    response.as_bytes().to_vec()
}

/// Returns a form with the client ID and client secret.
pub fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(512));
    form.extend_pairs(pairs);
    form.append_pair("client_id", CLIENT_ID).append_pair("client_secret", CLIENT_SECRET);
    form.finish()
}
