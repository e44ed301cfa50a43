//! The clients of the peers, as applications build them.

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

/// Additional fields of a token response, which this crate also keeps.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ExtraFields(pub serde_json::Map<String, serde_json::Value>);

impl ExtraTokenFields for ExtraFields {}

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

/// A `yup-oauth2` authenticator with a stored token. An expired token is refreshed at `url`.
pub struct Yup {
    pub authenticator: DefaultAuthenticator,
}

fn application_secret(url: &str) -> ApplicationSecret {
    ApplicationSecret {
        client_id: CLIENT_ID.to_owned(),
        client_secret: CLIENT_SECRET.to_owned(),
        token_uri: url.to_owned(),
        auth_uri: url.to_owned(),
        redirect_uris: vec![REDIRECT_URI.to_owned()],
        ..ApplicationSecret::default()
    }
}

fn stored_token(lifetime: Duration) -> TokenInfo {
    TokenInfo {
        access_token: Some(webex::access_token(1)),
        refresh_token: Some(webex::refresh_token(1)),
        expires_at: Some(OffsetDateTime::now_utc() + lifetime),
        id_token: None,
    }
}

impl Yup {
    /// Creates an authenticator with its own cache, which is loaded from a file.
    pub async fn with_valid_token(url: &str, folder: &Path) -> Self {
        let file = folder.join("yup.json");
        let stored_tokens = serde_json::json!([{"scopes": SCOPES, "token": stored_token(Duration::days(14))}]);
        std::fs::write(&file, stored_tokens.to_string()).expect("a file");
        let builder =
            InstalledFlowAuthenticator::builder(application_secret(url), InstalledFlowReturnMethod::Interactive);
        Self { authenticator: builder.persist_tokens_to_disk(file).build().await.expect("an authenticator") }
    }

    /// Creates an authenticator with a custom store that contains an expired token.
    pub async fn with_expired_token(url: &str) -> Self {
        let builder =
            InstalledFlowAuthenticator::builder(application_secret(url), InstalledFlowReturnMethod::Interactive);
        let storage = MemoryStorage(Mutex::new(stored_token(Duration::ZERO)));
        Self { authenticator: builder.with_storage(Box::new(storage)).build().await.expect("an authenticator") }
    }
}

struct MemoryStorage(Mutex<TokenInfo>);

#[async_trait::async_trait]
impl TokenStorage for MemoryStorage {
    async fn set(&self, _: &[&str], token: TokenInfo) -> Result<(), TokenStorageError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    async fn get(&self, _: &[&str]) -> Option<TokenInfo> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Creates `google-cloud-auth` credentials for a user. They start to fetch the first token in the background.
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

/// Creates an `azure_identity` credential for a service. It fetches the first token on demand. It requires HTTPS, so a custom HTTP
/// client sends its requests to `url`.
pub fn azure(url: &str) -> Arc<ClientSecretCredential> {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = "https://login.example.com".to_owned();
    let http_client = RedirectingClient {
        url: url.to_owned(),
        client: reqwest::Client::builder().no_proxy().build().expect("a client"),
    };
    let client_options = ClientOptions {
        cloud: Some(Arc::new(cloud.into())),
        transport: Some(Transport::new(Arc::new(http_client))),
        ..ClientOptions::default()
    };
    let options = ClientSecretCredentialOptions { client_options };
    ClientSecretCredential::new("tenant", CLIENT_ID.to_owned(), Secret::new(CLIENT_SECRET), Some(options))
        .expect("a credential")
}

#[derive(Debug)]
struct RedirectingClient {
    url: String,
    client: reqwest::Client,
}

#[async_trait::async_trait]
impl HttpClient for RedirectingClient {
    async fn execute_request(&self, _: &Request) -> azure_core::Result<AsyncRawResponse> {
        let response =
            self.client.post(&self.url).body("grant_type=client_credentials").send().await.expect("a response");
        let body = response.bytes().await.expect("a body");
        Ok(AsyncRawResponse::from_bytes(StatusCode::Ok, Headers::new(), body))
    }
}
