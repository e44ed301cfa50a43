//! The stored form of a token set: versioned JSON.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::error::Result;
use crate::json::Object;
use crate::registration::ClientIdentity;
use crate::scope::Scopes;
use crate::secret::{AccessToken, IdToken, RefreshToken, StoredString};
use crate::stored::{self, unreadable_error};
use crate::token::account::{Account, EmailAddress, Identity, Profile, Subject};
use crate::token::token_set::{ExchangeParameters, TokenSet};

const STORED_TOKENS_NAME: &str = "token set";

const FIELDS: [&str; 33] = [
    "v",
    "service",
    "client_id",
    "access_token",
    "token_type",
    "expires_at",
    "refresh_token",
    "refresh_token_expires_at",
    "scope",
    "asked",
    "id_token",
    "received_at",
    "user_name",
    "iss",
    "siteid",
    "userid",
    "authentication_id",
    "email",
    "person_id",
    "person_organization_id",
    "person_display_name",
    "person_email",
    "person_email_verified",
    "id_token_issuer",
    "id_token_subject",
    "id_token_email",
    "id_token_email_verified",
    "id_token_name",
    "user_info_email",
    "user_info_email_verified",
    "user_info_name",
    "redirect_uri",
    "code_verifier",
];

type StoredFields = Object<{ FIELDS.len() }>;

#[derive(Serialize)]
struct StoredTokenSet<'a> {
    v: u64,
    service: &'a str,
    client_id: &'a str,
    access_token: &'a str,
    token_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    asked: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    received_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    siteid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    userid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_organization_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person_email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_info_email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_info_email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_info_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code_verifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra: &'a Map<String, Value>,
    #[serde(flatten)]
    unknown: &'a Map<String, Value>,
}

pub(crate) fn write_token_set(tokens: &TokenSet) -> Result<StoredString> {
    let account = &tokens.account;
    let (person, subject, profile) = (account.person.as_ref(), account.subject.as_ref(), account.profile.as_ref());
    let of_person = person.and_then(|person| person.address.as_ref());
    let of_id_token = subject.and_then(|subject| subject.address.as_ref());
    let of_user_info = profile.and_then(|profile| profile.address.as_ref());
    let form = StoredTokenSet {
        v: stored::VERSION,
        service: &tokens.client.service,
        client_id: &tokens.client.client_id,
        access_token: tokens.access_token.expose(),
        token_type: tokens.token_type(),
        expires_at: tokens.expires_at.map(UnixTime::as_secs),
        refresh_token: tokens.refresh_token.as_ref().map(RefreshToken::expose),
        refresh_token_expires_at: tokens.refresh_token_expires_at.map(UnixTime::as_secs),
        scope: tokens.granted.as_ref().map(Scopes::to_string),
        asked: tokens.requested_scopes.to_string(),
        id_token: tokens.id_token.as_ref().map(IdToken::expose),
        received_at: tokens.received_at.as_secs(),
        user_name: account.user_name(),
        iss: account.issuer(),
        siteid: account.site_id(),
        userid: account.user_id(),
        authentication_id: account.authentication_id(),
        email: account.email.as_deref(),
        person_id: account.person_id(),
        person_organization_id: account.organization_id(),
        person_display_name: person.and_then(|person| person.display_name.as_deref()),
        person_email: of_person.map(|address| address.email.as_str()),
        person_email_verified: of_person.and_then(|address| address.is_verified),
        id_token_issuer: subject.map(|subject| subject.issuer.as_str()),
        id_token_subject: subject.map(|subject| subject.subject.as_str()),
        id_token_email: of_id_token.map(|address| address.email.as_str()),
        id_token_email_verified: of_id_token.and_then(|address| address.is_verified),
        id_token_name: subject.and_then(|subject| subject.name.as_deref()),
        user_info_email: of_user_info.map(|address| address.email.as_str()),
        user_info_email_verified: of_user_info.and_then(|address| address.is_verified),
        user_info_name: profile.and_then(|profile| profile.name.as_deref()),
        redirect_uri: tokens.exchange.as_ref().map(|exchange| exchange.redirect_uri.as_str()),
        code_verifier: tokens.exchange.as_ref().map(|exchange| exchange.code_verifier.expose_secret()),
        extra: &tokens.extra,
        unknown: &tokens.unknown,
    };
    stored::serialize_form(STORED_TOKENS_NAME, &form)
}

