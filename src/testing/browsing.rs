//! The way of a browser through the pages: who signs in, what is consented to, and where it goes then.
//!
//! Each page is fetched with GET and each form comes back with POST, so that going back and loading again send no form twice.

use crate::testing::authorize::{self, Granted, Turned};
use crate::testing::consent_page::ConsentPage;
use crate::testing::device;
use crate::testing::devices::Answer;
use crate::testing::exchange::{Body, Fields, Request};
use crate::testing::pages::Page;
use crate::testing::prompt::Next;
use crate::testing::refusal_page::RefusalPage;
use crate::testing::sessions::SignedIn;
use crate::testing::sign_in_page::{Person, SignInPage, Why};
use crate::testing::state::{Moment, State};
use crate::testing::visits::{Ending, Purpose, Stage, Visit};

/// The authorization endpoint.
pub(super) fn authorize(request: &Request, state: &mut State, moment: &mut Moment<'_>) -> (u16, Body) {
    let browser = state.sessions.find(request.session.as_deref());
    match authorize::check(&request.query, browser, moment.now, state) {
        Ok((mut authorization, Next::Nothing(signed_in))) => {
            authorization.signed_in = Some(signed_in);
            let granted = authorize::accept(authorization, signed_in.user, state, moment);
            granted.way.into_answer(302)
        }
        Ok((authorization, Next::Page { stage, asks_again })) => {
            let purpose = Purpose::Application { authorization: Box::new(authorization), asks_again };
            open(Visit { purpose, stage }, browser, state, moment)
        }
        Err(Turned::Away(page)) => refusal(page),
        Err(Turned::Back(way)) => way.into_answer(302),
    }
}

/// Begins a visit, with its first page.
pub(super) fn open(visit: Visit, browser: Option<SignedIn>, state: &mut State, moment: &mut Moment<'_>) -> (u16, Body) {
    let id = state.visits.open(visit, moment.now, moment.elapsed, (moment.random)());
    page(&id, browser, state, moment)
}

/// `GET /signin`: somebody wants to be somebody else. Whoever goes back from there is who they were.
pub(super) fn choose(request: &Request, state: &State, moment: &Moment<'_>) -> (u16, Body) {
    let browser = state.sessions.find(request.session.as_deref());
    let id = request.query.get("transaction").unwrap_or_default();
    match state.visits.find(id, moment.now).map(|visit| visit.stage) {
        Some(Stage::Consent(_)) => {
            (200, Body::Page(Page::SignIn(sign_in_page(id, Why::Choice, None, browser, state, moment))))
        }
        _ => page(id, browser, state, moment),
    }
}

/// `GET /consent`: the page that comes next.
pub(super) fn resume(request: &Request, state: &State, moment: &Moment<'_>) -> (u16, Body) {
    let browser = state.sessions.find(request.session.as_deref());
    page(request.query.get("transaction").unwrap_or_default(), browser, state, moment)
}

/// `POST /signin`: an e-mail address was typed, or a button with one was pressed.
pub(super) fn sign_in(request: &Request, form: &Fields, state: &mut State, moment: &mut Moment<'_>) -> (u16, Body) {
    let id = form.get("transaction").unwrap_or_default();
    if let Some(ending) = repeated(id, true, state, moment) {
        return end(ending);
    }
    let browser = state.sessions.find(request.session.as_deref());
    let Some(visit) = state.visits.find(id, moment.now) else { return refusal(RefusalPage::Expired) };
    let typed = form.filled("choice").or(form.filled("user")).unwrap_or_default().trim();
    let Some(user) = state.users.iter().position(|user| user.email().eq_ignore_ascii_case(typed)) else {
        let why = if let Stage::SignIn(why) = visit.stage { why } else { Why::Choice };
        return (200, Body::Page(Page::SignIn(sign_in_page(id, why, Some(typed), browser, state, moment))));
    };
    let signed_in = SignedIn { user, at: moment.now };
    let is_asked = match &visit.purpose {
        Purpose::Device { .. } => true,
        Purpose::Application { authorization, asks_again } => *asks_again || !state.consents.cover(user, authorization),
    };
    state.visits.sign_in(id, signed_in);
    let then = if is_asked {
        let base = state.service.base_path();
        (303, Body::Redirect(format!("{base}/consent?transaction={id}")))
    } else {
        answer(id, signed_in, true, state, moment)
    };
    with_session(request, signed_in, then, state, moment)
}

/// `POST /consent`. A form that says who consents signs that user in at once: a script needs no page.
pub(super) fn decide(request: &Request, form: &Fields, state: &mut State, moment: &mut Moment<'_>) -> (u16, Body) {
    let id = form.get("transaction").unwrap_or_default();
    let is_yes = form.get("decision") == Some("accept");
    if let Some(ending) = repeated(id, is_yes, state, moment) {
        return end(ending);
    }
    let Some(stage) = state.visits.find(id, moment.now).map(|visit| visit.stage) else {
        return refusal(RefusalPage::Expired);
    };
    let named = form.get("user").map(|email| state.user(email));
    match (named, stage) {
        (Some(Some(user)), _) => {
            let signed_in = SignedIn { user, at: moment.now };
            let then = answer(id, signed_in, is_yes, state, moment);
            if is_yes { with_session(request, signed_in, then, state, moment) } else { then }
        }
        (None, Stage::Consent(signed_in)) => answer(id, signed_in, is_yes, state, moment),
        (Some(None), _) | (None, Stage::SignIn(_)) => refusal(RefusalPage::Expired),
    }
}

