//! A program that uses the crate without features. Logins are available, but ID tokens cannot be verified.

use webex_oauth::{ErrorKind, Service, WebexOAuth};

fn main() -> webex_oauth::Result<()> {
    // Without a TLS feature, only loopback addresses are allowed, unless the application provides a transport.
    let webex = WebexOAuth::builder()
        .service(Service::webex().with_base_url("http://127.0.0.1:1"))
        .client_id("C1")
        .redirect_uri("http://localhost:5000/callback")
        .scopes("spark:all")
        .build()?;

    let (url, _pending) = webex.authorize().begin()?;
    assert!(url.as_str().contains("&scope=spark%3Aall&") && !url.as_str().contains("nonce"), "{url}");
    let error = webex.authorize().scopes("openid spark:all").begin().expect_err("ID tokens cannot be verified");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");

    println!("{}", Service::webex().token_endpoint());
    Ok(())
}
