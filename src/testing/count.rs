//! Request counters and the request log.

use crate::testing::MockWebex;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::request::MockRequest;

impl MockWebex {
    /// Returns the number of requests to the token endpoint, including failed ones.
    pub fn token_requests(&self) -> usize {
        self.requests_to(MockEndpoint::Token)
    }

    /// Returns the number of code exchanges, including failed ones.
    pub fn exchanges(&self) -> usize {
        self.requests_to(MockEndpoint::Exchange)
    }

    /// Returns the number of refreshes, including failed ones.
    pub fn refreshes(&self) -> usize {
        self.requests_to(MockEndpoint::Refresh)
    }

    /// Returns the number of codes of this user that were exchanged for tokens.
    ///
    /// [`exchanges`](Self::exchanges) also counts rejected exchanges and those that a fault
    /// intercepted. They belong to no user.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such user.
    #[track_caller]
    pub fn exchanges_for(&self, email: impl AsRef<str>) -> usize {
        let user = self.user(email.as_ref());
        self.state().granted_exchanges.get(&user).copied().unwrap_or_default()
    }

    /// Returns the number of refreshes granted to this user, including those whose response was
    /// lost.
    ///
    /// [`refreshes`](Self::refreshes) also counts rejected refreshes and those that a fault
    /// intercepted. They belong to no user.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such user.
    #[track_caller]
    pub fn refreshes_for(&self, email: impl AsRef<str>) -> usize {
        let user = self.user(email.as_ref());
        self.state().granted_refreshes(user)
    }

    /// Returns the number of requests to the revocation endpoint, including failed ones.
    pub fn revocations(&self) -> usize {
        self.requests_to(MockEndpoint::Revocation)
    }

    /// Returns the number of requests to `endpoint`, including failed and intercepted ones.
    ///
    /// A mock counts requests for up to 1024 different paths. For other paths,
    /// [`MockEndpoint::Path`] returns zero.
    pub fn requests_to(&self, endpoint: MockEndpoint) -> usize {
        self.state().ledger.requests_to(&endpoint)
    }

    /// Returns the logged requests to `endpoint`, oldest first. The log contains the last 1024
    /// requests to all endpoints.
    ///
    /// Empty unless the mock is [recording] or has [expectations](Self::expect).
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{MockEndpoint, MockWebex};
    ///
    /// let mock = MockWebex::builder().record_requests().start().await;
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
    /// [recording]: crate::testing::MockWebexBuilder::record_requests
    pub fn received(&self, endpoint: MockEndpoint) -> Vec<MockRequest> {
        self.state().ledger.received(&endpoint)
    }

    /// Returns the number of requests that followed a [redirect](crate::testing::Fault::redirect).
    ///
    /// A client that follows it with a code, a token, or a secret has leaked it to a third party.
    pub fn followed_redirects(&self) -> usize {
        self.state().ledger.followed_redirects
    }

    /// Returns `true` if a refresh with this token would succeed now.
    ///
    /// For Webex Meetings, pass the token without the site name prefix.
    pub fn is_refresh_token_valid(&self, refresh_token: impl AsRef<str>) -> bool {
        self.state().find_grant(refresh_token.as_ref(), self.clock.now()).is_some()
    }
}