pub(crate) fn read_token_set(json: &str) -> Result<TokenSet> {
    let mut form =
        StoredFields::read(json.as_bytes(), &FIELDS).map_err(|fault| unreadable_error(STORED_TOKENS_NAME, fault))?;
    stored::check_version(STORED_TOKENS_NAME, form.take_exact_integer("v"))?;
    let missing = |name| move || unreadable_error(STORED_TOKENS_NAME, format!("missing `{name}`"));
    let owner = ClientIdentity {
        service: read_string(&mut form, "service")?.ok_or_else(missing("service"))?,
        client_id: read_string(&mut form, "client_id")?.ok_or_else(missing("client_id"))?,
    };
    if read_string(&mut form, "token_type")?.is_some_and(|found| found != "Bearer") {
        return Err(unreadable_error(STORED_TOKENS_NAME, "`token_type` is not \"Bearer\""));
    }
    let account = read_account(&mut form)?;
    let (granted, asked) = (read_string(&mut form, "scope")?, read_string(&mut form, "asked")?);
    let redirect_uri = read_string(&mut form, "redirect_uri")?;
    let exchange = redirect_uri.zip(read_secret(&mut form, "code_verifier")?);
    let access_token = read_secret(&mut form, "access_token")?.ok_or_else(missing("access_token"))?;
    let access_token = AccessToken::from_response(access_token).ok_or_else(|| {
        unreadable_error(STORED_TOKENS_NAME, "`access_token` contains characters that are not allowed in a header")
    })?;
    let refresh_token = read_secret(&mut form, "refresh_token")?.map(RefreshToken::of);
    let id_token = read_secret(&mut form, "id_token")?.map(IdToken::of);
    let mut time = |name| {
        form.take_exact_integer(name)
            .map(|time| time.map(UnixTime::from_secs))
            .map_err(|why| unreadable_error(STORED_TOKENS_NAME, why))
    };
    Ok(TokenSet {
        client: Arc::new(owner),
        access_token,
        expires_at: time("expires_at")?,
        refresh_token,
        refresh_token_expires_at: time("refresh_token_expires_at")?,
        has_stated_refresh_expiry: false,
        granted: granted.map(|text| Scopes::from_server(&text)).filter(|scopes| !scopes.is_empty()),
        requested_scopes: asked.map(|text| Scopes::from_server(&text)).unwrap_or_default(),
        id_token,
        received_at: time("received_at")?.ok_or_else(missing("received_at"))?,
        account,
        exchange: exchange.map(|(redirect_uri, code_verifier)| ExchangeParameters { redirect_uri, code_verifier }),
        extra: take_extra(&mut form.extra)?,
        unknown: form.extra,
    })
}

fn read_account(form: &mut StoredFields) -> Result<Account> {
    let person = Identity {
        id: read_string(form, "person_id")?.unwrap_or_default(),
        organization_id: read_string(form, "person_organization_id")?,
        display_name: read_string(form, "person_display_name")?,
        address: read_email_address(form, "person_email", "person_email_verified")?,
    };
    let subject = Subject {
        issuer: read_string(form, "id_token_issuer")?.unwrap_or_default(),
        subject: read_string(form, "id_token_subject")?.unwrap_or_default(),
        name: read_string(form, "id_token_name")?,
        address: read_email_address(form, "id_token_email", "id_token_email_verified")?,
    };
    let profile = Profile {
        name: read_string(form, "user_info_name")?,
        address: read_email_address(form, "user_info_email", "user_info_email_verified")?,
    };
    Ok(Account {
        user_name: read_string(form, "user_name")?,
        iss: read_string(form, "iss")?,
        siteid: read_string(form, "siteid")?,
        userid: read_string(form, "userid")?,
        authentication_id: read_string(form, "authentication_id")?,
        email: read_string(form, "email")?,
        person: Some(person).filter(|person| !person.id.is_empty()),
        subject: Some(subject).filter(|subject| !subject.subject.is_empty()),
        profile: Some(profile).filter(|profile| *profile != Profile::default()),
    })
}

