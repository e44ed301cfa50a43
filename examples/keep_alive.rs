//! Refreshes idle sessions before they expire, and announces those that a refresh cannot extend.
//!
//! Run with `cargo run --example keep_alive`. It simulates a hundred days with two simulated Webex
//! services: one extends the refresh token with each refresh, and the other does not. A real
//! program needs only the lines in `manager_with_keep_alive`.

#[path = "process/arguments.rs"]
mod arguments;
#[path = "process/exit.rs"]
mod exit;

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::time::Duration;

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::{MockUser, MockWebex, MockWebexBuilder};
use webex_oauth::{Callback, KeepAlive, TokenManager, WebexOAuth};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const HELP: &str = "Refreshes idle sessions during a hundred simulated days\n\nUsage: keep_alive";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TENANTS: [(&str, &str); 2] = [("cust10001", "jane@example.com"), ("cust10002", "bob@example.com")];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if let Err(code) = arguments::parse(HELP, []) {
        return code;
    }
    exit::exit_code(run_simulations().await)
}

async fn run_simulations() -> Result<()> {
    writeln!(stdout(), "Each refresh extends the session:")?;
    simulate_idle_days(MockWebex::builder().renew_refresh_tokens()).await?;
    writeln!(stdout(), "\nThe session expires 90 days after the login:")?;
    simulate_idle_days(MockWebex::builder()).await
}

/// The part that a program needs: an event listener and sweeps.
fn manager_with_keep_alive(webex: WebexOAuth) -> Result<(TokenManager, KeepAlive)> {
    let manager = TokenManager::builder(webex, MemoryStore::new()) // or a `FileStore`
        .on_event(|event| _ = writeln!(stdout(), "  {event}")) // a server would notify its users
        .build()?;
    // A server calls `.start()?` instead, and keeps the returned handle. It then sweeps every hour.
    let keep_alive = KeepAlive::new(&manager)?.delay_between(Duration::ZERO);
    Ok((manager, keep_alive))
}

async fn simulate_idle_days(builder: MockWebexBuilder) -> Result<()> {
    let clock = ManualClock::new(UnixTime::from_secs(1_800_000_000));
    let builder = builder.clock(clock.clone());
    let builder = TENANTS.iter().fold(builder, |builder, (_, email)| builder.user(MockUser::new(*email)));
    let mock = builder.start().await;
    let webex = mock.client();
    let (manager, keep_alive) = manager_with_keep_alive(webex.clone())?;
    for (tenant, email) in TENANTS {
        let (url, pending) = webex.authorize().begin()?;
        let mut login = webex.login(pending, Callback::parse(mock.approve_as(&url, email))?).await?;
        webex.identify(&mut login).await?;
        manager.put(&TokenKey::new(tenant)?, login).await?;
    }
    for day in 1..=100 {
        clock.advance(DAY);
        let sweep = keep_alive.sweep().await?;
        if sweep.refreshed + sweep.login_required > 0 {
            writeln!(stdout(), "  day {day}: {} refreshed, {} expired", sweep.refreshed, sweep.login_required)?;
        }
    }
    for (tenant, _) in TENANTS {
        let status = manager.session(&TokenKey::new(tenant)?).status().await?;
        let status = status.map_or_else(String::new, |status| status.to_string());
        writeln!(stdout(), "  {tenant} after 100 days: {status}")?;
    }
    Ok(())
}
