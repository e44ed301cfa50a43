//! Why a server said no, and who can help: one pure judgement for every refusal.
//!
//! Webex answers in several shapes, most of them without an OAuth code (see [`texts`]), so the judgement goes by the
//! strongest evidence there is: the status where it speaks of the server's own state, then a known code wherever it
//! stands, then the words of the text, then what is left of the status.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Remedy};
use crate::foreign;
use crate::message;
use crate::redact;
use crate::retry_after::retry_after;
use crate::scope;
use crate::server_error::ServerError;

/// What was asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Tokens for an authorization code.
    Exchange,
    /// Tokens for a refresh token.
    Refresh,
    /// A code for a device, which a user enters elsewhere.
    DeviceCode,
    /// Tokens for a device's code.
    Device,
    /// Who the person is, with an access token.
    Person,
    /// The end of a token.
    Revocation,
    /// The keys that ID tokens are signed with.
    #[cfg(feature = "oidc")]
    Keys,
    /// What OpenID Connect tells of a user, with an access token.
    #[cfg(feature = "oidc")]
    UserInfo,
    /// What a service says of itself, or of whose issuer a user's is.
    #[cfg(feature = "oidc")]
    Discovery,
}

impl Asked {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Refresh => "refresh",
            Self::DeviceCode => "device_code",
            Self::Device => "device",
            Self::Person => "person",
            Self::Revocation => "revocation",
            #[cfg(feature = "oidc")]
            Self::Keys => "keys",
            #[cfg(feature = "oidc")]
            Self::UserInfo => "userinfo",
            #[cfg(feature = "oidc")]
            Self::Discovery => "discovery",
        }
    }

    /// Whether the user's own credentials are what is refused.
    fn is_grant(self) -> bool {
        matches!(self, Self::Exchange | Self::Refresh | Self::Device)
    }

    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::Exchange => ErrorKind::Exchange,
            Self::Refresh => ErrorKind::Refresh,
            Self::DeviceCode | Self::Device => ErrorKind::Device,
            Self::Person => ErrorKind::Person,
            Self::Revocation => ErrorKind::Revocation,
            #[cfg(feature = "oidc")]
            Self::Keys => ErrorKind::Keys,
            #[cfg(feature = "oidc")]
            Self::UserInfo => ErrorKind::UserInfo,
            #[cfg(feature = "oidc")]
            Self::Discovery => ErrorKind::Discovery,
        }
    }
}

/// Turns an answer that is no success into an error; none of `secrets` is left in it.
pub(crate) fn refusal(asked: Asked, response: &Response<Bytes>, secrets: &[&str], now: UnixTime) -> Error {
    let status = response.status();
    let body = foreign::value(response.body());
    let verdict = judge(asked, status, body.as_ref());
    let description =
        verdict.description.map(|text| redact::clean(&text, secrets, 300)).filter(|text| !text.is_empty());
    // A short secret may be a part of a known word.
    let code = verdict.code.map(|code| if verdict.is_known { code } else { redact::clean(&code, secrets, 60) });
    let mut server = ServerError::new(Some(status), code, description);
    if verdict.is_unrecognized {
        server = server.unrecognized();
    }
    let sentence = sentence(asked, verdict.remedy, status, server.code());
    let error = Error::new(asked.kind(), sentence)
        .with_server(server)
        .with_tracking_id(message::received_tracking_id(response, body.as_ref(), secrets))
        .with_retry_after(retry_after(response.headers(), now));
    match verdict.remedy {
        Some(remedy) => error.with_remedy(remedy),
        None => error,
    }
}