/// Reads an e-mail address. Earlier versions did not store whether it is verified.
fn read_email_address(
    form: &mut StoredFields,
    email: &'static str,
    is_verified: &'static str,
) -> Result<Option<EmailAddress>> {
    let is_verified = form.take_exact_bool(is_verified).map_err(|why| unreadable_error(STORED_TOKENS_NAME, why))?;
    Ok(EmailAddress::new(read_string(form, email)?.as_deref(), is_verified))
}

fn read_string(form: &mut StoredFields, name: &'static str) -> Result<Option<String>> {
    Ok(read_secret(form, name)?.map(|text| text.expose_secret().to_owned()))
}

fn read_secret(form: &mut StoredFields, name: &'static str) -> Result<Option<SecretString>> {
    form.take_exact_string(name).map_err(|why| unreadable_error(STORED_TOKENS_NAME, why))
}

fn take_extra(unknown: &mut Map<String, Value>) -> Result<Map<String, Value>> {
    match unknown.remove("extra") {
        None => Ok(Map::new()),
        Some(Value::Object(extra)) => Ok(extra),
        Some(_) => Err(unreadable_error(STORED_TOKENS_NAME, "`extra` is damaged")),
    }
}

impl TokenSet {
    /// Converts the token set into versioned JSON.
    ///
    /// **The result contains all secrets.** Encrypt it unless only the application can read it. The
    /// fields have the same names as in the token response, but `expires_at` and
    /// `refresh_token_expires_at` contain seconds since the Unix epoch instead of remaining
    /// seconds.
    ///
    /// # Errors
    ///
    /// This function never fails in the current version.
    pub fn to_stored(&self) -> Result<StoredString> {
        write_token_set(self)
    }

    /// Reads a token set written by [`to_stored`](TokenSet::to_stored) of this or an earlier
    /// version of the crate.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry): `text` is damaged or was written by a later version. The
    ///   error does not quote `text`.
    pub fn from_stored(text: &str) -> Result<Self> {
        read_token_set(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const STORED_MEETINGS_TOKENS: &str = r#"{"v":1,"service":"meetings","client_id":"C1","access_token":"a","token_type":"Bearer",
        "expires_at":1700007200,"refresh_token":"r","refresh_token_expires_at":1705184000,"scope":"all_read",
        "asked":"all_read user_modify","received_at":1700000000,"user_name":"jane","iss":"https://acme.webex.com/x",
        "siteid":"7","userid":"8","authentication_id":"9","email":"jane@example.com",
        "redirect_uri":"https://example.com/cb","code_verifier":"0123456789","extra":{"odd":[1]},"from_the_future":{"x":2}}"#;

    #[test]
    fn invalid_stored_scopes_fall_back_to_requested_scopes() {
        let tokens = read_token_set(&STORED_MEETINGS_TOKENS.replace("\"all_read\"", "\"$?\"")).unwrap();
        assert_eq!(tokens.scopes().unwrap().to_string(), "all_read user_modify");
        assert!(read_token_set(write_token_set(&tokens).unwrap().expose()).is_ok());
    }

    #[test]
    fn stored_token_set_round_trips() {
        let tokens = TokenSet::from_stored(STORED_MEETINGS_TOKENS).unwrap();
        assert_eq!(tokens.missing_scopes().to_string(), "user_modify");
        assert_eq!(tokens.exchange().unwrap().code_verifier.expose_secret(), "0123456789");
        let again: Value = serde_json::from_str(tokens.to_stored().unwrap().expose()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(STORED_MEETINGS_TOKENS).unwrap());
    }

    const STORED_IDENTIFIED_TOKENS: &str = r#"{"v":1,"service":"webex","client_id":"C1","access_token":"a","token_type":"Bearer","asked":"openid",
        "received_at":1700000000,"person_id":"P1","person_email":"p@example.com","person_email_verified":false,
        "id_token_issuer":"https://idbroker.webex.com/idb","id_token_subject":"s","id_token_email":"i@example.com",
        "id_token_email_verified":true,"id_token_name":"Jane","user_info_email":"u@example.com",
        "user_info_email_verified":true,"user_info_name":"Jane S."}"#;

