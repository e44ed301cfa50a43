//! What the command line asks for, and what it is to wait for.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::interrupt::interrupted;

pub(crate) type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "\
Arguments (after `--` where cargo runs it):

  --port 8000           where to listen on 127.0.0.1; 0 is a free port (or PORT in the environment)
  --data folder         where to keep what shall survive a restart, if the example keeps anything (or DATA)
  --until-stdin-closes  end with the standard input, for scripts

For the real Webex, set the variables that the first lines of the example's main.rs name.";

/// How long an end may wait for what is on its way: container managers kill after ten seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Default)]
pub(crate) struct Arguments {
    /// Where to listen on 127.0.0.1; 0 is a free port.
    pub(crate) port: u16,
    /// Where to keep what shall survive a restart.
    pub(crate) data: Option<PathBuf>,
    /// Whether to end with the standard input, so that no test is outlived.
    pub(crate) until_stdin_closes: bool,
}

impl Arguments {
    /// Those of this program: `--port 5000`, `--data folder`, `--until-stdin-closes`; or `PORT` and `DATA` in the environment.
    /// `None` where somebody only asked which there are.
    pub(crate) fn read(default_port: u16) -> Result<Option<Self>> {
        let of_environment = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let mut arguments = Self { port: default_port, ..Self::default() };
        if let Some(port) = of_environment("PORT") {
            arguments.port = number(&port.to_string_lossy())?;
        }
        arguments.data = of_environment("DATA").map(PathBuf::from);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match word.as_str() {
                "--port" => arguments.port = number(&value()?)?,
                "--data" => arguments.data = Some(value()?.into()),
                "--until-stdin-closes" => arguments.until_stdin_closes = true,
                "--help" | "-h" => {
                    let _ = writeln!(io::stdout(), "{USAGE}");
                    return Ok(None);
                }
                _ => return Err(format!("unknown argument {word}\n\n{USAGE}").into()),
            }
        }
        Ok(Some(arguments))
    }

    pub(crate) async fn listen(&self) -> Result<TcpListener> {
        let refused = |error| format!("port {} cannot be listened on ({error}): choose another with --port", self.port);
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.map_err(refused)?)
    }

    /// Comes when this program is to end: by Ctrl-C, by SIGTERM, or with the standard input. Whoever has something to leave
    /// behind calls this before.
    pub(crate) fn end(&self) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let (interrupted, until_stdin_closes) = (interrupted()?, self.until_stdin_closes);
        Ok(async move {
            tokio::select! {
                () = interrupted => {}
                () = stdin_closed(), if until_stdin_closes => {}
            }
        })
    }
}

/// Serves until `end` comes. Whoever is being answered then has a little longer.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    end: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (ending, ended) = oneshot::channel::<()>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
        end.await;
        drop(ending);
    });
    let too_late = async {
        let _ = ended.await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        outcome = serving.into_future() => outcome,
        () = too_late => Ok(()),
    }
}

async fn stdin_closed() {
    let (sender, receiver) = oneshot::channel::<()>();
    // A thread and no task: nobody can take back a read, and tokio would wait for a task's at its end.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(sender);
    });
    let _ = receiver.await;
}

fn number(text: &str) -> Result<u16> {
    Ok(text.parse().map_err(|error| format!("{text:?} is no port: {error}"))?)
}
