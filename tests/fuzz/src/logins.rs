//! Targets for callbacks and for responses of the token and person endpoints.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::de::value::{Error as MapError, MapDeserializer};
use serde::{Deserialize as _, de::IntoDeserializer as _};
use webex_oauth::{Callback, Error, ErrorKind, TokenSet};

use crate::fixture::{
    ACCESS_TOKEN, CALLBACK_SECRETS, EXCHANGE_SECRETS, Endpoint, Fixture, REFRESH_SECRETS, REFRESH_TOKEN, SECRETS,
    STATE, block_on,
};
use crate::response::parse_response;
use crate::secret_leak::{assert_debug_redacted, assert_debug_redacts, check_error, check_error_for_secrets};

/// Parses a callback: as a string, as a map of parameters like in a web framework, and as JSON. Only a callback with the
/// `state` of the login and a `code`, each once, is accepted.
pub fn callback(input: &[u8]) -> bool {
    let fixture = Fixture::new();
    if let Ok(callback) = serde_json::from_slice::<Callback>(input) {
        accept(&fixture, callback).ok();
    }
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let parsed = Callback::parse(text).inspect_err(check_error).and_then(|callback| accept(&fixture, callback));
    let query = text.trim().split('#').next().unwrap_or_default();
    let query = query.split_once('?').map_or(query, |(_, query)| query);
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let values =
        |name: &str| pairs.iter().filter(|(key, _)| key == name).map(|(_, value)| &**value).collect::<Vec<_>>();
    if parsed.is_ok() && is_unambiguous(text) {
        assert_eq!(values("state"), [STATE], "{text}");
        assert!(matches!(values("code")[..], [code] if !code.is_empty()), "{text}");
        assert!(values("error").iter().all(|error| error.is_empty()), "{text}");
    }
    let map = pairs.iter().map(|(name, value)| (&**name, &**value));
    let map = MapDeserializer::<_, MapError>::new(map.map(|(name, value)| (name, value.into_deserializer())));
    let deserialized =
        Callback::deserialize(map).map_err(|error| error.to_string()).expect("every map of strings deserializes");
    let deserialized = accept(&fixture, deserialized);
    if is_unambiguous(text) && text.len() < 8192 {
        assert_eq!(parsed.as_ref().err().map(Error::kind), deserialized.as_ref().err().map(Error::kind), "{text}");
    }
    parsed.is_ok()
}

/// Returns `true` if the start of the query can be determined without the crate.
fn is_unambiguous(text: &str) -> bool {
    text.starts_with("http://localhost:5000/callback?") || !text.contains(['?', '/', ':', '#'])
}

fn accept(fixture: &Fixture, callback: Callback) -> Result<(), Error> {
    assert_debug_redacted(&callback);
    assert!(callback.pending_id().is_none_or(|id| id.as_str().len() == 22));
    match fixture.webex.accept(fixture.pending(None), callback) {
        Ok(code) => {
            assert_debug_redacted(&code);
            Ok(())
        }
        Err(rejected) => {
            assert!(rejected.payload::<String>().unwrap().is_some(), "the payload is lost");
            let (error, pending) = rejected.into_parts();
            // The error quotes the callback's `error` or `iss`, sanitized.
            let is_quoted = error.server().is_some() || error.kind() == ErrorKind::IssuerMismatch;
            check_error_for_secrets(&error, if is_quoted { &CALLBACK_SECRETS } else { &SECRETS });
            assert!(pending.is_none() || error.kind() != ErrorKind::PendingExpired);
            Err(error)
        }
    }
}

