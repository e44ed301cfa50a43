//! Endpoint paths below the base URL of a service.

/// The endpoint paths of a service. Missing endpoints are `None`.
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) authorization: &'static str,
    pub(crate) token: &'static str,
    pub(crate) person: Option<&'static str>,
    pub(crate) keys: Option<&'static str>,
    pub(crate) user_info: Option<&'static str>,
    pub(crate) device_authorization: Option<&'static str>,
    pub(crate) device_token: Option<&'static str>,
}

/// The paths of the Webex platform (<https://developer.webex.com/docs/login-with-webex>).
pub(crate) const PLATFORM: Paths = Paths {
    authorization: "/authorize",
    token: "/access_token",
    person: Some("/people/me"),
    keys: Some("/verification"),
    user_info: Some("/userinfo"),
    device_authorization: Some("/device/authorize"),
    device_token: Some("/device/token"),
};

/// The paths of Webex Meetings (<https://developer.cisco.com/docs/webex-meetings/>).
pub(crate) const MEETINGS: Paths = Paths {
    authorization: "/authorize",
    token: "/token",
    person: None,
    keys: None,
    user_info: None,
    device_authorization: None,
    device_token: None,
};
