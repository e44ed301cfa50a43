//! A signed token, taken apart: JWS compact serialization (RFC 7515 section 7.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::decode::is_damaged;
use crate::oidc::algorithm::SigningAlgorithm;
use crate::strict;

/// The longest token that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// A token whose parts could be read; nothing in it is proven.
#[derive(Debug)]
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: SigningAlgorithm,
    /// Which key it was signed with, as far as it says.
    pub(crate) key_id: Option<String>,
    pub(crate) claims: Map<String, Value>,
    /// What was signed.
    pub(crate) input: &'a str,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart. A refusal is a sentence about it that quotes nothing of it but the name of an algorithm.
    pub(crate) fn parse(token: &'a str, allowed: &[SigningAlgorithm]) -> Result<Self, String> {
        if token.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it is no signed token: three parts and two dots".to_owned());
        };
        let decode = |what: &str, part: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| format!("its {what} is not in base64url without padding"))
        };
        let read = |what: &str, part: &str| {
            strict::object(&decode(what, part)?).map_err(|fault| format!("its {what} cannot be read: {fault}"))
        };
        let fields = read("header", header)?;
        let (algorithm, key_id) = check_header(&fields, allowed)?;
        let claims = read("payload", payload)?;
        let signature = decode("signature", signature)?;
        Ok(Self { algorithm, key_id, claims, input: &token[..header.len() + 1 + payload.len()], signature })
    }
}