/// Parses a token response, to an authorization code and to a refresh token. Only a successful status with an access token is
/// accepted. Accepted tokens can be stored.
pub fn token_response(input: &[u8]) -> bool {
    let response = parse_response(input);
    let (status, body) = (response.status(), String::from_utf8_lossy(response.body()).into_owned());
    let fixture = Fixture::new();
    fixture.set_response(Endpoint::Token, response);
    let login = fixture.log_in(None).map(|login| login.into_tokens());
    let refreshed = block_on(fixture.webex.refresh(&fixture.tokens()));
    for (outcome, secrets) in [(&login, &EXCHANGE_SECRETS), (&refreshed, &REFRESH_SECRETS)] {
        match outcome {
            Ok(tokens) => {
                assert!(status.is_success());
                // The response may contain the fixture's refresh token in another field.
                check_tokens(tokens, if body.contains(REFRESH_TOKEN) { "" } else { &body });
            }
            Err(error) => check_token_error(error, secrets, status),
        }
    }
    assert_eq!(login.is_ok(), refreshed.is_ok(), "{login:?} {refreshed:?}");
    login.is_ok()
}

/// Checks that tokens are valid header values, are redacted in `Debug` output, and survive a round trip through their stored form.
pub(crate) fn check_tokens(tokens: &TokenSet, text: &str) {
    let secrets = [Some(tokens.access_token().expose()), tokens.refresh_token().map(|token| token.expose())];
    secrets.into_iter().flatten().for_each(|secret| assert_debug_redacts(tokens, secret, text));
    let token = tokens.access_token().expose();
    assert!(HeaderValue::from_str(token).is_ok() && !token.contains(' ') && !token.is_empty());
    let stored = tokens.to_stored().unwrap();
    let restored = TokenSet::from_stored(stored.expose()).unwrap();
    assert_eq!(restored.to_stored().unwrap().expose(), stored.expose());
    assert!(restored.access_token() == tokens.access_token() && restored.refresh_token() == tokens.refresh_token());
    assert_eq!((restored.account(), restored.scopes()), (tokens.account(), tokens.scopes()));
    assert_eq!((restored.expires_at(), restored.received_at()), (tokens.expires_at(), tokens.received_at()));
}

fn check_token_error(error: &Error, secrets: &[&str], status: StatusCode) {
    check_error_for_secrets(error, secrets);
    assert!(matches!(error.kind(), ErrorKind::CodeExchange | ErrorKind::Refresh), "{error:?}");
    if status.is_server_error() || status.is_redirection() || status == StatusCode::TOO_MANY_REQUESTS {
        assert!(error.is_retryable(), "{status}: {error:?}");
    }
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    assert!(error.retry_after().is_none_or(|pause| bounds.contains(&pause)), "{error:?}");
}

/// Fetches the person response in the input. Only a response with an ID is accepted, and its stored form can be parsed.
pub fn person(input: &[u8]) -> bool {
    let fixture = Fixture::new();
    fixture.set_response(Endpoint::Person, parse_response(input));
    let mut login = fixture.log_in(None).unwrap();
    match block_on(fixture.webex.identify(&mut login)) {
        Ok(person) => {
            assert!(!person.id().is_empty());
            check_tokens(login.tokens(), "");
        }
        Err(error) => {
            check_error_for_secrets(&error, &[ACCESS_TOKEN]);
            assert!(error.kind() == ErrorKind::PersonRequest && !error.is_login_required(), "{error:?}");
            return false;
        }
    }
    login.tokens().account().person_id().is_some()
}

/// Parses a `Retry-After` header. The result is between one second and one hour, and exact for a number. Only numbers count as
/// accepted.
pub fn retry_after(input: &[u8]) -> bool {
    let Ok(value) = HeaderValue::from_bytes(input) else { return false };
    let mut response = parse_response(b"429\n\n{}");
    response.headers_mut().insert(RETRY_AFTER, value);
    let fixture = Fixture::new();
    fixture.set_response(Endpoint::Token, response);
    let error = fixture.log_in(None).unwrap_err();
    check_token_error(&error, &SECRETS, StatusCode::TOO_MANY_REQUESTS);
    let pause = error.retry_after().expect("the response has the header").as_secs();
    let text = input.trim_ascii();
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if is_number {
        let digits = std::str::from_utf8(text).unwrap();
        assert_eq!(pause, digits.parse().unwrap_or(u64::MAX).clamp(1, 3600));
    }
    is_number
}
