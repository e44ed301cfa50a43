//! The browser flow of the authorization endpoint: sign-in, consent, and the return to the
//! application or device.
//!
//! Each page is loaded with GET and each form is submitted with POST, so that navigating back and
//! reloading submit no form twice.

use crate::testing::browser_session::SignedIn;
use crate::testing::message::{Body, Fields, Request};
use crate::testing::model::browser::{LoginStep, LoginTransaction, Purpose, TransactionResult};
use crate::testing::model::devices::Decision;
use crate::testing::model::state::{State, StepContext};
use crate::testing::pages::Page;
use crate::testing::pages::document::ErrorPage;
use crate::testing::pages::login::{AccountOption, ConsentPage, Problem, SignInPage, SignInReason, UserCodePage};
use crate::testing::rules::authorize::{self, DecisionResponse, NextAction, RequestRejection};
use crate::testing::rules::device;

/// Responds to a request to the authorization endpoint.
pub(crate) fn respond_to_authorization_request(
    request: &Request,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> (u16, Body) {
    let browser = state.sessions.find(request.session.as_deref());
    match authorize::validate_request(&request.query, browser, moment.now, state) {
        Ok((mut authorization, NextAction::Redirect(signed_in))) => {
            authorization.signed_in = Some(signed_in);
            let granted = authorize::grant_authorization(authorization, signed_in.user, state, moment);
            granted.response.into_browser_response(302)
        }
        Ok((authorization, NextAction::ShowPage { step: stage, asks_again })) => {
            let purpose = Purpose::Application { authorization: Box::new(authorization), asks_again };
            begin_transaction(LoginTransaction { purpose, step: stage }, browser, state, moment)
        }
        Err(RequestRejection::ErrorPage(page)) => error_page(page),
        Err(RequestRejection::ErrorResponse(target)) => target.into_browser_response(302),
    }
}

/// Begins a login transaction and returns its first page.
pub(crate) fn begin_transaction(
    visit: LoginTransaction,
    browser: Option<SignedIn>,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> (u16, Body) {
    let id = state.transactions.begin(visit, moment.now, moment.elapsed, (moment.random)());
    current_page(&id, browser, state, moment)
}

/// Responds to `GET /signin`: the user wants to use another account. Navigating back keeps the
/// current one.
pub(crate) fn show_account_selection(request: &Request, state: &State, moment: &StepContext<'_>) -> (u16, Body) {
    let browser = state.sessions.find(request.session.as_deref());
    let id = request.query.get("transaction").unwrap_or_default();
    match state.transactions.find(id, moment.now).map(|visit| visit.step) {
        Some(LoginStep::Consent(_)) => (
            200,
            Body::Page(Page::SignIn(sign_in_page(id, SignInReason::AccountSelection, None, browser, state, moment))),
        ),
        _ => current_page(id, browser, state, moment),
    }
}

/// Responds to `GET /consent` with the next page.
pub(crate) fn show_current_page(request: &Request, state: &State, moment: &StepContext<'_>) -> (u16, Body) {
    let browser = state.sessions.find(request.session.as_deref());
    current_page(request.query.get("transaction").unwrap_or_default(), browser, state, moment)
}

/// Responds to `POST /signin`: the user entered an e-mail address or selected one.
pub(crate) fn process_sign_in_form(
    request: &Request,
    form: &Fields,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> (u16, Body) {
    let id = form.get("transaction").unwrap_or_default();
    if let Some(ending) = repeated_decision_result(id, true, state, moment) {
        return result_response(ending);
    }
    let browser = state.sessions.find(request.session.as_deref());
    let Some(visit) = state.transactions.find(id, moment.now) else { return error_page(ErrorPage::Expired) };
    let typed = form.get_non_blank("choice").or(form.get_non_blank("user")).unwrap_or_default().trim();
    let Some(user) = state.users.iter().position(|user| user.email().eq_ignore_ascii_case(typed)) else {
        let why = if let LoginStep::SignIn(why) = visit.step { why } else { SignInReason::AccountSelection };
        return (200, Body::Page(Page::SignIn(sign_in_page(id, why, Some(typed), browser, state, moment))));
    };
    let signed_in = SignedIn { user, at: moment.now };
    let is_asked = match &visit.purpose {
        Purpose::Device { .. } => true,
        Purpose::Application { authorization, asks_again } => {
            *asks_again || !state.consents.covers(user, authorization)
        }
    };
    state.transactions.sign_in(id, signed_in);
    let then = if is_asked {
        let base = state.service.base_path();
        (303, Body::Redirect(format!("{base}/consent?transaction={id}")))
    } else {
        complete_transaction(id, signed_in, true, state, moment)
    };
    replace_session(request, signed_in, then, state, moment)
}

/// Responds to `POST /consent`. A form that contains `user` also signs that user in, so a script
/// needs no other page.
pub(crate) fn process_consent_form(
    request: &Request,
    form: &Fields,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> (u16, Body) {
    let id = form.get("transaction").unwrap_or_default();
    let is_yes = form.get("decision") == Some("accept");
    if let Some(ending) = repeated_decision_result(id, is_yes, state, moment) {
        return result_response(ending);
    }
    let Some(step) = state.transactions.find(id, moment.now).map(|visit| visit.step) else {
        return error_page(ErrorPage::Expired);
    };
    let named = form.get("user").map(|email| state.user(email));
    match (named, step) {
        (Some(Some(user)), _) => {
            let signed_in = SignedIn { user, at: moment.now };
            let then = complete_transaction(id, signed_in, is_yes, state, moment);
            if is_yes { replace_session(request, signed_in, then, state, moment) } else { then }
        }
        (None, LoginStep::Consent(signed_in)) => complete_transaction(id, signed_in, is_yes, state, moment),
        (Some(None), _) | (None, LoginStep::SignIn(_)) => error_page(ErrorPage::Expired),
    }
}

/// Returns the recent result of the same decision, unless it contains a code that was already used.
fn repeated_decision_result(
    id: &str,
    is_yes: bool,
    state: &State,
    moment: &StepContext<'_>,
) -> Option<TransactionResult> {
    let ending = state.transactions.completed_result(id, is_yes, moment.elapsed)?.clone();
    match &ending {
        TransactionResult::Application { code: Some(code), .. } if !state.has_code(code) => None,
        _ => Some(ending),
    }
}

/// Completes a transaction with the user's decision.
fn complete_transaction(
    id: &str,
    signed_in: SignedIn,
    is_yes: bool,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> (u16, Body) {
    let ending = match state.transactions.close(id, moment.now).map(|visit| visit.purpose) {
        None => return error_page(ErrorPage::Expired),
        Some(Purpose::Application { mut authorization, .. }) => {
            authorization.signed_in = Some(signed_in);
            let DecisionResponse { response: target, code } = if is_yes {
                authorize::grant_authorization(*authorization, signed_in.user, state, moment)
            } else {
                authorize::deny_authorization(*authorization, state)
            };
            TransactionResult::Application { response: target, code }
        }
        Some(Purpose::Device { device_code }) => {
            let SignedIn { user, at } = signed_in;
            let said = if is_yes { Decision::Approved { user, at } } else { Decision::Denied };
            if !state.devices.record_decision(&device_code, said, moment.elapsed) {
                return error_page(ErrorPage::Expired);
            }
            TransactionResult::Device { is_approved: is_yes }
        }
    };
    state.transactions.complete(id, is_yes, ending.clone(), moment.elapsed);
    result_response(ending)
}

/// Returns the response for a result. Status 303 prevents the browser from repeating the POST at
/// the redirect URI.
fn result_response(ending: TransactionResult) -> (u16, Body) {
    match ending {
        TransactionResult::Application { response: target, .. } => target.into_browser_response(303),
        TransactionResult::Device { is_approved: is_yes } => {
            (200, Body::Page(Page::DeviceDone { is_approved: is_yes }))
        }
    }
}

/// Replaces the browser's session with one of the signed-in user.
fn replace_session(
    request: &Request,
    signed_in: SignedIn,
    (status, then): (u16, Body),
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> (u16, Body) {
    state.sessions.close(request.session.as_deref());
    let session = state.sessions.open(signed_in, (moment.random)());
    (status, Body::Session(Some(session), Box::new(then)))
}

pub(crate) fn error_page(page: ErrorPage) -> (u16, Body) {
    (page.status(), Body::Page(Page::Error(page)))
}

/// Returns the current page of a transaction.
fn current_page(id: &str, browser: Option<SignedIn>, state: &State, moment: &StepContext<'_>) -> (u16, Body) {
    let Some(step) = state.transactions.find(id, moment.now).map(|visit| visit.step) else {
        return error_page(ErrorPage::Expired);
    };
    match step {
        LoginStep::SignIn(why) => (200, Body::Page(Page::SignIn(sign_in_page(id, why, None, browser, state, moment)))),
        LoginStep::Consent(signed_in) => match consent_page(id, signed_in, state, moment) {
            Some(page) => (200, Body::Page(Page::Consent(page))),
            None => error_page(ErrorPage::Expired),
        },
    }
}

/// Returns the integration of a transaction and the user in its `login_hint`.
fn integration_and_login_hint(id: &str, state: &State, moment: &StepContext<'_>) -> Option<(usize, Option<String>)> {
    match &state.transactions.find(id, moment.now)?.purpose {
        Purpose::Application { authorization, .. } => {
            Some((authorization.integration, authorization.login_hint.clone()))
        }
        Purpose::Device { device_code } => {
            Some((state.devices.find_by_device_code(device_code, moment.elapsed)?.integration, None))
        }
    }
}

/// Builds the sign-in page. `unknown` is an entered address that belongs to no user.
///
/// Otherwise the field contains the user in `login_hint`, or the signed-in user if an account is to
/// be chosen.
fn sign_in_page(
    id: &str,
    why: SignInReason,
    unknown: Option<&str>,
    browser: Option<SignedIn>,
    state: &State,
    moment: &StepContext<'_>,
) -> SignInPage {
    let (integration, hint) = integration_and_login_hint(id, state, moment).unwrap_or_default();
    let present = browser.map(|signed_in| signed_in.user);
    let usual = || {
        let user = present.filter(|_| why != SignInReason::NotSignedIn).and_then(|user| state.users.get(user));
        hint.or_else(|| user.map(|user| user.email().to_owned())).unwrap_or_default()
    };
    let people = state.users.iter().enumerate().map(|(position, user)| AccountOption {
        email: user.email().to_owned(),
        name: user.display_name().to_owned(),
        is_signed_in: Some(position) == present,
    });
    SignInPage {
        base: state.service.base_path(),
        transaction: id.to_owned(),
        integration: state.integrations[integration].name.clone(),
        reason: why,
        email: unknown.map_or_else(usual, str::to_owned),
        is_unknown: unknown.is_some(),
        people: people.collect(),
    }
}

fn consent_page(id: &str, signed_in: SignedIn, state: &State, moment: &StepContext<'_>) -> Option<ConsentPage> {
    let visit = state.transactions.find(id, moment.now)?;
    let (integration, scopes, user_code) = match &visit.purpose {
        Purpose::Application { authorization, .. } => (authorization.integration, authorization.scopes.clone(), None),
        Purpose::Device { device_code } => {
            let device = state.devices.find_by_device_code(device_code, moment.elapsed)?;
            (device.integration, device.scopes.clone(), Some(device.user_code.clone()))
        }
    };
    let user = state.users.get(signed_in.user)?;
    Some(ConsentPage {
        base: state.service.base_path(),
        transaction: id.to_owned(),
        integration: state.integrations[integration].name.clone(),
        scopes,
        name: user.display_name().to_owned(),
        email: user.email().to_owned(),
        user_code,
    })
}

/// Begins the transaction of a device login.
///
/// If the integration is not allowed to log in on devices, the user sees an error page immediately.
pub(crate) fn begin_device_transaction(
    device_code: String,
    integration: usize,
    request: &Request,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> (u16, Body) {
    if let Some(page) = device::error_page(integration, state) {
        return error_page(page);
    }
    let browser = state.sessions.find(request.session.as_deref());
    let step = browser.map_or(LoginStep::SignIn(SignInReason::NotSignedIn), LoginStep::Consent);
    begin_transaction(LoginTransaction { purpose: Purpose::Device { device_code }, step }, browser, state, moment)
}

/// Shows the code field, prefilled if a link contains the hash of the code. With a code, the user
/// continues to the sign-in and consent pages, and is never redirected to an application.
pub(crate) fn show_verification_page(
    request: &Request,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> (u16, Body) {
    let ask = |code: &str, problem| (200, Body::Page(Page::UserCode(UserCodePage { code: code.to_owned(), problem })));
    if let Some(code) = request.query.get("code") {
        let found = state.devices.find_by_user_code(code, moment.elapsed);
        return match found.map(|(device_code, device)| (device_code.to_owned(), device.integration)) {
            Some((device_code, integration)) => {
                begin_device_transaction(device_code, integration, request, state, moment)
            }
            None => ask(code, Some(Problem::UnknownCode)),
        };
    }
    match request.query.get("userCode").map(|link| state.devices.find_by_link(link, moment.elapsed)) {
        None => ask("", None),
        Some(Some((_, device))) => ask(&device.user_code, None),
        Some(None) => ask("", Some(Problem::UnknownLink)),
    }
}
