//! The check of an ID token (OpenID Connect Core 1.0 sections 3.1.3.7, 3.2.2.11, 3.3.2.12 and 12.2).
//!
//! Everything but the signature is checked first, so that a bad token causes no request for keys.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::decode::is_damaged;
use crate::error::{Error, ErrorKind, Result};
use crate::oidc::algorithm::SigningAlgorithm;
use crate::oidc::claims::VerifiedIdToken;
use crate::oidc::jwk::JwkSet;
use crate::oidc::jws::Jws;
use crate::oidc::signature;
use crate::redact;
use crate::secret::same;
use crate::strict;

/// How long ago an ID token may have been issued when a login ends.
const OLDEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest subject (OpenID Connect Core 1.0 section 2).
const LONGEST_SUBJECT: usize = 255;

/// What an ID token has to say.
#[derive(Clone, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) client_id: &'a str,
    /// The issuers that may say it.
    pub(crate) issuers: &'a [String],
    pub(crate) algorithms: &'a [SigningAlgorithm],
    /// How far this machine's clock and the issuer's may be apart.
    pub(crate) skew: Duration,
    pub(crate) occasion: Occasion<'a>,
    /// What it came with, if it says something about that.
    pub(crate) access_token: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
    /// What no error may show, beside these two.
    pub(crate) secrets: &'a [&'a str],
    /// Whether the access token came through the browser, where only its hash ties it to the ID token.
    pub(crate) requires_at_hash: bool,
}

/// Why there is an ID token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Occasion<'a> {
    /// A login, which asked for this.
    Login { nonce: &'a str, max_age: Option<Duration> },
    /// A refresh of a login that this was the ID token of; it was verified then.
    Refresh { before: &'a str },
}

/// An ID token that says what it should; nothing of it is proven before its signature is.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    jws: Jws<'a>,
    issuer: String,
}

/// What a set of keys says about a signature.
#[derive(Debug)]
pub(crate) enum Finding {
    Valid(VerifiedIdToken),
    Forged,
    /// The set has no key that it could be of.
    UnknownKey,
    /// It names no key, and there are several: none of them is tried, since a guess is no proof.
    Ambiguous,
}

impl<'a> Checked<'a> {
    /// Checks everything but the signature.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidIdToken`] with a sentence about what is wrong, [`ErrorKind::MissingAtHash`].
    pub(crate) fn new(token: &'a str, expected: &Expected<'_>, now: UnixTime) -> Result<Self> {
        let jws = Jws::parse(token, expected.algorithms).map_err(refused)?;
        let issuer = check_claims(&jws.claims, expected, now)?;
        check_hashes(&jws, expected)?;
        Ok(Self { jws, issuer })
    }

    /// Who claims to have issued it; one of those who may.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.jws.key_id.as_deref()
    }

    /// Checks the signature with these keys.
    pub(crate) fn against(&self, keys: &JwkSet) -> Finding {
        let candidates = keys.candidates(self.jws.algorithm, self.key_id());
        match (candidates.len(), self.key_id()) {
            (0, _) => return Finding::UnknownKey,
            (2.., None) => return Finding::Ambiguous,
            _ => {}
        }
        let is_of = |key: &_| signature::is_valid(self.jws.algorithm, key, self.jws.input, &self.jws.signature);
        if candidates.into_iter().any(is_of) {
            Finding::Valid(VerifiedIdToken::believe(self.jws.claims.clone()))
        } else {
            Finding::Forged
        }
    }
}

pub(crate) fn refused(why: impl AsRef<str>) -> Error {
    Error::new(ErrorKind::InvalidIdToken, format!("the ID token is refused: {}", why.as_ref()))
}

fn check_claims(claims: &Map<String, Value>, expected: &Expected<'_>, now: UnixTime) -> Result<String> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let issuer = check_issuer(text("iss"), expected)?;
    check_audience(claims, expected.client_id)?;
    check_times(claims, expected, now)?;
    let subject = text("sub").ok_or_else(|| refused("it has no `sub`"))?;
    // Two users must not look like one.
    if is_damaged(subject) {
        return Err(refused("its `sub` has characters that cannot be decoded"));
    }
    if subject.len() > LONGEST_SUBJECT {
        return Err(refused("its `sub` is longer than 255 characters"));
    }
    match expected.occasion {
        Occasion::Login { nonce, .. } => match text("nonce") {
            // A nonce that this crate has drawn is ASCII, so a damaged one never equals it: this keeps to the rule without exception.
            Some(found) if same(found, nonce) && !is_damaged(found) => {}
            Some(_) => return Err(refused("its `nonce` is another login's")),
            None => return Err(refused("it has no `nonce`")),
        },
        Occasion::Refresh { before } => check_successor(claims, before)?,
    }
    Ok(issuer)
}

