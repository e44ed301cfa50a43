//! Rules of the authorization endpoint: validation, `prompt`, and the response to the user's
//! decision.
//!
//! The source is developer.webex.com/docs/login-with-webex unless a rule names another one.

use crate::clock::UnixTime;
use crate::scope::{Scope, Scopes};
use crate::service;
use crate::testing::browser_session::SignedIn;
use crate::testing::faults::fault::NamedFault;
use crate::testing::message::Fields;
use crate::testing::model::authorization::{
    Authentication, Authorization, AuthorizationResponse, Binding, Challenge, ResponseTarget, ResponseType,
};
use crate::testing::model::browser::LoginStep;
use crate::testing::model::state::{State, StepContext};
use crate::testing::pages::document::ErrorPage;
use crate::testing::pages::login::SignInReason;
use crate::testing::registry::MockService;
use crate::testing::rules::openid;

/// The rejection of an authorization request before the user is asked.
#[derive(Debug)]
pub(crate) enum RequestRejection {
    /// An error page, because there is no trusted redirect URI.
    ErrorPage(ErrorPage),
    /// An error response to the application.
    ErrorResponse(AuthorizationResponse),
}

/// The response to the user's decision.
pub(crate) struct DecisionResponse {
    pub(crate) response: AuthorizationResponse,
    pub(crate) code: Option<String>,
}

/// Grants the authorization on behalf of `user`.
pub(crate) fn grant_authorization(
    authorization: Authorization,
    user: usize,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> DecisionResponse {
    let (way_back, issuer) = (authorization.response_target.clone(), state.issuer_of(&state.users[user]));
    state.consents.add(user, &authorization);
    let (code, parameters) = if authorization.response == ResponseType::Code {
        let code = state.issue_code(authorization, user, moment);
        (Some(code.clone()), vec![("code", code)])
    } else {
        (None, openid::response_parameters(&authorization, user, state, moment.now))
    };
    DecisionResponse {
        response: way_back.response_with_fault(
            parameters,
            state.fault_script.take_named(NamedFault::callback),
            &issuer,
        ),
        code,
    }
}

/// Denies the authorization.
pub(crate) fn deny_authorization(authorization: Authorization, state: &mut State) -> DecisionResponse {
    let description = "The resource owner or authorization server denied the request.";
    let parameters = vec![("error", "access_denied".to_owned()), ("error_description", description.to_owned())];
    let issuer = state.issuer_of(&state.users[hinted_user(&authorization, state).unwrap_or(0)]);
    let target = authorization.response_target.response_with_fault(
        parameters,
        state.fault_script.take_named(NamedFault::callback),
        &issuer,
    );
    DecisionResponse { response: target, code: None }
}

/// Validates a request before the user is asked.
///
/// Errors are sent to the application only after [`redirect_uri`] has been checked. `browser` is
/// the signed-in user.
pub(crate) fn validate_request(
    query: &Fields,
    browser: Option<SignedIn>,
    now: UnixTime,
    state: &State,
) -> Result<(Authorization, NextAction), RequestRejection> {
    let integration = integration(query, state)?;
    let redirect_uri = redirect_uri(query, &state.integrations[integration].redirect_uris)?;
    let way_back = ResponseTarget::new(redirect_uri.clone(), query);
    let back = |error: Error| RequestRejection::ErrorResponse(error.to_response(way_back.clone()));
    check_no_repetition(query).map_err(back)?;
    let response = response_type(query, state.service).map_err(back)?;
    let scopes = scopes(query, &state.integrations[integration].scopes, state.service).map_err(back)?;
    let challenge = challenge(query, state.service).map_err(back)?;
    let authentication = authentication(query, &scopes, response).map_err(back)?;
    let login_hint = query.get("login_hint").map(str::to_owned);
    let authorization = Authorization {
        integration,
        binding: Binding { redirect_uri, challenge },
        names_redirect_uri: query.get("redirect_uri").is_some(),
        response,
        response_target: way_back.clone(),
        scopes,
        login_hint,
        authentication,
        signed_in: None,
    };
    let next = next_action(query, &authorization, browser, now, state).map_err(back)?;
    check_administrator(state)?;
    Ok((authorization, next))
}

/// Returns the integration.
///
/// A blank client ID results in an error response if the redirect URI is registered
/// (github.com/webex/webex-js-sdk/issues/4990). An unknown one results in an error page.
fn integration(query: &Fields, state: &State) -> Result<usize, RequestRejection> {
    if let Some(client_id) = query.get_non_blank("client_id") {
        return state.integration(client_id).ok_or(RequestRejection::ErrorPage(ErrorPage::UnknownClient));
    }
    let redirect_uri = query.get("redirect_uri").unwrap_or_default();
    let is_registered =
        state.integrations.iter().any(|integration| integration.redirect_uris.iter().any(|own| own == redirect_uri));
    let blank = Error { code: "invalid_request", description: "Parameter:client_id is blank" };
    Err(if is_registered {
        RequestRejection::ErrorResponse(blank.to_response(ResponseTarget::new(redirect_uri.to_owned(), query)))
    } else {
        RequestRejection::ErrorPage(ErrorPage::UnknownClient)
    })
}

/// Returns the redirect URI, which must equal a registered one.
///
/// The comparison is by string, so `localhost` is not `127.0.0.1`
/// (github.com/webex/webex-js-sdk/issues/4989). The parameter is optional if only one is
/// registered.
fn redirect_uri(query: &Fields, registered: &[String]) -> Result<String, RequestRejection> {
    let found = match (query.get("redirect_uri"), registered) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(requested), _) => registered.iter().find(|own| *own == requested),
    };
    found.cloned().ok_or(RequestRejection::ErrorPage(ErrorPage::RedirectUriMismatch))
}

