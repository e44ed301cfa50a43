//! The logged-in person: `GET /people/me`, and the expiry of the access token:
//! `GET /authorizations/tokenExpiry`.

use std::fmt;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response};
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::json::value::{self, has_replacement_character};
use crate::protocol::error_response::{self, error_from_response};
use crate::protocol::http_request::{self, RequestKind};
use crate::registration::Registration;
use crate::secret::AccessToken;
use crate::token::account::{EmailAddress, Identity};

/// A person (<https://developer.webex.com/docs/api/v1/people/get-my-own-details>).
///
/// Returned by [`WebexOAuth::person`](crate::WebexOAuth::person). Webex omits fields depending on
/// scopes and licenses. Fields without a method are available through [`field`](Person::field).
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::Callback;
/// use webex_oauth::testing::{MockUser, MockWebex};
///
/// let jane = MockUser::new("jane@example.com").name("Jane Smith");
/// let mock = MockWebex::builder().user(jane).start().await;
/// let webex = mock.client();
/// let (url, pending) = webex.authorize().begin()?;
/// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
///
/// let person = webex.person(login.tokens().access_token()).await?;
/// assert_eq!(person.display_name(), Some("Jane Smith"));
/// assert_eq!(person.email(), Some("jane@example.com"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Person(Map<String, Value>);

impl Person {
    /// Returns the person ID. Identify users by this ID, because names and e-mail addresses change.
    pub fn id(&self) -> &str {
        self.text("id").unwrap_or_default()
    }

    /// Returns an iterator over the e-mail addresses.
    pub fn emails(&self) -> impl Iterator<Item = &str> {
        self.list("emails")
    }

    /// Returns the first e-mail address.
    pub fn email(&self) -> Option<&str> {
        self.emails().next()
    }

    /// Returns the full name.
    pub fn display_name(&self) -> Option<&str> {
        self.text("displayName")
    }

    /// Returns the first name.
    pub fn first_name(&self) -> Option<&str> {
        self.text("firstName")
    }

    /// Returns the last name.
    pub fn last_name(&self) -> Option<&str> {
        self.text("lastName")
    }

    /// Returns the nickname.
    pub fn nickname(&self) -> Option<&str> {
        self.text("nickName")
    }

    /// Returns the sign-in name. Webex does not document this field.
    pub fn user_name(&self) -> Option<&str> {
        self.text("userName")
    }

    /// Returns the URL of the person's avatar.
    pub fn avatar(&self) -> Option<&str> {
        self.text("avatar")
    }

    /// Returns the ID of the person's organization.
    pub fn organization_id(&self) -> Option<&str> {
        self.text("orgId")
    }

    /// Returns an iterator over the IDs of the person's roles. Only administrators can see them.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.list("roles")
    }

    /// Returns the account type: `person`, `bot`, or `appuser`.
    pub fn kind(&self) -> Option<&str> {
        self.text("type")
    }

    /// Returns `true` if the person is allowed to sign in.
    ///
    /// Webex sends this field as a string. Returns `None` if it is missing or not recognized.
    pub fn is_login_enabled(&self) -> Option<bool> {
        self.bool_or_string("loginEnabled")
    }

    /// Returns `true` if the person has not accepted the invitation yet, or `None` if the field is
    /// missing.
    ///
    /// Webex sends this field as a string. An unrecognized value counts as `true`, because the
    /// person's e-mail address is only trusted if this is not `true`.
    pub fn is_invite_pending(&self) -> Option<bool> {
        self.field("invitePending").filter(|value| !value.is_null())?;
        Some(self.bool_or_string("invitePending").unwrap_or(true))
    }

    /// Returns any field by its name.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the values that are stored with the tokens.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            id: self.id().to_owned(),
            organization_id: self.organization_id().map(str::to_owned),
            display_name: self.display_name().map(str::to_owned),
            // Webex omits the field depending on scopes and licenses. The person has then at least
            // signed in.
            address: EmailAddress::new(self.email(), Some(self.is_invite_pending() != Some(true))),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    fn bool_or_string(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }
}

/// Returns the request for the person that the access token belongs to.
pub(crate) fn person_request(registration: &Registration, access_token: &AccessToken) -> Result<Request<Bytes>> {
    let endpoint = registration.endpoints.person.as_ref().ok_or_else(|| {
        let message = format!(
            "service {:?} has no person endpoint: use `TokenSet::account()` for the values in the token response",
            registration.client.service
        );
        Error::new(ErrorKind::Unsupported, message)
    })?;
    let mut request = http_request::new_request(registration, Method::GET, endpoint, Bytes::new())?;
    request.headers_mut().insert(AUTHORIZATION, http_request::bearer_header(access_token)?);
    Ok(request)
}

/// Reads the response. A person without an ID is an error.
pub(crate) fn read_person(response: &Response<Bytes>, access_token: &AccessToken, now: UnixTime) -> Result<Person> {
    if !response.status().is_success() {
        return Err(error_from_response(RequestKind::Person, response, &[access_token.expose()], now));
    }
    let unusable = |why: &dyn fmt::Display| {
        let problem = "invalid response from the person endpoint";
        error_response::invalid_response_error(RequestKind::Person, response, problem, why, &[access_token.expose()])
    };
    let person = Person(
        value::parse_object_without_duplicates(response.body(), Some(&IDENTIFYING_FIELDS))
            .map_err(|fault| unusable(&fault))?,
    );
    match person.id() {
        "" => Err(unusable(&"missing `id`")),
        // Different IDs could look equal after lossy decoding.
        id if has_replacement_character(id) => Err(unusable(&"`id` contains characters that cannot be decoded")),
        _ => Ok(person),
    }
}

