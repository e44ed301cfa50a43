//! Every fault of the mock with this crate's own client: the kind and the class of the error.

use std::time::Duration;

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{ErrorFormat, Fault, MockEndpoint, MockWebex, RetryAfter, WebexError};
use webex_oauth::{
    Callback, DeviceLogin, DeviceState, Error, ErrorKind, Result, RevocationScope, TokenSet, WebexOAuth,
};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

/// A mock with its relay, and a login of its client, with a clock on which waits end immediately.
async fn fixture() -> (MockWebex, WebexOAuth, TokenSet) {
    let clock = ManualClock::new(NOW).auto_advance();
    let mock = MockWebex::builder().clock(clock).relay().start().await;
    let webex = mock.client();
    let tokens = log_in(&mock, &webex).await.unwrap();
    (mock, webex, tokens)
}

async fn log_in(mock: &MockWebex, webex: &WebexOAuth) -> Result<TokenSet> {
    let (url, pending) = webex.authorize().begin()?;
    Ok(webex.login(pending, Callback::parse(mock.approve(&url))?).await?.into_tokens())
}

/// Returns the remedy: a login, the developer, time, another access token, or `-` if it is unknown.
fn error_class(error: &Error) -> char {
    match (error.is_login_required(), error.is_misconfigured(), error.is_retryable()) {
        (true, false, false) => 'L',
        (false, true, false) => 'D',
        (false, false, true) => 'T',
        (false, false, false) if error.is_token_rejected() => 'A',
        (false, false, false) => '-',
        _ => '?',
    }
}

/// The remedy for each error, in the order of [`ErrorFormat::ALL`], at refreshes and `people/me`.
///
/// An empty response or a page of a proxy is transient at a token endpoint, and unclassified at a
/// resource. A rejected refresh without a reason means an invalid refresh token, as usual at Webex.
/// A 401 of a resource concerns the access token, whatever the body contains.
const ERROR_CLASSES: &[(WebexError, &str, &str)] = &[
    (WebexError::DeadRefreshToken, "LLLLLLLLTT", "--DD-DD---"),
    (WebexError::InvalidCode, "LLLLLLLLTT", "--DD-DD---"),
    (WebexError::UnknownClient, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::WrongSecret, "DDDDDDDDTT", "AAAAAAAAAA"),
    (WebexError::MissingSecret, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::UnauthorizedClient, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::InvalidScope, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::UnsupportedGrantType, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::InvalidRequest, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::AccessTokenRefused, "LLLLLLLLTT", "AAAAAAAAAA"),
    (WebexError::Forbidden, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::NotFound, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::WrongMethod, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::Conflict, "TTTTTTTTTT", "TTTTTTTT--"),
    (WebexError::Gone, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::WrongMediaType, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::Locked, "TTTTTTTTTT", "TTTTTTTTTT"),
    (WebexError::TooManyRequests, "TTTTTTTTTT", "TTTTTTTTTT"),
    (WebexError::OtherRegion, "DDDDDDDDTT", "DDDDDDDD--"),
    (WebexError::ServerError, "TTTTTTTTTT", "TTTTTTTTTT"),
    (WebexError::BadGateway, "TTTTTTTTTT", "TTTTTTTTTT"),
    (WebexError::Unavailable, "TTTTTTTTTT", "TTTTTTTTTT"),
    (WebexError::GatewayTimeout, "TTTTTTTTTT", "TTTTTTTTTT"),
    (WebexError::AuthorizationPending, "TTTTTTTTTT", "TTTTTTTT--"),
    (WebexError::SlowDown, "TTTTTTTTTT", "TTTTTTTT--"),
    (WebexError::AccessDenied, "LLLLLLLLTT", "DDDDDDDD--"),
    (WebexError::TokenLimitReached, "TTTTTTTTTT", "DDDDDDDD--"),
];

