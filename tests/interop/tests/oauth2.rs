//! A comparison with the general client `oauth2`: the errors for three error responses of Webex. The README refers to it.

use oauth2::basic::{BasicClient, BasicErrorResponse};
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, TokenResponse as _, TokenUrl,
};
use url::Url;
use webex_oauth::testing::MockWebex;
use webex_oauth::{Callback, Error, PendingAuthorization};
use webex_oauth_interop::run_with_servers;

/// Sends a request of the `oauth2` client.
async fn send_oauth2_request(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let received = reqwest::Client::builder().no_proxy().build()?.execute(request.try_into()?).await?;
    let mut response = oauth2::http::Response::builder().status(received.status());
    for (name, value) in received.headers() {
        response = response.header(name, value);
    }
    Ok(response.body(received.bytes().await?.to_vec()).unwrap())
}

/// Returns the errors of `oauth2` for a used code, a revoked refresh token, and a changed client secret.
async fn oauth2_errors(mock: &MockWebex) -> [RequestTokenError<reqwest::Error, BasicErrorResponse>; 3] {
    let client = BasicClient::new(ClientId::new(mock.client_id()))
        .set_client_secret(ClientSecret::new(mock.client_secret()))
        .set_auth_uri(AuthUrl::new(format!("{}/authorize", mock.uri())).unwrap())
        .set_token_uri(TokenUrl::new(format!("{}/access_token", mock.uri())).unwrap())
        .set_redirect_uri(RedirectUrl::new(mock.redirect_uri()).unwrap());
    let (url, _) = client.authorize_url(CsrfToken::new_random).add_scope(Scope::new(mock.scopes().to_string())).url();
    let callback = Url::parse(&mock.approve(url)).unwrap();
    let (_, code) = callback.query_pairs().into_owned().find(|(name, _)| name == "code").unwrap();
    let code = AuthorizationCode::new(code);
    let tokens = client.exchange_code(code.clone()).request_async(&send_oauth2_request).await.unwrap();
    let used_code = client.exchange_code(code).request_async(&send_oauth2_request).await.unwrap_err();

    let token = RefreshToken::new(tokens.refresh_token().unwrap().secret().clone());
    mock.revoke("jane@example.com");
    let revoked = client.exchange_refresh_token(&token).request_async(&send_oauth2_request).await.unwrap_err();
    mock.change_secret("another");
    let changed = client.exchange_refresh_token(&token).request_async(&send_oauth2_request).await.unwrap_err();
    [used_code, revoked, changed]
}

/// Returns the errors of this crate in the same cases.
async fn webex_oauth_errors(mock: &MockWebex) -> [Error; 3] {
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let (callback, stored) = (mock.approve(&url), pending.to_stored().unwrap());
    let login = webex.login(pending, Callback::parse(&callback).unwrap()).await.unwrap();
    let pending = PendingAuthorization::from_stored(stored.expose()).unwrap();
    let used_code = webex.login(pending, Callback::parse(&callback).unwrap()).await.unwrap_err();

    mock.revoke("jane@example.com");
    let revoked = webex.refresh(login.tokens()).await.unwrap_err();
    mock.change_secret("another");
    let changed = webex.refresh(login.tokens()).await.unwrap_err();
    [used_code, revoked, changed]
}

#[test]
fn webex_errors_are_distinguished_unlike_in_oauth2_crate() {
    run_with_servers(async {
        let oauth2_errors = oauth2_errors(&MockWebex::start().await).await;
        for error in &oauth2_errors {
            assert!(matches!(error, RequestTokenError::Parse(..)), "{error:?}");
        }
        assert_eq!(oauth2_errors.map(|error| error.to_string()), ["Failed to parse server response"; 3]);

        let webex_oauth_errors = webex_oauth_errors(&MockWebex::start().await).await;
        let predicates =
            webex_oauth_errors.each_ref().map(|error| (error.is_login_required(), error.is_misconfigured()));
        assert_eq!(predicates, [(true, false), (true, false), (false, true)], "{webex_oauth_errors:?}");
    });
}
