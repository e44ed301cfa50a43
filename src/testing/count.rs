//! What a mock has counted, and what it knows of its tokens.

use crate::testing::MockWebex;

impl MockWebex {
    /// How many requests the token endpoint has received, good and bad.
    pub fn token_requests(&self) -> usize {
        self.state().token_requests
    }

    /// How many of them were refreshes, good and bad.
    pub fn refreshes(&self) -> usize {
        self.state().refreshes
    }

    /// How many refreshes this user's logins were granted.
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
        self.state().revocations
    }

    /// Whether a refresh with this token would be granted now. Of Webex Meetings, without the site's name before it.
    pub fn is_refresh_token_alive(&self, refresh_token: impl AsRef<str>) -> bool {
        self.state().find_grant(refresh_token.as_ref(), self.clock.now()).is_some()
    }
}