fn sentence(asked: Asked, remedy: Option<Remedy>, status: StatusCode, code: Option<&str>) -> &'static str {
    if status.is_redirection() {
        return "the server answered with a redirect, which is never followed: check the service's addresses";
    }
    match (asked, remedy) {
        (_, Some(Remedy::Later)) => "the server cannot answer now",
        (_, Some(Remedy::Registration)) if by_place(status).is_some() && code.is_none() => {
            "webex keeps this in another region: check the service's addresses"
        }
        (Asked::Exchange, Some(Remedy::Login)) => "webex refused the authorization code: begin a new login",
        (Asked::Refresh, Some(Remedy::Login)) => "webex refused the refresh token: the user must log in again",
        (Asked::DeviceCode, Some(Remedy::Registration)) if code != Some("invalid_scope") => {
            "webex gives this integration no code for devices: check the client id and the scopes, and that all four \
             redirect URIs https://oauth-helper-{a,d,k,r}.wbx2.com/helperservice/v1/actions/device/callback are registered"
        }
        (Asked::Device, Some(Remedy::Login)) if code == Some("tokenlimit_reached") => {
            "webex gives this user no more tokens of this integration: end a login elsewhere, then begin a new one"
        }
        (Asked::Device, Some(Remedy::Login)) => {
            "webex does not know the device's code, or it is used up: begin a new login"
        }
        (Asked::Person, Some(Remedy::Registration)) => {
            "webex refuses this access token here: a scope or a role is missing"
        }
        (Asked::Person, _) => "webex does not accept this access token: refresh it",
        #[cfg(feature = "oidc")]
        (Asked::Discovery, _) => "webex does not answer that: check the service's addresses",
        #[cfg(feature = "oidc")]
        (Asked::Keys, _) => "webex does not hand out the keys of its ID tokens: check the service's addresses",
        #[cfg(feature = "oidc")]
        (Asked::UserInfo, Some(Remedy::Registration)) => {
            "webex refuses this access token here: the scope `openid` is missing"
        }
        #[cfg(feature = "oidc")]
        (Asked::UserInfo, _) => "webex does not accept this access token: refresh it",
        (Asked::Revocation, _) => "webex did not revoke the token: see what its revocation endpoint wants",
        (_, _) if code == Some("invalid_scope") => scope::REFUSED,
        (_, _) => "webex refused the client: check client id, client secret, redirect URI and scopes",
    }
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    remedy: Option<Remedy>,
    code: Option<String>,
    is_known: bool,
    description: Option<String>,
    is_unrecognized: bool,
}

fn judge(asked: Asked, status: StatusCode, body: Option<&Value>) -> Verdict {
    let texts = body.map(texts).unwrap_or_default();
    let code = texts.iter().find_map(|text| known_code(text));
    let found = by_state(status, body)
        .or_else(|| code.and_then(by_code).filter(|remedy| asked.is_grant() || *remedy != Remedy::Login))
        .or_else(|| by_place(status))
        .or_else(|| texts.iter().find_map(|text| by_embedded_status(text)))
        .or_else(|| by_words(asked, status, &texts))
        // `invalid_request` says only that something is wrong with the request; the text may have said what.
        .or_else(|| code.and_then(|_| unexplained(asked, status)))
        .or_else(|| by_status(asked, status));
    let is_unrecognized = found.is_none();
    // A body with a good status may hold tokens: only a known code is taken from it.
    let shown = body.filter(|_| !status.is_success());
    Verdict {
        remedy: found.or(unrecognized(asked)),
        is_known: code.is_some(),
        // What is no known code but looks like one is kept: Webex may add some.
        code: code.map(str::to_owned).or_else(|| shown.and_then(unknown_code)),
        description: shown.and_then(|_| description(&texts)),
        is_unrecognized,
    }
}

/// A refusal that says nothing of its reason. A 400 or 401 to a grant is Webex's usual answer to a bad code or a dead
/// refresh token; for an access token it means that a fresh one is needed, which is nobody's fault.
fn unrecognized(asked: Asked) -> Option<Remedy> {
    match asked {
        Asked::Exchange | Asked::Refresh | Asked::Device => Some(Remedy::Login),
        Asked::Person => None,
        // Whatever it is, the user has nothing to do with it.
        Asked::Revocation | Asked::DeviceCode => Some(Remedy::Registration),
        #[cfg(feature = "oidc")]
        Asked::Keys | Asked::Discovery => Some(Remedy::Registration),
        #[cfg(feature = "oidc")]
        Asked::UserInfo => None,
    }
}

/// An `invalid_request` that says no more: of a device's code it is among Webex's answers to one that it no longer knows, with
/// a status that speaks of the request. A conflict says more than such a code does: the same request is right at another time.
fn unexplained(asked: Asked, status: StatusCode) -> Option<Remedy> {
    match (asked, status.as_u16()) {
        (_, 409) => None,
        (Asked::Device, 200..=299 | 400 | 401 | 403) => Some(Remedy::Login),
        _ => Some(Remedy::Registration),
    }
}

