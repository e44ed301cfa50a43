//! Authorization requests, consents, and the response to the redirect URI.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::testing::browser_session::SignedIn;
use crate::testing::faults::named::{CallbackFault, CallbackParameters};
use crate::testing::message::{Body, Fields};
use crate::testing::pages::{FormPostPage, Page};

/// A validated authorization request, pending until the user decides.
pub(crate) struct Authorization {
    pub(crate) integration: usize,
    pub(crate) binding: Binding,
    /// `true` if the request contained the redirect URI, so that the exchange must repeat it.
    pub(crate) names_redirect_uri: bool,
    pub(crate) response: ResponseType,
    pub(crate) response_target: ResponseTarget,
    pub(crate) scopes: Scopes,
    pub(crate) login_hint: Option<String>,
    pub(crate) authentication: Authentication,
    /// The signed-in user. `None` without pages, where the sign-in coincides with the consent.
    pub(crate) signed_in: Option<SignedIn>,
}

impl Authorization {
    /// Returns the time of the sign-in, or `approved` if it coincides with the consent.
    pub(crate) fn signed_in_at(&self, approved: UnixTime) -> UnixTime {
        self.signed_in.map_or(approved, |signed_in| signed_in.at)
    }
}

/// Requirements for the ID token (OpenID Connect Core 1.0, section 3.1.2.1).
#[derive(Default)]
pub(crate) struct Authentication {
    pub(crate) nonce: Option<String>,
    /// The maximum age of the sign-in, in seconds.
    pub(crate) max_age: Option<u64>,
}

/// Values that only the party that began the login can repeat.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<Challenge>,
}

/// A code challenge (PKCE, RFC 7636, section 4.2).
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    Plain(String),
    S256(String),
}

impl Challenge {
    pub(crate) fn matches(&self, verifier: &str) -> bool {
        match self {
            Self::Plain(challenge) => challenge == verifier,
            Self::S256(challenge) => *challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
        }
    }
}

impl Binding {
    /// Returns `true` if the code verifier matches the challenge.
    ///
    /// A verifier without a challenge is rejected as well, because PKCE may have been stripped from
    /// the authorization request (RFC 9700, section 4.8.2).
    pub(crate) fn matches_verifier(&self, verifier: Option<&str>) -> bool {
        match (&self.challenge, verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => challenge.matches(verifier),
            _ => false,
        }
    }
}

/// A consent of a user.
pub(crate) struct Consent {
    pub(crate) user: usize,
    pub(crate) integration: usize,
    pub(crate) scopes: Scopes,
    pub(crate) auth_time: UnixTime,
    /// The binding to the authorization request. `None` for a device login, whose device code never
    /// leaves the device.
    pub(crate) binding: Option<Binding>,
}

/// All consents given in a browser and not revoked, by user and integration.
#[derive(Default)]
pub(crate) struct Consents(HashMap<(usize, usize), Scopes>);

impl Consents {
    /// Adds a consent to everything that was requested.
    pub(crate) fn add(&mut self, user: usize, authorization: &Authorization) {
        let given = self.0.entry((user, authorization.integration)).or_default();
        *given = given.iter().chain(authorization.scopes.iter()).cloned().collect();
    }

    /// Returns `true` if the user has consented to everything that is requested.
    pub(crate) fn covers(&self, user: usize, authorization: &Authorization) -> bool {
        let given = self.0.get(&(user, authorization.integration));
        given.is_some_and(|given| authorization.scopes.iter().all(|scope| given.contains(scope)))
    }

    /// Removes the consents of a user.
    pub(crate) fn revoke(&mut self, user: usize) {
        self.0.retain(|(own, _), _| *own != user);
    }

    pub(crate) fn revoke_all(&mut self) {
        self.0.clear();
    }
}

/// The redirect URI, the state, and the position of the response parameters.
#[derive(Clone)]
pub(crate) struct ResponseTarget {
    redirect_uri: String,
    state: Option<String>,
    mode: ResponseMode,
}

