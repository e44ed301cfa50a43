//! What a mock has counted and kept, and what it knows of its tokens.

use crate::testing::MockWebex;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::request::MockRequest;

impl MockWebex {
    /// How many requests the token endpoint has received, good and bad.
    pub fn token_requests(&self) -> usize {
        self.requests_to(MockEndpoint::Token)
    }

    /// How many of them were exchanges of a code, good and bad.
    pub fn exchanges(&self) -> usize {
        self.requests_to(MockEndpoint::Exchange)
    }

    /// How many of them were refreshes, good and bad.
    pub fn refreshes(&self) -> usize {
        self.requests_to(MockEndpoint::Refresh)
    }

    /// How many codes of this user's were exchanged for tokens. What [`exchanges`](Self::exchanges) counts beside that was
    /// refused, or spoilt before the mock saw it, and is nobody's.
    ///
    /// # Panics
    ///
    /// When the mock has no such user.
    #[track_caller]
    pub fn exchanges_of(&self, email: impl AsRef<str>) -> usize {
        let user = self.user(email.as_ref());
        self.state().granted_exchanges.get(&user).copied().unwrap_or_default()
    }

    /// How many refreshes this user's logins were granted, whether or not the answer arrived. What
    /// [`refreshes`](Self::refreshes) counts beside that was refused, or spoilt before the mock saw it, and is nobody's.
    ///
    /// # Panics
    ///
    /// When the mock has no such user.
    #[track_caller]
    pub fn refreshes_of(&self, email: impl AsRef<str>) -> usize {
        let user = self.user(email.as_ref());
        self.state().granted_refreshes(user)
    }

    /// How many requests the revocation endpoint has received, good and bad.
    pub fn revocations(&self) -> usize {
        self.requests_to(MockEndpoint::Revocation)
    }

    /// How many requests have come to a place, good and bad, spoilt or not.
    ///
    /// A mock counts 1024 different paths; [`MockEndpoint::Path`] of a later one is zero.
    pub fn requests_to(&self, endpoint: MockEndpoint) -> usize {
        self.state().ledger.requests_to(&endpoint)
    }

    /// The latest requests to a place, the oldest first, of a mock that is [recording]: of the last 1024 to all places.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{MockEndpoint, MockWebex};
    ///
    /// let mock = MockWebex::builder().recording().start().await;
    /// let webex = mock.client();
    /// let (url, pending) = webex.authorize().begin()?;
    /// webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    ///
    /// let requests = mock.received(MockEndpoint::Token);
    /// assert_eq!(requests[0].parameter("grant_type"), Some("authorization_code"));
    /// assert_eq!(requests[0].parameter("code"), Some("[redacted]"));
    /// assert_eq!(requests[0].status(), Some(200));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [recording]: crate::testing::MockWebexBuilder::recording
    pub fn received(&self, endpoint: MockEndpoint) -> Vec<MockRequest> {
        self.state().ledger.received(&endpoint)
    }

    /// How many requests went where a [redirect](crate::testing::Fault::redirect) sent them. A client that goes there with a
    /// code, a token or a secret has given it to a stranger.
    pub fn followed_redirects(&self) -> usize {
        self.state().ledger.followed_redirects
    }

    /// Whether a refresh with this token would be granted now. Of Webex Meetings, without the site's name before it.
    pub fn is_refresh_token_alive(&self, refresh_token: impl AsRef<str>) -> bool {
        self.state().find_grant(refresh_token.as_ref(), self.clock.now()).is_some()
    }
}