/// The fields that identify the person. They must not be duplicated.
const IDENTIFYING_FIELDS: [&str; 5] = ["id", "emails", "orgId", "invitePending", "type"];

/// Returns the request for the expiry of the access token that authorizes it.
pub(crate) fn token_expiry_request(registration: &Registration, access_token: &AccessToken) -> Result<Request<Bytes>> {
    let endpoint = registration.api_endpoint("/authorizations/tokenExpiry")?;
    let mut request = http_request::new_request(registration, Method::GET, &endpoint, Bytes::new())?;
    request.headers_mut().insert(AUTHORIZATION, http_request::bearer_header(access_token)?);
    Ok(request)
}

/// Reads the response, which contains milliseconds since the Unix epoch.
pub(crate) fn read_token_expiry(
    response: &Response<Bytes>,
    access_token: &AccessToken,
    now: UnixTime,
) -> Result<UnixTime> {
    let secrets = [access_token.expose()];
    if !response.status().is_success() {
        return Err(error_from_response(RequestKind::Person, response, &secrets, now));
    }
    let body = value::parse_object(response.body());
    let end = body.as_ref().and_then(|body| value::whole_number(body.get("exp")?));
    end.map(|milliseconds| UnixTime::from_secs(milliseconds / 1000)).ok_or_else(|| {
        let problem = "invalid response from the token expiry endpoint";
        error_response::invalid_response_error(
            RequestKind::Person,
            response,
            problem,
            &"missing `exp` in milliseconds",
            &secrets,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(body: &str) -> Result<Person> {
        let response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        read_person(&response, &AccessToken::new("hunter2")?, UnixTime::from_secs(0))
    }

    #[test]
    fn person_has_text_booleans_and_unknown_fields() {
        let person = read_body(
            r#"{"id":"P1","emails":["","jane@example.com",7],"displayName":"Jane Smith","firstName":"Jane","orgId":"O1",
        "invitePending":"false","loginEnabled":true,"type":"person","shoeSize":37,"nickName":""}"#,
        )
        .unwrap();
        assert_eq!((person.id(), person.email(), person.emails().count()), ("P1", Some("jane@example.com"), 1));
        assert_eq!((person.display_name(), person.nickname()), (Some("Jane Smith"), None));
        assert_eq!((person.is_invite_pending(), person.is_login_enabled()), (Some(false), Some(true)));
        assert_eq!(person.field("shoeSize"), Some(&Value::from(37)));
        assert_eq!((person.organization_id(), person.roles().count()), (Some("O1"), 0));
    }

    #[test]
    fn person_accepts_undecodable_text_except_in_id() {
        let read = |body: &[u8]| {
            let response = Response::new(Bytes::copy_from_slice(body));
            read_person(&response, &AccessToken::new("hunter2")?, UnixTime::from_secs(0))
        };
        let body =
            b"\xef\xbb\xbf{\"id\":\"P1\",\"displayName\":\"J\xf6rg\",\"x\":\"\\ud800\",\"x\":1e999,\"emails\":null}";
        let person = read(body).unwrap();
        assert_eq!((person.id(), person.display_name(), person.email()), ("P1", Some("J\u{fffd}rg"), None));
        for body in [
            &b"{\"id\":\"P\xff\"}"[..],
            br#"{"id":"P\ud800"}"#,
            br#"{"id":"P1","id":"P2"}"#,
            br#"{"id":"P1","orgId":"a","orgId":"b"}"#,
            br#"{"id":"P1","emails":[],"emails":["jane@example.com"]}"#,
            br#"{"id":"P1","invitePending":true,"invitePending":false}"#,
        ] {
            let error = read(body).unwrap_err();
            assert!(error.is_retryable() && !error.to_string().contains("P1"), "{error}");
        }
    }

    #[test]
    fn invite_is_pending_unless_field_is_false_or_missing() {
        for (field, pending) in [
            (r#""yes""#, Some(true)),
            ("1", Some(true)),
            (r#""1""#, Some(true)),
            ("[]", Some(true)),
            (r#"" FALSE ""#, Some(false)),
            ("false", Some(false)),
            ("null", None),
        ] {
            let person = read_body(&format!(r#"{{"id":"P1","invitePending":{field}}}"#)).unwrap();
            assert_eq!(person.is_invite_pending(), pending, "{field}");
        }
        assert_eq!(read_body(r#"{"id":"P1"}"#).unwrap().is_invite_pending(), None);
    }

    #[test]
    fn response_without_person_is_rejected_and_not_quoted() {
        for body in ["", "hunter2", "[]", "null", "{}", r#"{"id":""}"#, r#"{"id":7}"#] {
            let error = read_body(body).unwrap_err();
            assert!(error.kind() == ErrorKind::PersonRequest && error.is_retryable(), "{body}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
