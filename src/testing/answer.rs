//! The user's decision on an authorization request, made without a browser.

use url::Url;

use crate::testing::MockWebex;
use crate::testing::authorization::Authorization;
use crate::testing::authorize::{self, Turned};
use crate::testing::exchange::Fields;
use crate::testing::http;
use crate::testing::refusal_page::ErrorPage;
use crate::testing::state::{State, StepContext};

/// The user's decision.
enum Answer {
    /// Consent by this user, or by the default user if `None`.
    Accept(Option<usize>),
    Deny,
}

impl Answer {
    fn give(self, authorization: Authorization, state: &mut State, moment: &mut StepContext<'_>) -> String {
        match self {
            Self::Accept(user) => {
                let user = user.or_else(|| authorize::hinted_user(&authorization, state)).unwrap_or(0);
                authorize::accept(authorization, user, state, moment).way.into_text()
            }
            Self::Deny => authorize::deny(authorization, state).way.into_text(),
        }
    }
}

/// The user's browser. Every decision is made in a new browser, in which no user is signed in.
/// `prompt=none` therefore results in `login_required`.
impl MockWebex {
    /// Approves the authorization request and returns the URL that the browser is redirected to.
    ///
    /// The user is the one in `login_hint`, or the first user of the mock.
    ///
    /// The URL is the redirect URI with `code` and `state`. In the implicit flow, the tokens and
    /// `state` are in its fragment. If the request is invalid, the URL contains Webex's `error`.
    /// With `response_mode=form_post`, the returned string is the body of the form, which
    /// [`Callback::parse`](crate::Callback::parse) accepts as well. Nothing is sent over the
    /// network.
    ///
    /// # Panics
    ///
    /// Panics if Webex would show a page instead of redirecting, or if the URL is not the mock's
    /// authorization endpoint. To test such pages, use [`try_approve`](Self::try_approve).
    #[track_caller]
    pub fn approve(&self, authorization_url: impl AsRef<str>) -> String {
        redirected(self.try_approve(authorization_url))
    }

    /// Approves the authorization request as the user with this e-mail address. Otherwise identical
    /// to [`approve`](Self::approve).
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`approve`](Self::approve), and if the mock has no such
    /// user.
    #[track_caller]
    pub fn approve_as(&self, authorization_url: impl AsRef<str>, email: impl AsRef<str>) -> String {
        let user = self.user(email.as_ref());
        redirected(self.walk(authorization_url.as_ref(), Answer::Accept(Some(user))))
    }

    /// Approves the authorization request like [`approve`](Self::approve), but returns an error if
    /// Webex would show a page.
    ///
    /// # Errors
    ///
    /// Returns the page if Webex would not redirect.
    ///
    /// # Panics
    ///
    /// Panics if the URL is not the mock's authorization endpoint.
    #[track_caller]
    pub fn try_approve(&self, authorization_url: impl AsRef<str>) -> Result<String, ErrorPage> {
        self.walk(authorization_url.as_ref(), Answer::Accept(None))
    }

    /// Denies the authorization request and returns the redirect URI with `error=access_denied`.
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`approve`](Self::approve).
    #[track_caller]
    pub fn deny(&self, authorization_url: impl AsRef<str>) -> String {
        redirected(self.walk(authorization_url.as_ref(), Answer::Deny))
    }

    #[track_caller]
    fn walk(&self, authorization_url: &str, answer: Answer) -> Result<String, ErrorPage> {
        let query = self.authorization_query(authorization_url);
        let mut moment =
            StepContext { now: self.clock.now(), elapsed: self.clock.elapsed(), random: &mut http::random };
        let mut state = self.state();
        let authorization = match authorize::check(&query, None, moment.now, &state) {
            Ok((authorization, _)) => authorization,
            Err(Turned::Away(page)) => return Err(page),
            Err(Turned::Back(way)) => return Ok(way.into_text()),
        };
        Ok(answer.give(authorization, &mut state, &mut moment))
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a URL of another server is a mistake in the test")]
    fn authorization_query(&self, authorization_url: &str) -> Fields {
        let endpoint = self.service().authorization_endpoint().to_owned();
        let own = Url::parse(&endpoint).ok();
        match (Url::parse(authorization_url), own) {
            (Ok(url), Some(own)) if url.path() == own.path() && url.port() == own.port() => {
                Fields::parse(url.query().unwrap_or_default().as_bytes())
            }
            _ => panic!(
                "not an authorization URL of the mock: {authorization_url:?}; expected a URL that begins with {endpoint}"
            ),
        }
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "the test expects a redirect; `try_approve` returns pages")]
fn redirected(outcome: Result<String, ErrorPage>) -> String {
    match outcome {
        Ok(url) => url,
        Err(page) => panic!("Webex would show a page instead of redirecting: {page}; use `try_approve` to test pages"),
    }
}
