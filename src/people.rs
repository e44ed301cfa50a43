//! Who the logged-in person is: `GET /people/me`.

use std::fmt;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response};
use serde_json::{Map, Value};

use crate::account::{Address, Identity};
use crate::clock::UnixTime;
use crate::decode::is_damaged;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign;
use crate::message;
use crate::refusal::{self, Asked, refusal};
use crate::registration::Registration;
use crate::secret::AccessToken;

/// A person as Webex describes them (<https://developer.webex.com/docs/api/v1/people/get-my-own-details>).
///
/// Webex decides by scope and license which fields it tells; each may be missing. Fields without a method here are
/// kept, see [`field`](Person::field).
#[derive(Clone, Debug, PartialEq)]
pub struct Person(Map<String, Value>);

impl Person {
    /// The person's id: the key to recognize a user by, since names and addresses change.
    pub fn id(&self) -> &str {
        self.text("id").unwrap_or_default()
    }

    /// The e-mail addresses.
    pub fn emails(&self) -> impl Iterator<Item = &str> {
        self.list("emails")
    }

    /// The first e-mail address.
    pub fn email(&self) -> Option<&str> {
        self.emails().next()
    }

    /// The full name.
    pub fn display_name(&self) -> Option<&str> {
        self.text("displayName")
    }

    /// The first name.
    pub fn first_name(&self) -> Option<&str> {
        self.text("firstName")
    }

    /// The last name.
    pub fn last_name(&self) -> Option<&str> {
        self.text("lastName")
    }

    /// The name that the person goes by.
    pub fn nick_name(&self) -> Option<&str> {
        self.text("nickName")
    }

    /// The name to sign in with; Webex does not document it.
    pub fn user_name(&self) -> Option<&str> {
        self.text("userName")
    }

    /// The address of the person's picture.
    pub fn avatar(&self) -> Option<&str> {
        self.text("avatar")
    }

    /// The id of the person's organization.
    pub fn organization_id(&self) -> Option<&str> {
        self.text("orgId")
    }

    /// The ids of the person's roles; administrators see them.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.list("roles")
    }

    /// What kind of account it is: `person`, `bot` or `appuser`.
    pub fn kind(&self) -> Option<&str> {
        self.text("type")
    }

    /// Whether the person may sign in. Webex writes it as text.
    pub fn is_login_enabled(&self) -> Option<bool> {
        self.truth("loginEnabled")
    }

    /// Whether the person has not yet answered the invitation; `None` where Webex leaves it out. Webex writes it as text. What
    /// is neither yes nor no counts as yes, since an address is taken for its owner's unless this is yes.
    pub fn is_invite_pending(&self) -> Option<bool> {
        self.field("invitePending").filter(|value| !value.is_null())?;
        Some(self.truth("invitePending").unwrap_or(true))
    }

    /// Any field by its name, as it came.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// What is kept of it with the tokens.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            id: self.id().to_owned(),
            organization_id: self.organization_id().map(str::to_owned),
            display_name: self.display_name().map(str::to_owned),
            // Webex leaves the field out by scope and license: then it is enough that the person has signed in.
            address: Address::new(self.email(), Some(self.is_invite_pending() != Some(true))),
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

    fn truth(&self, name: &str) -> Option<bool> {
        match self.0.get(name)? {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
            _ => None,
        }
    }
}

/// The request for the person whose access token this is.
pub(crate) fn request(registration: &Registration, access_token: &AccessToken) -> Result<Request<Bytes>> {
    let endpoint = registration.endpoints.person.as_ref().ok_or_else(|| {
        let message = format!(
            "the service {:?} has no address to ask for a person: see `TokenSet::account()` for what the login told",
            registration.owner.service
        );
        Error::new(ErrorKind::Unsupported, message)
    })?;
    let mut request = message::request(registration, Method::GET, endpoint, Bytes::new())?;
    request.headers_mut().insert(AUTHORIZATION, message::bearer(access_token)?);
    Ok(request)
}

/// Reads the answer: a person with an id, or the reason why there is none.
pub(crate) fn read(response: &Response<Bytes>, access_token: &AccessToken, now: UnixTime) -> Result<Person> {
    if !response.status().is_success() {
        return Err(refusal(Asked::Person, response, &[access_token.expose()], now));
    }
    let unusable = |why: &dyn fmt::Display| {
        let problem = "the answer about the person cannot be used";
        refusal::unusable(Asked::Person, response, problem, why, &[access_token.expose()])
    };
    let person = Person(foreign::unambiguous(response.body(), Some(&IDENTIFYING)).map_err(|fault| unusable(&fault))?);
    match person.id() {
        "" => Err(unusable(&"it has no `id`")),
        // Another person's id may look the same.
        id if is_damaged(id) => Err(unusable(&"its `id` has characters that cannot be decoded")),
        _ => Ok(person),
    }
}

/// The fields that decide who the person is, and what they may do.
const IDENTIFYING: [&str; 5] = ["id", "emails", "orgId", "invitePending", "type"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read_body(body: &str) -> Result<Person> {
        let response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        read(&response, &AccessToken::new("hunter2")?, UnixTime::from_secs(0))
    }

    #[test]
    fn a_person_is_read_with_webexs_text_booleans_and_every_unknown_field() {
        let person = read_body(
            r#"{"id":"P1","emails":["","jane@example.com",7],"displayName":"Jane Smith","firstName":"Jane","orgId":"O1",
            "invitePending":"false","loginEnabled":true,"type":"person","shoeSize":37,"nickName":""}"#,
        )
        .unwrap();
        assert_eq!((person.id(), person.email(), person.emails().count()), ("P1", Some("jane@example.com"), 1));
        assert_eq!((person.display_name(), person.nick_name()), (Some("Jane Smith"), None));
        assert_eq!((person.is_invite_pending(), person.is_login_enabled()), (Some(false), Some(true)));
        assert_eq!(person.field("shoeSize"), Some(&Value::from(37)));
        assert_eq!((person.organization_id(), person.roles().count()), (Some("O1"), 0));
    }

    #[test]
    fn a_person_is_read_beside_undecodable_text_but_not_by_an_undecodable_id() {
        let read = |body: &[u8]| {
            let response = Response::new(Bytes::copy_from_slice(body));
            read(&response, &AccessToken::new("hunter2")?, UnixTime::from_secs(0))
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
    fn an_invitation_is_answered_where_webex_says_so_and_nowhere_else() {
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
    fn an_answer_without_a_person_is_an_error_that_quotes_nothing() {
        for body in ["", "hunter2", "[]", "null", "{}", r#"{"id":""}"#, r#"{"id":7}"#] {
            let error = read_body(body).unwrap_err();
            assert!(error.kind() == ErrorKind::PersonRequest && error.is_retryable(), "{body}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
