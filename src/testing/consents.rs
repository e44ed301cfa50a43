//! Consents of users.

use std::collections::HashMap;

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::testing::authorization::{Authorization, Binding};

/// A consent of a user.
pub(super) struct Consented {
    pub(super) user: usize,
    pub(super) integration: usize,
    pub(super) scopes: Scopes,
    pub(super) auth_time: UnixTime,
    /// The binding to the authorization request. `None` for a device login, whose device code never
    /// leaves the device.
    pub(super) binding: Option<Binding>,
}

/// All consents given in a browser and not revoked, by user and integration.
#[derive(Default)]
pub(super) struct Consents(HashMap<(usize, usize), Scopes>);

impl Consents {
    /// Adds a consent to everything that was requested.
    pub(super) fn give(&mut self, user: usize, authorization: &Authorization) {
        let given = self.0.entry((user, authorization.integration)).or_default();
        *given = given.iter().chain(authorization.scopes.iter()).cloned().collect();
    }

    /// Returns `true` if the user has consented to everything that is requested.
    pub(super) fn cover(&self, user: usize, authorization: &Authorization) -> bool {
        let given = self.0.get(&(user, authorization.integration));
        given.is_some_and(|given| authorization.scopes.iter().all(|scope| given.contains(scope)))
    }

    /// Removes the consents of a user.
    pub(super) fn revoke(&mut self, user: usize) {
        self.0.retain(|(own, _), _| *own != user);
    }

    pub(super) fn revoke_all(&mut self) {
        self.0.clear();
    }
}
