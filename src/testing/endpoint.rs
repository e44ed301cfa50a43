//! The places of the mock that a test can speak of.

use std::fmt;

use crate::testing::exchange::Request;
use crate::testing::open_id::{DISCOVERY, KEYS_OF_ISSUER, WEB_FINGER};
use crate::testing::service::MockService;

/// A place of the mock, to order a [`Fault`](crate::testing::Fault) for, to ask what came there, or to expect something of.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use webex_oauth::testing::{MockEndpoint, Fault, MockWebex};
///
/// let mock = MockWebex::start().await;
/// mock.at(MockEndpoint::Refresh).answer(Fault::status(503));
/// mock.at(MockEndpoint::path("/v1/rooms")).answer(Fault::status(200).json("{\"items\":[]}")).until_cleared();
/// assert_eq!(mock.requests_to(MockEndpoint::Any), 0);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MockEndpoint {
    /// All of them.
    Any,
    /// Where a browser begins a login. [`MockWebex::approve`](crate::testing::MockWebex::approve) does not come by here: it
    /// sends nothing.
    Authorization,
    /// The token endpoint, whatever is asked of it.
    Token,
    /// The token endpoint, where it is asked for the tokens of an authorization code.
    Exchange,
    /// The token endpoint, where it is asked to refresh.
    Refresh,
    /// `people/me`.
    Person,
    /// Userinfo of OpenID Connect.
    UserInfo,
    /// The keys of ID tokens, of the service and of each issuer.
    Keys,
    /// The discovery document.
    Discovery,
    /// WebFinger: whose issuer a user's is.
    WebFinger,
    /// Where tokens are revoked.
    Revocation,
    /// `authorizations` and what stands below it.
    Authorizations,
    /// Where a device asks for its codes: `device/authorize`.
    DeviceAuthorization,
    /// Where a device asks for its tokens: `device/token`.
    DeviceToken,
    /// A whole path, such as `/v1/rooms`, by whatever method. With a [`Fault`](crate::testing::Fault) of one's own making it
    /// plays a part of Webex's API that the mock does not know.
    Path(String),
}

impl MockEndpoint {
    /// [`Path`](Self::Path), from a text.
    pub fn path(path: impl Into<String>) -> Self {
        Self::Path(path.into())
    }

    /// The most telling name of where a request has come.
    pub(super) fn of(request: &Request, service: MockService) -> Option<Self> {
        if request.path.ends_with(KEYS_OF_ISSUER) {
            return Some(Self::Keys);
        }
        let place = request.path.strip_prefix(service.base_path())?;
        if place == service.token_path() {
            let grant_type = request.form.as_ref().and_then(|form| form.get("grant_type"));
            return Some(match grant_type {
                Some("authorization_code") => Self::Exchange,
                Some("refresh_token") => Self::Refresh,
                _ => Self::Token,
            });
        }
        Some(match place {
            "/authorize" => Self::Authorization,
            "/people/me" => Self::Person,
            "/userinfo" => Self::UserInfo,
            "/verification" => Self::Keys,
            DISCOVERY => Self::Discovery,
            WEB_FINGER => Self::WebFinger,
            "/revoke" => Self::Revocation,
            "/device/authorize" => Self::DeviceAuthorization,
            "/device/token" => Self::DeviceToken,
            _ if place == "/authorizations" || place.starts_with("/authorizations/") => Self::Authorizations,
            _ => return None,
        })
    }

    /// Whether a request that has come to this place and path is meant.
    pub(super) fn covers(&self, place: Option<&Self>, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Path(own) => own == path,
            Self::Token => matches!(place, Some(Self::Token | Self::Exchange | Self::Refresh)),
            _ => Some(self) == place,
        }
    }
}

impl fmt::Display for MockEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any endpoint"),
            Self::Path(path) => f.write_str(path),
            _ => write!(f, "MockEndpoint::{self:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::exchange::Fields;

    fn place(service: MockService, path: &str, form: Option<&str>) -> Option<MockEndpoint> {
        let form = form.map(|form| Fields::parse(form.as_bytes()));
        MockEndpoint::of(&Request { path: path.into(), form, ..Request::default() }, service)
    }

    #[test]
    fn each_path_has_its_name() {
        for (path, form, endpoint) in [
            ("/v1/authorize", None, Some(MockEndpoint::Authorization)),
            ("/v1/access_token", None, Some(MockEndpoint::Token)),
            ("/v1/access_token", Some("grant_type=password"), Some(MockEndpoint::Token)),
            ("/v1/access_token", Some("grant_type=authorization_code&code=x"), Some(MockEndpoint::Exchange)),
            ("/v1/access_token", Some("grant_type=refresh_token"), Some(MockEndpoint::Refresh)),
            ("/v1/people/me", None, Some(MockEndpoint::Person)),
            ("/v1/userinfo", None, Some(MockEndpoint::UserInfo)),
            ("/v1/verification", None, Some(MockEndpoint::Keys)),
            ("/idb-eu/oauth2/v2/keys/verificationjwk", None, Some(MockEndpoint::Keys)),
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
            assert_eq!(place(MockService::Webex, path, form), endpoint, "{path}");
        }
        assert_eq!(place(MockService::Meetings, "/v1/oauth2/token", None), Some(MockEndpoint::Token));
    }

    #[test]
    fn the_token_endpoint_covers_both_grants_and_any_covers_all() {
        for (meant, place, path, is_covered) in [
            (MockEndpoint::Any, None, "/x", true),
            (MockEndpoint::Token, Some(MockEndpoint::Refresh), "/", true),
            (MockEndpoint::Token, Some(MockEndpoint::Exchange), "/", true),
            (MockEndpoint::Token, Some(MockEndpoint::DeviceToken), "/", false),
            (MockEndpoint::Refresh, Some(MockEndpoint::Exchange), "/", false),
            (MockEndpoint::Refresh, Some(MockEndpoint::Token), "/", false),
            (MockEndpoint::path("/v1/rooms"), None, "/v1/rooms", true),
            (MockEndpoint::path("/v1/rooms"), None, "/v1/rooms/1", false),
            (MockEndpoint::Keys, None, "/", false),
        ] {
            assert_eq!(meant.covers(place.as_ref(), path), is_covered, "{meant} {place:?}");
        }
    }
}