fn check_issuer(found: Option<&str>, expected: &Expected<'_>) -> Result<String> {
    let (found, allowed) = (found.ok_or_else(|| refused("it has no `iss`"))?, expected.issuers);
    if is_damaged(found) {
        return Err(refused("its `iss` has characters that cannot be decoded"));
    }
    if allowed.iter().any(|own| own == found) {
        return Ok(found.to_owned());
    }
    let mut secrets: Vec<_> = [expected.access_token, expected.code].into_iter().flatten().collect();
    secrets.extend(expected.secrets);
    let why = format!(
        "its `iss` is \"{}\", and only {} may say who a user is; if it is Webex's, add it with `Service::with_issuer(..)`",
        redact::clean(found, &secrets, 120),
        allowed.join(", ")
    );
    Err(refused(why))
}

/// It must be meant for this client, and for nobody else: this crate trusts no other client.
fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<()> {
    let audiences = claims.get("aud").and_then(strict::texts).ok_or_else(|| refused("it has no `aud`"))?;
    if !audiences.contains(&client_id) {
        return Err(refused("its `aud` is another client"));
    }
    if audiences.iter().any(|audience| *audience != client_id || is_damaged(audience)) {
        return Err(refused("its `aud` has other clients beside this one"));
    }
    match claims.get("azp") {
        None | Some(Value::Null) => Ok(()),
        Some(party) if party == client_id => Ok(()),
        Some(_) => Err(refused("its `azp` is another client")),
    }
}

/// Rejects a token for one of its times. It has just been issued, so the most likely cause is a wrong clock.
fn untimely(why: &str) -> Error {
    refused(format!("{why}: is this host's clock right?"))
}

/// Times agree within the skew, in whichever direction the clocks are apart.
fn check_times(claims: &Map<String, Value>, expected: &Expected<'_>, now: UnixTime) -> Result<()> {
    let time = |name: &str| match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match strict::seconds(value) {
            Some(seconds) => Ok(Some(UnixTime::from_secs(seconds))),
            None => Err(refused(format!("its `{name}` is no time"))),
        },
    };
    let skew = expected.skew;
    let required = |name: &str| time(name)?.ok_or_else(|| refused(format!("it has no `{name}`")));
    if now >= required("exp")? + skew {
        return Err(untimely("it has expired (`exp`)"));
    }
    if time("nbf")?.is_some_and(|begin| begin > now + skew) {
        return Err(untimely("it is not valid yet (`nbf`)"));
    }
    let issued_at = required("iat")?;
    if issued_at > now + skew {
        return Err(untimely("it was issued in the future (`iat`)"));
    }
    if now > issued_at + OLDEST + skew {
        return Err(untimely("it was issued more than 24 hours ago (`iat`)"));
    }
    let auth_time = time("auth_time")?;
    let Occasion::Login { max_age: Some(max_age), .. } = expected.occasion else { return Ok(()) };
    let auth_time = auth_time.ok_or_else(|| refused("it has no `auth_time`, and `max_age` was asked for"))?;
    if auth_time > now + skew {
        return Err(untimely("its `auth_time` is in the future"));
    }
    if now > auth_time + max_age + skew {
        return Err(untimely("the user signed in longer ago than `max_age` allows (`auth_time`)"));
    }
    Ok(())
}

/// After a refresh it must be about the same user, from the same issuer, and of the same sign-in (section 12.2). `before` was
/// verified when it came.
fn check_successor(claims: &Map<String, Value>, before: &str) -> Result<()> {
    let Some(before) = unverified_claims(before) else { return Ok(()) };
    let another = |name: &str| Err(refused(format!("its `{name}` is not that of the login that was refreshed")));
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
    // A refresh is no new sign-in. The same time may be written in several ways.
    let times = |name: &str| both(name).map(|(old, new)| (strict::seconds(&old), strict::seconds(&new)));
    if times("auth_time").is_some_and(|(old, new)| old != new) {
        return another("auth_time");
    }
    if times("iat").is_some_and(|(old, new)| new < old) {
        return Err(refused("it was issued before the one that it follows (`iat`)"));
    }
    Ok(())
}

/// Refuses a token that says itself that it is about another user than the login's, or for another client. `proven` is the
/// login's subject and issuer; where that is not known, its old ID token says it.
pub(crate) fn check_same_user(
    token: &str,
    proven: Option<(&str, &str)>,
    before: Option<&str>,
    client_id: &str,
) -> Result<()> {
    let Some(claims) = unverified_claims(token) else { return Ok(()) };
    check_audience(&claims, client_id)?;
    let before = before.and_then(unverified_claims);
    let known = |name: &str| before.as_ref()?.get(name)?.as_str();
    for (name, proven) in [("iss", proven.map(|(_, issuer)| issuer)), ("sub", proven.map(|(subject, _)| subject))] {
        let mut expected = [proven, known(name)].into_iter().flatten();
        if expected.any(|expected| claims.get(name).is_none_or(|found| found != expected || is_damaged(expected))) {
            return Err(refused(format!("its `{name}` is not that of the login that was refreshed")));
        }
    }
    Ok(())
}

/// What a token says of itself, to compare with.
pub(crate) fn unverified_claims(token: &str) -> Option<Map<String, Value>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    strict::object(&payload).ok()
}

