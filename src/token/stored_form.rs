//! The stored form of a token set: versioned JSON.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::error::Result;
use crate::registration::ClientIdentity;
use crate::scope::Scopes;
use crate::secret::{AccessToken, IdToken, RefreshToken, StoredString};
use crate::stored::{self, FormReader, FormWriter};
use crate::token::account::{Account, EmailAddress, Identity, Profile, Subject};
use crate::token::token_set::{ExchangeParameters, TokenSet};

const STORED_TOKENS_NAME: &str = "token set";

struct StoredTokenSet<'a>(&'a TokenSet);

impl Serialize for StoredTokenSet<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(tokens) = self;
        let mut form = FormWriter::new(serializer)?;
        form.put("service", &tokens.client.service)?;
        form.put("client_id", &tokens.client.client_id)?;
        form.put("access_token", tokens.access_token.expose())?;
        form.put("token_type", tokens.token_type())?;
        form.put_some("expires_at", tokens.expires_at.map(UnixTime::as_secs))?;
        form.put_some("refresh_token", tokens.refresh_token.as_ref().map(RefreshToken::expose))?;
        form.put_some("refresh_token_expires_at", tokens.refresh_token_expires_at.map(UnixTime::as_secs))?;
        form.put_some("scope", tokens.granted.as_ref().map(Scopes::to_string))?;
        form.put_some("asked", Some(tokens.requested_scopes.to_string()).filter(|requested| !requested.is_empty()))?;
        form.put_some("id_token", tokens.id_token.as_ref().map(IdToken::expose))?;
        form.put("received_at", tokens.received_at.as_secs())?;
        put_account(&mut form, &tokens.account)?;
        if let Some(exchange) = &tokens.exchange {
            form.put("redirect_uri", &exchange.redirect_uri)?;
            form.put("code_verifier", exchange.code_verifier.expose_secret())?;
        }
        form.put_some("extra", Some(&tokens.extra).filter(|extra| !extra.is_empty()))?;
        tokens.unknown.iter().try_for_each(|(name, value)| form.put(name, value))?;
        form.end()
    }
}

fn put_account<S: Serializer>(form: &mut FormWriter<S>, account: &Account) -> std::result::Result<(), S::Error> {
    form.put_some("user_name", account.user_name.as_ref())?;
    form.put_some("iss", account.iss.as_ref())?;
    form.put_some("siteid", account.siteid.as_ref())?;
    form.put_some("userid", account.userid.as_ref())?;
    form.put_some("authentication_id", account.authentication_id.as_ref())?;
    form.put_some("email", account.email.as_ref())?;
    if let Some(Identity { id, organization_id, display_name, address }) = &account.person {
        form.put("person_id", id)?;
        form.put_some("person_organization_id", organization_id.as_ref())?;
        form.put_some("person_display_name", display_name.as_ref())?;
        put_email_address(form, "person_email", "person_email_verified", address.as_ref())?;
    }
    if let Some(Subject { issuer, subject, name, address }) = &account.subject {
        form.put("id_token_issuer", issuer)?;
        form.put("id_token_subject", subject)?;
        put_email_address(form, "id_token_email", "id_token_email_verified", address.as_ref())?;
        form.put_some("id_token_name", name.as_ref())?;
    }
    if let Some(Profile { name, address }) = &account.profile {
        put_email_address(form, "user_info_email", "user_info_email_verified", address.as_ref())?;
        form.put_some("user_info_name", name.as_ref())?;
    }
    Ok(())
}

fn put_email_address<S: Serializer>(
    form: &mut FormWriter<S>,
    email: &str,
    is_verified: &str,
    address: Option<&EmailAddress>,
) -> std::result::Result<(), S::Error> {
    form.put_some(email, address.map(|address| &address.email))?;
    form.put_some(is_verified, address.and_then(|address| address.is_verified))
}

