//! The rules of the simulated Webex: the response to each request, without I/O.
//!
//! - `openid` creates ID tokens, and contains discovery, WebFinger, userinfo, and logout.
//! - `authorize` validates authorization requests, and `browser_flow` shows the pages.
//! - `token` issues, refreshes, and revokes tokens. `device` implements the device grant (RFC 8628).
//! - `resource` responds to API calls with the resources of a test.
//!
//! This file routes requests, and responds to `people/me` and `tokenExpiry`.

use serde_json::json;

use crate::clock::UnixTime;
use crate::testing::endpoint::{DISCOVERY, KEYS_OF_ISSUER, MockEndpoint, WEB_FINGER};
use crate::testing::faults::fault::NamedFault;
use crate::testing::message::{Body, DeviceErrorFormat, Fields, Reply, Request, RestError, RuleResult};
use crate::testing::model::state::{Bearer, State, StepContext};
use crate::testing::pages::Page;
use crate::testing::registry::MockUser;
use crate::testing::rules::device::{DEVICE_AUTHORIZATION_PATH, DEVICE_TOKEN_PATH, VERIFICATION_PATH};
use crate::testing::rules::openid::LOGOUT;
use crate::testing::rules::resource::Caller;
use crate::testing::token_codec;

pub(crate) mod openid;
pub(crate) mod authorize;
pub(crate) mod token;
pub(crate) mod device;
pub(crate) mod resource;
pub(crate) mod browser_flow;

/// Responds to a request.
pub(crate) fn respond(request: &Request, state: &mut State, context: &mut StepContext<'_>) -> Reply {
    let tracking_id = match &request.tracking_id {
        Some(id) => id.clone(),
        None => format!("ROUTER_{}", token_codec::uuid(&(context.random)())),
    };
    match route_request(request, state, context) {
        Ok((status, Body::DeviceError(code, spelling))) => {
            let body = match spelling.json(code, &tracking_id) {
                Some(value) => Body::Json(value),
                None if spelling == DeviceErrorFormat::Empty => Body::Empty,
                None => Body::Page(Page::CaptivePortal),
            };
            Reply { status, body, tracking_id, reason: Some("requested by the test") }
        }
        Ok((status, body)) => Reply { status, body, tracking_id, reason: None },
        Err(RestError { status, message, description, reason }) => {
            let errors = json!([{ "description": description }]);
            let body = json!({ "message": message, "errors": errors, "trackingId": tracking_id });
            Reply { status, body: Body::Json(body), tracking_id, reason: Some(reason) }
        }
    }
}

fn route_request(request: &Request, state: &mut State, context: &mut StepContext<'_>) -> RuleResult {
    if is_below_issuer(KEYS_OF_ISSUER, request, state) {
        return if request.method == "GET" { keys(state) } else { Err(wrong_method()) };
    }
    if is_below_issuer(LOGOUT, request, state) {
        return if request.method == "GET" {
            Ok(openid::show_logout_page(request, state, context))
        } else {
            Err(wrong_method())
        };
    }
    if request.path == VERIFICATION_PATH && !state.service.is_meetings() {
        return if request.method == "GET" {
            Ok(browser_flow::show_verification_page(request, state, context))
        } else {
            Err(wrong_method())
        };
    }
    let endpoint = request.path.strip_prefix(state.service.base_path()).unwrap_or_default();
    let is_platform = !state.service.is_meetings();
    let is_token = endpoint == state.service.token_path();
    match (request.method.as_str(), endpoint) {
        ("GET", "/authorize") => Ok(browser_flow::respond_to_authorization_request(request, state, context)),
        ("GET", "/signin") => Ok(browser_flow::show_account_selection(request, state, context)),
        ("POST", "/signin") => Ok(browser_flow::process_sign_in_form(request, &form(request)?, state, context)),
        ("GET", "/consent") => Ok(browser_flow::show_current_page(request, state, context)),
        ("POST", "/consent") => Ok(browser_flow::process_consent_form(request, &form(request)?, state, context)),
        ("POST", _) if is_token => {
            token::respond_to_token_request(&form(request)?, request.authorization.as_deref(), state, context)
        }
        ("POST", DEVICE_AUTHORIZATION_PATH) if is_platform => {
            device::respond_to_device_authorization(&form(request)?, state, context)
        }
        ("POST", DEVICE_TOKEN_PATH) if is_platform => {
            device::respond_to_poll(&form(request)?, request.authorization.as_deref(), state, context)
        }
        ("POST", "/revoke") => {
            token::respond_to_revocation(&form(request)?, request.authorization.as_deref(), state, context.now)
        }
        ("GET", "/people/me") if is_platform => Ok(person(bearer(request, state, context.now)?.user, state)),
        ("GET", "/userinfo") if is_platform => user_info(request, state, context.now),
        ("GET", TOKEN_EXPIRY) if is_platform => Ok(token_expiry(&bearer(request, state, context.now)?)),
        ("GET", "/verification") if is_platform => keys(state),
        ("GET", DISCOVERY) if is_platform => openid::discovery(state),
        ("GET", WEB_FINGER) if is_platform => openid::web_finger(&request.query, state),
        (_, "/authorize" | "/signin" | "/consent" | "/revoke") => Err(wrong_method()),
        (_, DEVICE_AUTHORIZATION_PATH | DEVICE_TOKEN_PATH) if is_platform => Err(wrong_method()),
        (_, "/people/me" | "/userinfo" | "/verification" | TOKEN_EXPIRY | DISCOVERY | WEB_FINGER) if is_platform => {
            Err(wrong_method())
        }
        _ if is_token => Err(wrong_method()),
        _ => respond_to_resource(request, state, context),
    }
}