fn check_hashes(jws: &Jws<'_>, expected: &Expected<'_>) -> Result<()> {
    let check = |name: &str, text: Option<&str>| match (jws.claims.get(name), text) {
        (None | Some(Value::Null), _) | (_, None) => Ok(()),
        (Some(found), Some(text)) => {
            let expected = URL_SAFE_NO_PAD.encode(jws.algorithm.half_hash(text));
            if found.as_str().is_some_and(|found| found.trim_end_matches('=') == expected) {
                Ok(())
            } else {
                Err(refused(format!("its `{name}` is that of something else than what it came with")))
            }
        }
    };
    check("at_hash", expected.access_token)?;
    check("c_hash", expected.code)?;
    let is_missing = jws.claims.get("at_hash").is_none_or(Value::is_null);
    if expected.requires_at_hash && expected.access_token.is_some() && is_missing {
        let message = "the access token came through the browser, and the ID token has no `at_hash` to prove that they \
                       belong together: use the code flow, or `insecure_accept_missing_at_hash()`";
        return Err(Error::new(ErrorKind::MissingAtHash, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

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
            occasion: Occasion::Login { nonce: "n-1", max_age: max_age.map(Duration::from_secs) },
            access_token: None,
            code: None,
            secrets: &[],
            requires_at_hash: false,
        };
        Checked::new(&token(claims), &expected, UnixTime::from_secs(NOW)).is_ok()
    }

    #[test]
    fn text_that_cannot_be_decoded_matches_nothing_and_costs_nothing_else() {
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
        // As written by a server, and whatever is configured.
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
            occasion: Occasion::Refresh { before: "" },
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
    fn claim_that_is_no_time_is_refused_also_where_nothing_asks_for_it() {
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
    fn refreshed_token_with_another_value_of_any_claim_that_stays_is_refused() {
        let before = json!({"iss": "i", "sub": "s", "azp": "C1", "nonce": "n", "auth_time": NOW, "iat": NOW});
        let check = |after: &Value| check_successor(after.as_object().unwrap(), &token(&before)).is_ok();
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
        // What may be left out, or be later.
        for (name, value) in
            [("azp", json!(null)), ("nonce", json!(null)), ("auth_time", json!(null)), ("iat", json!(NOW + 1))]
        {
            let mut after = before.clone();
            after[name] = value.clone();
            assert!(check(&after), "{name} {value}");
        }
    }

    #[test]
    fn hash_of_an_access_token_is_compared_without_padding_and_required_in_the_browser_alone() {
        let hash = URL_SAFE_NO_PAD.encode(SigningAlgorithm::Rs256.half_hash("at"));
        let check = |hash: Value, access_token, requires_at_hash| {
            let token = token(&json!({ "at_hash": hash }));
            let expected = Expected {
                client_id: "C1",
                issuers: &[],
                algorithms: &[SigningAlgorithm::Rs256],
                skew: Duration::ZERO,
                occasion: Occasion::Refresh { before: "" },
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

    /// A good value nine times out of ten, so that most tokens are good or have one fault alone.
    fn mostly<T: std::fmt::Debug + Clone + 'static>(
        good: T,
        others: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = T> {
        prop_oneof![9 => Just(good), 1 => others]
    }

    /// One of these.
    fn one_of<T: std::fmt::Debug + Clone + 'static>(values: impl Into<Vec<T>>) -> impl Strategy<Value = T> {
        prop::sample::select(values.into())
    }

    /// A time near a moment that matters.
    fn around(moment: u64) -> impl Strategy<Value = u64> {
        prop_oneof![Just(moment), moment - 2..moment + 3, moment - 100..moment + 100]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        /// The rules in other words: a token is accepted if, and only if, every one of them holds.
        #[test]
        fn a_token_is_accepted_exactly_when_every_rule_holds(
            exp in mostly(NOW + 7200, prop_oneof![around(NOW - SKEW), around(NOW)]),
            iat in mostly(NOW, prop_oneof![around(NOW - DAY - SKEW), around(NOW + SKEW)]),
            nbf in mostly(None, prop_oneof![around(NOW + SKEW), Just(NOW)].prop_map(Some)),
            auth_time in mostly(Some(NOW), prop::option::of(prop_oneof![around(NOW - 300 - SKEW), around(NOW + SKEW)])),
            max_age in prop::option::of(Just(300_u64)),
            issuer in mostly("https://idbroker.webex.com/idb", one_of(["https://idbroker-eu.webex.com/idb",
                "https://idbroker.webex.com/idb1", "https://idbroker.webex.com", ""])),
            audience in mostly(json!("C1"), one_of([json!(["C1"]), json!(["C1", "C1"]), json!("C2"),
                json!(["C1", "C2"]), json!([]), json!(null), json!("C11")])),
            party in mostly(json!(null), one_of([json!("C1"), json!("C2")])),
            subject in mostly("s".to_owned(), one_of([String::new(), "s".repeat(255), "s".repeat(256)])),
            nonce in mostly(json!("n-1"), one_of([json!("n-2"), json!(""), json!(null)])),
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