pub(crate) fn read_token_set(json: &str) -> Result<TokenSet> {
    let mut form = FormReader::new(STORED_TOKENS_NAME, json)?;
    if form.take::<String>("token_type")?.is_some_and(|found| found != "Bearer") {
        return Err(form.error("`token_type` is not \"Bearer\""));
    }
    let client = ClientIdentity { service: form.require("service")?, client_id: form.require("client_id")? };
    let access_token = AccessToken::from_response(form.require::<String>("access_token")?.into())
        .ok_or_else(|| form.error("`access_token` contains characters that are not allowed in a header"))?;
    let code_verifier = form.take::<String>("code_verifier")?.map(SecretString::from);
    let exchange = form.take("redirect_uri")?.zip(code_verifier);
    Ok(TokenSet {
        client: Arc::new(client),
        access_token,
        expires_at: form.take("expires_at")?.map(UnixTime::from_secs),
        refresh_token: form.take::<String>("refresh_token")?.map(|token| RefreshToken::of(token.into())),
        refresh_token_expires_at: form.take("refresh_token_expires_at")?.map(UnixTime::from_secs),
        has_stated_refresh_expiry: false,
        granted: take_scopes(&mut form, "scope")?.filter(|scopes| !scopes.is_empty()),
        requested_scopes: take_scopes(&mut form, "asked")?.unwrap_or_default(),
        id_token: form.take::<String>("id_token")?.map(|token| IdToken::of(token.into())),
        received_at: UnixTime::from_secs(form.require("received_at")?),
        account: take_account(&mut form)?,
        exchange: exchange.map(|(redirect_uri, code_verifier)| ExchangeParameters { redirect_uri, code_verifier }),
        extra: take_extra(&mut form)?,
        unknown: form.finish()?,
    })
}

fn take_scopes(form: &mut FormReader<'_>, name: &str) -> Result<Option<Scopes>> {
    Ok(form.take::<String>(name)?.map(|scopes| Scopes::from_server(&scopes)))
}

fn take_extra(form: &mut FormReader<'_>) -> Result<Map<String, Value>> {
    match form.take_any("extra")? {
        None => Ok(Map::new()),
        Some(Value::Object(extra)) => Ok(extra),
        Some(_) => Err(form.error("`extra` is damaged")),
    }
}

fn take_account(form: &mut FormReader<'_>) -> Result<Account> {
    let person = Identity {
        id: form.take("person_id")?.unwrap_or_default(),
        organization_id: form.take("person_organization_id")?,
        display_name: form.take("person_display_name")?,
        address: take_email_address(form, "person_email", "person_email_verified")?,
    };
    let subject = Subject {
        issuer: form.take("id_token_issuer")?.unwrap_or_default(),
        subject: form.take("id_token_subject")?.unwrap_or_default(),
        name: form.take("id_token_name")?,
        address: take_email_address(form, "id_token_email", "id_token_email_verified")?,
    };
    let profile = Profile {
        name: form.take("user_info_name")?,
        address: take_email_address(form, "user_info_email", "user_info_email_verified")?,
    };
    Ok(Account {
        user_name: form.take("user_name")?,
        iss: form.take("iss")?,
        siteid: form.take("siteid")?,
        userid: form.take("userid")?,
        authentication_id: form.take("authentication_id")?,
        email: form.take("email")?,
        person: Some(person).filter(|person| !person.id.is_empty()),
        subject: Some(subject).filter(|subject| !subject.subject.is_empty()),
        profile: Some(profile).filter(|profile| *profile != Profile::default()),
    })
}

/// Reads an e-mail address. Earlier versions did not store whether it is verified.
fn take_email_address(form: &mut FormReader<'_>, email: &str, is_verified: &str) -> Result<Option<EmailAddress>> {
    let (email, is_verified) = (form.take(email)?, form.take(is_verified)?);
    Ok(email.map(|email| EmailAddress { email, is_verified }))
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
        stored::serialize_form(STORED_TOKENS_NAME, &StoredTokenSet(self))
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
        assert!(read_token_set(tokens.to_stored().unwrap().expose()).is_ok());
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
