//! Connections of the callback server: one request per connection, with limits that keep the
//! browser from being locked out by other clients.

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
use crate::login::loopback::page::RejectedRequest;
use crate::login::loopback::receiver::CallbackReceiver;
use crate::trace::event;

/// The maximum number of open connections. The oldest connection without a callback is closed to
/// make room for a new one.
const MAX_CONNECTIONS: usize = 64;
/// The minimum time before a connection is closed to make room. Meanwhile, new connections wait in
/// the listen backlog. Otherwise a flood of connections would evict a browser before it sends its
/// request.
const MIN_CONNECTION_TIME: Duration = Duration::from_secs(1);
/// The time limit for reading a request.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for delivering the last pages after the login has completed.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum size of a request, in bytes: a callback of 16 KiB, and the cookies of all
/// applications on this host, because browsers do not separate cookies by port.
const MAX_REQUEST_LEN: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
/// The first byte of a TLS connection: the record type `handshake` (RFC 8446, section 5.1). No HTTP
/// request begins with it.
const TLS_HANDSHAKE: [u8; 1] = [0x16];

/// The open connections. Dropping the value closes all of them.
pub(crate) struct Connections {
    receiver: Arc<CallbackReceiver>,
    clock: Arc<dyn Clock>,
    connections: VecDeque<Connection>,
    tasks: JoinSet<()>,
}

struct Connection {
    task: AbortHandle,
    /// The time of its acceptance, on the scale of [`Clock::elapsed`].
    accepted_at: Duration,
    /// `true` once it has delivered the callback. Such a connection is never closed to make room.
    has_delivered_callback: Arc<AtomicBool>,
}

impl Connection {
    fn has_delivered_callback(&self) -> bool {
        self.has_delivered_callback.load(Ordering::Acquire)
    }
}

impl Connections {
    pub(crate) fn new(receiver: Arc<CallbackReceiver>, clock: Arc<dyn Clock>) -> Self {
        Self { receiver, clock, connections: VecDeque::new(), tasks: JoinSet::new() }
    }

    /// Waits until another connection can be accepted. The future may be dropped, and the method
    /// called again.
    pub(crate) async fn wait_for_capacity(&mut self) {
        loop {
            while self.tasks.try_join_next().is_some() {}
            self.connections.retain(|guest| !guest.task.is_finished());
            if self.connections.len() < MAX_CONNECTIONS {
                return;
            }
            // The oldest connection is first.
            let silent = self.connections.iter().position(|guest| !guest.has_delivered_callback());
            let rest = silent.map(|at| {
                let stayed = self.clock.elapsed().saturating_sub(self.connections[at].accepted_at);
                (at, MIN_CONNECTION_TIME.saturating_sub(stayed))
            });
            match rest {
                Some((at, Duration::ZERO)) => {
                    if let Some(guest) = self.connections.remove(at) {
                        guest.task.abort();
                    }
                    return;
                }
                Some((_, rest)) => tokio::select! {
                    _ = self.tasks.join_next() => {}
                    () = self.clock.sleep(rest) => {}
                },
                // All connections delivered the callback. They are closed when the login completes.
                None => {
                    self.tasks.join_next().await;
                }
            }
        }
    }

    /// Serves a connection. Call [`wait_for_capacity`](Self::wait_for_capacity) first.
    pub(crate) fn spawn(&mut self, stream: TcpStream) {
        let since = self.clock.elapsed();
        let is_heard = Arc::new(AtomicBool::new(false));
        let serving =
            serve_connection(stream, Arc::clone(&self.receiver), Arc::clone(&self.clock), Arc::clone(&is_heard));
        self.connections.push_back(Connection {
            task: self.tasks.spawn(serving),
            accepted_at: since,
            has_delivered_callback: is_heard,
        });
    }

    /// Delivers the result to the connections that sent the callback, and closes all others.
    pub(crate) async fn shutdown(mut self) {
        for guest in self.connections.iter().filter(|guest| !guest.has_delivered_callback()) {
            guest.task.abort();
        }
        tokio::select! {
            () = async { while self.tasks.join_next().await.is_some() {} } => {}
            () = self.clock.sleep(SHUTDOWN_TIMEOUT) => {}
        }
    }
}

/// Serves one request.
async fn serve_connection(
    stream: TcpStream,
    receiver: Arc<CallbackReceiver>,
    clock: Arc<dyn Clock>,
    is_heard: Arc<AtomicBool>,
) {
    let patience = clock.sleep(READ_TIMEOUT);
    tokio::pin!(patience);
    // Peek only: hyper reads the byte again. Hyper responds to invalid HTTP without reporting that
    // it was TLS.
    let mut first = [0];
    let is_tls = tokio::select! {
        read = stream.peek(&mut first) => matches!(read, Ok(1)) && first == TLS_HANDSHAKE,
        () = &mut patience => return,
    };
    let (counter, has_request) = (Arc::clone(&receiver), AtomicBool::new(false));
    let response = service_fn(|request: Request<Incoming>| {
        let (receiver, is_heard) = (Arc::clone(&receiver), Arc::clone(&is_heard));
        has_request.store(true, Ordering::Release);
        async move {
            let (request, _) = request.into_parts();
            Ok::<_, Infallible>(receiver.respond(&request, || is_heard.store(true, Ordering::Release)).await)
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST_LEN)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), response);
    tokio::pin!(connection);
    tokio::select! {
        outcome = &mut connection => {
            let rejected = rejected_request(is_tls, outcome.as_ref().err()).filter(|_| !has_request.load(Ordering::Acquire));
            if let Some(unrelated) = rejected {
                event!(DEBUG, unrelated = format_args!("{unrelated:?}"), "connection rejected");
                counter.rejections().count(unrelated);
            }
            return;
        }
        () = &mut patience => {}
    }
    if is_heard.load(Ordering::Acquire) {
        let _ = connection.await;
    }
}

/// Returns the kind of a request that hyper rejected, which `CallbackReceiver` therefore did not count.
fn rejected_request(is_tls: bool, why: Option<&hyper::Error>) -> Option<RejectedRequest> {
    let why = why?;
    if is_tls {
        Some(RejectedRequest::Tls)
    } else if why.is_parse_too_large() {
        Some(RejectedRequest::TooLarge)
    } else if why.is_parse() || why.is_incomplete_message() {
        Some(RejectedRequest::Malformed)
    } else {
        None
    }
}
