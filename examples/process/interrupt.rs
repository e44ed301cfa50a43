//! Signals that stop the program: Ctrl-C and, on Unix, SIGTERM, as sent by `kill` and by service
//! managers.

use std::io;

/// Returns a future that completes on Ctrl-C or SIGTERM. Signals are caught from this call on: call
/// it before there is anything to clean up.
#[cfg(unix)]
pub(crate) fn interrupt_signal() -> io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut sigint, mut sigterm) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = sigint.recv() => {}
            _ = sigterm.recv() => {}
        }
    })
}

/// Returns a future that completes on Ctrl-C. It is caught from this call on: call it before there
/// is anything to clean up.
#[cfg(windows)]
pub(crate) fn interrupt_signal() -> io::Result<impl Future<Output = ()> + Send> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
    })
}
