//! The mock's clients, and the network between them and the mock.

use std::sync::Arc;

use crate::client::{WebexOAuth, WebexOAuthBuilder};
use crate::testing::MockWebex;
use crate::testing::fault::Fault;
use crate::testing::integration::MockIntegration;

/// The clients of several integrations.
impl MockWebex {
    /// A client of one of the mock's other integrations, ready to log users in.
    ///
    /// # Panics
    ///
    /// When the mock has no such integration, or was given settings that no client can have.
    #[track_caller]
    #[expect(clippy::panic, reason = "a world that no client fits is a mistake in the test")]
    pub fn client_of(&self, integration: &MockIntegration) -> WebexOAuth {
        let settings = self.client_builder_of(integration);
        settings.build().unwrap_or_else(|error| panic!("no client fits the integration: {error}"))
    }

    /// The settings of such a client, to be changed before they are built. The client has the mock's clock.
    ///
    /// # Panics
    ///
    /// When the mock has no such integration.
    #[track_caller]
    pub fn client_builder_of(&self, integration: &MockIntegration) -> WebexOAuthBuilder {
        self.settings_of(self.position_of(integration))
    }

    /// Gives one of the other integrations another secret, as [`change_secret`](Self::change_secret) does to the mock's own.
    ///
    /// # Panics
    ///
    /// When the mock has no such integration.
    #[track_caller]
    pub fn change_secret_of(&self, integration: &MockIntegration, client_secret: impl Into<String>) {
        let position = self.position_of(integration);
        self.state().integrations[position].client_secret = client_secret.into();
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "an integration that nobody registered is a mistake in the test")]
    fn position_of(&self, integration: &MockIntegration) -> usize {
        let found = self.state().integration(integration.id());
        found.unwrap_or_else(|| {
            panic!("the mock has no integration {integration:?}: MockWebexBuilder::integration adds it")
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
    /// Refuses all connections from now on, and drops those that there are, as a server that is down does; its port stays
    /// reserved for [`go_online`](Self::go_online).
    ///
    /// # Panics
    ///
    /// When [`MockWebexBuilder::relay`](crate::testing::MockWebexBuilder::relay) was not asked for, or the port is lost.
    #[track_caller]
    pub fn go_offline(&self) {
        self.open(false);
    }

    /// Takes connections again.
    ///
    /// # Panics
    ///
    /// As [`go_offline`](Self::go_offline).
    #[track_caller]
    pub fn go_online(&self) {
        self.open(true);
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a network that the mock does not have is a mistake in the test")]
    fn open(&self, is_open: bool) {
        let Some(relay) = self.server.relay() else { panic!("{NO_RELAY}") };
        if let Err(error) = relay.open(is_open) {
            panic!("the mock's port cannot be opened or closed: {error}");
        }
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a fault that the mock cannot make is a mistake in the test")]
    pub(super) fn demand_relay(&self, fault: &Fault) {
        if fault.fate.needs_relay() && self.server.relay().is_none() {
            panic!("{NO_RELAY} (\"{fault}\")");
        }
    }
}

const NO_RELAY: &str = "connections are spoilt by the relay: start the mock by MockWebex::builder().relay().start()";
