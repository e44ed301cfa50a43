//! A worker that acts for all users whose sessions are stored: it counts their rooms once a minute.
//!
//! Another program, for example a web application, stores the sessions in the same folder. The
//! worker keeps idle sessions valid and reports those that need a login. Copy this file. To run it,
//! set the variables of the example `cli_minimal`, run that example once, and call
//! `cargo run --example worker_minimal`. With `-- --once`, it runs once and exits.

use std::io::{Write as _, stdout};
use std::time::Duration;

use serde::de::IgnoredAny;
use webex_oauth::store::{FileStore, TokenIndex as _, TokenKey};
use webex_oauth::{KeepAlive, TokenManager, WebexOAuth};

#[tokio::main]
async fn main() -> webex_oauth::Result<()> {
    let store = FileStore::for_application("rooms")?;
    let manager = TokenManager::builder(WebexOAuth::from_env()?, store.clone())
        .on_event(|event| _ = writeln!(stdout(), "{event}")) // alert an operator, or notify the user
        .build()?;
    let _keep_alive = KeepAlive::new(&manager)?.start()?; // until it is dropped
    let runs_once = std::env::args().any(|argument| argument == "--once");

    loop {
        let mut cursor = None;
        loop {
            let page = store.keys(None, cursor.as_ref(), 100).await?;
            for key in &page.keys {
                // A failure of one session must not stop the others.
                match count_rooms(&manager, key).await {
                    Ok(count) => _ = writeln!(stdout(), "{key:?}: {count} rooms"),
                    Err(error) => _ = writeln!(stdout(), "{key:?}: {error}"),
                }
            }
            let Some(next) = page.next else { break };
            cursor = Some(next);
        }
        if runs_once {
            break;
        }
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }
    manager.wait_idle().await // saves new tokens
}

async fn count_rooms(manager: &TokenManager, key: &TokenKey) -> webex_oauth::Result<usize> {
    let mut rooms =
        manager.session(key).list::<IgnoredAny>("rooms?max=100").max_rate_limit_wait(Duration::from_secs(60));
    let mut count = 0;
    while rooms.try_next().await?.is_some() {
        count += 1;
    }
    Ok(count)
}
