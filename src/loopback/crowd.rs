//! Those who are connected: served one request each, within limits that leave the browser a place whoever else comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};

use crate::clock::Clock;
use crate::loopback::desk::Desk;

/// How many may be connected at once. When one more comes, the one leaves who has been silent for longest.
const MOST_GUESTS: usize = 32;
/// Within this time, a request must have been read to its end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last pages may take on their way, once the login has ended.
const FAREWELL: Duration = Duration::from_secs(2);
/// The longest request, in bytes: a callback of 16 KiB, and the cookies of all that runs on this machine's ports.
const LONGEST_REQUEST: usize = 64 * 1024;
const MOST_HEADERS: usize = 100;

/// Those who are connected. All leave when it is dropped.
pub(super) struct Crowd {
    desk: Arc<Desk>,
    clock: Arc<dyn Clock>,
    guests: VecDeque<Guest>,
    tasks: JoinSet<()>,
}

struct Guest {
    task: AbortHandle,
    /// Whether it brought the callback; such a one is never sent away.
    is_heard: Arc<AtomicBool>,
}

impl Guest {
    fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Acquire)
    }
}

impl Crowd {
    pub(super) fn new(desk: Arc<Desk>, clock: Arc<dyn Clock>) -> Self {
        Self { desk, clock, guests: VecDeque::new(), tasks: JoinSet::new() }
    }

    pub(super) fn admit(&mut self, stream: TcpStream) {
        while self.tasks.try_join_next().is_some() {}
        self.guests.retain(|guest| !guest.task.is_finished());
        if self.guests.len() >= MOST_GUESTS {
            let Some(silent) = self.guests.iter().position(|guest| !guest.is_heard()) else {
                // The callback many times over: who comes now learns nothing new.
                return;
            };
            if let Some(guest) = self.guests.remove(silent) {
                guest.task.abort();
            }
        }
        let is_heard = Arc::new(AtomicBool::new(false));
        let serving = serve(stream, Arc::clone(&self.desk), Arc::clone(&self.clock), Arc::clone(&is_heard));
        self.guests.push_back(Guest { task: self.tasks.spawn(serving), is_heard });
    }

    /// Lets those who brought the callback read how it went, and sends the others away.
    pub(super) async fn leave(mut self) {
        for guest in self.guests.iter().filter(|guest| !guest.is_heard()) {
            guest.task.abort();
        }
        tokio::select! {
            () = async { while self.tasks.join_next().await.is_some() {} } => {}
            () = self.clock.sleep(FAREWELL) => {}
        }
    }
}

/// Answers one request.
async fn serve(stream: TcpStream, desk: Arc<Desk>, clock: Arc<dyn Clock>, is_heard: Arc<AtomicBool>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let (desk, is_heard) = (Arc::clone(&desk), Arc::clone(&is_heard));
        async move {
            let (request, _) = request.into_parts();
            Ok::<_, Infallible>(desk.answer(&request, || is_heard.store(true, Ordering::Release)).await)
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(LONGEST_REQUEST)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    // What goes wrong with a connection is its guest's affair.
    tokio::select! {
        _ = &mut connection => return,
        () = clock.sleep(PATIENCE) => {}
    }
    if is_heard.load(Ordering::Acquire) {
        let _ = connection.await;
    }
}
