//! A command-line tool that logs in once, stores the session in a file, and lists the user's rooms.
//!
//! It opens the browser, or shows a device code if there is none. Copy this file. To run it, set
//! `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, `WEBEX_REDIRECT_URI` (such as
//! `http://localhost:8765/callback`), and `WEBEX_SCOPES` (such as `spark:rooms_read`), then call
//! `cargo run --example cli_minimal`. The program `mock_webex` prints these variables for a
//! simulated Webex; its command `sample_rooms` adds rooms.

use std::io::{Write as _, stdout};

use serde::Deserialize;
use webex_oauth::store::{FileStore, TokenKey};
use webex_oauth::{BrowserLogin, TokenManager, WebexOAuth};

#[derive(Deserialize)]
struct Room {
    title: String,
}

#[tokio::main]
async fn main() -> webex_oauth::Result<()> {
    let webex = WebexOAuth::from_env()?;
    let manager = TokenManager::new(webex.clone(), FileStore::for_application("rooms")?)?;
    let session = manager.session(&TokenKey::new("me")?);

    if session.access_token().await.is_err_and(|error| error.is_login_required()) {
        let login = BrowserLogin::new(&webex).run_or_device(|device| {
            _ = writeln!(stdout(), "Open {} and enter {}", device.verification_uri(), device.user_code());
        });
        manager.put(session.key(), login.await?).await?;
    }

    let mut rooms = session.list::<Room>("rooms?max=100");
    while let Some(room) = rooms.try_next().await? {
        _ = writeln!(stdout(), "{}", room.title);
    }
    manager.wait_idle().await
}
