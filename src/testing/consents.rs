//! Who has consented to what.

use std::collections::HashMap;

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::testing::authorization::{Authorization, Binding};

/// What a user has consented to.
pub(super) struct Consented {
    pub(super) user: usize,
    pub(super) integration: usize,
    pub(super) scopes: Scopes,
    pub(super) auth_time: UnixTime,
    /// A device's login has none: its device code never left the device.
    pub(super) binding: Option<Binding>,
}

/// All that was consented to in a browser and not revoked since, by user and integration.
#[derive(Default)]
pub(super) struct Consents(HashMap<(usize, usize), Scopes>);

impl Consents {
    /// The user consents to all that is asked for.
    pub(super) fn give(&mut self, user: usize, authorization: &Authorization) {
        let given = self.0.entry((user, authorization.integration)).or_default();
        *given = given.iter().chain(authorization.scopes.iter()).cloned().collect();
    }

    /// Whether the user has consented to all that is asked for.
    pub(super) fn cover(&self, user: usize, authorization: &Authorization) -> bool {
        let given = self.0.get(&(user, authorization.integration));
        given.is_some_and(|given| authorization.scopes.iter().all(|scope| given.contains(scope)))
    }

    /// Ends those of a user.
    pub(super) fn revoke(&mut self, user: usize) {
        self.0.retain(|(own, _), _| *own != user);
    }

    pub(super) fn revoke_all(&mut self) {
        self.0.clear();
    }
}