/// Checks that no parameter is repeated (RFC 6749, section 3.1).
fn check_no_repetition(query: &Fields) -> Result<(), Error> {
    if query.has_repetition() {
        return Err(Error { code: "invalid_request", description: "A parameter is repeated." });
    }
    Ok(())
}

/// Returns the response type. Webex Meetings documents only `code`
/// (developer.cisco.com/docs/webex-meetings).
fn response_type(query: &Fields, service: MockService) -> Result<ResponseType, Error> {
    let blank = Error { code: "invalid_request", description: "Parameter:response_type is blank" };
    let found = ResponseType::parse(query.get_non_blank("response_type").ok_or(blank)?);
    let unsupported = Error { code: "unsupported_response_type", description: "The response type is not supported." };
    found.filter(|response| *response == ResponseType::Code || !service.is_meetings()).ok_or(unsupported)
}

/// Returns the requested scopes, each of which must be registered by name.
///
/// `spark:all` includes no other scope (github.com/CiscoDevNet/webex-integration-sample/issues/3).
/// `spark:kms` is allowed with any other `spark:` scope. The scopes of Login with Webex require no
/// registration.
fn scopes(query: &Fields, registered: &Scopes, service: MockService) -> Result<Scopes, Error> {
    let invalid = Error { code: "invalid_scope", description: "The requested scope is invalid." };
    let is_free = |scope: &Scope| {
        !service.is_meetings()
            && (LOGIN_SCOPES.contains(&scope.as_str()) || (*scope == Scope::SPARK_KMS && has_spark(registered)))
    };
    requested_scopes(query, registered, is_free).ok_or(invalid)
}

/// The scopes of Login with Webex.
pub(crate) const LOGIN_SCOPES: [&str; 5] = ["openid", "email", "profile", "phone", "address"];

/// Returns the scopes of a request if there are any and all are registered or free.
pub(crate) fn requested_scopes(
    request: &Fields,
    registered: &Scopes,
    is_free: impl Fn(&Scope) -> bool,
) -> Option<Scopes> {
    let names = request.get_non_blank("scope").unwrap_or_default().split(' ').filter(|name| !name.is_empty());
    let requested = names.map(str::parse::<Scope>).collect::<Result<Scopes, _>>().ok()?;
    let is_allowed = requested.iter().all(|scope| registered.contains(scope) || is_free(scope));
    (is_allowed && !requested.is_empty()).then_some(requested)
}

/// Returns `true` if there is a `spark:` scope. `spark:kms` is then granted as well.
pub(crate) fn has_spark(scopes: &Scopes) -> bool {
    scopes.iter().any(|scope| scope.as_str().starts_with("spark:"))
}

/// Returns the code challenge, `plain` or `S256`. The method defaults to `plain` (RFC 7636, section
/// 4.3).
///
/// Webex Meetings documents `plain` with at most 10 characters
/// (developer.cisco.com/docs/webex-meetings), but its samples also use S256.
fn challenge(query: &Fields, service: MockService) -> Result<Option<Challenge>, Error> {
    let reject = |description| Err(Error { code: "invalid_request", description });
    let Some(text) = query.get("code_challenge") else {
        return match query.get("code_challenge_method") {
            None => Ok(None),
            Some(_) => reject("Parameter:code_challenge is blank"),
        };
    };
    let plain = if service.is_meetings() { 1..=10 } else { 43..=128 };
    let is_unreserved = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    match query.get("code_challenge_method") {
        Some("S256") if text.len() == 43 && is_unreserved => Ok(Some(Challenge::S256(text.to_owned()))),
        None | Some("plain") if plain.contains(&text.len()) && is_unreserved => {
            Ok(Some(Challenge::Plain(text.to_owned())))
        }
        None | Some("S256" | "plain") => reject("The code challenge is malformed."),
        Some(_) => reject("The code challenge method is not supported."),
    }
}