/// The server's or the network's own state: no statement about tokens or client.
fn by_state(status: StatusCode, body: Option<&Value>) -> Option<Remedy> {
    let passing = matches!(status.as_u16(), 408 | 423 | 425 | 429 | 500..=599) || status.is_redirection();
    // No JSON is no word from Webex: a proxy's page, a captive portal, an empty answer.
    (passing || body.is_none_or(|body| !body.is_object())).then_some(Remedy::Later)
}

/// Webex answers 451 for what it keeps in another region. That stays so, though the name of the status is "Unavailable For
/// Legal Reasons" (RFC 7725 section 3).
fn by_place(status: StatusCode) -> Option<Remedy> {
    (status == StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS).then_some(Remedy::Registration)
}

/// The codes that are known, those of RFC 6749 section 5.2 and Webex's own.
const CODES: [&str; 15] = [
    "invalid_grant",
    "expired_token",
    "access_denied",
    "login_required",
    "tokenlimit_reached",
    "invalid_client",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "slow_down",
    "authorization_pending",
    "invalid_request",
];

/// Who can help where a code settles it.
fn by_code(code: &str) -> Option<Remedy> {
    match code {
        "invalid_grant" | "expired_token" | "access_denied" | "login_required" | "tokenlimit_reached" => {
            Some(Remedy::Login)
        }
        "server_error" | "temporarily_unavailable" | "slow_down" | "authorization_pending" => Some(Remedy::Later),
        "invalid_request" => None,
        _ => Some(Remedy::Registration),
    }
}

/// A code as a word of a text, in any case: Webex's front passes on what its broker said within a sentence.
fn known_code(text: &str) -> Option<&'static str> {
    let text = without_urls(text);
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.find_map(|word| CODES.into_iter().find(|code| word.eq_ignore_ascii_case(code)))
}

/// The known code of an answer, wherever it stands; that a device has to wait may also be said in words.
pub(crate) fn code_in(body: &Value) -> Option<&'static str> {
    let texts = texts(body);
    texts.iter().find_map(|text| known_code(text)).or_else(|| {
        let spaced = |text: &&str| without_urls(text).to_ascii_lowercase().replace(['-', '_'], " ");
        let texts: Vec<_> = texts.iter().map(spaced).collect();
        let says = |words| texts.iter().any(|text| text.contains(words));
        [("slow down", "slow_down"), ("authorization pending", "authorization_pending")]
            .into_iter()
            .find_map(|(words, code)| says(words).then_some(code))
    })
}