fn user_info(request: &Request, state: &mut State, now: UnixTime) -> RuleResult {
    let Bearer { user, scopes, .. } = bearer(request, state, now)?;
    let claims = openid::user_info(user, scopes)?;
    match state.fault_script.take_named(NamedFault::user_info) {
        Some(fault) => fault.apply(claims),
        None => Ok((200, Body::Json(claims))),
    }
}

const TOKEN_EXPIRY: &str = "/authorizations/tokenExpiry";

/// Returns `true` if the mock implements this path, so that no resource can have it.
pub(crate) fn is_own_path(path: &str, state: &State) -> bool {
    let request = Request { path: path.to_owned(), ..Request::default() };
    let endpoint = path.strip_prefix(state.service.base_path());
    let is_page = matches!(endpoint, Some("/signin" | "/consent" | TOKEN_EXPIRY)) || path == VERIFICATION_PATH;
    let own = MockEndpoint::from_request(&request, state.service);
    is_page || is_below_issuer(LOGOUT, &request, state) || !matches!(own, None | Some(MockEndpoint::Authorizations))
}

/// Returns `true` if the path is the path of an issuer followed by `suffix`.
fn is_below_issuer(suffix: &str, request: &Request, state: &State) -> bool {
    let issuer = request.path.strip_suffix(suffix).map(|path| format!("{}{path}", state.origin));
    issuer.is_some_and(|issuer| state.brokers().contains(&issuer))
}

/// Returns the key set, which is the same for all issuers.
fn keys(state: &mut State) -> RuleResult {
    match state.fault_script.take_named(NamedFault::keys) {
        Some(fault) => fault.response(&state.keys),
        None => Ok((200, Body::Json(state.keys.key_set()))),
    }
}

fn wrong_method() -> RestError {
    RestError::wrong_method("wrong method for this endpoint")
}

fn form(request: &Request) -> Result<Fields, RestError> {
    let reason = "the body must be application/x-www-form-urlencoded";
    request.form.clone().ok_or_else(|| RestError::wrong_media_type(reason))
}

/// Responds to a request for a resource that a test added. It requires a valid access token.
fn respond_to_resource(request: &Request, state: &mut State, context: &mut StepContext<'_>) -> RuleResult {
    let target = state.resources.target(&request.path).ok_or_else(|| RestError::not_found("unknown endpoint"))?;
    let bearer = bearer(request, state, context.now)?;
    let caller = Caller { user: bearer.user_index, scopes: bearer.scopes.clone() };
    resource::respond(request, &target, &caller, state, context)
}

/// Returns the bearer of a valid access token.
fn bearer<'a>(request: &Request, state: &'a State, now: UnixTime) -> Result<Bearer<'a>, RestError> {
    let token = request.authorization.as_deref().and_then(bearer_token);
    token.and_then(|token| state.bearer(token, now)).ok_or_else(|| {
        let message = "The request requires a valid access token set in the Authorization request header.";
        let reason = if token.is_none() {
            "missing `Authorization: Bearer` header"
        } else {
            "the access token is expired, revoked, or from another mock"
        };
        RestError { status: 401, message, description: message, reason }
    })
}

/// Responds to `GET /authorizations/tokenExpiry` with the expiry of the presented token in
/// milliseconds since 1970 (the REST API's OpenAPI description).
fn token_expiry(bearer: &Bearer<'_>) -> (u16, Body) {
    (200, Body::Json(json!({"exp": bearer.expires.as_secs().saturating_mul(1000)})))
}

