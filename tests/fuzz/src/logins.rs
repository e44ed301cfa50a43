//! What comes back from the browser and from the token endpoint.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::de::value::{Error as MapError, MapDeserializer};
use serde::{Deserialize as _, de::IntoDeserializer as _};
use webex_oauth::{Callback, Error, ErrorKind, TokenSet};

use crate::answer;
use crate::leak::{assert_debug_silent, assert_hides, assert_sound, assert_sound_beside};
use crate::stage::{
    ACCESS_TOKEN, OF_CALLBACK, OF_EXCHANGE, OF_REFRESH, Place, REFRESH_TOKEN, SECRETS, STATE, Stage, wait,
};

/// A callback: as text, as a web framework hands its parameters over, and as JSON. Accepted is only what has the state of
/// the login and a code, each once.
pub fn callback(input: &[u8]) -> bool {
    let stage = Stage::new();
    if let Ok(callback) = serde_json::from_slice::<Callback>(input) {
        accept(&stage, callback).ok();
    }
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let parsed = Callback::parse(text).inspect_err(assert_sound).and_then(|callback| accept(&stage, callback));
    let query = text.trim().split('#').next().unwrap_or_default();
    let query = query.split_once('?').map_or(query, |(_, query)| query);
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let values =
        |name: &str| pairs.iter().filter(|(own, _)| own == name).map(|(_, value)| &**value).collect::<Vec<_>>();
    if parsed.is_ok() && is_plain(text) {
        assert_eq!(values("state"), [STATE], "{text}");
        assert!(matches!(values("code")[..], [code] if !code.is_empty()), "{text}");
        assert!(values("error").iter().all(|error| error.is_empty()), "{text}");
    }
    let map = pairs.iter().map(|(name, value)| (&**name, &**value));
    let map = MapDeserializer::<_, MapError>::new(map.map(|(name, value)| (name, value.into_deserializer())));
    let deserialized = Callback::deserialize(map).map_err(|error| error.to_string()).expect("nothing is refused here");
    let deserialized = accept(&stage, deserialized);
    if is_plain(text) && text.len() < 8192 {
        assert_eq!(parsed.as_ref().err().map(Error::kind), deserialized.as_ref().err().map(Error::kind), "{text}");
    }
    parsed.is_ok()
}

/// Whether it is clear, without the crate's help, where the query begins.
fn is_plain(text: &str) -> bool {
    text.starts_with("http://localhost:5000/callback?") || !text.contains(['?', '/', ':', '#'])
}

fn accept(stage: &Stage, callback: Callback) -> Result<(), Error> {
    assert_debug_silent(&callback);
    assert!(callback.pending_id().is_none_or(|id| id.as_str().len() == 22));
    match stage.webex.accept(stage.pending(None), callback) {
        Ok(code) => {
            assert_debug_silent(&code);
            Ok(())
        }
        Err(refused) => {
            assert!(refused.payload::<String>().unwrap().is_some(), "the payload is lost");
            let (error, pending) = refused.into_parts();
            // What the callback says of itself is quoted, cleaned.
            let is_quoted = error.server().is_some() || error.kind() == ErrorKind::IssuerMismatch;
            assert_sound_beside(&error, if is_quoted { &OF_CALLBACK } else { &SECRETS });
            assert!(pending.is_none() || error.kind() != ErrorKind::PendingExpired);
            Err(error)
        }
    }
}

/// An answer of the token endpoint, to a code and to a refresh token. Accepted is only a good status with an access token;
/// what is accepted can be kept.
pub fn token_response(input: &[u8]) -> bool {
    let answer = answer::read(input);
    let (status, body) = (answer.status(), String::from_utf8_lossy(answer.body()).into_owned());
    let stage = Stage::new();
    stage.answer(Place::Token, answer);
    let login = stage.log_in(None).map(|login| login.into_tokens());
    let refreshed = wait(stage.webex.refresh(&stage.tokens()));
    for (outcome, secrets) in [(&login, &OF_EXCHANGE), (&refreshed, &OF_REFRESH)] {
        match outcome {
            Ok(tokens) => {
                assert!(status.is_success());
                // An answer may call something else by the name of a refresh token that is kept.
                check_tokens(tokens, if body.contains(REFRESH_TOKEN) { "" } else { &body });
            }
            Err(error) => check_refusal(error, secrets, status),
        }
    }
    assert_eq!(login.is_ok(), refreshed.is_ok(), "{login:?} {refreshed:?}");
    login.is_ok()
}

/// Tokens can be used, hide what they are, and are the same when they were kept.
pub(crate) fn check_tokens(tokens: &TokenSet, text: &str) {
    let secrets = [Some(tokens.access_token().expose()), tokens.refresh_token().map(|token| token.expose())];
    secrets.into_iter().flatten().for_each(|secret| assert_hides(tokens, secret, text));
    let token = tokens.access_token().expose();
    assert!(HeaderValue::from_str(token).is_ok() && !token.contains(' ') && !token.is_empty());
    let stored = tokens.to_stored().unwrap();
    let again = TokenSet::from_stored(stored.expose()).unwrap();
    assert_eq!(again.to_stored().unwrap().expose(), stored.expose());
    assert!(again.access_token() == tokens.access_token() && again.refresh_token() == tokens.refresh_token());
    assert_eq!((again.account(), again.scopes()), (tokens.account(), tokens.scopes()));
    assert_eq!((again.expires_at(), again.received_at()), (tokens.expires_at(), tokens.received_at()));
}

fn check_refusal(error: &Error, secrets: &[&str], status: StatusCode) {
    assert_sound_beside(error, secrets);
    assert!(matches!(error.kind(), ErrorKind::CodeExchange | ErrorKind::Refresh), "{error:?}");
    if status.is_server_error() || status.is_redirection() || status == StatusCode::TOO_MANY_REQUESTS {
        assert!(error.is_retryable(), "{status}: {error:?}");
    }
    let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
    assert!(error.retry_after().is_none_or(|pause| bounds.contains(&pause)), "{error:?}");
}

/// The answer about a person. Accepted is one with an id, and what is kept of it can be read again.
pub fn person(input: &[u8]) -> bool {
    let stage = Stage::new();
    stage.answer(Place::Person, answer::read(input));
    let mut login = stage.log_in(None).unwrap();
    match wait(stage.webex.identify(&mut login)) {
        Ok(person) => {
            assert!(!person.id().is_empty());
            check_tokens(login.tokens(), "");
        }
        Err(error) => {
            assert_sound_beside(&error, &[ACCESS_TOKEN]);
            assert!(error.kind() == ErrorKind::PersonRequest && !error.is_login_required(), "{error:?}");
            return false;
        }
    }
    login.tokens().account().person_id().is_some()
}

/// The header `Retry-After`: between a second and an hour, and exact where it is a number. Accepted is a number.
pub fn retry_after(input: &[u8]) -> bool {
    let Ok(value) = HeaderValue::from_bytes(input) else { return false };
    let mut answer = answer::read(b"429\n\n{}");
    answer.headers_mut().insert(RETRY_AFTER, value);
    let stage = Stage::new();
    stage.answer(Place::Token, answer);
    let error = stage.log_in(None).unwrap_err();
    check_refusal(&error, &SECRETS, StatusCode::TOO_MANY_REQUESTS);
    let pause = error.retry_after().expect("the header is there").as_secs();
    let text = input.trim_ascii();
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if is_number {
        let digits = std::str::from_utf8(text).unwrap();
        assert_eq!(pause, digits.parse().unwrap_or(u64::MAX).clamp(1, 3600));
    }
    is_number
}
