//! What does it cost to begin a login with state, PKCE, and the URL as a string?

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use form_urlencoded::byte_serialize;
use oauth2::{CsrfToken, EmptyExtraTokenFields, PkceCodeChallenge, Scope};
use openidconnect::Nonce;
use openidconnect::core::CoreAuthenticationFlow;
use rand::rngs::SysRng;
use rand::{Rng as _, TryRng as _};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::measure::{Contender, measure, print_table};
use crate::peers;
use crate::webex::{self, CLIENT_ID, REDIRECT_URI, SCOPES};

const ENDPOINT: &str = "https://webexapis.com/v1/authorize";

pub fn run() {
    let webex = webex::client("https://webexapis.com/v1");
    let oauth2 = peers::oauth2::<EmptyExtraTokenFields>("https://webexapis.com/v1");
    let openid = peers::openidconnect("https://webexapis.com/v1");

    let webex_oauth = || webex.authorize().begin().expect("a login");
    let oauth2_crate = || {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = SCOPES.map(|scope| Scope::new(scope.to_owned()));
        let request = oauth2.authorize_url(|| CsrfToken::new_random_len(32)).add_scopes(scopes);
        (request.set_pkce_challenge(challenge).url(), verifier)
    };
    let openidconnect = || {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let scopes = SCOPES.map(|scope| Scope::new(scope.to_owned()));
        let request = openid.authorize_url(flow, || CsrfToken::new_random_len(32), || Nonce::new_random_len(32));
        (request.add_scopes(scopes).set_pkce_challenge(challenge).url(), verifier)
    };

    check_url("webex-oauth", webex_oauth().0.as_str());
    check_url("oauth2", oauth2_crate().0.0.as_str());
    check_url("hand-written", &hand_written(fill_from_thread_rng).0);
    check_url("hand-written", &hand_written(fill_from_system).0);
    assert!(openidconnect().0.0.query().is_some_and(|query| query.contains("code_challenge=")));

    let rows = measure(vec![
        Contender::new("hand-written, one string, generator of the thread", || hand_written(fill_from_thread_rng)),
        Contender::new("hand-written, one string, generator of the system", || hand_written(fill_from_system)),
        Contender::new("webex-oauth", webex_oauth),
        Contender::new("oauth2", oauth2_crate),
        Contender::new("openidconnect, which adds a nonce", openidconnect),
    ]);
    print_table("An authorization URL with state, PKCE and three scopes", &rows);
}

/// Checks that a URL has the expected parameters and random values of the expected lengths.
fn check_url(contender: &str, url: &str) {
    let url = Url::parse(url).expect("a URL");
    let value = |parameter: &str| {
        let mut pairs = url.query_pairs().filter(|(name, _)| name == parameter);
        let value = pairs.next().unwrap_or_else(|| panic!("{contender}: no {parameter}")).1.into_owned();
        assert!(pairs.next().is_none(), "{contender}: duplicate {parameter}");
        value
    };
    assert!(url.as_str().starts_with(ENDPOINT), "{contender}");
    assert_eq!(value("client_id"), CLIENT_ID, "{contender}");
    assert_eq!(value("redirect_uri"), REDIRECT_URI, "{contender}");
    assert_eq!(value("scope"), SCOPES.join(" "), "{contender}");
    assert_eq!((value("response_type"), value("code_challenge_method")), ("code".into(), "S256".into()), "{contender}");
    assert_eq!((value("state").len(), value("code_challenge").len()), (43, 43), "{contender}");
}

fn fill_from_thread_rng(bytes: &mut [u8]) {
    rand::rng().fill_bytes(bytes);
}

fn fill_from_system(bytes: &mut [u8]) {
    SysRng.try_fill_bytes(bytes).expect("random bytes");
}

/// Returns the URL, the state, and the code verifier.
fn hand_written(fill: fn(&mut [u8])) -> (String, [u8; 43], [u8; 43]) {
    let (mut bytes, mut state, mut verifier, mut challenge) = ([0; 64], [0; 43], [0; 43], [0; 43]);
    fill(&mut bytes);
    let encode = |bytes: &[u8], text: &mut [u8]| URL_SAFE_NO_PAD.encode_slice(bytes, text).expect("it fits");
    encode(&bytes[..32], &mut state);
    encode(&bytes[32..], &mut verifier);
    encode(&Sha256::digest(verifier), &mut challenge);
    let mut url = String::with_capacity(512);
    url.push_str(ENDPOINT);
    url.push_str("?response_type=code&client_id=");
    url.extend(byte_serialize(CLIENT_ID.as_bytes()));
    url.push_str("&redirect_uri=");
    url.extend(byte_serialize(REDIRECT_URI.as_bytes()));
    url.push_str("&scope=");
    url.extend(byte_serialize(b"spark:all spark:people_read meeting:schedules_read"));
    // These parts need no encoding.
    for part in ["&state=", text(&state), "&code_challenge=", text(&challenge), "&code_challenge_method=S256"] {
        url.push_str(part);
    }
    (url, state, verifier)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("base64 is ASCII")
}
