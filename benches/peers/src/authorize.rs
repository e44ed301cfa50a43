//! What does it cost to begin a login: state, PKCE, and the URL as text?

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

use crate::measure::{contender, race, table};
use crate::peers;
use crate::webex::{self, CLIENT_ID, REDIRECT_URI, SCOPES};

const ENDPOINT: &str = "https://webexapis.com/v1/authorize";

pub fn run() {
    let webex = webex::client("https://webexapis.com/v1");
    let oauth2 = peers::oauth2::<EmptyExtraTokenFields>("https://webexapis.com/v1");
    let openid = peers::openidconnect("https://webexapis.com/v1");

    let ours = || webex.authorize().begin().expect("a login");
    let theirs = || {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = SCOPES.map(|scope| Scope::new(scope.to_owned()));
        let request = oauth2.authorize_url(|| CsrfToken::new_random_len(32)).add_scopes(scopes);
        (request.set_pkce_challenge(challenge).url(), verifier)
    };
    let openids = || {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let scopes = SCOPES.map(|scope| Scope::new(scope.to_owned()));
        let request = openid.authorize_url(flow, || CsrfToken::new_random_len(32), || Nonce::new_random_len(32));
        (request.add_scopes(scopes).set_pkce_challenge(challenge).url(), verifier)
    };

    check("ours", ours().0.as_str());
    check("oauth2", theirs().0.0.as_str());
    check("by hand", &by_hand(thread).0);
    check("by hand", &by_hand(system).0);
    assert!(openids().0.0.query().is_some_and(|query| query.contains("code_challenge=")));

    let rows = race(vec![
        contender("by hand, one string, the thread's generator", || by_hand(thread)),
        contender("by hand, one string, the system's generator", || by_hand(system)),
        contender("webex-oauth", ours),
        contender("oauth2", theirs),
        contender("openidconnect, which adds a nonce", openids),
    ]);
    table("An authorization URL with state, PKCE and three scopes", &rows);
}

/// Everybody's URL says the same, up to what was drawn.
fn check(who: &str, url: &str) {
    let url = Url::parse(url).expect("a URL");
    let value = |wanted: &str| {
        let mut pairs = url.query_pairs().filter(|(name, _)| name == wanted);
        let value = pairs.next().unwrap_or_else(|| panic!("{who}: no {wanted}")).1.into_owned();
        assert!(pairs.next().is_none(), "{who}: {wanted} twice");
        value
    };
    assert!(url.as_str().starts_with(ENDPOINT), "{who}");
    assert_eq!(value("client_id"), CLIENT_ID, "{who}");
    assert_eq!(value("redirect_uri"), REDIRECT_URI, "{who}");
    assert_eq!(value("scope"), SCOPES.join(" "), "{who}");
    assert_eq!((value("response_type"), value("code_challenge_method")), ("code".into(), "S256".into()), "{who}");
    assert_eq!((value("state").len(), value("code_challenge").len()), (43, 43), "{who}");
}

fn thread(bytes: &mut [u8]) {
    rand::rng().fill_bytes(bytes);
}

fn system(bytes: &mut [u8]) {
    SysRng.try_fill_bytes(bytes).expect("random bytes");
}

/// The URL, the state and the verifier.
fn by_hand(fill: fn(&mut [u8])) -> (String, [u8; 43], [u8; 43]) {
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
    // These have nothing to encode.
    for part in ["&state=", text(&state), "&code_challenge=", text(&challenge), "&code_challenge_method=S256"] {
        url.push_str(part);
    }
    (url, state, verifier)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("base64 is ASCII")
}