/// The position of the response parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseMode {
    Query,
    Fragment,
    FormPost,
}

/// An authorization response.
#[derive(Clone, Debug)]
pub(crate) enum AuthorizationResponse {
    /// A redirect to this URL.
    Redirect(String),
    /// A page with a form that the user submits.
    FormPost(FormPostPage),
}

impl AuthorizationResponse {
    /// Returns the application's view: the URL, or the body of the form.
    pub(crate) fn into_callback(self) -> String {
        match self {
            Self::Redirect(url) => url,
            Self::FormPost(page) => page.body(),
        }
    }

    /// Returns the browser's view. `status` is the status of a redirect.
    pub(crate) fn into_browser_response(self, status: u16) -> (u16, Body) {
        match self {
            Self::Redirect(url) => (status, Body::Redirect(url)),
            Self::FormPost(page) => (200, Body::Page(Page::FormPost(page))),
        }
    }
}

impl ResponseTarget {
    pub(crate) fn new(redirect_uri: String, query: &Fields) -> Self {
        let is_fragment = query.get("response_type").is_some_and(ResponseType::uses_fragment);
        let position = match query.get("response_mode") {
            Some("form_post") => ResponseMode::FormPost,
            _ if is_fragment => ResponseMode::Fragment,
            _ => ResponseMode::Query,
        };
        Self { redirect_uri, state: query.get("state").map(str::to_owned), mode: position }
    }

    /// Returns the response with these parameters. The redirect URI is kept byte by byte.
    pub(crate) fn response(self, parameters: CallbackParameters) -> AuthorizationResponse {
        self.response_with_fault(parameters, None, "")
    }

    /// Returns the response with these parameters and an optional fault. `issuer` is the issuer of
    /// the user.
    pub(crate) fn response_with_fault(
        self,
        mut parameters: CallbackParameters,
        fault: Option<CallbackFault>,
        issuer: &str,
    ) -> AuthorizationResponse {
        parameters.extend(self.state.map(|state| ("state", state)));
        if let Some(fault) = fault {
            fault.apply(&mut parameters, issuer);
        }
        let separator = match (self.mode, self.redirect_uri.contains('?')) {
            (ResponseMode::FormPost, _) => {
                return AuthorizationResponse::FormPost(FormPostPage { action: self.redirect_uri, fields: parameters });
            }
            (ResponseMode::Fragment, _) => '#',
            (ResponseMode::Query, true) => '&',
            (ResponseMode::Query, false) => '?',
        };
        let reply = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        AuthorizationResponse::Redirect(format!("{}{separator}{reply}", self.redirect_uri))
    }
}

/// A response type (developer.webex.com/docs/login-with-webex). Hybrid flows are not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseType {
    Code,
    IdToken,
    Token,
    IdTokenToken,
}

impl ResponseType {
    /// Parses a response type. The order of its words does not matter (RFC 6749, section 3.1.1).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "code" => Some(Self::Code),
            "id_token" => Some(Self::IdToken),
            "token" => Some(Self::Token),
            "id_token token" | "token id_token" => Some(Self::IdTokenToken),
            _ => None,
        }
    }

    /// Returns `true` if the response is in the fragment.
    ///
    /// This applies to all requests for a token (OAuth 2.0 Multiple Response Type Encoding
    /// Practices, section 5), including errors (RFC 6749, section 4.2.2.1).
    pub(crate) fn uses_fragment(text: &str) -> bool {
        text.split(' ').any(|word| matches!(word, "token" | "id_token"))
    }

    pub(crate) fn includes_id_token(self) -> bool {
        matches!(self, Self::IdToken | Self::IdTokenToken)
    }

    pub(crate) fn includes_access_token(self) -> bool {
        matches!(self, Self::Token | Self::IdTokenToken)
    }
}
