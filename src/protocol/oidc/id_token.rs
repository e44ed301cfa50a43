//! Validation of ID tokens (OpenID Connect Core 1.0, sections 3.1.3.7, 3.2.2.11, 3.3.2.12, and
//! 12.2).
//!
//! The signature is verified last, so that an invalid token does not cause a request for keys.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::json::strict;
use crate::json::value::{has_replacement_character, whole_number};
use crate::protocol::oidc::claims::VerifiedIdToken;
use crate::protocol::oidc::jws::{self, JwkSet, Jws, SigningAlgorithm};
use crate::redact;
use crate::secret::constant_time_eq;

/// The maximum age of an ID token at login.
const MAX_AGE_AT_LOGIN: Duration = Duration::from_secs(24 * 60 * 60);
/// The maximum length of a subject (OpenID Connect Core 1.0, section 2).
const MAX_SUBJECT_LEN: usize = 255;

/// The values that an ID token is checked against.
#[derive(Clone, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) client_id: &'a str,
    /// The trusted issuers.
    pub(crate) issuers: &'a [String],
    pub(crate) algorithms: &'a [SigningAlgorithm],
    /// The allowed difference between the clocks of this host and the issuer.
    pub(crate) skew: Duration,
    pub(crate) origin: IdTokenOrigin<'a>,
    /// The access token received with the ID token, for `at_hash`.
    pub(crate) access_token: Option<&'a str>,
    /// The authorization code, for `c_hash`.
    pub(crate) code: Option<&'a str>,
    /// Other secrets that errors must not contain.
    pub(crate) secrets: &'a [&'a str],
    /// `true` if the access token came through the browser, where only `at_hash` binds it to the ID
    /// token.
    pub(crate) requires_at_hash: bool,
}

/// The grant that returned the ID token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IdTokenOrigin<'a> {
    /// A login with these parameters.
    Login { nonce: &'a str, max_age: Option<Duration> },
    /// A refresh. `before` is the previous ID token, which was verified when it was received.
    Refresh { before: &'a str },
}

/// An ID token with valid claims and an unverified signature.
#[derive(Debug)]
pub(crate) struct CheckedIdToken<'a> {
    jws: Jws<'a>,
    issuer: String,
}

/// The result of verifying a signature with a key set.
#[derive(Debug)]
pub(crate) enum SignatureCheck {
    /// The signature matches a key.
    Valid(VerifiedIdToken),
    /// The signature does not match the key.
    InvalidSignature,
    /// The set has no matching key.
    UnknownKey,
    /// The token has no `kid`, and several keys match. None of them is tried.
    AmbiguousKey,
}

impl<'a> CheckedIdToken<'a> {
    /// Checks everything except the signature.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidIdToken`]: a check failed.
    /// - [`ErrorKind::MissingAtHash`]: `at_hash` is required and missing.
    pub(crate) fn new(token: &'a str, expected: &Expected<'_>, now: UnixTime) -> Result<Self> {
        // OpenID Connect Core 3.1.3.7, step 1: encrypted ID tokens are not supported.
        // OpenID Connect Core 3.1.3.7, step 7: `alg` must be an algorithm that we allow.
        // OpenID Connect Core 3.1.3.7, step 8: MAC-based algorithms are not supported.
        let jws = Jws::parse(token, expected.algorithms).map_err(invalid_id_token_error)?;
        let issuer = check_claims(&jws.claims, expected, now)?;
        check_hashes(&jws, expected)?;
        Ok(Self { jws, issuer })
    }

    /// Returns the issuer. It is one of the trusted issuers, but the signature is not verified yet.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.jws.key_id.as_deref()
    }

    /// Verifies the signature with these keys.
    pub(crate) fn verify_signature(&self, keys: &JwkSet) -> SignatureCheck {
        // OpenID Connect Core 3.1.3.7, step 6: a key of the issuer must verify the signature.
        let candidates = keys.candidates(self.jws.algorithm, self.key_id());
        match (candidates.len(), self.key_id()) {
            (0, _) => return SignatureCheck::UnknownKey,
            (2.., None) => return SignatureCheck::AmbiguousKey,
            _ => {}
        }
        let is_of = |key: &_| jws::is_valid_signature(self.jws.algorithm, key, self.jws.input, &self.jws.signature);
        if candidates.into_iter().any(is_of) {
            SignatureCheck::Valid(VerifiedIdToken::from_verified_claims(self.jws.claims.clone()))
        } else {
            SignatureCheck::InvalidSignature
        }
    }
}

