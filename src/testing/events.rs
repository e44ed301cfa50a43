//! Changes in Webex during a test: revoked tokens, new client secrets, and administrators'
//! decisions.

use crate::testing::MockWebex;

impl MockWebex {
    /// Revokes the user's grants, as a password change or an administrator does.
    ///
    /// The refresh tokens and all access tokens issued from them are rejected from then on.
    ///
    /// A session requires a new login after both tokens were rejected. If its access token is
    /// younger than 30 seconds, advance the client's clock first, as for
    /// [`expire_access_tokens`](Self::expire_access_tokens).
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such user.
    #[track_caller]
    pub fn revoke(&self, email: impl AsRef<str>) {
        let user = self.user(email.as_ref());
        self.state().revoke(user);
    }

    /// Invalidates the user's access tokens before they expire. The refresh tokens stay valid.
    ///
    /// After a 401, a session does not refresh a token younger than 30 seconds, so advance the
    /// client's clock first.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such user.
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

    /// Revokes all grants of all users.
    pub fn remove_tokens(&self) {
        self.state().revoke_all();
    }

    /// Replaces the integration's client secret, like "Regenerate" in the developer portal. Tokens
    /// stay valid.
    pub fn change_secret(&self, client_secret: impl Into<String>) {
        self.state().integrations[0].client_secret = client_secret.into();
    }

    /// Denies the integration on behalf of an administrator. All authorization requests then result
    /// in an error page.
    pub fn deny_by_administrator(&self) {
        self.state().is_denied_by_administrator = true;
    }
}
