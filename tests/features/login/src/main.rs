//! Logs in, keeps the login, and finds it again after a restart, with nothing but the crate's default features.
//!
//! The program in its first argument is the example `mock_webex`, which plays Webex in a process of its own.

mod browser;
mod webex;

use std::path::Path;
use std::time::Duration;

use webex_oauth::store::{FileStore, TokenKey};
use webex_oauth::{Callback, Service, TokenManager, TokenSet, WebexOAuth};

use self::webex::Webex;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The time limit for the whole login. It waits only for processes of this host.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let program = std::env::args().nth(1).ok_or("the first argument is the program that plays Webex")?;
    let webex = Webex::start(&program)?;
    let folder = std::env::temp_dir().join(format!("webex-oauth-features-login-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let outcome = tokio::time::timeout(LIMIT, run(&webex, &folder)).await;
    std::fs::remove_dir_all(&folder)?;
    outcome.map_err(|_| format!("it took longer than {LIMIT:?}"))??;
    webex.stop()?;
    println!("logged in, kept and found again");
    Ok(())
}

async fn run(webex: &Webex, folder: &Path) -> Result<()> {
    let client = client(webex)?;
    decline(&client).await?;
    let key = TokenKey::new("acme")?.child("jane")?;

    let (url, pending) = client.authorize().payload(&"/rooms").begin()?;
    let login = client.login(pending, Callback::parse(browser::answer(url.as_str(), "accept").await?)?).await?;
    check(login.payload::<String>()?.as_deref() == Some("/rooms"), "the payload comes back")?;
    let person = client.person(login.tokens().access_token()).await?;
    check(person.email() == Some("jane@example.com"), "Jane has logged in")?;
    let proof = login.id_token().ok_or("there is no ID token")?;
    let info = client.user_info(proof, login.tokens().access_token()).await?;
    check(info.email() == person.email(), "the ID token is hers")?;
    let manager = TokenManager::new(client, FileStore::open(folder)?)?;
    let first = manager.put(&key, aged(&login.into_tokens())?).await?.access_token().await?;
    manager.wait_idle().await.unwrap();
    drop(manager);

    let client = self::client(webex)?;
    let manager = TokenManager::new(client.clone(), FileStore::open(folder)?)?;
    let session = manager.session(&key);
    check(session.access_token().await? == first, "the login is found again")?;
    session.invalidate(&first);
    let second = session.access_token().await?;
    check(second != first, "a refused token is replaced")?;
    client.person(&second).await?;
    manager.remove(&key).await?;
    manager.wait_idle().await.unwrap();
    let error = session.access_token().await.err().ok_or("a forgotten login gives a token")?;
    check(error.is_login_required(), "a forgotten login wants a new one")
}

/// The same tokens, received 30 seconds earlier: a younger token is not refreshed after a 401.
fn aged(tokens: &TokenSet) -> Result<TokenSet> {
    const FIELD: &str = "\"received_at\":";
    let stored = tokens.to_stored()?;
    let (before, rest) = stored.expose().split_once(FIELD).ok_or("it has no time of receipt")?;
    let end = rest.find(|next: char| !next.is_ascii_digit()).ok_or("it has no end")?;
    let received = rest[..end].parse::<u64>()? - 30;
    Ok(TokenSet::from_stored(&format!("{before}{FIELD}{received}{}", &rest[end..]))?)
}

/// A client of the integration that the simulated Webex told of.
fn client(webex: &Webex) -> Result<WebexOAuth> {
    let value = |name| webex.variable(name);
    let builder = WebexOAuth::builder()
        .service(Service::webex().with_base_url(webex.base()).with_issuers([webex.issuer()]))
        .client_id(value("WEBEX_CLIENT_ID")?)
        .client_secret(value("WEBEX_CLIENT_SECRET")?)
        .redirect_uri(value("WEBEX_REDIRECT_URI")?)
        .scopes(format!("openid email {}", value("WEBEX_SCOPES")?));
    Ok(builder.build()?)
}

async fn decline(client: &WebexOAuth) -> Result<()> {
    let (url, pending) = client.authorize().begin()?;
    let callback = Callback::parse(browser::answer(url.as_str(), "deny").await?)?;
    let error = client.login(pending, callback).await.err().ok_or("a declined login succeeds")?;
    check(error.is_denied(), "a declined login is one")
}

fn check(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(format!("it does not hold that {what}").into()) }
}
