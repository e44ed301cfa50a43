//! What a user answers when no browser shows the consent page.

use url::Url;

use crate::testing::MockWebex;
use crate::testing::authorization::Authorization;
use crate::testing::authorize::{self, Turned};
use crate::testing::exchange::Fields;
use crate::testing::http;
use crate::testing::refusal_page::RefusalPage;
use crate::testing::state::{Moment, State};

/// Consent, or not.
enum Answer {
    /// Yes, as this user or as the one who is chosen when the page opens.
    Accept(Option<usize>),
    Deny,
}

impl Answer {
    fn give(self, authorization: Authorization, state: &mut State, moment: &mut Moment<'_>) -> String {
        match self {
            Self::Accept(user) => {
                let user = user.or_else(|| authorize::hinted_user(&authorization, state)).unwrap_or(0);
                authorize::accept(authorization, user, state, moment).way.into_text()
            }
            Self::Deny => authorize::deny(authorization, state).way.into_text(),
        }
    }
}

/// The user, with a new browser for each answer: nobody is signed in there, so that `prompt=none` brings `login_required`.
impl MockWebex {
    /// Lets the user that `login_hint` names, or else the first, sign in and consent; returns where the browser is sent.
    ///
    /// That is the redirect URI with `code` and `state`, by the implicit flow with tokens and `state` in its fragment; or with
    /// Webex's `error` when the request was at fault. With `response_mode=form_post`, it is the body of the form that arrives
    /// there, which [`Callback::parse`](crate::Callback::parse) reads as well.
    /// Nothing is sent over the network.
    ///
    /// # Panics
    ///
    /// When Webex would show a page instead of redirecting, with what it says, and when the URL is not the mock's
    /// authorization endpoint. [`try_approve`](Self::try_approve) is for tests of the pages.
    #[track_caller]
    pub fn approve(&self, authorization_url: impl AsRef<str>) -> String {
        redirected(self.try_approve(authorization_url))
    }

    /// [`approve`](Self::approve), by the user with this e-mail address.
    ///
    /// # Panics
    ///
    /// As [`approve`](Self::approve), and when the mock has no such user.
    #[track_caller]
    pub fn approve_as(&self, authorization_url: impl AsRef<str>, email: impl AsRef<str>) -> String {
        let user = self.user(email.as_ref());
        redirected(self.walk(authorization_url.as_ref(), Answer::Accept(Some(user))))
    }

    /// [`approve`](Self::approve), with the page as a value where Webex would show one.
    ///
    /// # Errors
    ///
    /// The page, when Webex would not redirect.
    ///
    /// # Panics
    ///
    /// When the URL is not the mock's authorization endpoint.
    #[track_caller]
    pub fn try_approve(&self, authorization_url: impl AsRef<str>) -> Result<String, RefusalPage> {
        self.walk(authorization_url.as_ref(), Answer::Accept(None))
    }

    /// Lets the user decline; returns where the browser is sent: the redirect URI with `error=access_denied`.
    ///
    /// # Panics
    ///
    /// As [`approve`](Self::approve).
    #[track_caller]
    pub fn deny(&self, authorization_url: impl AsRef<str>) -> String {
        redirected(self.walk(authorization_url.as_ref(), Answer::Deny))
    }

    #[track_caller]
    fn walk(&self, authorization_url: &str, answer: Answer) -> Result<String, RefusalPage> {
        let query = self.authorization_query(authorization_url);
        let mut moment = Moment { now: self.clock.now(), elapsed: self.clock.elapsed(), random: &mut http::random };
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
                "this is not an authorization URL of the mock, which begin with {endpoint}: {authorization_url:?}"
            ),
        }
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "the test wanted a redirect; `try_approve` is there for the others")]
fn redirected(outcome: Result<String, RefusalPage>) -> String {
    match outcome {
        Ok(url) => url,
        Err(page) => panic!("Webex would show a page instead of redirecting: {page}"),
    }
}
