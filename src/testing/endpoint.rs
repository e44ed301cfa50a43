//! Endpoints of the mock, and their paths.

use std::fmt;

use crate::testing::message::Request;
use crate::testing::registry::MockService;

pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const WEB_FINGER: &str = "/.well-known/webfinger";
/// The path of an issuer's own key set (observed in Cisco's samples for BYODS).
pub(crate) const KEYS_OF_ISSUER: &str = "/oauth2/v2/keys/verificationjwk";

/// An endpoint of the mock, for which a test can script a [`Fault`](crate::testing::Fault), inspect
/// requests, or set expectations.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use webex_oauth::testing::{MockEndpoint, Fault, MockWebex};
///
/// let mock = MockWebex::start().await;
/// mock.on(MockEndpoint::Refresh).respond_with(Fault::status(503));
/// let rooms = Fault::status(200).json("{\"items\":[]}");
/// mock.on(MockEndpoint::path("/v1/rooms")).respond_with(rooms).until_cleared();
/// assert_eq!(mock.requests_to(MockEndpoint::Any), 0);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MockEndpoint {
    /// All endpoints.
    Any,
    /// The authorization endpoint.
    ///
    /// [`MockWebex::approve`](crate::testing::MockWebex::approve) does not send a request to it.
    Authorization,
    /// The token endpoint, for all grant types.
    Token,
    /// The token endpoint, for code exchanges.
    Exchange,
    /// The token endpoint, for refreshes.
    Refresh,
    /// The person API: `people/me`.
    Person,
    /// The userinfo endpoint of OpenID Connect.
    UserInfo,
    /// The key sets (JWKS) of the service and of all issuers.
    Jwks,
    /// The discovery document.
    Discovery,
    /// The WebFinger endpoint, which returns the issuer of a user.
    WebFinger,
    /// The revocation endpoint.
    Revocation,
    /// The Authorizations API: `authorizations` and all paths below it.
    Authorizations,
    /// The device authorization endpoint: `device/authorize`.
    DeviceAuthorization,
    /// The token endpoint for devices: `device/token`.
    DeviceToken,
    /// A complete path, such as `/v1/rooms`, with any method.
    ///
    /// Together with a [`Fault`](crate::testing::Fault) that has a body, it simulates a part of
    /// Webex's API that the mock does not implement. To serve data to valid tokens only, use
    /// [`MockWebex::resource`](crate::testing::MockWebex::resource).
    Path(String),
    /// A resource added by [`MockWebex::resource`](crate::testing::MockWebex::resource), by its
    /// path, with all its items.
    Resource(String),
}

impl MockEndpoint {
    /// Creates a [`Path`](Self::Path).
    pub fn path(path: impl Into<String>) -> Self {
        Self::Path(path.into())
    }

    /// Creates a [`Resource`](Self::Resource) from the path passed to
    /// [`MockWebex::resource`](crate::testing::MockWebex::resource): `/v1/rooms` or `rooms`.
    pub fn resource(path: impl Into<String>) -> Self {
        Self::Resource(path.into())
    }

    /// Completes the path of a resource.
    pub(crate) fn resolve(self, service: MockService) -> Self {
        match self {
            Self::Resource(path) => Self::Resource(complete_path(&path, service)),
            other => other,
        }
    }

    /// Returns the most specific endpoint of a request, or `None` if the mock does not implement
    /// its path.
    pub(crate) fn from_request(request: &Request, service: MockService) -> Option<Self> {
        if request.path.ends_with(KEYS_OF_ISSUER) {
            return Some(Self::Jwks);
        }
        let position = request.path.strip_prefix(service.base_path())?;
        if position == service.token_path() {
            let grant_type = request.form.as_ref().and_then(|form| form.get("grant_type"));
            return Some(match grant_type {
                Some("authorization_code") => Self::Exchange,
                Some("refresh_token") => Self::Refresh,
                _ => Self::Token,
            });
        }
        Some(match position {
            "/authorize" => Self::Authorization,
            "/people/me" => Self::Person,
            "/userinfo" => Self::UserInfo,
            "/verification" => Self::Jwks,
            DISCOVERY => Self::Discovery,
            WEB_FINGER => Self::WebFinger,
            "/revoke" => Self::Revocation,
            "/device/authorize" => Self::DeviceAuthorization,
            "/device/token" => Self::DeviceToken,
            _ if position == "/authorizations" || position.starts_with("/authorizations/") => Self::Authorizations,
            _ => return None,
        })
    }

