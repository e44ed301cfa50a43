//! Targets for the identity of a user: ID tokens, key sets, and userinfo.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use webex_oauth::{Error, ErrorKind, Login};

use crate::fixture::{
    ACCESS_TOKEN, CLIENT_ID, CODE, Endpoint, Fixture, ID_TOKEN_SECRETS, ISSUER, NONCE, NOW, SUBJECT, block_on,
};
use crate::json::parse_object;
use crate::response::parse_response;
use crate::secret_leak::{assert_debug_redacted, check_error_for_secrets};
use crate::signer::{self, P256_KEY_ID, RSA_KEY_ID};

/// The tolerated clock skew, in seconds.
const MAX_CLOCK_SKEW: f64 = 60.0;
/// The maximum age of an ID token, in seconds.
const MAX_AGE: f64 = 86_400.0;

/// Verifies the input as an ID token. Only a token that is signed with a key of the issuer is accepted.
pub fn id_token(input: &[u8]) -> bool {
    let Ok(token) = std::str::from_utf8(input) else { return false };
    let (fixture, login) = log_in(token);
    if login.is_ok() {
        assert!(signer::is_signed(token), "{token}");
        assert_eq!(token.split('.').count(), 3, "{token}");
        assert_eq!(fixture.request_count(Endpoint::Jwks), 1);
    }
    login.is_ok()
}

/// Verifies an ID token with the header in the first line of the input and the claims in the rest, signed with ES256. Only a
/// token with valid claims and a valid signature is accepted.
pub fn id_token_claims(input: &[u8]) -> bool {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, claims) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let token = signer::es256(header, claims);
    let (_, login) = log_in(&token);
    if let Ok(login) = &login {
        if let Some(header) = parse_object(header) {
            check_header(&header);
        }
        let id_token = login.id_token().unwrap();
        assert!(id_token.issuer() == ISSUER && !id_token.subject().contains('\u{fffd}'), "{id_token:?}");
        if let Some(claims) = parse_object(claims) {
            check_claims(&claims);
            assert_eq!(id_token.subject(), string(&claims, "sub").unwrap());
        }
    }
    // A modified signature, and none.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    for invalid in [format!("{signed}.{first}{}", &signature[1..]), format!("{signed}.")] {
        assert!(log_in(&invalid).1.is_err(), "{invalid}");
    }
    login.is_ok()
}

fn log_in(token: &str) -> (Fixture, Result<Login, Error>) {
    let fixture = Fixture::new();
    fixture.set_id_token(token);
    let login = fixture.log_in(Some(NONCE));
    match &login {
        Ok(login) => {
            assert_debug_redacted(login.tokens());
            assert!(login.id_token().is_some());
        }
        Err(error) => {
            check_error_for_secrets(error, &ID_TOKEN_SECRETS);
            let kinds = [ErrorKind::InvalidIdToken, ErrorKind::MissingIdToken, ErrorKind::Jwks];
            assert!(kinds.contains(&error.kind()) && !error.is_login_required(), "{error:?}");
        }
    }
    assert_eq!(fixture.request_count(Endpoint::Token), 1);
    assert!(fixture.request_count(Endpoint::Jwks) <= 2, "one token causes at most one request to each JWKS endpoint");
    (fixture, login)
}

fn string(object: &Map<String, Value>, name: &str) -> Option<String> {
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
    assert!(is_null(header, "typ") || string(header, "typ").is_some_and(is_jwt));
    assert!(is_null(header, "kid") || header["kid"] == P256_KEY_ID);
}

