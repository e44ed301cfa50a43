//! Clients of this crate, as applications build them, and token responses like those of Webex.

use std::sync::Arc;

use bytes::Bytes;
use url::Url;
use webex_oauth::transport::Transport;
use webex_oauth::{AuthorizationCode, Callback, Service, TokenSet, WebexOAuth};

pub const CLIENT_ID: &str = "C1d4f7e2a9b0c3d6e8f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f70";
pub const CLIENT_SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub const REDIRECT_URI: &str = "https://rooms.example.com/auth/webex/callback";
pub const SCOPES: [&str; 3] = ["spark:all", "spark:people_read", "meeting:schedules_read"];

/// Returns an access token with the length of those of Webex.
pub fn access_token(number: usize) -> String {
    format!("{number:08x}ZDI3MGEyYzQtNmFlNS00NDNhLWFlNzAtZGVjNjE0MGU1OGZmZWNmZDEwN2ItYTU3_PF84_1eb65fdf-9643-417f-9974")
}

/// Returns a refresh token with the length of those of Webex.
pub fn refresh_token(number: usize) -> String {
    format!("{number:08x}MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTEyMzQ1Njc4_PF84_1eb65fdf-9643-417f-9974")
}

/// Returns a token response like those of Webex, with this lifetime of the access token.
pub fn token_response(expires_in: u64) -> String {
    let (access_token, refresh_token) = (access_token(1), refresh_token(1));
    let scopes = SCOPES.join(" ");
    format!(
        r#"{{"access_token":"{access_token}","expires_in":{expires_in},"refresh_token":"{refresh_token}","refresh_token_expires_in":7775998,"token_type":"Bearer","scope":"{scopes}"}}"#
    )
}

pub fn client(base: &str) -> WebexOAuth {
    builder(base).build().expect("a client")
}

pub fn client_over(transport: impl Transport) -> WebexOAuth {
    builder("https://webexapis.com/v1").transport(transport).build().expect("a client")
}

fn builder(base: &str) -> webex_oauth::WebexOAuthBuilder {
    WebexOAuth::builder()
        .service(Service::webex().with_base_url(base))
        .client_id(CLIENT_ID)
        .client_secret(CLIENT_SECRET)
        .redirect_uri(REDIRECT_URI)
        .scopes(SCOPES.join(" "))
}

/// Returns an authorization code.
pub fn authorization_code(webex: &WebexOAuth) -> AuthorizationCode {
    let (url, pending) = webex.authorize().begin().expect("a login");
    let url = Url::from(url);
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").expect("a state");
    let callback = Callback::parse(format!("code=NzJkNmZkNjItMTYwMy00&state={state}")).expect("a callback");
    webex.accept(pending, callback).map_err(|error| error.to_string()).expect("a code")
}

/// Completes a login and returns its tokens.
pub async fn tokens(webex: &WebexOAuth) -> TokenSet {
    webex.exchange(authorization_code(webex)).await.expect("a login").into_tokens()
}

/// A transport that returns a constant response immediately.
#[derive(Debug)]
pub struct ConstantTransport(pub Arc<str>);

#[async_trait::async_trait]
impl Transport for ConstantTransport {
    async fn exchange(&self, _: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        Ok(http::Response::new(Bytes::copy_from_slice(self.0.as_bytes())))
    }
}