/// Returns the next step for this browser, depending on `prompt` and the signed-in user.
fn next_action(
    query: &Fields,
    authorization: &Authorization,
    browser: Option<SignedIn>,
    now: UnixTime,
    state: &State,
) -> Result<NextAction, Error> {
    let visitor = BrowserSession { signed_in: browser, hinted: hinted_user(authorization, state), now };
    next_page(query, &visitor, |user| state.consents.covers(user, authorization)).map_err(|blocked| match blocked {
        InteractionRequired::Contradiction => {
            Error { code: "invalid_request", description: "Parameter:prompt is contradictory" }
        }
        InteractionRequired::LoginRequired => {
            Error { code: "login_required", description: "The user is not signed in." }
        }
        // OpenID Connect Core 1.0, section 3.1.2.6. Webex's behavior is undocumented.
        InteractionRequired::ConsentRequired => {
            Error { code: "consent_required", description: "The user has not consented." }
        }
    })
}

/// Returns the requirements for the ID token.
///
/// `openid` requires a nonce and a build that signs ID tokens. An ID token in the authorization
/// response requires `openid`.
fn authentication(query: &Fields, scopes: &Scopes, response: ResponseType) -> Result<Authentication, Error> {
    let reject = |description| Err(Error { code: "invalid_request", description });
    let max_age = match query.get_non_blank("max_age").map(str::parse) {
        None => None,
        Some(Ok(seconds)) => Some(seconds),
        Some(Err(_)) => return reject("Parameter:max_age is not a number of seconds"),
    };
    let nonce = query.get_non_blank("nonce").map(str::to_owned);
    if scopes.contains(Scope::OPENID) {
        if !service::CAN_VERIFY_ID_TOKENS {
            return reject("this mock signs no ID tokens: enable the feature `oidc` and a TLS feature");
        }
        if nonce.is_none() {
            return reject("Parameter:nonce is blank");
        }
    } else if response.includes_id_token() {
        return reject("an ID token requires the scope `openid`");
    }
    Ok(Authentication { nonce, max_age })
}

/// Checks that the administrator has not denied the integration, which results in an error page
/// (Imagicle's knowledge base, "Cisco Webex Calling integrations").
fn check_administrator(state: &State) -> Result<(), RequestRejection> {
    if state.is_denied_by_administrator {
        return Err(RequestRejection::ErrorPage(ErrorPage::DeniedByAdministrator));
    }
    Ok(())
}

/// Returns the user in `login_hint`.
pub(crate) fn hinted_user(authorization: &Authorization, state: &State) -> Option<usize> {
    authorization.login_hint.as_deref().and_then(|hint| state.user(hint))
}

/// An error response to the application (RFC 6749, section 4.1.2.1).
struct Error {
    code: &'static str,
    description: &'static str,
}

impl Error {
    fn to_response(&self, way_back: ResponseTarget) -> AuthorizationResponse {
        let parameters = vec![("error", self.code.to_owned()), ("error_description", self.description.to_owned())];
        way_back.response(parameters)
    }
}

/// The next step of a browser.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NextAction {
    /// An immediate redirect, based on an earlier consent of this user.
    Redirect(SignedIn),
    ShowPage {
        step: LoginStep,
        /// `true` if a user who consented before is asked again.
        asks_again: bool,
    },
}

/// The error of a request that forbids pages but requires one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InteractionRequired {
    /// `none` is combined with another value.
    Contradiction,
    /// No user is signed in, the sign-in is too old, or another user is signed in.
    LoginRequired,
    /// The user has not consented to all requested scopes.
    ConsentRequired,
}

/// The signed-in user of a browser and the current time.
pub(crate) struct BrowserSession {
    pub(crate) signed_in: Option<SignedIn>,
    /// The user in `login_hint`.
    pub(crate) hinted: Option<usize>,
    pub(crate) now: UnixTime,
}