/// A text without the addresses in it, whose parameters have telling names but say nothing.
fn without_urls(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c == ',')
        .filter(|word| !word.contains("://"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The status of a request that Webex's front made in our place: "POST failed: HTTP/1.1 503 Service Unavailable ...".
fn by_embedded_status(text: &str) -> Option<Remedy> {
    let (_, rest) = text.split_once("HTTP/1.1 ").or_else(|| text.split_once("HTTP/2 "))?;
    let status = StatusCode::from_bytes(rest.as_bytes().get(..3)?).ok()?;
    by_state(status, Some(&Value::Object(Default::default()))).or_else(|| by_place(status))
}

/// Words that were seen, and their kin. The client's come first: "refresh token was issued to another client id" is no
/// reason to ask the user. Only statuses that speak of the request's credentials can end a login.
fn by_words(asked: Asked, status: StatusCode, texts: &[&str]) -> Option<Remedy> {
    let text = texts.iter().map(|text| without_urls(text)).collect::<Vec<_>>().join("; ");
    let text = text.to_ascii_lowercase().replace(['_', '-'], " ");
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&CLIENT_WORDS) {
        return Some(Remedy::Registration);
    }
    let ends_logins = match status.as_u16() {
        200..=299 | 400 | 401 => says(&["token", "code", "grant"]) && says(&ENDING_WORDS),
        403 => says(&["refresh token", "revoked"]),
        _ => false,
    };
    if ends_logins && asked.is_grant() {
        return Some(Remedy::Login);
    }
    says(&PASSING_WORDS).then_some(Remedy::Later)
}

const CLIENT_WORDS: [&str; 12] = [
    "client id",
    "clientid",
    "client secret",
    "clientsecret",
    "client credentials",
    "client authentication",
    "invalid client",
    "unknown client",
    "bad credentials",
    "redirect",
    "scope",
    // The name of 451, under another status.
    "for legal reasons",
];

const ENDING_WORDS: [&str; 8] =
    ["invalid", "expired", "revoked", "malformed,", "is malformed", "not found", "unknown", "inactive"];

const PASSING_WORDS: [&str; 6] =
    ["server error", "unexpected condition", "temporarily", "try again", "too many requests", "unavailable"];

/// What is left when nothing was said: only a 400 or 401 is about the code or token that was sent.
fn by_status(asked: Asked, status: StatusCode) -> Option<Remedy> {
    match status.as_u16() {
        // Where a device waits, a bad code has its words; what has none is about the client.
        401 if asked == Asked::Device => Some(Remedy::Registration),
        400 | 401 => None,
        402 | 403 | 404 | 405 | 406 | 410 | 411 | 413 | 414 | 415 | 451 => Some(Remedy::Registration),
        _ => Some(Remedy::Later),
    }
}

/// What is looked at of an answer: Webex's have four texts at most, of a line each; a hostile one may be a mebibyte of them.
const MOST_TEXTS: usize = 32;
const LONGEST_TEXT: usize = 2048;

/// Every text that may say why. The known shapes are `{"error", "error_description"}`,
/// `{"message", "errors": [{"description"}]}` and `{"code", "message"}`; others are searched in the same way, except
/// for fields that could hold a secret or only an id.
fn texts(body: &Value) -> Vec<&str> {
    fn gather<'a>(value: &'a Value, depth: usize, texts: &mut Vec<&'a str>) {
        match value {
            Value::String(text) if texts.len() < MOST_TEXTS && !text.trim().is_empty() => {
                let text = text.char_indices().nth(LONGEST_TEXT).map_or(text.as_str(), |(end, _)| &text[..end]);
                if !texts.contains(&text) {
                    texts.push(text);
                }
            }
            Value::Array(items) if depth > 0 => items.iter().for_each(|item| gather(item, depth - 1, texts)),
            Value::Object(fields) if depth > 0 => {
                let telling = fields.iter().filter(|(name, _)| is_telling(name));
                telling.for_each(|(_, value)| gather(value, depth - 1, texts));
            }
            _ => {}
        }
    }

    let mut texts = Vec::new();
    for name in ["error", "error_description", "errors"] {
        body.get(name).into_iter().for_each(|value| gather(value, 4, &mut texts));
    }
    gather(body, 4, &mut texts);
    texts
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !["token", "secret", "password", "key", "jwt", "tracking", "code", "uri", "url"]
        .iter()
        .any(|word| name.contains(word))
}