/// The algorithm is chosen from what the application allows, never by the token alone (RFC 8725 section 3.1).
fn check_header(
    header: &Map<String, Value>,
    allowed: &[SigningAlgorithm],
) -> Result<(SigningAlgorithm, Option<String>), String> {
    // `null` is absent.
    let said = |name: &str| header.get(name).filter(|value| !value.is_null());
    // Extensions that must be understood, and none is (RFC 7515 section 4.1.11).
    if said("crit").is_some() {
        return Err("its header demands extensions that are not known here".to_owned());
    }
    // The prefix is left out to save space (RFC 7515 section 4.1.9).
    let names = ["JWT", "application/jwt"];
    let is_jwt = |kind: &str| names.iter().any(|name| kind.eq_ignore_ascii_case(name));
    if !said("typ").is_none_or(|kind| kind.as_str().is_some_and(is_jwt)) {
        return Err("its header says that it is another kind of token than a JWT".to_owned());
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or("its header names no algorithm")?;
    let algorithm = allowed.iter().copied().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        let allowed: Vec<_> = allowed.iter().map(|algorithm| algorithm.name()).collect();
        format!("it is signed with {name:?}, and only {} is accepted", allowed.join(", "))
    })?;
    match said("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(id)) if is_damaged(id) => {
            Err("its header names its key by a text that cannot be decoded".to_owned())
        }
        Some(Value::String(id)) => Ok((algorithm, Some(id.clone()))),
        Some(_) => Err("its header names its key by something that is no text".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn refused(token: &str) -> String {
        Jws::parse(token, &[SigningAlgorithm::Rs256]).unwrap_err()
    }

    #[test]
    fn a_token_is_taken_apart() {
        for header in [r#"{"alg":"RS256","kid":"k1","typ":"JWT"}"#, r#"{"kid":"k1","typ":"jwt","alg":"RS256","x":[1]}"#]
        {
            let token = token(header, r#"{"sub":"s"}"#);
            let jws = Jws::parse(&token, &[SigningAlgorithm::Rs256]).unwrap();
            assert_eq!((jws.key_id.as_deref(), jws.claims["sub"].as_str()), (Some("k1"), Some("s")));
            assert_eq!((jws.input, &*jws.signature), (&token[..token.len() - 5], &b"sig"[..]));
        }
        let anonymous = token(r#"{"alg":"RS256","kid":null}"#, "{}");
        assert_eq!(Jws::parse(&anonymous, &[SigningAlgorithm::Rs256]).unwrap().key_id, None);
    }

    #[test]
    fn a_header_with_nulls_media_types_or_odd_text_is_read() {
        for header in [
            &br#"{"alg":"RS256","typ":null,"crit":null,"kid":null}"#[..],
            br#"{"alg":"RS256","typ":"application/jwt"}"#,
            br#"{"alg":"RS256","typ":"Application/JWT"}"#,
            b"\xef\xbb\xbf{\"alg\":\"RS256\"}",
            b"{\"alg\":\"RS256\",\"x\":\"J\xf6rg\",\"y\":\"\\udead\",\"z\":null}",
        ] {
            let payload = b"\xef\xbb\xbf{\"name\":\"J\xf6rg\",\"\\ud800\":[\"\\ud800\"],\"sub\":\"s\"}";
            let token = format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
            let jws = Jws::parse(&token, &[SigningAlgorithm::Rs256]).unwrap();
            assert_eq!((jws.key_id, jws.claims["name"].as_str()), (None, Some("J\u{fffd}rg")));
            assert_eq!((jws.claims["sub"].as_str(), jws.input), (Some("s"), &token[..token.len() - 5]));
        }
        let bad = |header: &[u8]| {
            refused(&format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}")))
        };
        assert!(bad(b"{\"alg\":\"RS256\",\"kid\":\"k\xff\"}").contains("cannot be decoded"));
        assert!(bad(b"{\"alg\":\"RS256\xff\"}").contains("signed with"));
        assert!(bad(b"{\"alg\":\"RS256\",\"\xe4\":1,\"\xf6\":2}").contains("twice"));
        assert!(bad(br#"{"alg":"RS256","typ":"application/at+jwt"}"#).contains("another kind"));
        assert!(bad(br#"{"alg":"RS256","typ":"application/application/jwt"}"#).contains("another kind"));
    }

    #[test]
    fn what_is_no_token_of_an_allowed_algorithm_is_refused_with_its_reason() {
        for (header, reason) in [
            (r#"{"alg":"none"}"#, "signed with \"none\""),
            (r#"{"alg":"None"}"#, "signed with \"None\""),
            (r#"{"alg":"HS256"}"#, "signed with \"HS256\", and only RS256"),
            (r#"{"alg":"rs256"}"#, "signed with \"rs256\""),
            (r#"{"alg":"ES256"}"#, "signed with \"ES256\""),
            (r#"{"alg":["RS256"]}"#, "names no algorithm"),
            (r#"{}"#, "names no algorithm"),
            (r#"{"alg":"RS256","alg":"none"}"#, "twice"),
            (r#"{"alg":"RS256","crit":["exp"]}"#, "demands extensions"),
            (r#"{"alg":"RS256","crit":[]}"#, "demands extensions"),
            (r#"{"alg":"RS256","typ":"at+jwt"}"#, "another kind of token"),
            (r#"{"alg":"RS256","typ":7}"#, "another kind of token"),
            (r#"{"alg":"RS256","kid":7}"#, "no text"),
            ("[]", "not a JSON object"),
        ] {
            let message = refused(&token(header, "{}"));
            assert!(message.contains(reason), "{header}: {message}");
        }
        let whole = token(r#"{"alg":"RS256"}"#, r#"{"a":1}"#);
        for (bad, reason) in [
            ("", "three parts"),
            ("a.b", "three parts"),
            (&format!("{whole}.x"), "three parts"),
            (&format!("{whole}="), "base64url"),
            (&format!(" {whole}"), "base64url"),
            (&whole.replace('.', ".!"), "base64url"),
            (&"a".repeat(LONGEST + 1), "longer"),
            (&"a".repeat(LONGEST), "three parts"),
            (&token(r#"{"alg":"RS256"}"#, r#"{"sub":1,"sub":2}"#), "payload cannot be read: it has a name twice"),
        ] {
            let message = refused(bad);
            assert!(message.contains(reason), "{bad}: {message}");
        }
        assert!(!refused(&token(r#"{"alg":"hunter2 hunter2\nhunter2"}"#, "{}")).contains("\n"));
    }
}
