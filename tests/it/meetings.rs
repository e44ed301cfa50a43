//! Webex Meetings: the site and user in the token response, and the element for its XML API.

use webex_oauth::meetings::{SecurityContext, User};
use webex_oauth::testing::{MockService, MockUser, MockWebex};
use webex_oauth::{AccessToken, Callback, ErrorKind, Service, TokenSet, WebexOAuth};

use crate::support::{builder, json, server, tokens};

async fn log_in(mock: &MockWebex, webex: &WebexOAuth) -> TokenSet {
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap().into_tokens()
}

#[tokio::test]
async fn security_context_contains_token_of_login_and_refresh() {
    let jane = MockUser::new("jane@example.com").site("acme");
    let mock = MockWebex::builder().service(MockService::Meetings).user(jane).start().await;
    let webex = mock.client();

    let first = log_in(&mock, &webex).await;
    let second = webex.refresh(&first).await.unwrap();

    assert_ne!(first.access_token(), second.access_token());
    for tokens in [first, second] {
        let context = SecurityContext::from_tokens(&tokens).unwrap();
        assert_eq!(context.site_name(), "acme");
        assert_eq!(context.user(), &User::WebexId("jane@example.com".into()));
        let expected = format!(
            "<securityContext><siteName>acme</siteName><webExID>jane@example.com</webExID>\
             <webExAccessToken>{}</webExAccessToken></securityContext>",
            tokens.access_token().expose()
        );
        assert_eq!(context.to_xml().expose(), expected);
    }
}

/// Tokens of Webex Meetings from a response with these user fields.
async fn tokens_with_account(account: &str) -> TokenSet {
    let server = server(json(200, &format!(r#"{{"access_token":"a"{account}}}"#))).await;
    tokens(&builder(Service::meetings().with_base_url(server.uri())).build().unwrap()).await
}

#[tokio::test]
async fn email_replaces_missing_webex_id() {
    let account = r#","iss":"https://acme.webex.com/acme","email":"jane@example.com""#;
    let context = SecurityContext::from_tokens(&tokens_with_account(account).await).unwrap();
    assert_eq!(context.user(), &User::Email("jane@example.com".into()));
    assert!(context.to_xml().expose().contains("<siteName>acme</siteName><email>jane@example.com</email>"));
}

#[tokio::test]
async fn security_context_without_valid_site_and_user_is_rejected() {
    for (account, kind, words) in [
        ("", ErrorKind::Unsupported, "name of the site"),
        (r#","user_name":"jane""#, ErrorKind::Unsupported, "name of the site"),
        (r#","iss":"https://acme.webex.com/acme""#, ErrorKind::Unsupported, "name of the user"),
        (r#","iss":"https://acme.webex.com/acme","user_name":"ja\u0000ne""#, ErrorKind::InvalidInput, "allowed in XML"),
    ] {
        let error = SecurityContext::from_tokens(&tokens_with_account(account).await).unwrap_err();
        assert_eq!(error.kind(), kind, "{account}");
        assert!(error.to_string().contains(words), "{account}: {error}");
    }
    let mock = MockWebex::start().await;
    let platform = log_in(&mock, &mock.client()).await;
    assert_eq!(SecurityContext::from_tokens(&platform).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn security_context_from_parts_escapes_xml() {
    let token = AccessToken::new("a&b").unwrap();
    let context = SecurityContext::new("acme", User::WebexId("jane <admin>".into()), &token).unwrap();
    let xml = context.to_xml();
    let expected =
        "<webExID>jane &lt;admin&gt;</webExID><webExAccessToken>a&amp;b</webExAccessToken></securityContext>";
    assert!(xml.expose().ends_with(expected), "{}", xml.expose());
}
