//! Logs in with Webex Meetings, refreshes, and shows an XML API request that fetches the user.
//!
//! Run with `cargo run --example meetings_xml`. It uses a simulated Webex Meetings. For the real
//! one, set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, `WEBEX_SCOPES`, and `WEBEX_REDIRECT_URI`.
//! Then `-- --post` sends the request. `-- --show-token` includes the access token in the output.

#[path = "process/arguments.rs"]
mod arguments;
#[path = "process/exit.rs"]
mod exit;
#[path = "process/printable.rs"]
mod printable;

use std::io::{Write as _, stdin, stdout};
use std::process::ExitCode;

use webex_oauth::meetings::SecurityContext;
use webex_oauth::testing::{MockService, MockUser, MockWebex};
use webex_oauth::{AccessToken, Callback, Service, WebexOAuth, WebexOAuthBuilder};

use self::printable::printable;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const XML_API: &str = "https://api.webex.com/WBXService/XMLService";

const HELP: &str = "\
Logs in with Webex Meetings, and shows an XML API request that fetches the user

Usage: meetings_xml [--post] [--show-token]

Options:
  --post        Send the request, with the real Webex only
  --show-token  Show the access token

For the real Webex, set the variables listed at the top of examples/meetings_xml.rs.";

#[tokio::main]
async fn main() -> ExitCode {
    match arguments::parse(HELP, ["--post", "--show-token"]) {
        Ok([post, show_token]) => exit::exit_code(run_example(post, show_token).await),
        Err(code) => code,
    }
}

async fn run_example(post: bool, show_token: bool) -> Result<()> {
    if std::env::var_os("WEBEX_CLIENT_ID").is_some() {
        let webex = WebexOAuthBuilder::from_env()?.service(Service::meetings()).build()?;
        let document = log_in_and_refresh(&webex, show_token, prompt_for_callback).await?;
        return if post { post_request(document).await } else { Ok(()) };
    }
    writeln!(stdout(), "WEBEX_CLIENT_ID is not set: using a simulated Webex Meetings.\n")?;
    let jane = MockUser::new("jane@example.com").site("acme");
    let mock = MockWebex::builder().service(MockService::Meetings).user(jane).start().await;
    log_in_and_refresh(&mock.client(), show_token, |url| Ok(mock.approve(url))).await?;
    writeln!(stdout(), "\nA real program sends this document, with its token, to {XML_API}.")?;
    Ok(())
}

/// Logs in and shows the request. `browser` returns the callback URL.
async fn log_in_and_refresh(
    webex: &WebexOAuth,
    show_token: bool,
    browser: impl FnOnce(&str) -> Result<String>,
) -> Result<String> {
    let (url, pending) = webex.authorize().begin()?;
    let callback = Callback::parse(browser(url.as_str())?)?;
    let login = webex.login(pending, callback).await?;
    let account = login.tokens().account();
    writeln!(stdout(), "Logged in as {account} of site {:?}.", account.site_name().unwrap_or("?"))?;

    // The client sends the site name before the refresh token, as required by Webex Meetings.
    let tokens = webex.refresh(login.tokens()).await?;
    let (scopes, expires_at) = tokens.scopes().zip(tokens.expires_at()).ok_or("incomplete response")?;
    writeln!(stdout(), "Refreshed: {scopes}, valid until {expires_at}.\n")?;

    let context = SecurityContext::from_tokens(&tokens)?;
    let shown = match show_token {
        true => context.clone(),
        false => SecurityContext::new(context.site_name(), context.user().clone(), &AccessToken::new("[secret]")?)?,
    };
    writeln!(stdout(), "{}", printable(&get_user_request(&shown)))?;
    Ok(get_user_request(&context))
}

/// Returns a document that fetches the user.
fn get_user_request(context: &SecurityContext) -> String {
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

async fn post_request(document: String) -> Result<()> {
    // With redirects, the token could be sent to another host.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let request = client.post(XML_API).header("content-type", "application/xml").body(document);
    writeln!(stdout(), "\n{}", printable(&request.send().await?.text().await?))?;
    Ok(())
}

fn prompt_for_callback(url: &str) -> Result<String> {
    writeln!(stdout(), "Open this URL in a browser:\n\n  {url}\n\nThen paste the URL of the last page:")?;
    Ok(stdin().lines().next().ok_or("nothing was pasted")??)
}
