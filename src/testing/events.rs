//! What happens at Webex while a test runs: logins end, secrets change, administrators decide.

use crate::testing::MockWebex;

impl MockWebex {
    /// Ends the user's grants, as a new password or an administrator does: the refresh tokens are refused from now on,
    /// and every access token that came of them.
    ///
    /// # Panics
    ///
    /// When the mock has no such user.
    #[track_caller]
    pub fn revoke(&self, email: impl AsRef<str>) {
        let user = self.user(email.as_ref());
        self.state().revoke(user);
    }

    /// Ends the user's access tokens before their time; the refresh tokens live on. Panics when the mock has no such user.
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
