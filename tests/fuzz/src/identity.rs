//! Who a user is: ID tokens, keys and claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use webex_oauth::{Error, ErrorKind, Login};

use crate::answer;
use crate::json::object;
use crate::leak::{assert_debug_silent, assert_sound_beside};
use crate::signer::{self, P256_ID, RSA_ID};
use crate::stage::{ACCESS_TOKEN, CLIENT_ID, CODE, ISSUER, NONCE, NOW, OF_ID_TOKEN, Place, SUBJECT, Stage, wait};

/// How far clocks may be apart, and how old a token may be.
const SKEW: f64 = 60.0;
const DAY: f64 = 86_400.0;

/// A token as it stands. Accepted is only what one of the issuer's keys has signed.
pub fn id_token(input: &[u8]) -> bool {
    let Ok(token) = std::str::from_utf8(input) else { return false };
    let (stage, login) = log_in(token);
    if login.is_ok() {
        assert!(signer::is_signed(token), "{token}");
        assert_eq!(token.split('.').count(), 3, "{token}");
        assert_eq!(stage.requests(Place::Keys), 1);
    }
    login.is_ok()
}

/// A header and claims, one line each, which the issuer signs with ES256, and then somebody else. Accepted is only what says
/// the right things and was signed by the issuer.
pub fn id_token_claims(input: &[u8]) -> bool {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, claims) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let token = signer::es256(header, claims);
    let (_, login) = log_in(&token);
    if let Ok(login) = &login {
        if let Some(header) = object(header) {
            check_header(&header);
        }
        let id_token = login.id_token().unwrap();
        assert!(id_token.issuer() == ISSUER && !id_token.subject().contains('\u{fffd}'), "{id_token:?}");
        if let Some(claims) = object(claims) {
            check_claims(&claims);
            assert_eq!(id_token.subject(), text(&claims, "sub").unwrap());
        }
    }
    // The signature of something else, and none.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    for forged in [format!("{signed}.{first}{}", &signature[1..]), format!("{signed}.")] {
        assert!(log_in(&forged).1.is_err(), "{forged}");
    }
    login.is_ok()
}

fn log_in(token: &str) -> (Stage, Result<Login, Error>) {
    let stage = Stage::new();
    stage.grant(token);
    let login = stage.log_in(Some(NONCE));
    match &login {
        Ok(login) => {
            assert_debug_silent(login.tokens());
            assert!(login.id_token().is_some());
        }
        Err(error) => {
            assert_sound_beside(error, &OF_ID_TOKEN);
            let kinds = [ErrorKind::InvalidIdToken, ErrorKind::MissingIdToken, ErrorKind::Jwks];
            assert!(kinds.contains(&error.kind()) && !error.is_login_required(), "{error:?}");
        }
    }
    assert_eq!(stage.requests(Place::Token), 1);
    assert!(stage.requests(Place::Keys) <= 2, "one token causes at most a request for each address");
    (stage, login)
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(str::to_owned)
}

fn is_null(object: &Map<String, Value>, name: &str) -> bool {
    object.get(name).is_none_or(Value::is_null)
}

fn check_header(header: &Map<String, Value>) {
    assert_eq!(header["alg"], "ES256");
    assert!(is_null(header, "crit"));
    let kinds = ["jwt", "application/jwt"];
    let is_jwt = |kind: String| kinds.contains(&kind.to_ascii_lowercase().as_str());
    assert!(is_null(header, "typ") || text(header, "typ").is_some_and(is_jwt));
    assert!(is_null(header, "kid") || header["kid"] == P256_ID);
}

