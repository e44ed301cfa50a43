//! The requests that a server can respond to with an error, by what they ask for.

use crate::error::ErrorKind;

/// What was asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Tokens for an authorization code.
    Exchange,
    /// Tokens for a refresh token.
    Refresh,
    /// A code for a device, which a user enters elsewhere.
    DeviceCode,
    /// Tokens for a device's code.
    Device,
    /// Who the person is, with an access token.
    Person,
    /// The end of a token.
    Revocation,
    /// The keys that ID tokens are signed with.
    #[cfg(feature = "oidc")]
    Keys,
    /// What OpenID Connect tells of a user, with an access token.
    #[cfg(feature = "oidc")]
    UserInfo,
    /// What a service says of itself, or of whose issuer a user's is.
    #[cfg(feature = "oidc")]
    Discovery,
}

impl Asked {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Refresh => "refresh",
            Self::DeviceCode => "device_code",
            Self::Device => "device",
            Self::Person => "person",
            Self::Revocation => "revocation",
            #[cfg(feature = "oidc")]
            Self::Keys => "keys",
            #[cfg(feature = "oidc")]
            Self::UserInfo => "userinfo",
            #[cfg(feature = "oidc")]
            Self::Discovery => "discovery",
        }
    }

    /// Whether what is asked is a protected resource, which is sent an access token.
    pub(crate) fn is_resource(self) -> bool {
        match self {
            Self::Person => true,
            #[cfg(feature = "oidc")]
            Self::UserInfo => true,
            _ => false,
        }
    }

    /// Whether the user's own credentials are what is refused.
    pub(crate) fn is_grant(self) -> bool {
        matches!(self, Self::Exchange | Self::Refresh | Self::Device)
    }

    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::Exchange => ErrorKind::CodeExchange,
            Self::Refresh => ErrorKind::Refresh,
            Self::DeviceCode | Self::Device => ErrorKind::DeviceGrant,
            Self::Person => ErrorKind::PersonRequest,
            Self::Revocation => ErrorKind::Revocation,
            #[cfg(feature = "oidc")]
            Self::Keys => ErrorKind::Jwks,
            #[cfg(feature = "oidc")]
            Self::UserInfo => ErrorKind::UserInfo,
            #[cfg(feature = "oidc")]
            Self::Discovery => ErrorKind::Discovery,
        }
    }
}
