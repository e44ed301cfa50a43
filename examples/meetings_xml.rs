//! Logs in with Webex Meetings, refreshes, and shows the request that asks the XML API who the user is.
//!
//! `cargo run --example meetings_xml` does it against a simulated Webex Meetings on this machine. For the real one, set
//! `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, `WEBEX_SCOPES` and `WEBEX_REDIRECT_URI`; then `-- --post` sends the request.
//! `-- --show-token` shows the access token in it.

#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::io::stdin;
use std::process::ExitCode;

use webex_oauth::meetings::SecurityContext;
use webex_oauth::testing::{MockService, MockUser, MockWebex};
use webex_oauth::{AccessToken, Callback, Service, WebexOAuth, WebexOAuthBuilder};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const XML_API: &str = "https://api.webex.com/WBXService/XMLService";

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = show().await else { return ExitCode::SUCCESS };
    println!("error: {error}");
    ExitCode::FAILURE
}

async fn show() -> Result<()> {
    if std::env::var_os("WEBEX_CLIENT_ID").is_some() {
        let webex = WebexOAuthBuilder::from_env()?.service(Service::meetings()).build()?;
        let document = run(&webex, ask_for_the_callback).await?;
        return if is_asked_for("--post") { post(document).await } else { Ok(()) };
    }
    println!("WEBEX_CLIENT_ID is not set: this is a simulated Webex Meetings, on this machine.\n");
    let jane = MockUser::new("jane@example.com").site("acme");
    let mock = MockWebex::builder().service(MockService::Meetings).user(jane).start().await;
    run(&mock.client(), |url| Ok(mock.approve(url))).await?;
    println!("\nA real program posts this, with its token, to {XML_API}.");
    Ok(())
}

/// Logs in by a browser, which brings the callback, and gives the request that was shown.
async fn run(webex: &WebexOAuth, browser: impl FnOnce(&str) -> Result<String>) -> Result<String> {
    let (url, pending) = webex.authorize().begin()?;
    let callback = Callback::parse(browser(url.as_str())?)?;
    let login = webex.login(pending, callback).await?;
    let account = login.tokens().account();
    println!("Logged in as {} of site {}.", account.user_name().unwrap_or("?"), account.site_name().unwrap_or("?"));

    // The client writes the site's name before the refresh token, as Webex Meetings wants it.
    let tokens = webex.refresh(login.tokens()).await?;
    println!("Refreshed: {}, until {}.\n", tokens.scopes(), tokens.expires_at().ok_or("no end")?);

    let context = SecurityContext::of(&tokens)?;
    let shown = match is_asked_for("--show-token") {
        true => context.clone(),
        false => SecurityContext::new(context.site_name(), context.user().clone(), &AccessToken::new("[secret]")?)?,
    };
    println!("{}", get_user(&shown));
    Ok(get_user(&context))
}

/// The document that asks for the user who asks.
fn get_user(context: &SecurityContext) -> String {
    let name = context.user().name().replace('&', "&amp;").replace('<', "&lt;");
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<serv:message xmlns:serv="http://www.webex.com/schemas/2002/06/service" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <header>{}</header>
  <body><bodyContent xsi:type="java:com.webex.service.binding.user.GetUser"><webExId>{name}</webExId></bodyContent></body>
</serv:message>"#,
        context.to_xml().expose()
    )
}

async fn post(document: String) -> Result<()> {
    // A redirect would carry the token on to wherever it points.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let request = client.post(XML_API).header("content-type", "application/xml").body(document);
    println!("\n{}", request.send().await?.text().await?);
    Ok(())
}

fn ask_for_the_callback(url: &str) -> Result<String> {
    println!("Open this in a browser:\n\n  {url}\n\nThen paste the address that the browser ends at:");
    Ok(stdin().lines().next().ok_or("nothing was pasted")??)
}

fn is_asked_for(argument: &str) -> bool {
    std::env::args().any(|own| own == argument)
}
