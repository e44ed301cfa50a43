//! Additional claims about a user: `GET /userinfo`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response};
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::json::strict;
use crate::json::value::has_replacement_character;
use crate::protocol::error_response::{self, error_from_response};
use crate::protocol::http_request::{self, RequestKind};
use crate::registration::Registration;
use crate::secret::AccessToken;
use crate::token::account::{Account, EmailAddress, Profile};

/// The claims about a user (OpenID Connect Core 1.0, section 5.3;
/// <https://developer.webex.com/docs/login-with-webex>).
///
/// The scopes of the login select the claims:
///
/// | scope | claims |
/// |---|---|
/// | `openid` | `sub` |
/// | `email` | `email`, `email_verified` |
/// | `profile` | `name`, `given_name`, `family_name`, `locale` |
/// | `phone` | `phone` |
/// | `address` | `address` |
///
/// The subject is the same as in the user's ID token. Claims about another subject are rejected.
#[derive(Clone, PartialEq)]
pub struct UserInfo(Map<String, Value>);

impl UserInfo {
    /// Returns the user's ID at the issuer of the ID token (`sub`).
    #[doc(alias = "sub")]
    pub fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    /// Returns the e-mail address.
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// Returns `Some(true)` if Webex has verified the e-mail address, and `None` if the claim is
    /// missing.
    ///
    /// Webex sends the claim as a string. Invalid values count as `false`.
    pub fn is_email_verified(&self) -> Option<bool> {
        strict::bool_claim(self.0.get("email_verified")?)
    }

    /// Returns the full name.
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// Returns the first name.
    pub fn given_name(&self) -> Option<&str> {
        self.text("given_name")
    }

    /// Returns the last name.
    pub fn family_name(&self) -> Option<&str> {
        self.text("family_name")
    }

    /// Returns the language and country, such as `en_US`.
    pub fn locale(&self) -> Option<&str> {
        self.text("locale")
    }

    /// Returns the phone number: Webex's `phone`, or the standard `phone_number`.
    pub fn phone(&self) -> Option<&str> {
        self.text("phone").or_else(|| self.text("phone_number"))
    }

    /// Returns the postal address, unchanged: a string or an object (OpenID Connect Core 1.0,
    /// section 5.1.1).
    pub fn address(&self) -> Option<&Value> {
        self.0.get("address").filter(|address| !address.is_null())
    }

    /// Returns the claim `name`, unchanged.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the part that is stored with the tokens.
    pub(crate) fn profile(&self) -> Profile {
        Profile {
            name: self.name().map(str::to_owned),
            address: EmailAddress::new(self.email(), self.is_email_verified()),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfo")
            .field("subject", &self.subject())
            .field("claims", &self.0.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Builds the request for the claims about the user of an access token.
pub(crate) fn user_info_request(registration: &Registration, access_token: &AccessToken) -> Result<Request<Bytes>> {
    let endpoint = registration.endpoints.user_info.as_ref().ok_or_else(|| {
        let message = format!("service {:?} does not support OpenID Connect", registration.client.service);
        Error::new(ErrorKind::Unsupported, message)
    })?;
    let mut request = http_request::new_request(registration, Method::GET, endpoint, Bytes::new())?;
    request.headers_mut().insert(AUTHORIZATION, http_request::bearer_header(access_token)?);
    Ok(request)
}

/// Returns the subject that the claims must be about. Without a verified subject, another user's
/// claims could not be detected.
pub(crate) fn subject_of(account: &Account) -> Result<&str> {
    let message = "userinfo is unavailable: the login has no verified ID token to compare with; request the scope \
                   `openid` when the login begins";
    let unknown = || Error::new(ErrorKind::UserInfo, message).with_class(ErrorClass::Misconfigured);
    account.subject().map(|(subject, _)| subject).ok_or_else(unknown)
}

/// Reads the response. Its `sub` must equal that of the ID token (OpenID Connect Core 1.0, section
/// 5.3.2).
pub(crate) fn read_user_info(
    response: &Response<Bytes>,
    subject: &str,
    access_token: &AccessToken,
    now: UnixTime,
) -> Result<UserInfo> {
    let secrets = [access_token.expose()];
    if !response.status().is_success() {
        return Err(error_from_response(RequestKind::UserInfo, response, &secrets, now));
    }
    let unusable = |why: String| {
        Error::new(ErrorKind::UserInfo, format!("invalid userinfo response: {why}"))
            .with_tracking_id(http_request::received_tracking_id(response, None, &secrets))
    };
    let claims = strict::parse_strict_object(response.body()).map_err(|fault| {
        if is_signed_response(response) {
            return unusable(SIGNED_USER_INFO_MESSAGE.to_owned()).with_class(ErrorClass::Misconfigured);
        }
        let problem = "invalid userinfo response";
        error_response::invalid_response_error(RequestKind::UserInfo, response, problem, &fault, &secrets)
    })?;
    let info = UserInfo(claims);
    match info.subject() {
        "" => Err(unusable("`sub` is missing".to_owned())),
        found if has_replacement_character(found) => {
            Err(unusable("`sub` contains characters that cannot be decoded".to_owned()))
        }
        found if found != subject => {
            Err(unusable("`sub` does not match the ID token; use tokens from the same login".to_owned()))
        }
        _ => Ok(info),
    }
}

const SIGNED_USER_INFO_MESSAGE: &str = "signed userinfo is not supported; register the client without `userinfo_signed_response_alg`, \
                      so that userinfo is plain JSON";

/// Returns `true` if the response is a JSON Web Token (OpenID Connect Core 1.0, section 5.3.2), by
/// its media type or its form.
fn is_signed_response(response: &Response<Bytes>) -> bool {
    let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let parts: Vec<_> = response.body().trim_ascii().split(|byte| *byte == b'.').collect();
    let is_base64url = |part: &&[u8]| !part.is_empty() && URL_SAFE_NO_PAD.decode(part).is_ok();
    media_type.eq_ignore_ascii_case("application/jwt") || (parts.len() == 3 && parts.iter().all(is_base64url))
}