/// What the server said, without texts that are a code and nothing else.
fn description(texts: &[&str]) -> Option<String> {
    let told: Vec<_> = texts.iter().filter(|text| !CODES.contains(&text.trim())).copied().collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// A word in `error` that no standard knows.
fn unknown_code(body: &Value) -> Option<String> {
    let word = body.get("error")?.as_str()?.trim();
    let is_word = !word.is_empty() && word.len() <= 60 && !word.contains(char::is_whitespace);
    is_word.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const LOGIN: &str = "login";
    const DEVELOPER: &str = "developer";
    const LATER: &str = "later";
    const NOBODY: &str = "nobody";

    fn response(status: u16, body: &str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    }

    fn who(error: &Error) -> &'static str {
        match (error.is_login_required(), error.is_misconfigured(), error.is_retryable()) {
            (true, false, false) => LOGIN,
            (false, true, false) => DEVELOPER,
            (false, false, true) => LATER,
            _ => NOBODY,
        }
    }

    fn refused(asked: Asked, status: u16, body: &str) -> Error {
        refusal(asked, &response(status, body), &[], UnixTime::from_secs(0))
    }

    /// Webex's words, as its documentation, its SDKs' issues and its samples show them.
    const HYDRA_SYNTAX: &str = "The request could not be understood by the server due to malformed syntax.";

    #[test]
    fn refreshes_are_judged_by_the_strongest_evidence() {
        let hydra = |description: &str| {
            format!(
                r#"{{"message":"{HYDRA_SYNTAX}","errors":[{{"description":"{description}"}}],"trackingId":"ROUTER_1"}}"#
            )
        };
        let rows: Vec<(u16, String, &str, Option<&str>)> = vec![
            // The status first.
            (408, "{}".into(), LATER, None),
            (423, r#"{"error":"invalid_grant"}"#.into(), LATER, Some("invalid_grant")),
            (425, "{}".into(), LATER, None),
            (429, r#"{"message":"Too many requests"}"#.into(), LATER, None),
            (500, r#"{"error_description":"x","error":"Internal Server Error"}"#.into(), LATER, None),
            (502, "<html>bad gateway</html>".into(), LATER, None),
            (503, "".into(), LATER, None),
            (504, r#"{"error":"invalid_client"}"#.into(), LATER, Some("invalid_client")),
            (301, "".into(), LATER, None),
            (307, r#"{"error":"invalid_grant"}"#.into(), LATER, Some("invalid_grant")),
            (400, "<html>blocked</html>".into(), LATER, None),
            (400, "".into(), LATER, None),
            (401, "   ".into(), LATER, None),
            (403, "<html>forbidden</html>".into(), LATER, None),
            (400, "[1]".into(), LATER, None),
            (200, "<html>please sign in to the Wi-Fi</html>".into(), LATER, None),
            // Then a code, wherever it stands.
            (400, r#"{"error":"invalid_grant"}"#.into(), LOGIN, Some("invalid_grant")),
            (401, r#"{"message":"invalid_grant"}"#.into(), LOGIN, Some("invalid_grant")),
            (400, hydra("invalid_grant"), LOGIN, Some("invalid_grant")),
            (400, r#"{"error":"invalid_grant","error_description":"client id mismatch"}"#.into(), LOGIN, Some("invalid_grant")),
            (400, r#"{"error":"access_denied"}"#.into(), LOGIN, Some("access_denied")),
            (401, r#"{"error":"invalid_client"}"#.into(), DEVELOPER, Some("invalid_client")),
            (400, r#"{"error":"unauthorized_client"}"#.into(), DEVELOPER, Some("unauthorized_client")),
            (400, r#"{"error":"unsupported_grant_type"}"#.into(), DEVELOPER, Some("unsupported_grant_type")),
            (400, r#"{"error":"invalid_scope","error_description":"The requested scope is invalid.","trackingID":"CLIENT_6"}"#.into(), DEVELOPER, Some("invalid_scope")),
            (400, r#"{"error":"temporarily_unavailable"}"#.into(), LATER, Some("temporarily_unavailable")),
            (200, r#"{"error":"invalid_grant"}"#.into(), LOGIN, Some("invalid_grant")),
            // Then the text; `invalid_request` leaves it the word.
            (400, hydra("Client Id is invalid"), DEVELOPER, None),
            (401, r#"{"message":"Invalid client credentials","errors":[{"description":"The provided clientSecret is invalid"}]}"#.into(), DEVELOPER, None),
            (400, r#"{"message":"client_secret cannot be null or empty"}"#.into(), DEVELOPER, None),
            (400, r#"{"message":"Invalid client secret"}"#.into(), DEVELOPER, None),
            (400, r#"{"message":"The refresh token was issued to another client id"}"#.into(), DEVELOPER, None),
            (400, r#"{"message":"Some requested scope is not registered"}"#.into(), DEVELOPER, None),
            (400, hydra("The refresh token provided is expired, revoked, malformed, or invalid"), LOGIN, None),
            (400, r#"{"error":"invalid_request","error_description":"The refresh token provided is expired, revoked, malformed, or invalid"}"#.into(), LOGIN, Some("invalid_request")),
            (400, r#"{"error":"invalid_request"}"#.into(), DEVELOPER, Some("invalid_request")),
            (403, r#"{"message":"the token was revoked"}"#.into(), LOGIN, None),
            (400, r#"{"error":"INVALID_CLIENT"}"#.into(), DEVELOPER, Some("invalid_client")),
            (400, r#"{"message":"invalid_client: unknown client"}"#.into(), DEVELOPER, Some("invalid_client")),
            (401, r#"{"message":"Client authentication failed"}"#.into(), DEVELOPER, None),
            (401, r#"{"message":"Bad credentials"}"#.into(), DEVELOPER, None),
            (400, r#"{"errors":["Client Id is invalid"]}"#.into(), DEVELOPER, None),
            (400, r#"{"errors":{"description":"Client Id is invalid"}}"#.into(), DEVELOPER, None),
            (400, r#"{"errors":[{"message":"Client Id is invalid"}]}"#.into(), DEVELOPER, None),
            (400, r#"{"detail":"client_secret cannot be null or empty"}"#.into(), DEVELOPER, None),
            (400, r#"{"error":{"key":"400","message":[{"description":"invalid_client"}]}}"#.into(), DEVELOPER, Some("invalid_client")),
            (400, r#"{"error":"invalid_request","error_description":"Invalid token"}"#.into(), LOGIN, Some("invalid_request")),
            (401, r#"{"message":"refresh token not found"}"#.into(), LOGIN, None),
            // What Webex's front passes on from its broker.
            (401, r#"{"message":"POST failed: HTTP/1.1 401 Unauthorized (url = https://idbroker.webex.com/idb/oauth2/v1/access_token?client_id=C1, error = 'invalid_client')"}"#.into(), DEVELOPER, Some("invalid_client")),
            (400, r#"{"message":"POST failed: HTTP/1.1 400 Bad Request (url = https://idbroker.webex.com/x?client_id=C1, error = 'invalid_grant')"}"#.into(), LOGIN, Some("invalid_grant")),
            (400, r#"{"message":"POST failed: HTTP/1.1 400 Bad Request (url = https://idbroker.webex.com/x?redirect_uri=y, error = 'The refresh token provided is expired, revoked, malformed, or invalid')"}"#.into(), LOGIN, None),
            (400, r#"{"message":"POST failed: HTTP/1.1 503 Service Unavailable (url = https://idbroker.webex.com/x, request/response TrackingId = ROUTER_1)"}"#.into(), LATER, None),
            // Words of passing trouble, under a status that does not say so.
            (400, r#"{"error":"Internal Server Error","error_description":"The server encountered an unexpected condition which prevented it from fulfilling the request"}"#.into(), LATER, None),
            (400, r#"{"message":"Too many requests"}"#.into(), LATER, None),
            // Other statuses never end a login by a word.
            (409, r#"{"message":"Another refresh with this refresh token is in progress, try again"}"#.into(), LATER, None),
            (407, r#"{"message":"Proxy session expired, please authenticate"}"#.into(), LATER, None),
            (404, r#"{"message":"No route for grant refresh_token"}"#.into(), DEVELOPER, None),
            (405, r#"{"message":"refresh_token: method not allowed"}"#.into(), DEVELOPER, None),
            (403, r#"{"message":"The security token included in the request is expired"}"#.into(), DEVELOPER, None),
            (403, r#"{"message":"Your organization's subscription has expired"}"#.into(), DEVELOPER, None),
            (451, r#"{"message":"License expired"}"#.into(), DEVELOPER, None),
            // 451 is another place, whatever its words; so it is within a text, and by its name.
            (451, r#"{"error":"Unavailable For Legal Reasons","error_description":"x"}"#.into(), DEVELOPER, None),
            (451, r#"{"message":"Temporarily unavailable in your region, try again elsewhere"}"#.into(), DEVELOPER, None),
            (451, r#"{"error":"invalid_request","error_description":"x"}"#.into(), DEVELOPER, Some("invalid_request")),
            (451, r#"{"message":"POST failed: HTTP/1.1 451 Unavailable For Legal Reasons (url = https://x.y/z)"}"#.into(), DEVELOPER, None),
            (400, r#"{"message":"POST failed: HTTP/1.1 451 Unavailable For Legal Reasons (url = https://x.y/z)"}"#.into(), DEVELOPER, None),
            (400, r#"{"error_description":"x","error":"Unavailable For Legal Reasons"}"#.into(), DEVELOPER, None),
            (451, "<html>blocked</html>".into(), LATER, None),
            // A conflict passes, also where the code says nothing.
            (409, r#"{"error":"invalid_request","error_description":"x"}"#.into(), LATER, Some("invalid_request")),
            (409, r#"{"error":"invalid_request","error_description":"The redirect URI is another"}"#.into(), DEVELOPER, Some("invalid_request")),
            (409, r#"{"error":"Conflict"}"#.into(), LATER, Some("Conflict")),
            (422, r#"{"error":"invalid_request","error_description":"x"}"#.into(), DEVELOPER, Some("invalid_request")),
            // Then what the status leaves.
            (403, r#"{"code":403,"message":"no","trackingId":"GTWY_1"}"#.into(), DEVELOPER, None),
            (404, "{}".into(), DEVELOPER, None),
            (405, "{}".into(), DEVELOPER, None),
            (409, "{}".into(), LATER, None),
            (407, "{}".into(), LATER, None),
            (410, "{}".into(), DEVELOPER, None),
            (415, "{}".into(), DEVELOPER, None),
            (451, "{}".into(), DEVELOPER, None),
            (418, "{}".into(), LATER, None),
            (200, "{}".into(), LATER, None),
        ];
        for (status, body, party, code) in rows {
            let error = refused(Asked::Refresh, status, &body);
            assert_eq!((who(&error), error.server().unwrap().code()), (party, code), "{status} {body}");
            assert!(!error.server().unwrap().is_unrecognized(), "{status} {body}");
            assert_eq!(error.server().unwrap().status(), Some(status));
        }
    }

    #[test]
    fn a_refusal_without_a_reason_means_the_user_for_a_grant_and_nobody_for_an_access_token() {
        for (asked, party) in [(Asked::Refresh, LOGIN), (Asked::Exchange, LOGIN), (Asked::Person, NOBODY)] {
            for status in [400, 401] {
                let body = format!(r#"{{"message":"{HYDRA_SYNTAX}","trackingId":"ROUTER_9"}}"#);
                let error = refused(asked, status, &body);
                assert_eq!(who(&error), party);
                let server = error.server().unwrap();
                assert!(server.is_unrecognized() && server.description() == Some(HYDRA_SYNTAX));
                assert_eq!(error.tracking_id(), Some("ROUTER_9"));
            }
        }
    }

    #[test]
    fn refused_scopes_are_explained_to_the_developer_unless_time_can_help() {
        let body = r#"{"error":"invalid_scope","error_description":"The requested scope is invalid.","trackingID":"CLIENT_6"}"#;
        for asked in [Asked::Exchange, Asked::Refresh] {
            let error = refused(asked, 400, body);
            let line = error.to_string();
            assert!(error.is_misconfigured() && line.contains("register each by its own name"), "{line}");
            assert!(line.contains("`spark:all` does not cover the others") && line.contains("invalid_scope"), "{line}");
            assert!(line.contains("ask for at least one"), "{line}");
            assert!(!refused(asked, 503, body).to_string().contains("register each"));
            assert!(!refused(asked, 400, r#"{"error":"invalid_client"}"#).to_string().contains("register each"));
        }
        assert!(refused(Asked::Person, 403, body).to_string().contains("a scope or a role is missing"));
    }

    #[test]
    fn an_unknown_code_and_an_unknown_shape_are_kept() {
        let error = refused(Asked::Refresh, 400, r#"{"error":"brand_new","error_description":"surprise"}"#);
        let server = error.server().unwrap();
        assert_eq!((server.code(), server.description()), (Some("brand_new"), Some("brand_new; surprise")));
        let error = refused(Asked::Refresh, 400, r#"{"fault":"something else","n":1}"#);
        assert_eq!(error.server().unwrap().description(), Some("something else"));
    }

    #[test]
    fn no_secret_of_the_request_survives_in_the_error() {
        let body = r#"{"error":"hunter2","message":"token hunter2 and a%2Fb are bad","trackingId":"hunter2"}"#;
        let mut response = response(400, body);
        response.headers_mut().insert("trackingid", HeaderValue::from_static("hunter2"));
        let error = refusal(Asked::Refresh, &response, &["hunter2", "a/b"], UnixTime::from_secs(0));
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("a%2Fb"), "{shown}");
    }

    #[test]
    fn a_mebibyte_of_texts_is_not_looked_at_to_its_end() {
        let many: Vec<_> = (0..100_000).map(|number| format!("s{number}")).collect();
        for body in [serde_json::json!({ "errors": many }), serde_json::json!({ "message": "ä".repeat(500_000) })] {
            let texts = texts(&body);
            assert!(texts.len() <= MOST_TEXTS && texts.iter().all(|text| text.len() <= 2 * LONGEST_TEXT));
            assert!(!texts.is_empty());
        }
    }

    #[test]
    fn retry_after_is_handed_on() {
        let mut response = response(429, "{}");
        response.headers_mut().insert("retry-after", HeaderValue::from_static("7"));
        let error = refusal(Asked::Refresh, &response, &[], UnixTime::from_secs(0));
        assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(7)));
    }
}
