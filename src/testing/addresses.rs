//! Addresses of the mock's endpoints.

use crate::testing::MockWebex;

/// Addresses of the mock's endpoints.
impl MockWebex {
    /// Returns the base URL: `http://127.0.0.1:<port>/v1`, or `http://127.0.0.1:<port>/v1/oauth2`
    /// for Webex Meetings.
    pub fn uri(&self) -> String {
        let state = self.state();
        format!("{}{}", state.origin, state.service.base_path())
    }

    /// Returns the URL of the revocation endpoint (RFC 7009).
    ///
    /// Pass it to [`Service::with_revocation_endpoint`](crate::Service::with_revocation_endpoint).
    /// The clients created by [`client`](Self::client) do not use it, because Webex does not
    /// document a revocation endpoint.
    pub fn revocation_endpoint(&self) -> String {
        format!("{}/revoke", self.uri())
    }

    /// Returns the issuers of the users' ID tokens, without duplicates.
    ///
    /// [`service`](Self::service) trusts exactly these issuers and the one in the discovery
    /// document.
    pub fn issuers(&self) -> Vec<String> {
        self.state().issuers()
    }
}