    /// Returns `true` if `self` includes requests to this endpoint and path.
    pub(crate) fn covers(&self, position: Option<&Self>, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Path(own) => own == path,
            Self::Token => matches!(position, Some(Self::Token | Self::Exchange | Self::Refresh)),
            _ => Some(self) == position,
        }
    }
}

/// Returns the complete path of a resource. As in requests of a session, a leading `/` and the base
/// path may be omitted.
pub(crate) fn complete_path(path: &str, service: MockService) -> String {
    let base = service.base_path();
    let rest = path.strip_prefix(base).filter(|rest| rest.starts_with('/')).unwrap_or(path);
    format!("{base}/{}", rest.strip_prefix('/').unwrap_or(rest))
}

impl fmt::Display for MockEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any endpoint"),
            Self::Path(path) | Self::Resource(path) => f.write_str(path),
            _ => write!(f, "MockEndpoint::{self:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message::Fields;

    fn endpoint_of(service: MockService, path: &str, form: Option<&str>) -> Option<MockEndpoint> {
        let form = form.map(|form| Fields::parse(form.as_bytes()));
        MockEndpoint::from_request(&Request { path: path.into(), form, ..Request::default() }, service)
    }

    #[test]
    fn path_maps_to_mock_endpoint() {
        for (path, form, endpoint) in [
            ("/v1/authorize", None, Some(MockEndpoint::Authorization)),
            ("/v1/access_token", None, Some(MockEndpoint::Token)),
            ("/v1/access_token", Some("grant_type=password"), Some(MockEndpoint::Token)),
            ("/v1/access_token", Some("grant_type=authorization_code&code=x"), Some(MockEndpoint::Exchange)),
            ("/v1/access_token", Some("grant_type=refresh_token"), Some(MockEndpoint::Refresh)),
            ("/v1/people/me", None, Some(MockEndpoint::Person)),
            ("/v1/userinfo", None, Some(MockEndpoint::UserInfo)),
            ("/v1/verification", None, Some(MockEndpoint::Jwks)),
            ("/idb-eu/oauth2/v2/keys/verificationjwk", None, Some(MockEndpoint::Jwks)),
            ("/v1/.well-known/openid-configuration", None, Some(MockEndpoint::Discovery)),
            ("/v1/.well-known/webfinger", None, Some(MockEndpoint::WebFinger)),
            ("/v1/revoke", None, Some(MockEndpoint::Revocation)),
            ("/v1/authorizations", None, Some(MockEndpoint::Authorizations)),
            ("/v1/authorizations/tokenExpiry", None, Some(MockEndpoint::Authorizations)),
            ("/v1/authorizationsX", None, None),
            ("/v1/device/authorize", None, Some(MockEndpoint::DeviceAuthorization)),
            ("/v1/device/token", None, Some(MockEndpoint::DeviceToken)),
            ("/v1/rooms", None, None),
            ("/access_token", None, None),
        ] {
            assert_eq!(endpoint_of(MockService::Webex, path, form), endpoint, "{path}");
        }
        assert_eq!(endpoint_of(MockService::Meetings, "/v1/oauth2/token", None), Some(MockEndpoint::Token));
    }

    #[test]
    fn resource_path_is_completed_with_base_path() {
        for path in ["rooms", "/rooms", "/v1/rooms"] {
            let endpoint = MockEndpoint::resource(path).resolve(MockService::Webex);
            assert_eq!(endpoint, MockEndpoint::Resource("/v1/rooms".to_owned()), "{path}");
        }
        assert_eq!(complete_path("/v1rooms", MockService::Webex), "/v1/v1rooms");
        assert_eq!(complete_path("rooms", MockService::Meetings), "/v1/oauth2/rooms");
    }

    #[test]
    fn token_endpoint_covers_both_grants_and_any_covers_all() {
        for (meant, position, path, is_covered) in [
            (MockEndpoint::Any, None, "/x", true),
            (MockEndpoint::Token, Some(MockEndpoint::Refresh), "/", true),
            (MockEndpoint::Token, Some(MockEndpoint::Exchange), "/", true),
            (MockEndpoint::Token, Some(MockEndpoint::DeviceToken), "/", false),
            (MockEndpoint::Refresh, Some(MockEndpoint::Exchange), "/", false),
            (MockEndpoint::Refresh, Some(MockEndpoint::Token), "/", false),
            (MockEndpoint::path("/v1/rooms"), None, "/v1/rooms", true),
            (MockEndpoint::path("/v1/rooms"), None, "/v1/rooms/1", false),
            (MockEndpoint::Jwks, None, "/", false),
        ] {
            assert_eq!(meant.covers(position.as_ref(), path), is_covered, "{meant} {position:?}");
        }
    }
}
