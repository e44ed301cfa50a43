//! Parsing of signed tokens: JWS compact serialization (RFC 7515, section 7.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::json::strict;
use crate::json::value::has_replacement_character;
use crate::protocol::oidc::key::SigningAlgorithm;

/// The maximum size of a token, in bytes.
const MAX_LEN: usize = 64 * 1024;

/// A parsed token. Nothing in it is verified.
#[derive(Debug)]
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: SigningAlgorithm,
    /// The key ID (`kid`), if specified.
    pub(crate) key_id: Option<String>,
    pub(crate) claims: Map<String, Value>,
    /// The signed part.
    pub(crate) input: &'a str,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Parses a token. The error quotes nothing of it except the name of an algorithm.
    pub(crate) fn parse(token: &'a str, allowed: &[SigningAlgorithm]) -> Result<Self, String> {
        if token.len() > MAX_LEN {
            return Err(format!("the token is longer than {MAX_LEN} bytes"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("not a JWS: expected three dot-separated parts".to_owned());
        };
        let decode = |what: &str, part: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| format!("the {what} is not unpadded base64url"))
        };
        let read = |what: &str, part: &str| {
            strict::parse_strict_object(&decode(what, part)?)
                .map_err(|fault| format!("the {what} cannot be parsed: {fault}"))
        };
        let fields = read("header", header)?;
        let (algorithm, key_id) = check_header(&fields, allowed)?;
        let claims = read("payload", payload)?;
        let signature = decode("signature", signature)?;
        Ok(Self { algorithm, key_id, claims, input: &token[..header.len() + 1 + payload.len()], signature })
    }
}

/// Checks the header. The algorithm is selected from those that the application allows, never by
/// the token alone (RFC 8725, section 3.1).
fn check_header(
    header: &Map<String, Value>,
    allowed: &[SigningAlgorithm],
) -> Result<(SigningAlgorithm, Option<String>), String> {
    // `null` counts as absent.
    let said = |name: &str| header.get(name).filter(|value| !value.is_null());
    // RFC 7515, section 4.1.11: unsupported critical extensions must be rejected.
    if said("crit").is_some() {
        return Err("the `crit` extensions are not supported".to_owned());
    }
    // RFC 7515, section 4.1.9: the prefix `application/` may be omitted.
    let names = ["JWT", "application/jwt"];
    let is_jwt = |kind: &str| names.iter().any(|name| kind.eq_ignore_ascii_case(name));
    if !said("typ").is_none_or(|kind| kind.as_str().is_some_and(is_jwt)) {
        return Err("`typ` is not `JWT`".to_owned());
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or("`alg` is missing")?;
    let algorithm = allowed.iter().copied().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        let allowed: Vec<_> = allowed.iter().map(|algorithm| algorithm.name()).collect();
        format!("`alg` {name:?} is not allowed (expected {})", allowed.join(", "))
    })?;
    match said("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(id)) if has_replacement_character(id) => {
            Err("`kid` contains characters that cannot be decoded".to_owned())
        }
        Some(Value::String(id)) => Ok((algorithm, Some(id.clone()))),
        Some(_) => Err("`kid` is not a string".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn parse_error(token: &str) -> String {
        Jws::parse(token, &[SigningAlgorithm::Rs256]).unwrap_err()
    }

    #[test]
    fn token_is_parsed_into_key_id_claims_and_signature() {
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
    fn header_with_nulls_or_undecodable_text_is_parsed() {
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
            parse_error(&format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}")))
        };
        assert!(bad(b"{\"alg\":\"RS256\",\"kid\":\"k\xff\"}").contains("cannot be decoded"));
        assert!(bad(b"{\"alg\":\"RS256\xff\"}").contains("`alg`"));
        assert!(bad(b"{\"alg\":\"RS256\",\"\xe4\":1,\"\xf6\":2}").contains("duplicate name"));
        assert!(bad(br#"{"alg":"RS256","typ":"application/at+jwt"}"#).contains("`typ` is not `JWT`"));
        assert!(bad(br#"{"alg":"RS256","typ":"application/application/jwt"}"#).contains("`typ` is not `JWT`"));
    }

    #[test]
    fn token_with_invalid_format_or_algorithm_is_rejected() {
        for (header, reason) in [
            (r#"{"alg":"none"}"#, "`alg` \"none\""),
            (r#"{"alg":"None"}"#, "`alg` \"None\""),
            (r#"{"alg":"HS256"}"#, "`alg` \"HS256\" is not allowed (expected RS256)"),
            (r#"{"alg":"rs256"}"#, "`alg` \"rs256\""),
            (r#"{"alg":"ES256"}"#, "`alg` \"ES256\""),
            (r#"{"alg":["RS256"]}"#, "`alg` is missing"),
            (r#"{}"#, "`alg` is missing"),
            (r#"{"alg":"RS256","alg":"none"}"#, "duplicate name"),
            (r#"{"alg":"RS256","crit":["exp"]}"#, "`crit` extensions"),
            (r#"{"alg":"RS256","crit":[]}"#, "`crit` extensions"),
            (r#"{"alg":"RS256","typ":"at+jwt"}"#, "`typ` is not `JWT`"),
            (r#"{"alg":"RS256","typ":7}"#, "`typ` is not `JWT`"),
            (r#"{"alg":"RS256","kid":7}"#, "`kid` is not a string"),
            ("[]", "not a JSON object"),
        ] {
            let message = parse_error(&token(header, "{}"));
            assert!(message.contains(reason), "{header}: {message}");
        }
        let whole = token(r#"{"alg":"RS256"}"#, r#"{"a":1}"#);
        for (bad, reason) in [
            ("", "three dot-separated parts"),
            ("a.b", "three dot-separated parts"),
            (&format!("{whole}.x"), "three dot-separated parts"),
            (&format!("{whole}="), "base64url"),
            (&format!(" {whole}"), "base64url"),
            (&whole.replace('.', ".!"), "base64url"),
            (&"a".repeat(MAX_LEN + 1), "longer"),
            (&"a".repeat(MAX_LEN), "three dot-separated parts"),
            (&token(r#"{"alg":"RS256"}"#, r#"{"sub":1,"sub":2}"#), "payload cannot be parsed: duplicate name"),
        ] {
            let message = parse_error(bad);
            assert!(message.contains(reason), "{bad}: {message}");
        }
        assert!(!parse_error(&token(r#"{"alg":"hunter2 hunter2\nhunter2"}"#, "{}")).contains("\n"));
    }
}
