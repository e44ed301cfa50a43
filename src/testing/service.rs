//! The Webex services that a mock can simulate, and their differences.

use std::time::Duration;

/// A Webex service that a mock simulates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MockService {
    /// The commercial platform, [`Service::webex`](crate::service::Service::webex).
    #[default]
    Webex,
    /// Webex for Government, [`Service::webex_gov`](crate::service::Service::webex_gov).
    WebexGov,
    /// Webex Meetings integrations, [`Service::meetings`](crate::service::Service::meetings).
    Meetings,
}

impl MockService {
    /// Returns the path prefix of all endpoints.
    pub(super) fn base_path(self) -> &'static str {
        match self {
            Self::Webex | Self::WebexGov => "/v1",
            Self::Meetings => "/v1/oauth2",
        }
    }

    pub(super) fn token_path(self) -> &'static str {
        match self {
            Self::Webex | Self::WebexGov => "/access_token",
            Self::Meetings => "/token",
        }
    }

    /// Returns the first component of the REST API's IDs.
    pub(super) fn region(self) -> &'static str {
        match self {
            Self::WebexGov => "urn:TEAM:us-gov-west-1_a1",
            Self::Webex | Self::Meetings => "us",
        }
    }

    pub(super) fn is_meetings(self) -> bool {
        self == Self::Meetings
    }

    /// Returns the default registered scopes of an integration.
    pub(super) fn usual_scopes(self) -> &'static str {
        match self {
            Self::Webex | Self::WebexGov => "spark:all spark:people_read",
            Self::Meetings => "all_read user_modify meeting_modify recording_modify",
        }
    }

    /// Returns the default token lifetimes, as reported in Webex's responses.
    pub(super) fn usual_lifetimes(self) -> Lifetimes {
        let (access_token, refresh_token) = match self {
            Self::Webex => (1_209_599, 7_775_999),
            Self::WebexGov => (43_199, 5_183_999),
            Self::Meetings => (7_200, 5_184_000),
        };
        Lifetimes {
            access_token: Duration::from_secs(access_token),
            refresh_token: Duration::from_secs(refresh_token),
            is_renewed: false,
        }
    }
}

/// Token lifetimes.
#[derive(Clone, Copy)]
pub(super) struct Lifetimes {
    pub(super) access_token: Duration,
    pub(super) refresh_token: Duration,
    /// `true` if a refresh restarts the lifetime of the refresh token.
    pub(super) is_renewed: bool,
}
