//! Being asked to end: by Ctrl-C, and on Unix by SIGTERM, as `kill` and the managers of services and containers ask.

use std::io;

/// Comes when somebody asks. They are listened for from this call on, so make it before there is anything to leave behind.
#[cfg(unix)]
pub(crate) fn interrupted() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Comes when somebody asks. They are listened for from this call on, so make it before there is anything to leave behind.
#[cfg(windows)]
pub(crate) fn interrupted() -> io::Result<impl Future<Output = ()> + Send> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
    })
}
