//! Where the mock's endpoints are.

use crate::testing::MockWebex;

/// Addresses.
impl MockWebex {
    /// The base address: `http://127.0.0.1:<port>/v1`, for Webex Meetings `http://127.0.0.1:<port>/v1/oauth2`.
    pub fn uri(&self) -> String {
        let state = self.state();
        format!("{}{}", state.origin, state.service.base_path())
    }

    /// Where the mock revokes tokens (RFC 7009), for
    /// [`Service::with_revocation_endpoint`](crate::Service::with_revocation_endpoint); [`client`](Self::client) does without, as Webex's documentation does.
    pub fn revocation_endpoint(&self) -> String {
        format!("{}/revoke", self.uri())
    }

    /// Who issues the ID tokens of the mock's users, each home once; [`service`](Self::service) accepts these, the one that the
    /// discovery document names, and no others.
    pub fn issuers(&self) -> Vec<String> {
        self.state().issuers()
    }
}
