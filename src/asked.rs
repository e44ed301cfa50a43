//! The kinds of requests to the service.

use crate::error::ErrorKind;

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A code exchange.
    Exchange,
    /// A refresh.
    Refresh,
    /// A device authorization request.
    DeviceCode,
    /// A device access token request.
    Device,
    /// A request for the person's details, with an access token.
    Person,
    /// The revocation of a token.
    Revocation,
    /// A request for the key set (JWKS).
    #[cfg(feature = "oidc")]
    Keys,
    /// A userinfo request, with an access token.
    #[cfg(feature = "oidc")]
    UserInfo,
    /// A request for the discovery document or for a user's issuer (WebFinger).
    #[cfg(feature = "oidc")]
    Discovery,
}

impl Asked {
    /// Returns the name for traces.
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

    /// Returns `true` if the request is for a protected resource and contains an access token.
    pub(crate) fn is_resource(self) -> bool {
        match self {
            Self::Person => true,
            #[cfg(feature = "oidc")]
            Self::UserInfo => true,
            _ => false,
        }
    }

    /// Returns `true` if the request contains a grant: a code, a refresh token, or a device code.
    pub(crate) fn is_grant(self) -> bool {
        matches!(self, Self::Exchange | Self::Refresh | Self::Device)
    }

    /// Returns the kind of errors of this request.
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