pub(crate) fn invalid_id_token_error(why: impl AsRef<str>) -> Error {
    Error::new(ErrorKind::InvalidIdToken, format!("invalid ID token: {}", why.as_ref()))
}

fn check_claims(claims: &Map<String, Value>, expected: &Expected<'_>, now: UnixTime) -> Result<String> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    // OpenID Connect Core 3.1.3.7, step 2.
    let issuer = check_issuer(text("iss"), expected)?;
    // OpenID Connect Core 3.1.3.7, steps 3 to 5.
    check_audience(claims, expected.client_id)?;
    // OpenID Connect Core 3.1.3.7, steps 9, 10, and 13.
    check_times(claims, expected, now)?;
    // OpenID Connect Core 2: `sub` is required and has at most 255 characters.
    let subject = text("sub").ok_or_else(|| invalid_id_token_error("`sub` is missing"))?;
    // Replacement characters could make two users look the same.
    if has_replacement_character(subject) {
        return Err(invalid_id_token_error("`sub` contains characters that cannot be decoded"));
    }
    if subject.len() > MAX_SUBJECT_LEN {
        return Err(invalid_id_token_error("`sub` is longer than 255 characters"));
    }
    match expected.origin {
        // OpenID Connect Core 3.1.3.7, step 11: `nonce` must be that of the authentication request.
        IdTokenOrigin::Login { nonce, .. } => match text("nonce") {
            // A nonce that this crate has drawn is ASCII, so a damaged one never equals it: this keeps to the rule without exception.
            Some(found) if constant_time_eq(found, nonce) && !has_replacement_character(found) => {}
            Some(_) => return Err(invalid_id_token_error("`nonce` does not match this login; begin a new login")),
            None => return Err(invalid_id_token_error("`nonce` is missing; begin a new login")),
        },
        IdTokenOrigin::Refresh { before } => check_refreshed_claims(claims, before)?,
    }
    Ok(issuer)
}

fn check_issuer(found: Option<&str>, expected: &Expected<'_>) -> Result<String> {
    // OpenID Connect Core 3.1.3.7, step 2: `iss` must be a trusted issuer. It depends on the user's
    // home region.
    let (found, allowed) = (found.ok_or_else(|| invalid_id_token_error("`iss` is missing"))?, expected.issuers);
    if has_replacement_character(found) {
        return Err(invalid_id_token_error("`iss` contains characters that cannot be decoded"));
    }
    if allowed.iter().any(|own| own == found) {
        return Ok(found.to_owned());
    }
    let mut secrets: Vec<_> = [expected.access_token, expected.code].into_iter().flatten().collect();
    secrets.extend(expected.secrets);
    let why = format!(
        "`iss` \"{}\" is not trusted (expected {}); if it belongs to Webex, add it with `Service::with_issuer(..)`",
        redact::redact_secrets(found, &secrets, 120),
        allowed.join(", ")
    );
    Err(invalid_id_token_error(why))
}

/// Checks `aud` and `azp`.
fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<()> {
    // OpenID Connect Core 3.1.3.7, step 3: `aud` must contain our client ID, and no untrusted
    // audience. No other client is trusted.
    let audiences =
        claims.get("aud").and_then(strict::string_or_list).ok_or_else(|| invalid_id_token_error("`aud` is missing"))?;
    if !audiences.contains(&client_id) {
        return Err(invalid_id_token_error("`aud` does not contain this client's ID"));
    }
    if audiences.iter().any(|audience| *audience != client_id || has_replacement_character(audience)) {
        return Err(invalid_id_token_error("`aud` contains other clients"));
    }
    // OpenID Connect Core 3.1.3.7, steps 4 and 5: `azp`, if present, must be our client ID.
    match claims.get("azp") {
        None | Some(Value::Null) => Ok(()),
        Some(party) if party == client_id => Ok(()),
        Some(_) => Err(invalid_id_token_error("`azp` is not this client's ID")),
    }
}

