//! What happens at Webex while a test runs: logins end, secrets change, administrators decide.

use crate::testing::MockWebex;

impl MockWebex {
    /// Ends the user's grants, as a new password or an administrator does: the refresh tokens are rejected from now on,
    /// and every access token that came of them.
    ///
    /// A session requires a login once both tokens were rejected. For a token younger than 30 seconds, advance the client's
    /// clock first, as for [`expire_access_tokens`](Self::expire_access_tokens).
    ///
    /// # Panics
    ///
    /// When the mock has no such user.
    #[track_caller]
    pub fn revoke(&self, email: impl AsRef<str>) {
        let user = self.user(email.as_ref());
        self.state().revoke(user);
    }

    /// Expires the user's access tokens early; the refresh tokens stay valid.
    ///
    /// A session does not refresh a token younger than 30 seconds after a 401, so advance the client's clock first.
    ///
    /// # Panics
    ///
    /// When the mock has no such user.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use std::time::Duration;
    ///
    /// use webex_oauth::clock::{ManualClock, UnixTime};
    /// use webex_oauth::store::{MemoryStore, TokenKey};
    /// use webex_oauth::testing::MockWebex;
    /// use webex_oauth::{Callback, TokenManager};
    ///
    /// let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    /// let mock = MockWebex::builder().clock(clock.clone()).start().await;
    /// let webex = mock.client(); // shares the clock
    /// let (url, pending) = webex.authorize().begin()?;
    /// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    /// let manager = TokenManager::new(webex, MemoryStore::new())?;
    /// let session = manager.put(&TokenKey::new("jane")?, login).await?;
    ///
    /// clock.advance(Duration::from_secs(30));
    /// mock.expire_access_tokens("jane@example.com");
    /// session.person().await?; // the response is 401: the session refreshes, and asks again
    /// assert_eq!(mock.refreshes(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn expire_access_tokens(&self, email: impl AsRef<str>) {
        let user = self.user(email.as_ref());
        self.state().expire_access_tokens(user);
    }

    /// Ends all grants of all users.
    pub fn forget_tokens(&self) {
        self.state().revoke_all();
    }

    /// Gives the integration another secret, as "Regenerate" in the developer portal does. Tokens live on.
    pub fn change_secret(&self, client_secret: impl Into<String>) {
        self.state().integrations[0].client_secret = client_secret.into();
    }

    /// From now on, authorization requests end with a page: the administrator has not approved the integration.
    pub fn deny_by_administrator(&self) {
        self.state().is_denied_by_administrator = true;
    }
}