/// What the same answer has led to a moment ago, while that can be of use: a code that was used is none.
fn repeated(id: &str, is_yes: bool, state: &State, moment: &Moment<'_>) -> Option<Ending> {
    let ending = state.visits.ended(id, is_yes, moment.elapsed)?.clone();
    match &ending {
        Ending::Back { code: Some(code), .. } if !state.has_code(code) => None,
        _ => Some(ending),
    }
}

/// Ends a visit with what the user says.
fn answer(id: &str, signed_in: SignedIn, is_yes: bool, state: &mut State, moment: &mut Moment<'_>) -> (u16, Body) {
    let ending = match state.visits.close(id, moment.now).map(|visit| visit.purpose) {
        None => return refusal(RefusalPage::Expired),
        Some(Purpose::Application { mut authorization, .. }) => {
            authorization.signed_in = Some(signed_in);
            let Granted { way, code } = if is_yes {
                authorize::accept(*authorization, signed_in.user, state, moment)
            } else {
                authorize::deny(*authorization, state)
            };
            Ending::Back { way, code }
        }
        Some(Purpose::Device { device_code }) => {
            let SignedIn { user, at } = signed_in;
            let said = if is_yes { Answer::Yes { user, at } } else { Answer::No };
            if !state.devices.answer(&device_code, said, moment.elapsed) {
                return refusal(RefusalPage::Expired);
            }
            Ending::Device { is_yes }
        }
    };
    state.visits.remember(id, is_yes, ending.clone(), moment.elapsed);
    end(ending)
}

/// 303, so that no browser repeats the form at the redirect URI.
fn end(ending: Ending) -> (u16, Body) {
    match ending {
        Ending::Back { way, .. } => way.into_answer(303),
        Ending::Device { is_yes } => (200, Body::Page(Page::DeviceDone { is_yes })),
    }
}

/// The browser is another user's from now on.
fn with_session(
    request: &Request,
    signed_in: SignedIn,
    (status, then): (u16, Body),
    state: &mut State,
    moment: &mut Moment<'_>,
) -> (u16, Body) {
    state.sessions.close(request.session.as_deref());
    let session = state.sessions.open(signed_in, (moment.random)());
    (status, Body::Session(Some(session), Box::new(then)))
}

pub(super) fn refusal(page: RefusalPage) -> (u16, Body) {
    (page.status(), Body::Page(Page::Refusal(page)))
}

/// The page where a visit stands.
fn page(id: &str, browser: Option<SignedIn>, state: &State, moment: &Moment<'_>) -> (u16, Body) {
    let Some(stage) = state.visits.find(id, moment.now).map(|visit| visit.stage) else {
        return refusal(RefusalPage::Expired);
    };
    match stage {
        Stage::SignIn(why) => (200, Body::Page(Page::SignIn(sign_in_page(id, why, None, browser, state, moment)))),
        Stage::Consent(signed_in) => match consent_page(id, signed_in, state, moment) {
            Some(page) => (200, Body::Page(Page::Consent(page))),
            None => refusal(RefusalPage::Expired),
        },
    }
}

/// What a visit is about: the integration, and the user that the request named.
fn subject(id: &str, state: &State, moment: &Moment<'_>) -> Option<(usize, Option<String>)> {
    match &state.visits.find(id, moment.now)?.purpose {
        Purpose::Application { authorization, .. } => {
            Some((authorization.integration, authorization.login_hint.clone()))
        }
        Purpose::Device { device_code } => Some((state.devices.named(device_code, moment.elapsed)?.integration, None)),
    }
}

/// `unknown` is what was typed and is nobody's. Otherwise the field is filled in with the one who is meant, or, for somebody
/// who is to choose, with who is signed in.
fn sign_in_page(
    id: &str,
    why: Why,
    unknown: Option<&str>,
    browser: Option<SignedIn>,
    state: &State,
    moment: &Moment<'_>,
) -> SignInPage {
    let (integration, hint) = subject(id, state, moment).unwrap_or_default();
    let present = browser.map(|signed_in| signed_in.user);
    let usual = || {
        let user = present.filter(|_| why != Why::Nobody).and_then(|user| state.users.get(user));
        hint.or_else(|| user.map(|user| user.email().to_owned())).unwrap_or_default()
    };
    let people = state.users.iter().enumerate().map(|(position, user)| Person {
        email: user.email().to_owned(),
        name: user.display_name().to_owned(),
        is_signed_in: Some(position) == present,
    });
    SignInPage {
        base: state.service.base_path(),
        transaction: id.to_owned(),
        integration: state.integrations[integration].name.clone(),
        why,
        email: unknown.map_or_else(usual, str::to_owned),
        is_unknown: unknown.is_some(),
        people: people.collect(),
    }
}

fn consent_page(id: &str, signed_in: SignedIn, state: &State, moment: &Moment<'_>) -> Option<ConsentPage> {
    let visit = state.visits.find(id, moment.now)?;
    let (integration, scopes, user_code) = match &visit.purpose {
        Purpose::Application { authorization, .. } => (authorization.integration, authorization.scopes.clone(), None),
        Purpose::Device { device_code } => {
            let device = state.devices.named(device_code, moment.elapsed)?;
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

/// Begins the visit of a device's user, unless the integration may log nobody in on a device: the user hears that as soon as
/// the code is typed.
pub(super) fn begin_device(
    device_code: String,
    integration: usize,
    request: &Request,
    state: &mut State,
    moment: &mut Moment<'_>,
) -> (u16, Body) {
    if let Some(page) = device::refusal(integration, state) {
        return refusal(page);
    }
    let browser = state.sessions.find(request.session.as_deref());
    let stage = browser.map_or(Stage::SignIn(Why::Nobody), Stage::Consent);
    open(Visit { purpose: Purpose::Device { device_code }, stage }, browser, state, moment)
}