    #[test]
    fn account_sources_and_verification_round_trip() {
        let tokens = TokenSet::from_stored(STORED_IDENTIFIED_TOKENS).unwrap();
        let again: Value = serde_json::from_str(tokens.to_stored().unwrap().expose()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(STORED_IDENTIFIED_TOKENS).unwrap());
        let verified = |tokens: &TokenSet| {
            let account = tokens.account();
            let verified =
                account.details().filter(|detail| detail.is_verified() && detail.value.contains("example.com"));
            verified.map(|detail| detail.value.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(verified(&tokens), ["i@example.com", "u@example.com"]);

        // The form written by versions that did not store the verification status.
        let mut older = again;
        older.as_object_mut().unwrap().retain(|name, _| !name.ends_with("_verified"));
        let older = TokenSet::from_stored(&older.to_string()).unwrap();
        assert_eq!((older.account().email(), verified(&older).len()), (Some("i@example.com"), 0));
    }

    #[test]
    fn damaged_or_newer_token_set_is_rejected_and_not_quoted() {
        for (text, hint) in [
            ("", "invalid JSON"),
            ("hunter2", "invalid JSON"),
            (&STORED_MEETINGS_TOKENS[..100], "invalid JSON"),
            (&STORED_MEETINGS_TOKENS.replace("\"v\":1", "\"v\":2"), "update webex-oauth"),
            (&STORED_MEETINGS_TOKENS.replace("\"v\":1,", ""), "missing version"),
            (&STORED_MEETINGS_TOKENS.replace("\"v\":1", "\"v\":0"), "missing version"),
            (&STORED_MEETINGS_TOKENS.replace("\"v\":1", "\"v\":1.9"), "`v` is damaged"),
            (
                &STORED_MEETINGS_TOKENS.replace("\"refresh_token\":\"r\"", "\"refresh_token\":{\"hunter2\":1}"),
                "`refresh_token` is damaged",
            ),
            (
                &STORED_MEETINGS_TOKENS.replace("\"expires_at\":1700007200", "\"expires_at\":\"soon\""),
                "`expires_at` is damaged",
            ),
            (&STORED_MEETINGS_TOKENS.replace("Bearer", "mac"), "token_type"),
            (
                &STORED_IDENTIFIED_TOKENS.replace("\"id_token_email_verified\":true", "\"id_token_email_verified\":1"),
                "`id_token_email_verified`",
            ),
            (&STORED_MEETINGS_TOKENS.replace("{\"odd\":[1]}", "7"), "`extra` is damaged"),
            (
                &STORED_MEETINGS_TOKENS.replace("\"access_token\":\"a\"", "\"access_token\":\"hunter2\\n\""),
                "access_token",
            ),
            (&STORED_MEETINGS_TOKENS.replace("\"client_id\":\"C1\"", "\"client_id\":null"), "client_id"),
            (&STORED_MEETINGS_TOKENS.replace("\"received_at\":1700000000,", ""), "received_at"),
        ] {
            let error = TokenSet::from_stored(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CorruptEntry);
            assert!(error.to_string().contains(hint), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