/// Returns the next step for a request.
///
/// `has_consented` returns `true` if a user consented to everything requested. Unknown values of
/// `prompt` are ignored.
fn next_page(
    query: &Fields,
    visitor: &BrowserSession,
    has_consented: impl Fn(usize) -> bool,
) -> Result<NextAction, InteractionRequired> {
    let words: Vec<_> = query.get("prompt").unwrap_or_default().split(' ').filter(|word| !word.is_empty()).collect();
    let has = |word: &str| words.contains(&word);
    let asks_again = has("consent");
    let page = |step| Ok(NextAction::ShowPage { step, asks_again });
    if has("none") && words.len() > 1 {
        return Err(InteractionRequired::Contradiction);
    }
    if has("login") {
        return page(LoginStep::SignIn(SignInReason::Reauthentication));
    }
    if has("select_account") {
        return page(LoginStep::SignIn(SignInReason::AccountSelection));
    }
    match step_without_prompt(query, visitor) {
        LoginStep::SignIn(_) if has("none") => Err(InteractionRequired::LoginRequired),
        LoginStep::Consent(signed_in) if has_consented(signed_in.user) && !asks_again => {
            Ok(NextAction::Redirect(signed_in))
        }
        LoginStep::Consent(_) if has("none") => Err(InteractionRequired::ConsentRequired),
        step => page(step),
    }
}

/// Returns the step for a request without `prompt`. `max_age=0` always requires a new sign-in.
fn step_without_prompt(query: &Fields, visitor: &BrowserSession) -> LoginStep {
    let max_age: Option<u64> = query.get_non_blank("max_age").and_then(|text| text.parse().ok());
    let age = |at: UnixTime| visitor.now.since(at).as_secs();
    let is_fresh = |at| max_age.is_none_or(|seconds| seconds > 0 && age(at) <= seconds);
    let is_meant = |user| query.get_non_blank("login_hint").is_none() || visitor.hinted == Some(user);
    match visitor.signed_in.filter(|signed_in| is_meant(signed_in.user)) {
        Some(signed_in) if is_fresh(signed_in.at) => LoginStep::Consent(signed_in),
        Some(_) => LoginStep::SignIn(SignInReason::Reauthentication),
        None => LoginStep::SignIn(SignInReason::NotSignedIn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn signed_in(user: usize, seconds_ago: u64) -> SignedIn {
        SignedIn { user, at: UnixTime::from_secs(NOW - seconds_ago) }
    }

    /// User 0 signed in a minute ago and has consented; user 1 has not.
    #[test]
    fn next_page_depends_on_prompt_and_browser_session() {
        let page = |step| Ok(NextAction::ShowPage { step, asks_again: false });
        let again = |step| Ok(NextAction::ShowPage { step, asks_again: true });
        let sign_in = |why| page(LoginStep::SignIn(why));
        let (jane, bob) = (signed_in(0, 60), signed_in(1, 60));
        let silent = || Ok(NextAction::Redirect(jane));
        for (query, browser, hinted, expected) in [
            ("", None, None, sign_in(SignInReason::NotSignedIn)),
            ("", Some(jane), None, silent()),
            ("", Some(bob), None, page(LoginStep::Consent(bob))),
            ("prompt=", Some(jane), None, silent()),
            ("prompt=what", Some(jane), None, silent()),
            ("prompt=login", Some(jane), None, sign_in(SignInReason::Reauthentication)),
            ("prompt=select_account", Some(jane), None, sign_in(SignInReason::AccountSelection)),
            ("prompt=consent", Some(jane), None, again(LoginStep::Consent(jane))),
            ("prompt=consent", None, None, again(LoginStep::SignIn(SignInReason::NotSignedIn))),
            ("prompt=login+consent", Some(jane), None, again(LoginStep::SignIn(SignInReason::Reauthentication))),
            ("login_hint=bob", Some(jane), Some(1), sign_in(SignInReason::NotSignedIn)),
            ("login_hint=nobody", Some(jane), None, sign_in(SignInReason::NotSignedIn)),
            ("login_hint=jane", Some(jane), Some(0), silent()),
            ("max_age=60", Some(jane), None, silent()),
            ("max_age=59", Some(jane), None, sign_in(SignInReason::Reauthentication)),
            ("max_age=0", Some(signed_in(0, 0)), None, sign_in(SignInReason::Reauthentication)),
            ("prompt=none", Some(jane), None, silent()),
            ("prompt=none", Some(bob), None, Err(InteractionRequired::ConsentRequired)),
            ("prompt=none", None, None, Err(InteractionRequired::LoginRequired)),
            ("prompt=none&max_age=59", Some(jane), None, Err(InteractionRequired::LoginRequired)),
            ("prompt=none&login_hint=bob", Some(jane), Some(1), Err(InteractionRequired::LoginRequired)),
            ("prompt=none+login", Some(jane), None, Err(InteractionRequired::Contradiction)),
        ] {
            let visitor = BrowserSession { signed_in: browser, hinted, now: UnixTime::from_secs(NOW) };
            let found = next_page(&Fields::parse(query.as_bytes()), &visitor, |user| user == 0);
            assert_eq!(found, expected, "{query:?}, {hinted:?}");
        }
    }
}