fn check_claims(claims: &Map<String, Value>) {
    assert_eq!(claims["iss"], ISSUER);
    let audiences = claims["aud"].as_array().cloned().unwrap_or_else(|| vec![claims["aud"].clone()]);
    assert!(!audiences.is_empty() && audiences.iter().all(|audience| audience == CLIENT_ID), "{claims:?}");
    assert!(is_null(claims, "azp") || claims["azp"] == CLIENT_ID, "{claims:?}");
    assert_eq!(claims["nonce"], NONCE);
    assert!((1..=255).contains(&text(claims, "sub").unwrap().len()), "{claims:?}");
    let time = |name: &str| match &claims[name] {
        Value::String(text) => text.trim().parse::<f64>().unwrap(),
        value => value.as_f64().unwrap(),
    };
    let now = NOW as f64;
    assert!(time("exp") + SKEW > now, "{claims:?}");
    // Fractions are cut off.
    assert!(time("iat") < now + SKEW + 1.0 && time("iat") >= now - DAY - SKEW, "{claims:?}");
    assert!(is_null(claims, "nbf") || time("nbf") < now + SKEW + 1.0, "{claims:?}");
    for (name, whole) in [("at_hash", ACCESS_TOKEN), ("c_hash", CODE)] {
        let half = URL_SAFE_NO_PAD.encode(&Sha256::digest(whole)[..16]);
        assert!(is_null(claims, name) || text(claims, name).unwrap().trim_end_matches('=') == half, "{claims:?}");
    }
}

/// What a good token says.
fn good_claims() -> Value {
    json!({"iss": ISSUER, "aud": CLIENT_ID, "sub": SUBJECT, "exp": NOW + 7200, "iat": NOW, "nonce": NONCE})
}

/// A set of keys, for a good token. Accepted is only what has the key that signed it.
pub fn key_set(input: &[u8]) -> bool {
    static TOKEN: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let header = json!({"alg": "RS256", "kid": RSA_ID});
        signer::rs256(header.to_string().as_bytes(), good_claims().to_string().as_bytes())
    });
    let answer = answer::read(input);
    let stage = Stage::new();
    stage.grant(&TOKEN);
    stage.answer(Place::Keys, answer.clone());
    let login = stage.log_in(Some(NONCE));
    match &login {
        Ok(_) => {
            assert!(answer.status().is_success());
            if let Some(set) = object(answer.body()) {
                assert!(set["keys"].as_array().unwrap().iter().any(is_the_key), "{set:?}");
            }
        }
        Err(error) => {
            // No secret is sent to the publisher of keys.
            assert_sound_beside(error, &[]);
            assert!(matches!(error.kind(), ErrorKind::Jwks | ErrorKind::InvalidIdToken), "{error:?}");
            assert!(!error.is_login_required());
        }
    }
    assert_eq!(stage.requests(Place::Token), 1);
    assert!(stage.requests(Place::Keys) <= 4, "two sendings for each of two addresses");
    login.is_ok()
}

fn is_the_key(key: &Value) -> bool {
    let number = |name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(key[name].as_str()?.trim_end_matches('=')).ok()?;
        let begin = bytes.iter().position(|byte| *byte != 0)?;
        Some(bytes[begin..].to_vec())
    };
    let is_for_signing = key.get("use").is_none_or(|own| own.is_null() || own == "sig");
    let is_rs256 = key.get("alg").and_then(Value::as_str).is_none_or(|own| own == "RS256");
    number("n").zip(number("e")) == Some(signer::rsa_numbers()) && key["kid"] == RSA_ID && is_for_signing && is_rs256
}

/// The claims about a user. Accepted is only what is about the user of the ID token.
pub fn user_info(input: &[u8]) -> bool {
    let answer = answer::read(input);
    let stage = Stage::new();
    stage.grant(&signer::es256(
        json!({"alg": "ES256", "kid": P256_ID}).to_string().as_bytes(),
        good_claims().to_string().as_bytes(),
    ));
    let login = stage.log_in(Some(NONCE)).unwrap();
    stage.answer(Place::UserInfo, answer.clone());
    let info = wait(stage.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()));
    match &info {
        Ok(info) => {
            assert!(answer.status().is_success());
            assert_eq!(info.subject(), SUBJECT);
            if let Some(claims) = object(answer.body()) {
                assert!(claims.iter().all(|(name, value)| info.claim(name) == Some(value)));
                assert!(info.email().is_none_or(|email| claims["email"] == email));
            }
        }
        Err(error) => {
            assert_sound_beside(error, &[ACCESS_TOKEN]);
            assert_eq!(error.kind(), ErrorKind::UserInfo);
            assert!(!error.is_login_required());
        }
    }
    info.is_ok()
}
