//! The logout page.

use url::Url;

use crate::testing::exchange::{Body, Fields, Request};
use crate::testing::pages::Page;
use crate::testing::state::{State, StepContext};

/// The path of the logout page below each issuer.
///
/// Webex does not document it, but Cisco's SDK (github.com/webex/webex-js-sdk) and samples use it.
pub(super) const LOGOUT: &str = "/oauth2/v1/logout";

/// Ends the browser's session and invalidates the access token in `token`, as used by Cisco's
/// samples.
///
/// The browser is then redirected to `goto`. No documentation requires this URL to be registered.
pub(super) fn show(request: &Request, state: &mut State, moment: &StepContext<'_>) -> (u16, Body) {
    state.sessions.close(request.session.as_deref());
    if let Some(token) = request.query.filled("token") {
        state.end_access_token(token, moment.now);
    }
    let (status, then) = match goto(&request.query) {
        Some(url) => (302, Body::Redirect(url)),
        None => (200, Body::Page(Page::SignedOut)),
    };
    (status, Body::Session(None, Box::new(then)))
}

/// Returns the URL in `goto` if it is an HTTP or HTTPS URL. A parsed URL is always a valid header
/// value.
fn goto(query: &Fields) -> Option<String> {
    let url = Url::parse(query.filled("goto")?).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}