/// Responds to `GET /people/me` (developer.webex.com/docs/api/v1/people/get-my-own-details).
/// Booleans are strings there.
fn person(user: &MockUser, state: &State) -> (u16, Body) {
    let region = state.service.region();
    let (first, last) = user.names();
    let person = json!({
        "id": token_codec::rest_id(region, "PEOPLE", &user.uuid()),
        "emails": [user.email()],
        "phoneNumbers": [],
        "displayName": user.display_name(),
        "nickName": first,
        "firstName": first,
        "lastName": last,
        "userName": user.email(),
        "orgId": token_codec::rest_id(region, "ORGANIZATION", user.organization_id()),
        "roles": [],
        "licenses": [],
        "created": "2024-03-31T12:00:00.000Z",
        "timezone": "Etc/UTC",
        "status": "active",
        "invitePending": "false",
        "loginEnabled": "true",
        "type": "person",
    });
    (200, Body::Json(person))
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Rotation;
    use crate::testing::pages::document::ErrorPage;
    use crate::testing::registry::Integration;
    use crate::testing::registry::MockService;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    use serde_json::Value;

    const CALLBACK: &str = "http://localhost:1/cb";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const MALFORMED: &str = "The request could not be understood by the server due to malformed syntax.";
    const INVALID_REFRESH_TOKEN: &str = "The refresh token provided is expired, revoked, malformed, or invalid";

    /// The mock's state without a server. The test controls time and randomness.
    struct TestMock {
        state: State,
        now: UnixTime,
        random_counter: u8,
        /// The session cookie of the browser.
        session: Option<String>,
    }

    impl TestMock {
        fn new(service: MockService, redirect_uris: &[&str]) -> Self {
            let integration = Integration {
                name: "App".to_owned(),
                client_id: "C1".to_owned(),
                client_secret: "s+1".to_owned(),
                redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
                scopes: service.default_scopes().parse().unwrap(),
            };
            let users = vec![MockUser::new("jane@example.com").name("Jane Doe").organization("0r9").site("Acme")];
            let origin = "http://127.0.0.1:1".to_owned();
            let state = State::new(service, origin, users, integration, service.default_lifetimes(), [7; 32]);
            Self { state, now: UnixTime::from_secs(1_000_000), random_counter: 0, session: None }
        }

        fn webex() -> Self {
            Self::new(MockService::Webex, &[CALLBACK])
        }

        fn meetings() -> Self {
            Self::new(MockService::Meetings, &[CALLBACK])
        }

        fn send(&mut self, request: &Request) -> Reply {
            let mut random = || {
                self.random_counter += 1;
                [self.random_counter; 32]
            };
            let elapsed = self.now.since(UnixTime::from_secs(0));
            let mut context = StepContext { now: self.now, elapsed, random: &mut random };
            let reply = respond(request, &mut self.state, &mut context);
            if let Body::Session(session, _) = &reply.body {
                self.session.clone_from(session);
            }
            reply
        }

        fn authorize(&mut self, query: &str) -> Reply {
            let path = format!("{}/authorize", self.state.service.base_path());
            self.get_with_session(path, query)
        }

        /// Sends a GET request with the session cookie.
        fn get_with_session(&mut self, path: impl Into<String>, query: &str) -> Reply {
            let (path, session) = (path.into(), self.session.clone());
            self.send(&Request { method: "GET".into(), path, query: fields(query), session, ..Request::default() })
        }

        fn consent(&mut self, query: &str) -> Reply {
            let reply = self.authorize(query);
            let transaction = match &reply.body {
                Body::Page(Page::SignIn(page)) => &page.transaction,
                Body::Page(Page::Consent(page)) => &page.transaction,
                // A user who consented before is redirected immediately.
                _ => return reply,
            };
            self.post_decision(&format!("transaction={transaction}&user=jane%40example.com&decision=accept"))
        }

        fn post_decision(&mut self, form: &str) -> Reply {
            let path = format!("{}/consent", self.state.service.base_path());
            let session = self.session.clone();
            self.send(&Request { method: "POST".into(), path, form: Some(fields(form)), session, ..Request::default() })
        }

        fn token(&mut self, form: &str) -> Reply {
            self.token_with(None, form)
        }

        fn token_with(&mut self, authorization: Option<&str>, form: &str) -> Reply {
            let path = format!("{}{}", self.state.service.base_path(), self.state.service.token_path());
            let authorization = authorization.map(str::to_owned);
            self.send(&Request {
                method: "POST".into(),
                path,
                form: Some(fields(form)),
                authorization,
                ..Request::default()
            })
        }

        fn get_person(&mut self, authorization: Option<&str>) -> Reply {
            self.get("/v1/people/me", authorization)
        }

        fn get(&mut self, path: &str, authorization: Option<&str>) -> Reply {
            let (method, path) = ("GET".into(), path.into());
            self.send(&Request { method, path, authorization: authorization.map(str::to_owned), ..Request::default() })
        }

        /// Completes the consent page and returns the code.
        fn code(&mut self, query: &str) -> String {
            let url = location(&self.consent(query)).to_owned();
            fields(url.split_once('?').unwrap().1).get("code").unwrap().to_owned()
        }

        fn login(&mut self) -> Value {
            let code = self.code(&query("spark:all"));
            json(&self.token(&exchange(&code))).clone()
        }

        fn refresh(&mut self, refresh_token: &Value) -> Reply {
            let refresh_token = refresh_token.as_str().unwrap();
            self.token(&format!("{CLIENT}&grant_type=refresh_token&refresh_token={refresh_token}"))
        }
    }

    const CLIENT: &str = "client_id=C1&client_secret=s%2B1";

    fn fields(text: &str) -> Fields {
        Fields::parse(text.as_bytes())
    }

    fn query(scope: &str) -> String {
        format!("response_type=code&client_id=C1&redirect_uri={CALLBACK}&state=a%26b&scope={scope}")
    }

    fn exchange(code: &str) -> String {
        format!("{CLIENT}&grant_type=authorization_code&redirect_uri={CALLBACK}&code={code}")
    }

    #[track_caller]
    fn json(reply: &Reply) -> &Value {
        let Body::Json(value) = &reply.body else { panic!("not JSON: {reply:?}") };
        value
    }

    #[track_caller]
    fn location(reply: &Reply) -> &str {
        let body = if let Body::Session(_, then) = &reply.body { then } else { &reply.body };
        let Body::Redirect(url) = body else { panic!("not a redirect: {reply:?}") };
        url
    }

    #[track_caller]
    fn assert_error(reply: &Reply, status: u16, message: &str, description: &str, source: &str) {
        let body = json(reply);
        let found = (reply.status, &body["message"], &body["errors"][0]["description"], &body["trackingId"]);
        assert_eq!(
            found,
            (status, &message.into(), &description.into(), &reply.tracking_id.as_str().into()),
            "{source}"
        );
        assert!(reply.reason.is_some(), "{source}");
    }

    #[test]
    fn invalid_client_or_redirect_uri_returns_error_page() {
        let elsewhere = "http://127.0.0.1:1/cb";
        for (rule, query, redirect_uris, expected) in [
            ("unknown client", "client_id=C2&scope=spark:all", &[CALLBACK][..], ErrorPage::UnknownClient),
            (
                "blank client, unregistered redirect URI",
                "client_id=&redirect_uri=x",
                &[CALLBACK],
                ErrorPage::UnknownClient,
            ),
            (
                "webex-js-sdk#4989: localhost is not 127.0.0.1",
                &format!("client_id=C1&redirect_uri={elsewhere}"),
                &[CALLBACK],
                ErrorPage::RedirectUriMismatch,
            ),
            (
                "compared byte by byte",
                &format!("client_id=C1&redirect_uri={CALLBACK}/"),
                &[CALLBACK],
                ErrorPage::RedirectUriMismatch,
            ),
            (
                "login-with-webex: optional only if one is registered",
                "client_id=C1&scope=spark:all&response_type=code",
                &[CALLBACK, elsewhere],
                ErrorPage::RedirectUriMismatch,
            ),
        ] {
            let reply = TestMock::new(MockService::Webex, redirect_uris).authorize(query);
            let Body::Page(Page::Error(page)) = reply.body else { panic!("{rule}: {reply:?}") };
            assert_eq!((page, reply.status), (expected, 400), "{rule}");
        }
        let mut environment = TestMock::webex();
        environment.state.is_denied_by_administrator = true;
        let reply = environment.authorize(&query("spark:all"));
        assert!(matches!(reply.body, Body::Page(Page::Error(ErrorPage::DeniedByAdministrator))));
        assert_eq!(reply.status, 403);
    }

    #[test]
    fn invalid_authorization_request_redirects_with_error() {
        let (webex, meetings) = (MockService::Webex, MockService::Meetings);
        for (source, service, query, error) in [
            ("webex-js-sdk#4990", webex, query("spark:all").replace("C1", ""), "invalid_request"),
            ("login-with-webex: scope is required", webex, query(""), "invalid_scope"),
            ("webex-integration-sample#3", webex, query("spark:rooms_read"), "invalid_scope"),
            ("login-with-webex: separated by spaces", webex, query("spark:all,spark:kms"), "invalid_scope"),
            ("encoded twice", webex, query("spark%253Aall"), "invalid_scope"),
            ("Meetings knows no openid", meetings, query("openid"), "invalid_scope"),
            ("RFC 6749 4.1.2.1", webex, query("spark:all").replace("=code", "=none"), "unsupported_response_type"),
            ("RFC 6749 4.1.2.1", webex, query("spark:all").replace("=code", "="), "invalid_request"),
            ("RFC 6749 3.1", webex, query("spark:all&scope=spark:all"), "invalid_request"),
            ("RFC 7636 4.2", webex, query("spark:all&code_challenge=short"), "invalid_request"),
            (
                "RFC 7636 4.4.1",
                webex,
                query(&format!("spark:all&code_challenge={CHALLENGE}&code_challenge_method=S512")),
                "invalid_request",
            ),
            (
                "webex-meetings: up to 10 characters",
                meetings,
                query("all_read&code_challenge=01234567890&code_challenge_method=plain"),
                "invalid_request",
            ),
            ("login-with-webex: prompt=none", webex, query("spark:all&prompt=none"), "login_required"),
        ] {
            let reply = TestMock::new(service, &[CALLBACK]).authorize(&query);
            let (address, rest) = location(&reply).split_once('?').unwrap();
            let response = fields(rest);
            assert_eq!((reply.status, address), (302, CALLBACK), "{source}: {query}");
            assert_eq!((response.get("error"), response.get("state")), (Some(error), Some("a&b")), "{source}: {query}");
        }
    }

    #[test]
    fn invalid_implicit_request_redirects_with_error_in_fragment() {
        let (webex, meetings) = (MockService::Webex, MockService::Meetings);
        let of = |response: &str, scope: &str| query(scope).replace("=code", &format!("={response}"));
        for (source, service, query, error) in [
            ("OpenID Connect Core 3.2.2.1: openid", webex, of("id_token", "spark:all&nonce=n"), "invalid_request"),
            ("login-with-webex: nonce", webex, of("id_token", "openid"), "invalid_request"),
            ("login-with-webex: nonce with openid", webex, of("token", "openid"), "invalid_request"),
            ("RFC 6749 4.2.2.1", webex, of("token", "spark:rooms_read"), "invalid_scope"),
            ("login-with-webex: prompt=none", webex, of("token", "spark:all&prompt=none"), "login_required"),
            ("login-with-webex: no hybrid flow", webex, of("code+token", "spark:all"), "unsupported_response_type"),
            (
                "login-with-webex: no hybrid flow",
                webex,
                of("code+id_token", "openid&nonce=n"),
                "unsupported_response_type",
            ),
            ("webex-meetings: code alone", meetings, of("token", "all_read"), "unsupported_response_type"),
            ("RFC 6749 3.1", webex, of("token", "spark:all&scope=spark:all"), "invalid_request"),
        ] {
            let reply = TestMock::new(service, &[CALLBACK]).authorize(&query);
            let (address, rest) = location(&reply).split_once('#').unwrap_or_else(|| panic!("{source}: {reply:?}"));
            let answer = fields(rest);
            assert_eq!((reply.status, address), (302, CALLBACK), "{source}: {query}");
            assert_eq!((answer.get("error"), answer.get("state")), (Some(error), Some("a&b")), "{source}: {query}");
        }
    }

    /// Follows the table in login-with-webex.
    #[test]
    fn implicit_response_fragment_has_documented_fields() {
        let both = ["access_token", "id_token", "token_type", "expires_in", "state"];
        for (response, names) in [
            ("id_token", &["id_token", "state"][..]),
            ("token", &["access_token", "token_type", "expires_in", "state"]),
            ("id_token+token", &both),
            ("token+id_token", &both),
        ] {
            let mut environment = TestMock::new(MockService::Webex, &["http://localhost:1/cb?tenant=1"]);
            let redirect_uri = "http://localhost:1/cb%3Ftenant=1";
            let query = query("openid+spark:all&nonce=n").replace("=code", &format!("={response}"));
            let reply = environment.consent(&query.replace(CALLBACK, redirect_uri));
            let (address, rest) = location(&reply).split_once('#').unwrap();
            assert_eq!((reply.status, address), (303, "http://localhost:1/cb?tenant=1"), "{response}");
            let found: Vec<_> = rest.split('&').map(|field| field.split('=').next().unwrap()).collect();
            assert_eq!(found, names, "{response}: {rest}");
            let answer = fields(rest);
            assert_eq!(answer.get("state"), Some("a&b"));
            if let Some(token) = answer.get("access_token") {
                assert_eq!((answer.get("token_type"), answer.get("expires_in")), (Some("Bearer"), Some("1209599")));
                assert!(token.ends_with("_PF84_0r9"), "{token}");
                let header = format!("Bearer {token}");
                assert_eq!(environment.get_person(Some(&header)).status, 200);
                environment.state.revoke(0);
                assert_eq!(
                    environment.get_person(Some(&header)).status,
                    401,
                    "the token is revoked with the user's grants"
                );
            }
        }
    }

    /// RFC 6749, section 4.2: the implicit flow issues no refresh token and changes no lasting
    /// grant.
    #[test]
    fn implicit_token_does_not_change_login_grant() {
        let mut environment = TestMock::webex();
        let tokens = environment.login();
        let query = query("spark:people_read").replace("=code", "=token");
        for _ in 0..20 {
            environment.consent(&query);
            environment.now = environment.now + std::time::Duration::from_secs(1_209_599 / 4);
        }
        let refreshed = environment.refresh(&tokens["refresh_token"]);
        assert_eq!(json(&refreshed)["scope"], tokens["scope"]);
        assert_error(
            &environment.refresh(&"".into()),
            400,
            MALFORMED,
            INVALID_REFRESH_TOKEN,
            "a brief grant has no refresh token",
        );
    }

    #[test]
    fn signed_in_browser_is_redirected_without_page() {
        const SIGNED_IN: u64 = 1_000_000;
        let silent = |more: &str| query(&format!("openid&nonce=n&prompt=none{more}"));
        for (source, wait, query, is_signed_in) in [
            ("login-with-webex: prompt=none", 0, silent(""), true),
            ("login-with-webex: max_age", 60, silent("&max_age=60"), true),
            ("login-with-webex: max_age", 61, silent("&max_age=60"), false),
            ("the OpenID Foundation's tests: max_age=0", 0, silent("&max_age=0"), false),
            ("OpenID Connect Core 3.1.2.1: login_hint", 0, silent("&login_hint=Jane%40example.com"), true),
            ("OpenID Connect Core 3.1.2.1: login_hint", 0, silent("&login_hint=eve%40example.com"), false),
        ] {
            let mut environment = TestMock::webex();
            environment.state.users.push(MockUser::new("eve@example.com"));
            let listener = environment.authorize(&query);
            assert!(location(&listener).contains("?error=login_required&"), "{source}");
            environment.consent(&silent("").replace("&prompt=none", ""));
            environment.now = environment.now + std::time::Duration::from_secs(wait);

            let reply = environment.authorize(&query);

            let url = location(&reply).to_owned();
            assert_eq!((reply.status, url.contains("?code=")), (302, is_signed_in), "{source}: {query}");
            if is_signed_in {
                let code = fields(url.split_once('?').unwrap().1).get("code").unwrap().to_owned();
                let tokens = json(&environment.token(&exchange(&code))).clone();
                assert_eq!(claims(&tokens["id_token"])["auth_time"], SIGNED_IN, "the sign-in is unchanged");
            }
            assert!(
                matches!(environment.authorize(&silent("").replace("none", "select_account")).body, Body::Page(_)),
                "other prompts show the page"
            );
        }
    }

    #[track_caller]
    fn claims(token: &Value) -> Value {
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let payload = token.as_str().unwrap().split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }

    #[test]
    fn logout_ends_session_and_redirects_only_to_web_urls() {
        let silent = query("openid&nonce=n&prompt=none");
        for (query, goes_to) in [
            ("", None),
            ("cisService=webex&goto=https://app.example/bye?x=1", Some("https://app.example/bye?x=1")),
            ("goto=http://localhost:1/%0d%0aSet-Cookie:x", Some("http://localhost:1/Set-Cookie:x")),
            ("goto=https://ex%C3%A4mple.com/%C3%A4", Some("https://xn--exmple-cua.com/%C3%A4")),
            ("goto=javascript:alert(1)", None),
            ("goto=/bye", None),
        ] {
            let mut environment = TestMock::webex();
            environment.consent(&silent.replace("&prompt=none", ""));
            assert!(location(&environment.authorize(&silent)).contains("?code="));

            let reply = environment.get_with_session("/idb/oauth2/v1/logout", query);

            match goes_to {
                Some(address) => assert_eq!((reply.status, location(&reply)), (302, address)),
                None => {
                    let Body::Session(None, then) = &reply.body else { panic!("{query}: {reply:?}") };
                    assert!(reply.status == 200 && matches!(**then, Body::Page(Page::SignedOut)), "{query}");
                }
            }
            assert!(location(&environment.authorize(&silent)).contains("?error=login_required&"), "{query}");
        }
    }

    /// github.com/WebexSamples: `?token=` in addition to the redirect target.
    #[test]
    fn logout_revokes_access_token_and_no_refresh_token() {
        let mut environment = TestMock::webex();
        let (first, second) = (environment.login(), environment.login());
        for (token, status) in [("access_token", 401), ("refresh_token", 200)] {
            let logout = format!("token={}", first[token].as_str().unwrap());
            environment.get_with_session("/idb/oauth2/v1/logout", &logout);
            assert_eq!(environment.refresh(&first["refresh_token"]).status, 200, "{token}");
            let other = if status == 401 { &first } else { &second };
            let header = format!("Bearer {}", other["access_token"].as_str().unwrap());
            assert_eq!(environment.get_person(Some(&header)).status, status, "{token}");
        }
    }

    #[test]
    fn token_expiry_endpoint_returns_milliseconds() {
        let mut environment = TestMock::webex();
        let header = format!("Bearer {}", environment.login()["access_token"].as_str().unwrap());
        let reply = environment.get("/v1/authorizations/tokenExpiry", Some(&header));
        assert_eq!((reply.status, json(&reply)), (200, &json!({"exp": 1_000_000_000 + 1_209_599_000_u64})));
        environment.now = environment.now + std::time::Duration::from_secs(1_209_599);
        assert_eq!(environment.get("/v1/authorizations/tokenExpiry", Some(&header)).status, 401);
        assert_eq!(TestMock::meetings().get("/v1/oauth2/authorizations/tokenExpiry", None).status, 404);
    }

    #[test]
    fn valid_authorization_request_returns_sign_in_page() {
        let (webex, meetings) = (MockService::Webex, MockService::Meetings);
        for (source, service, query) in [
            ("login-with-webex: OIDC scopes need no registration", webex, query("openid+email+spark:all&nonce=n")),
            ("spark:kms is granted to every integration", webex, query("spark:all+spark:kms")),
            ("login-with-webex: redirect_uri may be omitted", webex, query("spark:all").replace("redirect_uri", "x")),
            (
                "login-with-webex: S256",
                webex,
                query(&format!("spark:all&code_challenge={CHALLENGE}&code_challenge_method=S256")),
            ),
            ("login-with-webex: token", webex, query("spark:all").replace("=code", "=token")),
            ("login-with-webex: id_token", webex, query("openid&nonce=n").replace("=code", "=id_token")),
            ("login-with-webex: both", webex, query("openid&nonce=n").replace("=code", "=id_token+token")),
            ("RFC 6749 3.1.1: in any order", webex, query("openid&nonce=n").replace("=code", "=token+id_token")),
            ("RFC 7636 4.3: plain without a method", webex, query(&format!("spark:all&code_challenge={VERIFIER}"))),
            ("webex-meetings", meetings, query("all_read&code_challenge=abc&code_challenge_method=plain")),
            (
                "webex-meetings-python-samples: S256",
                meetings,
                query(&format!("all_read&code_challenge={CHALLENGE}&code_challenge_method=S256")),
            ),
        ] {
            let reply = TestMock::new(service, &[CALLBACK]).authorize(&query);
            assert!(matches!(reply.body, Body::Page(Page::SignIn(_))), "{source}: {reply:?}");
        }
    }

    #[test]
    fn consent_decision_is_accepted_once_before_expiry() {
        let mut environment = TestMock::webex();
        let open = |environment: &mut TestMock| match environment.authorize(&query("spark:all")).body {
            Body::Page(Page::SignIn(page)) => format!("transaction={}&user=jane@example.com", page.transaction),
            other => panic!("{other:?}"),
        };
        let (denied, late) = (open(&mut environment), open(&mut environment));

        let reply = environment.post_decision(&format!("{denied}&decision=deny"));
        assert_eq!(reply.status, 303);
        assert!(location(&reply).starts_with(&format!("{CALLBACK}?error=access_denied&")));
        assert!(location(&reply).ends_with("&state=a%26b"));

        let again = environment.post_decision(&format!("{denied}&decision=accept"));
        assert!(matches!(again.body, Body::Page(Page::Error(ErrorPage::Expired))));
        environment.now = environment.now + std::time::Duration::from_secs(601);
        let late = environment.post_decision(&format!("{late}&decision=accept"));
        assert!(matches!(late.body, Body::Page(Page::Error(ErrorPage::Expired))));
    }

    #[test]
    fn token_endpoint_rejects_invalid_client_authentication() {
        let basic = |text: &str| Some(format!("Basic {}", STANDARD.encode(text)));
        let grant = "grant_type=refresh_token&refresh_token=x";
        let no_id = "client_id cannot be null or empty";
        let no_secret = "client_secret cannot be null or empty";
        let (wrong, secret) = ("Invalid client credentials", "The provided clientSecret is invalid");
        for (source, header, form, status, message, description) in [
            ("by analogy with the secret", None, "", 400, no_id, no_id),
            ("seen in two projects", None, "client_id=C1", 400, no_secret, no_secret),
            ("seen in two projects", basic("C1:"), "", 400, no_secret, no_secret),
            ("login-with-webex", None, "client_id=C2&client_secret=x", 400, MALFORMED, "Client Id is invalid"),
            ("login-with-webex", basic("C2:x"), "", 400, MALFORMED, "Client Id is invalid"),
            ("OpenAPI description", None, "client_id=C1&client_secret=x", 401, wrong, secret),
            ("RFC 6749 2.3.1: encoded first", basic("C1:s+1"), "", 401, wrong, secret),
            ("RFC 6749 2.3.1: never both", basic("C1:s%2B1"), CLIENT, 400, MALFORMED, "invalid_request"),
            ("RFC 6749 2.3.1", basic("C1:s%2B1"), "client_id=C2", 400, MALFORMED, "invalid_request"),
            ("RFC 7617", Some("Basic ?".to_owned()), "", 400, MALFORMED, "invalid_request"),
            ("RFC 6749 3.2", None, "grant_type=refresh_token", 400, MALFORMED, "invalid_request"),
            (
                "accepted, so the grant is checked",
                basic("C1:s%2B1"),
                "client_id=C1",
                400,
                MALFORMED,
                INVALID_REFRESH_TOKEN,
            ),
            ("accepted, so the grant is checked", None, CLIENT, 400, MALFORMED, INVALID_REFRESH_TOKEN),
        ] {
            let reply = TestMock::webex().token_with(header.as_deref(), &format!("{grant}&{form}"));
            assert_error(&reply, status, message, description, source);
        }
        let mut meetings = TestMock::meetings();
        let header = basic("C1:s%2B1");
        assert_error(
            &meetings.token_with(header.as_deref(), grant),
            400,
            MALFORMED,
            "invalid_request",
            "webex-meetings: the form alone",
        );
        let reply = meetings.token("client_id=C1&client_secret=x");
        assert_error(&reply, 401, wrong, "Invalid client secret", "seen at Webex Meetings");
    }

    #[test]
    fn token_endpoint_rejects_unsupported_grant_type() {
        let mut environment = TestMock::webex();
        let reply = environment.token(&format!("{CLIENT}&grant_type=password"));
        assert_error(&reply, 400, MALFORMED, "unsupported_grant_type", "RFC 6749 5.2");
        assert_error(&environment.token(CLIENT), 400, MALFORMED, "invalid_request", "RFC 6749 5.2");
    }

    #[test]
    fn code_is_valid_once_before_expiry_for_own_login() {
        let challenged = query(&format!("spark:all&code_challenge={CHALLENGE}&code_challenge_method=S256"));
        let no_redirect = query("spark:all").replace("redirect_uri", "x");
        let plain = query("spark:all");
        let verifier = format!("&code_verifier={VERIFIER}");
        let other = "&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX";
        let without = |form: String| form.replace("redirect_uri", "x");
        type FormEdit<'a> = &'a dyn Fn(String) -> String;
        for (rule, query, change, wait, is_good) in [
            ("as it should be", &plain, &|form| form as String as _, 0, true),
            ("in time", &plain, &|form| form, 599, true),
            ("too late", &plain, &|form| form, 600, false),
            ("another redirect URI", &plain, &|form: String| form.replace("/cb", "/c"), 0, false),
            ("redirect URI missing", &plain, &without, 0, false),
            ("redirect URI never named", &no_redirect, &without, 0, true),
            ("redirect URI named only now", &no_redirect, &|form| form, 0, true),
            ("verifier", &challenged, &|form| form + &verifier, 0, true),
            ("verifier missing", &challenged, &|form| form, 0, false),
            ("another verifier", &challenged, &|form| form + other, 0, false),
            ("RFC 9700 4.8.2: verifier without a challenge", &plain, &|form| form + &verifier, 0, false),
        ] as [(&str, &String, FormEdit<'_>, u64, bool); 11]
        {
            let mut environment = TestMock::webex();
            let code = environment.code(query);
            environment.now = environment.now + std::time::Duration::from_secs(wait);
            let first = environment.token(&change(exchange(&code)));
            assert_eq!(first.status, if is_good { 200 } else { 400 }, "{rule}: {first:?}");
            let second = environment.token(&change(exchange(&code)));
            assert_error(&second, 400, MALFORMED, "The authorization code is invalid", rule);
        }
    }

    #[test]
    fn platform_tokens_have_webex_format() {
        let mut environment = TestMock::webex();
        let code = environment.code(&query("spark:all"));
        assert!(code.ends_with("_PF84_0r9") && code.split('_').count() == 3, "{code}");
        let tokens = json(&environment.token(&exchange(&code))).clone();
        let keys: Vec<_> = tokens.as_object().unwrap().keys().map(String::as_str).collect();
        let expected =
            ["access_token", "expires_in", "refresh_token", "refresh_token_expires_in", "scope", "token_type"];
        assert_eq!(keys, expected);
        assert_eq!(
            (&tokens["expires_in"], &tokens["refresh_token_expires_in"]),
            (&1_209_599.into(), &7_775_999.into())
        );
        assert_eq!((&tokens["token_type"], &tokens["scope"]), (&"Bearer".into(), &"spark:kms spark:all".into()));
        assert!(tokens["access_token"].as_str().unwrap().ends_with("_PF84_0r9"));
    }

    #[test]
    fn refresh_keeps_refresh_token_and_previous_access_tokens() {
        let mut environment = TestMock::webex();
        let first = environment.login();
        environment.now = environment.now + std::time::Duration::from_secs(100);
        let second = json(&environment.refresh(&first["refresh_token"])).clone();
        assert_eq!(second["refresh_token"], first["refresh_token"]);
        assert_ne!(second["access_token"], first["access_token"]);
        assert_eq!(second["refresh_token_expires_in"], 7_775_899);
        for tokens in [&first, &second] {
            let header = format!("Bearer {}", tokens["access_token"].as_str().unwrap());
            assert_eq!(environment.get_person(Some(&header)).status, 200);
        }
        environment.now = environment.now + std::time::Duration::from_secs(1_209_499);
        for (tokens, status) in [(&first, 401), (&second, 200)] {
            let header = format!("bearer {}", tokens["access_token"].as_str().unwrap());
            assert_eq!(environment.get_person(Some(&header)).status, status);
        }
    }

    #[test]
    fn rotated_refresh_token_is_valid_once_and_per_login() {
        let mut environment = TestMock::webex();
        environment.state.rotation_policy.rotation = Rotation::Strict;
        let (first, other) = (environment.login(), environment.login());
        assert_ne!(first["refresh_token"], other["refresh_token"]);
        environment.now = environment.now + std::time::Duration::from_secs(100);
        let second = json(&environment.refresh(&first["refresh_token"])).clone();
        assert_ne!(second["refresh_token"], first["refresh_token"]);
        assert!(second["refresh_token"].as_str().unwrap().ends_with("_PF84_0r9"));
        assert_eq!(second["refresh_token_expires_in"], 7_775_899);
        assert_error(
            &environment.refresh(&first["refresh_token"]),
            400,
            MALFORMED,
            INVALID_REFRESH_TOKEN,
            "RFC 9700 4.14.2: spent",
        );
        let header = format!("Bearer {}", first["access_token"].as_str().unwrap());
        assert_eq!(environment.get_person(Some(&header)).status, 200, "its access token stays valid");
        assert_eq!(environment.refresh(&second["refresh_token"]).status, 200, "reuse revokes nothing by default");
        assert_eq!(environment.refresh(&other["refresh_token"]).status, 200, "other logins are not affected");
        assert_eq!(environment.state.granted_refreshes(0), 3);
        environment.state.revoke(0);
        assert_error(
            &environment.refresh(&other["refresh_token"]),
            400,
            MALFORMED,
            INVALID_REFRESH_TOKEN,
            "revoking the grants revokes all refresh tokens",
        );
    }

    #[test]
    fn second_login_returns_same_refresh_token_until_expiry() {
        let mut environment = TestMock::webex();
        let first = environment.login();
        environment.now = environment.now + std::time::Duration::from_secs(7_775_998);
        let second = environment.login();
        assert_eq!(second["refresh_token"], first["refresh_token"]);
        assert_eq!(second["refresh_token_expires_in"], 1);
        environment.now = environment.now + std::time::Duration::from_secs(1);
        assert_error(
            &environment.refresh(&first["refresh_token"]),
            400,
            MALFORMED,
            INVALID_REFRESH_TOKEN,
            "webex-js-sdk#855",
        );
        let third = environment.login();
        assert_ne!(third["refresh_token"], first["refresh_token"]);
        let header = format!("Bearer {}", second["access_token"].as_str().unwrap());
        assert_eq!(environment.get_person(Some(&header)).status, 200, "access tokens have their own expiry");
        environment.state.revoke(0);
        assert_error(
            &environment.refresh(&third["refresh_token"]),
            400,
            MALFORMED,
            INVALID_REFRESH_TOKEN,
            "webex-js-sdk#855",
        );
        assert_eq!(environment.get_person(Some(&header)).status, 401, "access tokens are revoked with the grant");
    }

    #[test]
    fn meetings_refresh_requires_site_redirect_uri_and_verifier() {
        let mut environment = TestMock::meetings();
        let code = environment.code(&query("all_read&code_challenge=abc&code_challenge_method=plain"));
        let tokens = json(&environment.token(&format!("{}&code_verifier=abc", exchange(&code)))).clone();
        assert_eq!(tokens["iss"], "https://Acme.webex.com/Acme");
        assert!(tokens["siteid"].is_u64() && tokens["userid"].is_u64(), "{tokens}");
        assert_eq!((&tokens["user_name"], &tokens["email"]), (&"jane@example.com".into(), &"jane@example.com".into()));
        assert_eq!((&tokens["expires_in"], &tokens["token_type"]), (&7200.into(), &"bearer".into()));
        let token = tokens["refresh_token"].as_str().unwrap();
        let same = format!("redirect_uri={CALLBACK}&code_verifier=abc");
        for (rule, token, rest, status) in [
            ("as documented", format!("Acme_{token}"), &same[..], 200),
            ("compared without case", format!("aCME_{token}"), &same, 200),
            ("no site", token.to_owned(), &same, 400),
            ("another site", format!("example_{token}"), &same, 400),
            ("no verifier", format!("Acme_{token}"), &format!("redirect_uri={CALLBACK}"), 400),
            ("another verifier", format!("Acme_{token}"), &format!("redirect_uri={CALLBACK}&code_verifier=x"), 400),
            ("no redirect URI", format!("Acme_{token}"), "code_verifier=abc", 400),
        ] {
            let form = format!("{CLIENT}&grant_type=refresh_token&refresh_token={token}&{rest}");
            let reply = environment.token(&form);
            assert_eq!(reply.status, status, "{rule}");
            if status == 200 {
                assert_eq!(json(&reply)["refresh_token"], tokens["refresh_token"], "{rule}");
            }
        }
        assert_eq!(environment.state.granted_refreshes(0), 2);
    }

    #[test]
    fn person_response_has_documented_fields() {
        let mut environment = TestMock::webex();
        let header = format!("Bearer {}", environment.login()["access_token"].as_str().unwrap());
        let reply = environment.get_person(Some(&header));
        let person = json(&reply);
        let id = STANDARD_NO_PAD.decode(person["id"].as_str().unwrap()).unwrap();
        assert!(String::from_utf8(id).unwrap().starts_with("ciscospark://us/PEOPLE/"));
        assert_eq!(person["orgId"], STANDARD_NO_PAD.encode("ciscospark://us/ORGANIZATION/0r9"));
        assert_eq!((&person["firstName"], &person["lastName"]), (&"Jane".into(), &"Doe".into()));
        assert_eq!((&person["invitePending"], &person["loginEnabled"]), (&"false".into(), &"true".into()));
        let words = "The request requires a valid access token set in the Authorization request header.";
        for header in [None, Some("Bearer x"), Some("Bearer "), Some("Basic x"), Some(&header[..header.len() - 1])] {
            assert_error(&environment.get_person(header), 401, words, words, "observed in API responses");
        }
    }

    #[test]
    fn unsupported_request_is_rejected_with_tracking_id() {
        for (method, path, status) in [
            ("GET", "/v1/access_token", 405),
            ("POST", "/v1/authorize", 405),
            ("POST", "/v1/access_token", 415),
            ("GET", "/v1/nothing", 404),
            ("GET", "/authorize", 404),
            ("GET", "/", 404),
            ("POST", "/idb/oauth2/v1/logout", 405),
            ("GET", "/idb-ca/oauth2/v1/logout", 404),
            ("POST", "/idb-b-us/oauth2/v2/keys/verificationjwk", 405),
            ("POST", "/v1/authorizations/tokenExpiry", 405),
        ] {
            let tracking_id = Some("MINE_1".to_owned());
            let request = Request { method: method.into(), path: path.into(), tracking_id, ..Request::default() };
            let reply = TestMock::webex().send(&request);
            assert_eq!(reply.status, status, "{method} {path}");
            assert_eq!((reply.tracking_id.as_str(), &json(&reply)["trackingId"]), ("MINE_1", &"MINE_1".into()));
        }
        let request = Request { method: "GET".into(), path: "/v1/people/me".into(), ..Request::default() };
        let reply = TestMock::meetings().send(&request);
        assert_eq!(reply.status, 404);
        assert!(reply.tracking_id.starts_with("ROUTER_"), "{}", reply.tracking_id);
    }
}
