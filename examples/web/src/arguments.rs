//! Command-line arguments, the server, and its shutdown.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::interrupt::interrupt_signal;

/// A result with any error.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
Arguments (after `--` with cargo):

  --port 8000           port on 127.0.0.1; 0 for a free port (or the environment variable PORT)
  --data folder         folder for persistent data, if the example has any (or DATA)
  --until-stdin-closes  exit when standard input is closed, for scripts

For the real Webex, set the variables listed at the top of the example's main.rs.";

/// The grace period at shutdown. Container managers kill a process after ten seconds.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(4);

/// The arguments.
#[derive(Default)]
pub struct Arguments {
    /// The port on 127.0.0.1, or 0 for a free port.
    pub port: u16,
    /// The folder for persistent data.
    pub data: Option<PathBuf>,
    /// Exits when standard input is closed, and thus with the test that started the program.
    pub until_stdin_closes: bool,
}

impl Arguments {
    /// Reads the arguments, and `PORT` and `DATA` from the environment. Returns `None` after
    /// `--help`.
    pub fn read(default_port: u16) -> Result<Option<Self>> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let mut arguments = Self { port: default_port, ..Self::default() };
        if let Some(port) = variable("PORT") {
            arguments.port = parse_port(&port.to_string_lossy())?;
        }
        arguments.data = variable("DATA").map(PathBuf::from);
        let mut words = std::env::args().skip(1);
        while let Some(option) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{option} requires a value"));
            match option.as_str() {
                "--port" => arguments.port = parse_port(&value()?)?,
                "--data" => arguments.data = Some(value()?.into()),
                "--until-stdin-closes" => arguments.until_stdin_closes = true,
                "--help" | "-h" => {
                    let _ = writeln!(io::stdout(), "{USAGE}");
                    return Ok(None);
                }
                _ => return Err(format!("unknown argument {option}\n\n{USAGE}").into()),
            }
        }
        Ok(Some(arguments))
    }

    /// Opens the port.
    pub async fn listen(&self) -> Result<TcpListener> {
        let bind_error = |error| format!("failed to listen on port {}: {error}; choose another with --port", self.port);
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.map_err(bind_error)?)
    }

    /// Returns a future that completes on Ctrl-C, on SIGTERM, or when standard input is closed.
    /// Call it before there is anything to clean up.
    pub fn shutdown_signal(&self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (interrupt, until_stdin_closes) = (interrupt_signal()?, self.until_stdin_closes);
        Ok(async move {
            tokio::select! {
                () = interrupt => {}
                () = wait_for_stdin_close(), if until_stdin_closes => {}
            }
        })
    }
}

/// Serves until `shutdown` completes. Requests in progress then have [`SHUTDOWN_GRACE`] to complete.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (sender, receiver) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        drop(sender);
    });
    let grace_expired = async {
        let _ = receiver.await;
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        outcome = server.into_future() => outcome,
        () = grace_expired => Ok(()),
    }
}

async fn wait_for_stdin_close() {
    let (sender, receiver) = oneshot::channel::<()>();
    // A thread, not a task: a blocking read cannot be canceled, and Tokio would wait for it at shutdown.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(sender);
    });
    let _ = receiver.await;
}

fn parse_port(text: &str) -> Result<u16> {
    Ok(text.parse().map_err(|error| format!("invalid port {text:?}: {error}"))?)
}
