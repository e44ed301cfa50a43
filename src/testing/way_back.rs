//! The target of an authorization response: the redirect URI and the response mode.

use crate::testing::callback_fault::{CallbackFault, Parameters};
use crate::testing::exchange::{Body, Fields};
use crate::testing::form_post_page::FormPostPage;
use crate::testing::pages::Page;
use crate::testing::response_type::ResponseType;

/// The redirect URI, the state, and the position of the response parameters.
#[derive(Clone)]
pub(super) struct ResponseTarget {
    redirect_uri: String,
    state: Option<String>,
    place: Place,
}

/// The position of the response parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Query,
    Fragment,
    Form,
}

/// An authorization response.
#[derive(Clone, Debug)]
pub(super) enum AuthorizationResponse {
    /// A redirect to this URL.
    Address(String),
    /// A page with a form that the user submits.
    Form(FormPostPage),
}

impl AuthorizationResponse {
    /// Returns the application's view: the URL, or the body of the form.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Address(url) => url,
            Self::Form(page) => page.body(),
        }
    }

    /// Returns the browser's view. `status` is the status of a redirect.
    pub(super) fn into_answer(self, status: u16) -> (u16, Body) {
        match self {
            Self::Address(url) => (status, Body::Redirect(url)),
            Self::Form(page) => (200, Body::Page(Page::FormPost(page))),
        }
    }
}

impl ResponseTarget {
    pub(super) fn new(redirect_uri: String, query: &Fields) -> Self {
        let is_fragment = query.get("response_type").is_some_and(ResponseType::uses_fragment);
        let place = match query.get("response_mode") {
            Some("form_post") => Place::Form,
            _ if is_fragment => Place::Fragment,
            _ => Place::Query,
        };
        Self { redirect_uri, state: query.get("state").map(str::to_owned), place }
    }

    /// Returns the response with these parameters. The redirect URI is kept byte by byte.
    pub(super) fn with(self, parameters: Parameters) -> AuthorizationResponse {
        self.with_fault(parameters, None, "")
    }

    /// Returns the response with these parameters and an optional fault. `issuer` is the issuer of
    /// the user.
    pub(super) fn with_fault(
        self,
        mut parameters: Parameters,
        fault: Option<CallbackFault>,
        issuer: &str,
    ) -> AuthorizationResponse {
        parameters.extend(self.state.map(|state| ("state", state)));
        if let Some(fault) = fault {
            fault.spoil(&mut parameters, issuer);
        }
        let separator = match (self.place, self.redirect_uri.contains('?')) {
            (Place::Form, _) => {
                return AuthorizationResponse::Form(FormPostPage { action: self.redirect_uri, fields: parameters });
            }
            (Place::Fragment, _) => '#',
            (Place::Query, true) => '&',
            (Place::Query, false) => '?',
        };
        let answer = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        AuthorizationResponse::Address(format!("{}{separator}{answer}", self.redirect_uri))
    }
}