/// Returns the error for an invalid time. The token was just issued, so a wrong clock is the most
/// likely cause.
fn invalid_time_error(why: &str) -> Error {
    invalid_id_token_error(format!("{why}; check the clock of this host"))
}

/// Checks all times. The skew applies in both directions.
fn check_times(claims: &Map<String, Value>, expected: &Expected<'_>, now: UnixTime) -> Result<()> {
    let time = |name: &str| match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match whole_number(value) {
            Some(seconds) => Ok(Some(UnixTime::from_secs(seconds))),
            None => Err(invalid_id_token_error(format!("`{name}` is not a time"))),
        },
    };
    let skew = expected.skew;
    let required = |name: &str| time(name)?.ok_or_else(|| invalid_id_token_error(format!("`{name}` is missing")));
    // OpenID Connect Core 3.1.3.7, step 9: the current time must be before `exp`.
    if now >= required("exp")? + skew {
        return Err(invalid_time_error("`exp` is in the past"));
    }
    // RFC 7519, section 4.1.5.
    if time("nbf")?.is_some_and(|begin| begin > now + skew) {
        return Err(invalid_time_error("`nbf` is in the future"));
    }
    // OpenID Connect Core 3.1.3.7, step 10: `iat` must not be too far from the current time.
    let issued_at = required("iat")?;
    if issued_at > now + skew {
        return Err(invalid_time_error("`iat` is in the future"));
    }
    if now > issued_at + MAX_AGE_AT_LOGIN + skew {
        return Err(invalid_time_error("`iat` is more than 24 hours ago"));
    }
    // OpenID Connect Core 3.1.3.7, step 13: with `max_age`, `auth_time` must be recent. Step 12
    // does not apply, because `acr` is never requested.
    let auth_time = time("auth_time")?;
    let IdTokenOrigin::Login { max_age: Some(max_age), .. } = expected.origin else { return Ok(()) };
    let auth_time =
        auth_time.ok_or_else(|| invalid_id_token_error("`auth_time` is missing, although `max_age` was requested"))?;
    if auth_time > now + skew {
        return Err(invalid_time_error("`auth_time` is in the future"));
    }
    if now > auth_time + max_age + skew {
        return Err(invalid_time_error("`auth_time` is longer ago than `max_age` allows"));
    }
    Ok(())
}

/// Checks that an ID token of a refresh is for the same user, issuer, and sign-in (OpenID Connect
/// Core 1.0, section 12.2). `before` is the previous ID token, which was verified when it was
/// received.
fn check_refreshed_claims(claims: &Map<String, Value>, before: &str) -> Result<()> {
    let Some(before) = unverified_claims(before) else { return Ok(()) };
    let another =
        |name: &str| Err(invalid_id_token_error(format!("`{name}` differs from that of the refreshed login")));
    for name in ["iss", "sub"] {
        if before.get(name) != claims.get(name) {
            return another(name);
        }
    }
    let said = |claims: &Map<String, Value>, name: &str| claims.get(name).filter(|value| !value.is_null()).cloned();
    let both = |name: &str| said(&before, name).zip(said(claims, name));
    for name in ["azp", "nonce"] {
        if both(name).is_some_and(|(old, new)| old != new) {
            return another(name);
        }
    }
    // A refresh is not a new sign-in. The same time may be written in several ways.
    let times = |name: &str| both(name).map(|(old, new)| (whole_number(&old), whole_number(&new)));
    if times("auth_time").is_some_and(|(old, new)| old != new) {
        return another("auth_time");
    }
    if times("iat").is_some_and(|(old, new)| new < old) {
        return Err(invalid_id_token_error("`iat` is before that of the previous ID token"));
    }
    Ok(())
}

