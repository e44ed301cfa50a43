//! Keys of the simulated OpenID provider.

use crate::testing::MockWebex;
use crate::testing::endpoint::MockEndpoint;

/// Signing keys.
impl MockWebex {
    /// Returns the number of requests for key sets, of the service and all issuers.
    pub fn key_requests(&self) -> usize {
        self.requests_to(MockEndpoint::Jwks)
    }

    /// Adds a signing key, which signs all ID tokens from now on. Earlier keys stay published.
    pub fn add_key(&self) {
        self.state().keys.add();
    }

    /// Replaces all signing keys with a new one. Earlier keys are withdrawn.
    pub fn rotate_keys(&self) {
        self.state().keys.replace();
    }
}
