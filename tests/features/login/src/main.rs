//! A program that uses the default features: it logs in, stores the session, and loads it with a second manager.
//!
//! The first argument is the path of the example `mock_webex`, which runs as a separate process.

mod browser;
mod mock_process;

use std::path::Path;
use std::time::Duration;

use webex_oauth::store::{FileStore, TokenKey};
use webex_oauth::{Callback, Service, TokenManager, TokenSet, WebexOAuth};

use self::mock_process::MockProcess;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The time limit for the whole login. It waits only for processes of this host.
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let program = std::env::args().nth(1).ok_or("the first argument must be the path of `mock_webex`")?;
    let mock = MockProcess::start(&program)?;
    let folder = std::env::temp_dir().join(format!("webex-oauth-features-login-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let outcome = tokio::time::timeout(TIMEOUT, run(&mock, &folder)).await;
    std::fs::remove_dir_all(&folder)?;
    outcome.map_err(|_| format!("it took longer than {TIMEOUT:?}"))??;
    mock.stop()?;
    println!("logged in, session stored and loaded");
    Ok(())
}

async fn run(mock: &MockProcess, folder: &Path) -> Result<()> {
    let client = client(mock)?;
    check_denied_login(&client).await?;
    let key = TokenKey::new("acme")?.child("jane")?;

    let (url, pending) = client.authorize().payload(&"/rooms").begin()?;
    let login =
        client.login(pending, Callback::parse(browser::submit_decision(url.as_str(), "accept").await?)?).await?;
    check(login.payload::<String>()?.as_deref() == Some("/rooms"), "the payload is returned")?;
    let person = client.person(login.tokens().access_token()).await?;
    check(person.email() == Some("jane@example.com"), "the user is Jane")?;
    let id_token = login.id_token().ok_or("there is no ID token")?;
    let info = client.user_info(id_token, login.tokens().access_token()).await?;
    check(info.email() == person.email(), "the ID token belongs to Jane")?;
    let manager = TokenManager::new(client, FileStore::open(folder)?)?;
    let first = manager.put(&key, with_earlier_receipt(&login.into_tokens())?).await?.access_token().await?;
    manager.wait_idle().await.unwrap();
    drop(manager);

    let client = self::client(mock)?;
    let manager = TokenManager::new(client.clone(), FileStore::open(folder)?)?;
    let session = manager.session(&key);
    check(session.access_token().await? == first, "the stored access token is returned")?;
    session.invalidate(&first);
    let second = session.access_token().await?;
    check(second != first, "an invalidated token is refreshed")?;
    client.person(&second).await?;
    manager.remove(&key).await?;
    manager.wait_idle().await.unwrap();
    let error = session.access_token().await.err().ok_or("a removed session returned a token")?;
    check(error.is_login_required(), "a removed session requires a login")
}

/// The same tokens, received 30 seconds earlier: a younger token is not refreshed after a 401.
fn with_earlier_receipt(tokens: &TokenSet) -> Result<TokenSet> {
    const FIELD: &str = "\"received_at\":";
    let stored = tokens.to_stored()?;
    let (before, rest) = stored.expose().split_once(FIELD).ok_or("the stored form has no time of receipt")?;
    let end = rest.find(|next: char| !next.is_ascii_digit()).ok_or("the time of receipt is not terminated")?;
    let received = rest[..end].parse::<u64>()? - 30;
    Ok(TokenSet::from_stored(&format!("{before}{FIELD}{received}{}", &rest[end..]))?)
}

/// Returns a client of the integration at the mock.
fn client(mock: &MockProcess) -> Result<WebexOAuth> {
    let variable = |name| mock.variable(name);
    let builder = WebexOAuth::builder()
        .service(Service::webex().with_base_url(mock.base_url()).with_issuers([mock.issuer()]))
        .client_id(variable("WEBEX_CLIENT_ID")?)
        .client_secret(variable("WEBEX_CLIENT_SECRET")?)
        .redirect_uri(variable("WEBEX_REDIRECT_URI")?)
        .scopes(format!("openid email {}", variable("WEBEX_SCOPES")?));
    Ok(builder.build()?)
}

async fn check_denied_login(client: &WebexOAuth) -> Result<()> {
    let (url, pending) = client.authorize().begin()?;
    let callback = Callback::parse(browser::submit_decision(url.as_str(), "deny").await?)?;
    let error = client.login(pending, callback).await.err().ok_or("a denied login succeeded")?;
    check(error.is_denied(), "the error reports the denial")
}

fn check(condition: bool, description: &str) -> Result<()> {
    if condition { Ok(()) } else { Err(format!("check failed: {description}").into()) }
}
