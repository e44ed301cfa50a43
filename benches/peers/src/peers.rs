//! The peers' clients, as their users build them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::Secret;
use azure_core::http::headers::Headers;
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Request, StatusCode, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use google_cloud_auth::credentials::AccessTokenCredentials;
use google_cloud_auth::credentials::user_account::Builder;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{AuthUrl, ClientId, ClientSecret, EndpointNotSet, EndpointSet, RedirectUrl, TokenUrl};
use oauth2::{Client, ExtraTokenFields, StandardRevocableToken, StandardTokenResponse};
use openidconnect::core::CoreClient;
use openidconnect::{IssuerUrl, JsonWebKeySet};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use yup_oauth2::authenticator::DefaultAuthenticator;
use yup_oauth2::storage::{TokenInfo, TokenStorage, TokenStorageError};
use yup_oauth2::{ApplicationSecret, InstalledFlowAuthenticator, InstalledFlowReturnMethod};

use crate::webex::{self, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPES};

/// Fields that `oauth2` has no names for, kept as this crate keeps them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Extra(pub serde_json::Map<String, serde_json::Value>);

impl ExtraTokenFields for Extra {}

/// A client of `oauth2` whose token response has these extra fields.
pub type OAuth2<Fields> = Client<
    BasicErrorResponse,
    StandardTokenResponse<Fields, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

pub fn oauth2<Fields: ExtraTokenFields + Clone>(base: &str) -> OAuth2<Fields> {
    Client::new(ClientId::new(CLIENT_ID.to_owned()))
        .set_client_secret(ClientSecret::new(CLIENT_SECRET.to_owned()))
        .set_auth_uri(AuthUrl::new(format!("{base}/authorize")).expect("a URL"))
        .set_token_uri(TokenUrl::new(format!("{base}/access_token")).expect("a URL"))
        .set_redirect_uri(RedirectUrl::new(REDIRECT_URI.to_owned()).expect("a URL"))
        .set_auth_type(oauth2::AuthType::RequestBody)
}

pub type OpenId = CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet, EndpointNotSet>;

pub fn openidconnect(base: &str) -> OpenId {
    let issuer = IssuerUrl::new(base.to_owned()).expect("a URL");
    CoreClient::new(ClientId::new(CLIENT_ID.to_owned()), issuer, JsonWebKeySet::default())
        .set_client_secret(ClientSecret::new(CLIENT_SECRET.to_owned()))
        .set_auth_uri(AuthUrl::new(format!("{base}/authorize")).expect("a URL"))
        .set_token_uri(TokenUrl::new(format!("{base}/access_token")).expect("a URL"))
        .set_redirect_uri(RedirectUrl::new(REDIRECT_URI.to_owned()).expect("a URL"))
        .set_auth_type(oauth2::AuthType::RequestBody)
}

/// `yup-oauth2` with a token that is kept already, and refreshed at `url` when it has ended.
pub struct Yup {
    pub authenticator: DefaultAuthenticator,
}

fn secret(url: &str) -> ApplicationSecret {
    ApplicationSecret {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        token_uri: url.to_owned(),
        auth_uri: url.to_owned(),
        redirect_uris: vec![REDIRECT_URI.to_owned()],
        ..ApplicationSecret::default()
    }
}

fn token(life: Duration) -> TokenInfo {
    TokenInfo {
        access_token: Some(webex::access_token(1)),
        refresh_token: Some(webex::refresh_token(1)),
        expires_at: Some(OffsetDateTime::now_utc() + life),
        id_token: None,
    }
}

impl Yup {
    /// With its own cache, which is filled from a file.
    pub async fn with_a_living_token(url: &str, folder: &Path) -> Self {
        let file = folder.join("yup.json");
        let kept = serde_json::json!([{"scopes": SCOPES, "token": token(Duration::days(14))}]);
        std::fs::write(&file, kept.to_string()).expect("a file");
        let builder = InstalledFlowAuthenticator::builder(secret(url), InstalledFlowReturnMethod::Interactive);
        Self { authenticator: builder.persist_tokens_to_disk(file).build().await.expect("an authenticator") }
    }

    /// With a store of its user's own, which has a token that has ended.
    pub async fn with_an_ended_token(url: &str) -> Self {
        let builder = InstalledFlowAuthenticator::builder(secret(url), InstalledFlowReturnMethod::Interactive);
        let storage = Shelf(Mutex::new(token(Duration::ZERO)));
        Self { authenticator: builder.with_storage(Box::new(storage)).build().await.expect("an authenticator") }
    }
}

struct Shelf(Mutex<TokenInfo>);

#[async_trait::async_trait]
impl TokenStorage for Shelf {
    async fn set(&self, _: &[&str], token: TokenInfo) -> Result<(), TokenStorageError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    async fn get(&self, _: &[&str]) -> Option<TokenInfo> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// `google-cloud-auth` for a user; it fetches its first token behind the scenes, from now on.
pub fn google(url: &str) -> AccessTokenCredentials {
    let user = serde_json::json!({
        "type": "authorized_user",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": webex::refresh_token(1),
        "token_uri": url,
    });
    Builder::new(user).build_access_token_credentials().expect("credentials")
}

/// `azure_identity` for a service; it fetches its first token when it is first asked. It speaks https alone, so its requests
/// are carried to `url` by a transport of its user's own.
pub fn azure(url: &str) -> Arc<ClientSecretCredential> {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = "https://login.example.com".to_owned();
    let carrier =
        Carrier { url: url.to_owned(), client: reqwest::Client::builder().no_proxy().build().expect("a client") };
    let client_options = ClientOptions {
        cloud: Some(Arc::new(cloud.into())),
        transport: Some(Transport::new(Arc::new(carrier))),
        ..ClientOptions::default()
    };
    let options = ClientSecretCredentialOptions { client_options };
    ClientSecretCredential::new("tenant", CLIENT_ID.to_owned(), Secret::new(CLIENT_SECRET), Some(options))
        .expect("a credential")
}

#[derive(Debug)]
struct Carrier {
    url: String,
    client: reqwest::Client,
}

#[async_trait::async_trait]
impl HttpClient for Carrier {
    async fn execute_request(&self, _: &Request) -> azure_core::Result<AsyncRawResponse> {
        let answer = self.client.post(&self.url).body("grant_type=client_credentials").send().await.expect("an answer");
        let body = answer.bytes().await.expect("a body");
        Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::new(), body))
    }
}