/// Rejects an ID token whose unverified claims are for another user or client.
///
/// `proven` is the subject and issuer of the login. If it is unknown, the previous ID token is
/// compared.
pub(crate) fn check_same_user(
    token: &str,
    proven: Option<(&str, &str)>,
    before: Option<&str>,
    client_id: &str,
) -> Result<()> {
    let Some(claims) = unverified_claims(token) else { return Ok(()) };
    check_audience(&claims, client_id)?;
    let before = before.and_then(unverified_claims);
    let stored = |name: &str| before.as_ref()?.get(name)?.as_str();
    for (name, proven) in [("iss", proven.map(|(_, issuer)| issuer)), ("sub", proven.map(|(subject, _)| subject))] {
        let mut expected = [proven, stored(name)].into_iter().flatten();
        if expected.any(|expected| {
            claims.get(name).is_none_or(|found| found != expected || has_replacement_character(expected))
        }) {
            return Err(invalid_id_token_error(format!("`{name}` differs from that of the refreshed login")));
        }
    }
    Ok(())
}

/// Returns the claims of a token without verifying it, for comparison only.
pub(crate) fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    strict::parse_strict_object(&payload).ok()
}

/// Checks `at_hash` (OpenID Connect Core 1.0, sections 3.1.3.8 and 3.2.2.9) and `c_hash` (section
/// 3.3.2.10).
fn check_hashes(jws: &Jws<'_>, expected: &Expected<'_>) -> Result<()> {
    let check = |name: &str, text: Option<&str>| match (jws.claims.get(name), text) {
        (None | Some(Value::Null), _) | (_, None) => Ok(()),
        (Some(found), Some(text)) => {
            let expected = URL_SAFE_NO_PAD.encode(jws.algorithm.half_hash(text));
            if found.as_str().is_some_and(|found| found.trim_end_matches('=') == expected) {
                Ok(())
            } else {
                Err(invalid_id_token_error(format!("`{name}` does not match the token or code that came with it")))
            }
        }
    };
    check("at_hash", expected.access_token)?;
    check("c_hash", expected.code)?;
    let is_missing = jws.claims.get("at_hash").is_none_or(Value::is_null);
    if expected.requires_at_hash && expected.access_token.is_some() && is_missing {
        let message = "missing `at_hash`: nothing binds the access token to the ID token; use the code flow, or \
                       `insecure_accept_missing_at_hash()`";
        return Err(Error::new(ErrorKind::MissingAtHash, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: u64 = 1_700_000_000;
    const SKEW: u64 = 60;
    const DAY: u64 = 24 * 60 * 60;

    fn token(claims: &Value) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(&claims.to_string()))
    }

    fn is_accepted(claims: &Value, max_age: Option<u64>) -> bool {
        let issuers = ["https://idbroker.webex.com/idb".to_owned(), "https://idbroker-eu.webex.com/idb".to_owned()];
        let expected = Expected {
            client_id: "C1",
            issuers: &issuers,
            algorithms: &[SigningAlgorithm::Rs256],
            skew: Duration::from_secs(SKEW),
            origin: IdTokenOrigin::Login { nonce: "n-1", max_age: max_age.map(Duration::from_secs) },
            access_token: None,
            code: None,
            secrets: &[],
            requires_at_hash: false,
        };
        CheckedIdToken::new(&token(claims), &expected, UnixTime::from_secs(NOW)).is_ok()
    }

    #[test]
    fn undecodable_claim_never_matches_expected_value() {
        let claims = json!({"iss": "https://idbroker.webex.com/idb", "aud": "C1", "sub": "s", "nonce": "n-1", "exp": NOW + 7200,
            "iat": NOW, "name": "J\u{fffd}rg", "typ": null, "x\u{fffd}": {"y": "\u{fffd}"}});
        assert!(is_accepted(&claims, None));
        for (name, value) in [
            ("sub", json!("s\u{fffd}")),
            ("iss", json!("https://idbroker.webex.com/idb\u{fffd}")),
            ("aud", json!("C1\u{fffd}")),
            ("aud", json!(["C1", "C1\u{fffd}"])),
            ("azp", json!("C1\u{fffd}")),
            ("nonce", json!("n-1\u{fffd}")),
            ("exp", json!("\u{fffd}")),
        ] {
            let mut claims = claims.clone();
            claims[name] = value.clone();
            assert!(!is_accepted(&claims, None), "{name} {value}");
        }
        // As sent by a server, with any configuration.
        let raw = |sub: &[u8]| {
            let claims = [b"{\"iss\":\"i\",\"aud\":\"C1\",\"sub\":\"", sub, b"\"}"].concat();
            format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
        };
        let same = |token: &[u8], before: &[u8]| check_same_user(&raw(token), None, Some(&raw(before)), "C1");
        assert!(same(b"jane", b"jane").is_ok());
        assert!(same(b"J\xf6rg", b"J\xe4rg").is_err(), "two users look the same");
        assert!(check_same_user(&raw(b"\xf6"), Some(("\u{fffd}", "i")), None, "C1").is_err());
        let issuers = ["i\u{fffd}".to_owned()];
        let expected = Expected {
            client_id: "C1",
            issuers: &issuers,
            algorithms: &[SigningAlgorithm::Rs256],
            skew: Duration::from_secs(SKEW),
            origin: IdTokenOrigin::Refresh { before: "" },
            access_token: None,
            code: None,
            secrets: &[],
            requires_at_hash: false,
        };
        assert!(check_issuer(Some("i\u{fffd}"), &expected).is_err());
        let claims = json!({"aud": "C\u{fffd}"});
        assert!(check_audience(claims.as_object().unwrap(), "C\u{fffd}").is_err());
    }

    #[test]
    fn invalid_time_claim_is_rejected_even_if_unused() {
        let claims = json!({"iss": "https://idbroker.webex.com/idb", "aud": "C1", "sub": "s", "nonce": "n-1",
            "exp": NOW + 7200, "iat": NOW});
        for name in ["auth_time", "nbf", "iat", "exp"] {
            for value in [json!("soon"), json!([NOW]), json!(true)] {
                let mut claims = claims.clone();
                claims[name] = value;
                assert!(!is_accepted(&claims, None), "{claims}");
            }
        }
    }

    #[test]
    fn refreshed_id_token_with_changed_claim_is_rejected() {
        let before = json!({"iss": "i", "sub": "s", "azp": "C1", "nonce": "n", "auth_time": NOW, "iat": NOW});
        let check = |after: &Value| check_refreshed_claims(after.as_object().unwrap(), &token(&before)).is_ok();
        assert!(check(&before));
        for (name, value) in [
            ("iss", json!("j")),
            ("sub", json!("t")),
            ("azp", json!("C2")),
            ("nonce", json!("m")),
            ("auth_time", json!(NOW + 1)),
            ("iat", json!(NOW - 1)),
            ("iss", json!(null)),
            ("sub", json!(null)),
        ] {
            let mut after = before.clone();
            after[name] = value.clone();
            assert!(!check(&after), "{name} {value}");
        }
        // Optional claims may be missing, and `iat` may be later.
        for (name, value) in
            [("azp", json!(null)), ("nonce", json!(null)), ("auth_time", json!(null)), ("iat", json!(NOW + 1))]
        {
            let mut after = before.clone();
            after[name] = value.clone();
            assert!(check(&after), "{name} {value}");
        }
    }

    #[test]
    fn at_hash_ignores_padding_and_is_optional_unless_required() {
        let hash = URL_SAFE_NO_PAD.encode(SigningAlgorithm::Rs256.half_hash("at"));
        let check = |hash: Value, access_token, requires_at_hash| {
            let token = token(&json!({ "at_hash": hash }));
            let expected = Expected {
                client_id: "C1",
                issuers: &[],
                algorithms: &[SigningAlgorithm::Rs256],
                skew: Duration::ZERO,
                origin: IdTokenOrigin::Refresh { before: "" },
                access_token,
                code: None,
                secrets: &[],
                requires_at_hash,
            };
            check_hashes(&Jws::parse(&token, expected.algorithms).unwrap(), &expected).map_err(|error| error.kind())
        };
        for hash in [json!(hash), json!(format!("{hash}=="))] {
            assert_eq!(check(hash, Some("at"), true), Ok(()));
        }
        for wrong in [json!("x"), json!(""), json!(7)] {
            assert_eq!(check(wrong.clone(), Some("at"), false), Err(ErrorKind::InvalidIdToken), "{wrong}");
        }
        assert_eq!(check(json!(null), Some("at"), false), Ok(()));
        assert_eq!(check(json!(null), None, true), Ok(()));
        assert_eq!(check(json!(null), Some("at"), true), Err(ErrorKind::MissingAtHash));
    }

    /// Generates the good value nine times out of ten, so that most tokens are valid or have a
    /// single fault.
    fn weighted<T: std::fmt::Debug + Clone + 'static>(
        good: T,
        others: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = T> {
        prop_oneof![9 => Just(good), 1 => others]
    }

    /// Selects one of these values.
    fn one_of<T: std::fmt::Debug + Clone + 'static>(values: impl Into<Vec<T>>) -> impl Strategy<Value = T> {
        prop::sample::select(values.into())
    }

    /// Generates a time near a boundary.
    fn times_near(moment: u64) -> impl Strategy<Value = u64> {
        prop_oneof![Just(moment), moment - 2..moment + 3, moment - 100..moment + 100]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Restates the rules: a token is accepted if, and only if, all of them hold.
        #[test]
        fn id_token_is_accepted_exactly_if_all_claims_are_valid(
            exp in weighted(NOW + 7200, prop_oneof![times_near(NOW - SKEW), times_near(NOW)]),
            iat in weighted(NOW, prop_oneof![times_near(NOW - DAY - SKEW), times_near(NOW + SKEW)]),
            nbf in weighted(None, prop_oneof![times_near(NOW + SKEW), Just(NOW)].prop_map(Some)),
            auth_time in weighted(Some(NOW), prop::option::of(prop_oneof![times_near(NOW - 300 - SKEW), times_near(NOW + SKEW)])),
            max_age in prop::option::of(Just(300_u64)),
            issuer in weighted("https://idbroker.webex.com/idb", one_of(["https://idbroker-eu.webex.com/idb",
                "https://idbroker.webex.com/idb1", "https://idbroker.webex.com", ""])),
            audience in weighted(json!("C1"), one_of([json!(["C1"]), json!(["C1", "C1"]), json!("C2"),
                json!(["C1", "C2"]), json!([]), json!(null), json!("C11")])),
            party in weighted(json!(null), one_of([json!("C1"), json!("C2")])),
            subject in weighted("s".to_owned(), one_of([String::new(), "s".repeat(255), "s".repeat(256)])),
            nonce in weighted(json!("n-1"), one_of([json!("n-2"), json!(""), json!(null)])),
        ) {
            let claims = json!({"iss": issuer, "aud": audience, "azp": party, "sub": subject, "nonce": nonce,
                "exp": exp, "iat": iat, "nbf": nbf, "auth_time": auth_time});
            let is_for_us = [json!("C1"), json!(["C1"]), json!(["C1", "C1"])].contains(&audience);
            let is_now = exp + SKEW > NOW && nbf.is_none_or(|nbf| nbf <= NOW + SKEW);
            let is_recent = iat <= NOW + SKEW && iat + DAY + SKEW >= NOW;
            let is_signed_in = max_age.is_none_or(|age| {
                auth_time.is_some_and(|at| at <= NOW + SKEW && at + age + SKEW >= NOW)
            });
            let holds = issuer.ends_with("/idb") && is_for_us && party != json!("C2") && (1..=255).contains(&subject.len())
                && nonce == json!("n-1") && is_now && is_recent && is_signed_in;
            prop_assert_eq!(is_accepted(&claims, max_age), holds, "{}", claims);
        }
    }
}
