//! Clients of additional integrations, and the network between clients and mock.

use std::sync::Arc;

use crate::client::{WebexOAuth, WebexOAuthBuilder};
use crate::testing::MockWebex;
use crate::testing::fault::Fault;
use crate::testing::integration::MockIntegration;

/// Clients of additional integrations.
impl MockWebex {
    /// Creates a client for another integration of the mock.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such integration, or if the settings of the integration are not
    /// valid for a client.
    #[track_caller]
    #[expect(clippy::panic, reason = "settings that no client accepts are a mistake in the test")]
    pub fn client_for(&self, integration: &MockIntegration) -> WebexOAuth {
        let settings = self.client_builder_for(integration);
        settings.build().unwrap_or_else(|error| panic!("invalid integration: {error}"))
    }

    /// Creates a builder with the settings of another integration and the mock's clock.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such integration.
    #[track_caller]
    pub fn client_builder_for(&self, integration: &MockIntegration) -> WebexOAuthBuilder {
        self.settings_of(self.position_of(integration))
    }

    /// Replaces the client secret of another integration, like
    /// [`change_secret`](Self::change_secret).
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such integration.
    #[track_caller]
    pub fn change_secret_for(&self, integration: &MockIntegration, client_secret: impl Into<String>) {
        let position = self.position_of(integration);
        self.state().integrations[position].client_secret = client_secret.into();
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "an unregistered integration is a mistake in the test")]
    fn position_of(&self, integration: &MockIntegration) -> usize {
        let found = self.state().integration(integration.id());
        found.unwrap_or_else(|| {
            panic!("unknown integration {integration:?}: add it with `MockWebexBuilder::integration`")
        })
    }

    pub(super) fn settings_of(&self, position: usize) -> WebexOAuthBuilder {
        let service = self.service();
        let state = self.state();
        let integration = &state.integrations[position];
        WebexOAuth::builder()
            .service(service)
            .client_id(integration.client_id.clone())
            .client_secret(integration.client_secret.clone())
            .redirect_uri(integration.redirect_uris[0].clone())
            .scopes(integration.scopes.to_string())
            .shared_clock(Arc::clone(&self.clock))
    }
}

/// The network between clients and mock.
impl MockWebex {
    /// Closes all connections and rejects new ones, like a server that is down.
    ///
    /// The port stays reserved for [`go_online`](Self::go_online).
    ///
    /// # Panics
    ///
    /// Panics if the mock was started without
    /// [`MockWebexBuilder::relay`](crate::testing::MockWebexBuilder::relay), or if the port was
    /// lost.
    #[track_caller]
    pub fn go_offline(&self) {
        self.open(false);
    }

    /// Opens the port again after [`go_offline`](Self::go_offline).
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`go_offline`](Self::go_offline).
    #[track_caller]
    pub fn go_online(&self) {
        self.open(true);
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a mock without a relay is a mistake in the test")]
    fn open(&self, is_open: bool) {
        let Some(relay) = self.server.relay() else { panic!("{NO_RELAY}") };
        if let Err(error) = relay.open(is_open) {
            panic!("failed to open or close the port of the mock: {error}");
        }
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a fault that requires a missing relay is a mistake in the test")]
    pub(super) fn demand_relay(&self, fault: &Fault) {
        if fault.fate.needs_relay() && self.server.relay().is_none() {
            panic!("{NO_RELAY} (\"{fault}\")");
        }
    }
}

const NO_RELAY: &str =
    "connection faults require the relay: start the mock with `MockWebex::builder().relay().start()`";