#[tokio::test]
async fn each_error_in_each_format_has_expected_classification() {
    let (mock, webex, tokens) = fixture().await;
    let mut found = String::new();
    for error in WebexError::ALL {
        let (mut refreshed, mut requested) = (String::new(), String::new());
        for shape in ErrorFormat::ALL {
            mock.on(MockEndpoint::Any).respond_with(Fault::error_as(*shape, *error)).until_cleared();
            let rejected = webex.refresh(&tokens).await.unwrap_err();
            assert_eq!(
                (rejected.kind(), rejected.server().unwrap().status()),
                (ErrorKind::Refresh, Some(error.status()))
            );
            refreshed.push(error_class(&rejected));
            let rejected = webex.person(tokens.access_token()).await.unwrap_err();
            assert_eq!(rejected.kind(), ErrorKind::PersonRequest);
            requested.push(error_class(&rejected));
            mock.clear();
        }
        found += &format!("    (WebexError::{error:?}, \"{refreshed}\", \"{requested}\"),\n");
    }
    let expected: String = ERROR_CLASSES
        .iter()
        .map(|(error, refresh, person)| format!("    (WebexError::{error:?}, \"{refresh}\", \"{person}\"),\n"))
        .collect();
    assert!(found == expected, "the verdicts are:\n{found}");
    webex.refresh(&tokens).await.unwrap();
}