fn check_claims(claims: &Map<String, Value>) {
    assert_eq!(claims["iss"], ISSUER);
    let audiences = claims["aud"].as_array().cloned().unwrap_or_else(|| vec![claims["aud"].clone()]);
    assert!(!audiences.is_empty() && audiences.iter().all(|audience| audience == CLIENT_ID), "{claims:?}");
    assert!(is_null(claims, "azp") || claims["azp"] == CLIENT_ID, "{claims:?}");
    assert_eq!(claims["nonce"], NONCE);
    assert!((1..=255).contains(&string(claims, "sub").unwrap().len()), "{claims:?}");
    let time = |name: &str| match &claims[name] {
        Value::String(text) => text.trim().parse::<f64>().unwrap(),
        value => value.as_f64().unwrap(),
    };
    let now = NOW as f64;
    assert!(time("exp") + MAX_CLOCK_SKEW > now, "{claims:?}");
    // The crate truncates fractions.
    assert!(time("iat") < now + MAX_CLOCK_SKEW + 1.0 && time("iat") >= now - MAX_AGE - MAX_CLOCK_SKEW, "{claims:?}");
    assert!(is_null(claims, "nbf") || time("nbf") < now + MAX_CLOCK_SKEW + 1.0, "{claims:?}");
    for (name, value) in [("at_hash", ACCESS_TOKEN), ("c_hash", CODE)] {
        let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(value)[..16]);
        assert!(is_null(claims, name) || string(claims, name).unwrap().trim_end_matches('=') == hash, "{claims:?}");
    }
}

/// Returns the claims of a valid token.
fn valid_claims() -> Value {
    json!({"iss": ISSUER, "aud": CLIENT_ID, "sub": SUBJECT, "exp": NOW + 7200, "iat": NOW, "nonce": NONCE})
}

/// Verifies a valid ID token with the key set in the input. Only a set that contains the signing key is accepted.
pub fn key_set(input: &[u8]) -> bool {
    static TOKEN: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let header = json!({"alg": "RS256", "kid": RSA_KEY_ID});
        signer::rs256(header.to_string().as_bytes(), valid_claims().to_string().as_bytes())
    });
    let response = parse_response(input);
    let fixture = Fixture::new();
    fixture.set_id_token(&TOKEN);
    fixture.set_response(Endpoint::Jwks, response.clone());
    let login = fixture.log_in(Some(NONCE));
    match &login {
        Ok(_) => {
            assert!(response.status().is_success());
            if let Some(set) = parse_object(response.body()) {
                assert!(set["keys"].as_array().unwrap().iter().any(is_signing_key), "{set:?}");
            }
        }
        Err(error) => {
            // A key request contains no secret.
            check_error_for_secrets(error, &[]);
            assert!(matches!(error.kind(), ErrorKind::Jwks | ErrorKind::InvalidIdToken), "{error:?}");
            assert!(!error.is_login_required());
        }
    }
    assert_eq!(fixture.request_count(Endpoint::Token), 1);
    assert!(fixture.request_count(Endpoint::Jwks) <= 4, "two attempts at each of two endpoints");
    login.is_ok()
}

fn is_signing_key(key: &Value) -> bool {
    let integer = |name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(key[name].as_str()?.trim_end_matches('=')).ok()?;
        let start = bytes.iter().position(|byte| *byte != 0)?;
        Some(bytes[start..].to_vec())
    };
    let is_for_signing = key.get("use").is_none_or(|value| value.is_null() || value == "sig");
    let is_rs256 = key.get("alg").and_then(Value::as_str).is_none_or(|value| value == "RS256");
    integer("n").zip(integer("e")) == Some(signer::rsa_modulus_and_exponent())
        && key["kid"] == RSA_KEY_ID
        && is_for_signing
        && is_rs256
}

/// Fetches the userinfo response in the input. Only a response with the `sub` of the ID token is accepted.
pub fn user_info(input: &[u8]) -> bool {
    let response = parse_response(input);
    let fixture = Fixture::new();
    fixture.set_id_token(&signer::es256(
        json!({"alg": "ES256", "kid": P256_KEY_ID}).to_string().as_bytes(),
        valid_claims().to_string().as_bytes(),
    ));
    let login = fixture.log_in(Some(NONCE)).unwrap();
    fixture.set_response(Endpoint::UserInfo, response.clone());
    let info = block_on(fixture.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()));
    match &info {
        Ok(info) => {
            assert!(response.status().is_success());
            assert_eq!(info.subject(), SUBJECT);
            if let Some(claims) = parse_object(response.body()) {
                assert!(claims.iter().all(|(name, value)| info.claim(name) == Some(value)));
                assert!(info.email().is_none_or(|email| claims["email"] == email));
            }
        }
        Err(error) => {
            check_error_for_secrets(error, &[ACCESS_TOKEN]);
            assert_eq!(error.kind(), ErrorKind::UserInfo);
            assert!(!error.is_login_required());
        }
    }
    info.is_ok()
}
