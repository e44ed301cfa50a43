//! The page that signs a browser out.

use url::Url;

use crate::testing::exchange::{Body, Fields, Request};
use crate::testing::pages::Page;
use crate::testing::state::{Moment, State};

/// Below each issuer's address. Webex documents it nowhere; Cisco's SDK (github.com/webex/webex-js-sdk) and samples send
/// browsers there.
pub(super) const LOGOUT: &str = "/oauth2/v1/logout";

/// Ends the browser's session, and the access token if there is one in the address, as Cisco's samples have it. Then the
/// browser goes to `goto`; nobody wrote down that such an address must be registered.
pub(super) fn show(request: &Request, state: &mut State, moment: &Moment<'_>) -> (u16, Body) {
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

/// An address of the web; parsing it leaves nothing that a header could not hold.
fn goto(query: &Fields) -> Option<String> {
    let url = Url::parse(query.filled("goto")?).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}