/// The remedies for code exchange, userinfo, the keys of ID tokens, and discovery.
const OTHER_ERROR_CLASSES: &[(WebexError, [&str; 4])] = &[
    (WebexError::DeadRefreshToken, ["LLLLLLLLTT", "--DD-DD---", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::InvalidCode, ["LLLLLLLLTT", "--DD-DD---", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::UnknownClient, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::WrongSecret, ["DDDDDDDDTT", "AAAAAAAAAA", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::MissingSecret, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::UnauthorizedClient, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::InvalidScope, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::UnsupportedGrantType, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::InvalidRequest, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::AccessTokenRefused, ["LLLLLLLLTT", "AAAAAAAAAA", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::Forbidden, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::NotFound, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::WrongMethod, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::Conflict, ["TTTTTTTTTT", "TTTTTTTT--", "TTTTTTTTTT", "TTTTTTTTTT"]),
    (WebexError::Gone, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::WrongMediaType, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::Locked, ["TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT"]),
    (WebexError::TooManyRequests, ["TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT"]),
    (WebexError::OtherRegion, ["DDDDDDDDTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::ServerError, ["TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT"]),
    (WebexError::BadGateway, ["TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT"]),
    (WebexError::Unavailable, ["TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT"]),
    (WebexError::GatewayTimeout, ["TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT", "TTTTTTTTTT"]),
    (WebexError::AuthorizationPending, ["TTTTTTTTTT", "TTTTTTTT--", "TTTTTTTTTT", "TTTTTTTTTT"]),
    (WebexError::SlowDown, ["TTTTTTTTTT", "TTTTTTTT--", "TTTTTTTTTT", "TTTTTTTTTT"]),
    (WebexError::AccessDenied, ["LLLLLLLLTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
    (WebexError::TokenLimitReached, ["LLLLLLLLTT", "DDDDDDDD--", "DDDDDDDDTT", "DDDDDDDDTT"]),
];

#[tokio::test]
async fn each_error_at_other_endpoints_has_expected_classification() {
    let (mock, webex, _) = fixture().await;
    let (url, pending) = webex.authorize().scopes("openid").begin().unwrap();
    let callback = Callback::parse(mock.approve(&url)).unwrap();
    let nonce = url::Url::from(url).query_pairs().find(|(name, _)| name == "nonce").unwrap().1.into_owned();
    let login = webex.login(pending, callback).await.unwrap();
    let mut found = String::new();
    for error in WebexError::ALL {
        let mut words: [String; 4] = Default::default();
        for shape in ErrorFormat::ALL {
            let fault = Fault::error_as(*shape, *error);
            for endpoint in
                [MockEndpoint::Exchange, MockEndpoint::UserInfo, MockEndpoint::Jwks, MockEndpoint::Discovery]
            {
                mock.on(endpoint).respond_with(fault.clone()).until_cleared();
            }
            let reported = [
                error_class(&log_in(&mock, &webex).await.unwrap_err()),
                error_class(
                    &webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap_err(),
                ),
                error_class(&jwks_error(&mock, login.tokens(), &nonce).await),
                error_class(&webex.discover().await.unwrap_err()),
            ];
            words.iter_mut().zip(reported).for_each(|(word, letter)| word.push(letter));
            mock.clear();
        }
        found += &format!("    (WebexError::{error:?}, {words:?}),\n");
    }
    let expected: String =
        OTHER_ERROR_CLASSES.iter().map(|(error, words)| format!("    (WebexError::{error:?}, {words:?}),\n")).collect();
    assert!(found == expected, "the verdicts are:\n{found}");
}

/// Returns the error of a client without cached keys that verifies an ID token.
async fn jwks_error(mock: &MockWebex, tokens: &TokenSet, nonce: &str) -> Error {
    let error = mock.client().verify_id_token(tokens.id_token().unwrap(), nonce).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Jwks, "{error}");
    error
}

/// The remedy for each response to a device's poll, or `p` if the device continues to poll, `s` if
/// it polls less often, and `n` if the user has denied the request.
const DEVICE_ERROR_CLASSES: &[(WebexError, &str)] = &[
    (WebexError::DeadRefreshToken, "LLLLLLLLTT"),
    (WebexError::InvalidCode, "LLLLLLLLTT"),
    (WebexError::UnknownClient, "DDDDDDDDTT"),
    (WebexError::WrongSecret, "DDDDDDDDTT"),
    (WebexError::MissingSecret, "DDDDDDDDTT"),
    (WebexError::UnauthorizedClient, "DDDDDDDDTT"),
    (WebexError::InvalidScope, "DDDDDDDDTT"),
    (WebexError::UnsupportedGrantType, "DDDDDDDDTT"),
    (WebexError::InvalidRequest, "LLLLLLLLTT"),
    (WebexError::AccessTokenRefused, "DDLLDDDDTT"),
    (WebexError::Forbidden, "DDDDDDDDTT"),
    (WebexError::NotFound, "DDDDDDDDTT"),
    (WebexError::WrongMethod, "DDDDDDDDTT"),
    (WebexError::Conflict, "TTTTTTTTTT"),
    (WebexError::Gone, "DDDDDDDDTT"),
    (WebexError::WrongMediaType, "DDDDDDDDTT"),
    (WebexError::Locked, "TTTTTTTTTT"),
    (WebexError::TooManyRequests, "TTTTTTTTTT"),
    (WebexError::OtherRegion, "DDDDDDDDTT"),
    (WebexError::ServerError, "TTTTTTTTTT"),
    (WebexError::BadGateway, "TTTTTTTTTT"),
    (WebexError::Unavailable, "TTTTTTTTTT"),
    (WebexError::GatewayTimeout, "TTTTTTTTTT"),
    (WebexError::AuthorizationPending, "pppppppppp"),
    (WebexError::SlowDown, "ssssssssTT"),
    (WebexError::AccessDenied, "nnnnnnnnTT"),
    (WebexError::TokenLimitReached, "LLLLLLLLTT"),
];

#[tokio::test]
async fn each_error_of_device_poll_has_expected_classification() {
    let (mock, webex, _) = fixture().await;
    let mut found = String::new();
    for error in WebexError::ALL {
        let mut reported = String::new();
        for shape in ErrorFormat::ALL {
            let mut device = DeviceLogin::start(&webex).await.unwrap();
            assert!(matches!(device.next().await, Some(DeviceState::Pending { .. })), "before the first poll");
            mock.on(MockEndpoint::DeviceToken).respond_with(Fault::error_as(*shape, *error));
            reported.push(match device.next().await.unwrap() {
                DeviceState::Pending { .. } => 'p',
                DeviceState::SlowedDown { .. } => 's',
                DeviceState::Denied(_) => 'n',
                DeviceState::PollFailed { error, .. } | DeviceState::Failed(error) => error_class(&error),
                state => panic!("{state:?}"),
            });
            assert_eq!(mock.faults_left(), 0, "the poll was sent");
        }
        found += &format!("    (WebexError::{error:?}, \"{reported}\"),\n");
    }
    let expected: String = DEVICE_ERROR_CLASSES
        .iter()
        .map(|(error, reported)| format!("    (WebexError::{error:?}, \"{reported}\"),\n"))
        .collect();
    assert!(found == expected, "the verdicts are:\n{found}");
}

/// The outcome of a call in which every response has a fault, and the number of requests: of a
/// refresh, an exchange, and a request of the person.
type FaultOutcome = (Fault, [(&'static str, usize); 3]);

/// Returns the outcome in one word: `ok`, or the remedy and the status or delivery of the response.
fn outcome_label<T>(outcome: Result<T>) -> String {
    match outcome {
        Ok(_) => "ok".to_owned(),
        Err(error) => match (error.server(), error.delivery()) {
            (Some(server), _) => format!("{}{}", error_class(&error), server.status().unwrap_or_default()),
            (None, Some(delivery)) => format!("{}{delivery:?}", error_class(&error)),
            (None, None) => format!("{}{:?}", error_class(&error), error.kind()),
        },
    }
}

const SUCCESS: [(&str, usize); 3] = [("ok", 1), ("ok", 1), ("ok", 1)];
/// A response without a JSON object may come from a captive portal, so it is transient.
const NOT_JSON: [(&str, usize); 3] = same_outcome("T200", [1, 1, 1]);
const NO_CONTENT: [(&str, usize); 3] = same_outcome("T204", [1, 1, 1]);
/// A JSON object with neither tokens nor a person.
const UNUSABLE_JSON: [(&str, usize); 3] = [("TRefresh", 1), ("TCodeExchange", 1), ("TPersonRequest", 1)];
/// Invalid tokens. A request of the person does not return tokens.
const NO_TOKENS: [(&str, usize); 3] = [("TRefresh", 1), ("TCodeExchange", 1), ("ok", 1)];
/// A code must not be sent twice. Other requests are repeated once after a lost response.
const LOST_RESPONSE: [(&str, usize); 3] = [("TUnknown", 2), ("TUnknown", 1), ("TUnknown", 2)];
/// There is no time left for a retry.
const TIMED_OUT: [(&str, usize); 3] = [("TUnknown", 1), ("TUnknown", 1), ("TUnknown", 1)];

const fn same_outcome(word: &'static str, sent: [usize; 3]) -> [(&'static str, usize); 3] {
    [(word, sent[0]), (word, sent[1]), (word, sent[2])]
}

fn response_faults() -> Vec<FaultOutcome> {
    let dead = Fault::error_as(ErrorFormat::Broker, WebexError::DeadRefreshToken);
    vec![
        (Fault::none(), SUCCESS),
        (Fault::none().delayed(Duration::from_millis(5)), SUCCESS),
        (Fault::status(503).html(), same_outcome("T503", [3, 1, 3])),
        (Fault::status(500), same_outcome("T500", [1, 1, 1])),
        (Fault::status(502).html().after_processing(), same_outcome("T502", [3, 1, 3])),
        (Fault::status(200), NOT_JSON),
        (Fault::status(204), NO_CONTENT),
        (Fault::captive_portal(), NOT_JSON),
        (Fault::status(200).body("text/plain", "access_token=x"), NOT_JSON),
        (Fault::status(200).json("[]"), NOT_JSON),
        (Fault::status(200).json("{\"access_token\":"), NOT_JSON),
        (dead.with_status(200), [("L200", 1), ("L200", 1), ("TPersonRequest", 1)]),
        (Fault::error(WebexError::Unavailable).with_status(200), UNUSABLE_JSON),
        (Fault::redirect(301), same_outcome("T301", [1, 1, 1])),
        (Fault::redirect(302), same_outcome("T302", [1, 1, 1])),
        (Fault::redirect(307).after_processing(), same_outcome("T307", [1, 1, 1])),
    ]
}

/// Correct responses of the mock with unusual headers or encodings.
fn override_faults() -> Vec<FaultOutcome> {
    vec![
        // The content type is ignored in favor of the body, as RFC 9110, section 8.3, permits.
        (Fault::none().content_type("text/html"), SUCCESS),
        (Fault::none().content_type("text/plain; charset=utf-16"), SUCCESS),
        (Fault::none().header("content-type", ""), SUCCESS),
        (Fault::none().header("x-odd", "\u{1f600}"), SUCCESS),
        (Fault::none().with_status(201), SUCCESS),
        (Fault::none().with_status(299), SUCCESS),
        // Tokens in a response with an error are ignored.
        (Fault::none().with_status(503), same_outcome("T503", [3, 1, 3])),
        (Fault::none().with_status(500), same_outcome("T500", [1, 1, 1])),
        (Fault::none().with_status(403), same_outcome("D403", [1, 1, 1])),
        (Fault::none().with_status(302).header("location", "http://127.0.0.1:9/"), same_outcome("T302", [1, 1, 1])),
        (Fault::none().with_status(204), NO_CONTENT),
        (Fault::none().retry_after(RetryAfter::Seconds(7)), SUCCESS),
        (Fault::none().duplicate_tracking_id(), SUCCESS),
        (Fault::none().html(), NOT_JSON),
        (Fault::remove_member("access_token").content_type("text/html"), NO_TOKENS),
        (Fault::truncated().with_status(503), LOST_RESPONSE),
    ]
}

fn json_faults() -> Vec<FaultOutcome> {
    vec![
        (Fault::remove_member("access_token"), NO_TOKENS),
        (Fault::duplicate_member("access_token"), NO_TOKENS),
        (Fault::set_member("access_token", "\"\""), NO_TOKENS),
        (Fault::set_member("access_token", "\"a\\nb\""), NO_TOKENS),
        (Fault::set_member("access_token", "7"), NO_TOKENS),
        (Fault::set_member("token_type", "\"mac\""), NO_TOKENS),
        (Fault::remove_member("id"), [("ok", 1), ("ok", 1), ("TPersonRequest", 1)]),
        (Fault::duplicate_member("id"), [("ok", 1), ("ok", 1), ("TPersonRequest", 1)]),
        (Fault::set_member("expires_in", "\"1209599\""), SUCCESS),
        (Fault::set_member("expires_in", "1209599.9"), SUCCESS),
        (Fault::set_member("expires_in", "null"), SUCCESS),
        (Fault::set_member("expires_in", "\"soon\""), SUCCESS),
        (Fault::set_member("expires_in", "-1"), SUCCESS),
        (Fault::set_member("scope", "7"), SUCCESS),
        (Fault::set_member("\u{1f600}", "{\"a\":[]}"), SUCCESS),
    ]
}

fn connection_faults() -> Vec<FaultOutcome> {
    vec![
        (Fault::closed(), LOST_RESPONSE),
        (Fault::lost_response(), LOST_RESPONSE),
        (Fault::truncated(), LOST_RESPONSE),
        (Fault::reset(), LOST_RESPONSE),
        (Fault::dripping(Duration::ZERO), SUCCESS),
        (Fault::hanging(), TIMED_OUT),
        (Fault::stalled(), TIMED_OUT),
    ]
}

#[tokio::test]
async fn each_fault_has_expected_outcome_and_request_count() {
    let (mock, patient, tokens) = fixture().await;
    let hasty = mock.client_builder().timeout(Duration::from_secs(1)).build().unwrap();
    for (fault, expected) in
        response_faults().into_iter().chain(override_faults()).chain(json_faults()).chain(connection_faults())
    {
        let webex = if expected == TIMED_OUT { &hasty } else { &patient };
        let mut found = Vec::new();
        for endpoint in [MockEndpoint::Refresh, MockEndpoint::Exchange, MockEndpoint::Person] {
            mock.on(endpoint.clone()).respond_with(fault.clone()).until_cleared();
            let before = mock.requests_to(endpoint.clone());
            let outcome = match endpoint {
                MockEndpoint::Refresh => outcome_label(webex.refresh(&tokens).await),
                MockEndpoint::Exchange => outcome_label(log_in(&mock, webex).await),
                _ => outcome_label(webex.person(tokens.access_token()).await),
            };
            found.push((outcome, mock.requests_to(endpoint) - before));
            mock.clear();
        }
        let found: Vec<_> = found.iter().map(|(word, times)| (word.as_str(), *times)).collect();
        assert_eq!(found, expected, "{fault:?}");
    }
    assert_eq!(mock.followed_redirects(), 0);
}

#[tokio::test]
async fn each_retry_after_form_is_parsed_within_bounds() {
    let (mock, webex, _) = fixture().await;
    for (retry_after, seconds) in [
        (Some(RetryAfter::Seconds(7)), Some(7)),
        (Some(RetryAfter::Seconds(0)), Some(1)),
        (Some(RetryAfter::Seconds(86_400)), Some(3600)),
        (Some(RetryAfter::Date(Duration::from_secs(30))), Some(30)),
        (Some(RetryAfter::PastDate), Some(1)),
        (Some(RetryAfter::Negative), Some(15)),
        (Some(RetryAfter::Fraction), Some(15)),
        (Some(RetryAfter::Malformed), Some(15)),
        (Some(RetryAfter::Blank), Some(15)),
        (Some(RetryAfter::Huge), Some(3600)),
        (Some(RetryAfter::Rfc850Date(Duration::from_secs(30))), Some(30)),
        (Some(RetryAfter::AsctimeDate(Duration::from_secs(30))), Some(30)),
        (Some(RetryAfter::Padded(7)), Some(7)),
        (Some(RetryAfter::Twice(7, 30)), Some(7)),
        (Some(RetryAfter::Twice(30, 7)), Some(30)),
        (Some(RetryAfter::Opaque), Some(15)),
        (None, None),
    ] {
        for error in [WebexError::Locked, WebexError::TooManyRequests, WebexError::Unavailable] {
            mock.on(MockEndpoint::Exchange)
                .respond_with(retry_after.into_iter().fold(Fault::error(error), Fault::retry_after));
            let rejected = log_in(&mock, &webex).await.unwrap_err();
            assert!(rejected.is_retryable(), "{rejected}");
            assert_eq!(rejected.retry_after().map(|wait| wait.as_secs()), seconds, "{error:?} {retry_after:?}");
        }
    }
}

#[tokio::test]
async fn other_endpoints_fail_with_own_error_kind() {
    let (mock, _, tokens) = fixture().await;
    let service = mock.service().with_revocation_endpoint(mock.revocation_endpoint());
    for (endpoint, kind) in [
        (MockEndpoint::UserInfo, ErrorKind::UserInfo),
        (MockEndpoint::Jwks, ErrorKind::Jwks),
        (MockEndpoint::Discovery, ErrorKind::Discovery),
        (MockEndpoint::WebFinger, ErrorKind::Discovery),
        (MockEndpoint::Revocation, ErrorKind::Revocation),
        (MockEndpoint::Authorizations, ErrorKind::PersonRequest),
    ] {
        for fault in [Fault::status(503).html(), Fault::redirect(302), Fault::lost_response(), Fault::reset()] {
            // Each client has its own key cache.
            let webex = mock.client_builder().service(service.clone()).build().unwrap();
            mock.on(endpoint.clone()).respond_with(fault.clone()).until_cleared();
            let error = endpoint_error(&mock, &webex, &endpoint, &tokens).await;
            assert_eq!((error.kind(), error_class(&error)), (kind, 'T'), "{endpoint} {fault}: {error}");
            mock.clear();
        }
    }
    assert_eq!(mock.followed_redirects(), 0);
}

/// Returns the error of a call of this endpoint.
async fn endpoint_error(mock: &MockWebex, webex: &WebexOAuth, endpoint: &MockEndpoint, tokens: &TokenSet) -> Error {
    let proven = async || {
        let (url, pending) = webex.authorize().scopes("openid").begin().unwrap();
        webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await
    };
    match endpoint {
        MockEndpoint::UserInfo => webex.user_info_for(&mut proven().await.unwrap()).await.unwrap_err(),
        MockEndpoint::Jwks => proven().await.unwrap_err(),
        MockEndpoint::Discovery => webex.discover().await.unwrap_err(),
        MockEndpoint::WebFinger => webex.home_issuer("jane@example.com").await.unwrap_err(),
        MockEndpoint::Revocation => webex.revoke(tokens, RevocationScope::ThisSession).await.unwrap_err(),
        _ => webex.token_expiry(tokens.access_token()).await.unwrap_err(),
    }
}

/// A number is not an error code, and neither is a URL that contains a code.
#[tokio::test]
async fn error_description_omits_codes_and_urls() {
    let (mock, webex, tokens) = fixture().await;
    for shape in [ErrorFormat::Documented, ErrorFormat::Numbered, ErrorFormat::Broker, ErrorFormat::BrokerWithUri] {
        mock.on(MockEndpoint::Refresh).respond_with(Fault::error_as(shape, WebexError::UnknownClient));
        let error = webex.refresh(&tokens).await.unwrap_err();
        let description = error.server().unwrap().description().unwrap();
        assert!(description.contains("Client Id is invalid") && !description.contains("://"), "{description}");
        assert!(!description.contains("400001"), "{description}");
    }
}

/// A comma separates two IDs in the header. Cisco's support needs one of them.
#[tokio::test]
async fn duplicate_tracking_id_is_reported_once() {
    let (mock, webex, tokens) = fixture().await;
    for shape in [ErrorFormat::Documented, ErrorFormat::StatusName, ErrorFormat::Page] {
        mock.on(MockEndpoint::Refresh)
            .respond_with(Fault::error_as(shape, WebexError::DeadRefreshToken).duplicate_tracking_id());
        let error = webex.refresh(&tokens).await.unwrap_err();
        let id = error.tracking_id().unwrap();
        assert!(id.starts_with("WEBEXOAUTH_") && !id.contains(','), "{id}");
    }
}
