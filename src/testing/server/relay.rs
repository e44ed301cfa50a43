//! The relay in front of wiremock, which produces connection faults that wiremock does not support.
//!
//! It forwards bytes, with one connection to wiremock for each client connection. It inspects a
//! response only for its length and the header that requests a fault. It supports HTTP/1; other
//! traffic passes unchanged.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinSet, yield_now};

use crate::clock::{Clock as _, SystemClock};
use crate::testing::faults::response_override::{ConnectionFault, RELAY_HEADER, ResponseDelivery};

/// A running relay. It stops when it is dropped.
pub(crate) struct Relay(UnboundedSender<Command>);

/// A command from a test, acknowledged when it has been carried out.
struct Command {
    is_open: bool,
    done: mpsc::Sender<io::Result<()>>,
}

impl Relay {
    #[expect(clippy::expect_used, reason = "a test cannot continue without a thread and a runtime")]
    pub(crate) fn start(listener: std::net::TcpListener, wiremock: SocketAddr) -> Self {
        let (commands, orders) = unbounded_channel();
        let run = move || {
            let runtime =
                runtime::Builder::new_current_thread().enable_all().build().expect("the relay runtime can be created");
            runtime.block_on(async {
                listener.set_nonblocking(true).expect("a listener supports non-blocking mode");
                let listener =
                    TcpListener::from_std(listener).expect("a non-blocking listener can be registered with tokio");
                run_relay(PortState::Open(listener), wiremock, orders).await;
            });
        };
        thread::Builder::new().name("mock-webex-relay".to_owned()).spawn(run).expect("the relay thread can be spawned");
        Self(commands)
    }

    /// Closes the port and all connections, or opens the port again.
    pub(crate) fn set_open(&self, is_open: bool) -> io::Result<()> {
        let (done, outcome) = mpsc::channel();
        let gone = || io::Error::other("relay stopped");
        self.0.send(Command { is_open, done }).map_err(|_| gone())?;
        outcome.recv().map_err(|_| gone())?
    }
}

/// The port, either open or reserved so that no other process can use it.
enum PortState {
    Open(TcpListener),
    Closed(TcpSocket),
}

impl PortState {
    async fn accept(&self) -> io::Result<TcpStream> {
        match self {
            Self::Open(listener) => listener.accept().await.map(|(stream, _)| stream),
            Self::Closed(_) => std::future::pending().await,
        }
    }

    fn with_open(self, is_open: bool) -> io::Result<Self> {
        match self {
            Self::Open(listener) if !is_open => {
                let address = listener.local_addr()?;
                drop(listener);
                let socket = TcpSocket::new_v4()?;
                // Closed connections linger under this address.
                #[cfg(unix)]
                socket.set_reuseaddr(true)?;
                socket.bind(address)?;
                Ok(Self::Closed(socket))
            }
            Self::Closed(socket) if is_open => Ok(Self::Open(socket.listen(1024)?)),
            unchanged => Ok(unchanged),
        }
    }
}

async fn run_relay(mut door: PortState, wiremock: SocketAddr, mut orders: UnboundedReceiver<Command>) {
    let mut lines = JoinSet::new();
    loop {
        tokio::select! {
            accepted = door.accept() => match accepted {
                Ok(client) => {
                    lines.spawn(forward_connection(client, wiremock));
                }
                // The process has too many open handles; wait until some are closed.
                Err(_) => SystemClock::new().sleep(Duration::from_millis(10)).await,
            },
            Some(_) = lines.join_next() => {}
            order = orders.recv() => {
                let Some(Command { is_open, done }) = order else { return };
                if !is_open {
                    lines.shutdown().await;
                }
                let (turned, outcome) = match door.with_open(is_open) {
                    Ok(turned) => (turned, Ok(())),
                    Err(error) => {
                        let _ = done.send(Err(error));
                        return;
                    }
                };
                door = turned;
                let _ = done.send(outcome);
            }
        }
    }
}

/// Forwards requests to wiremock and responses to the client, until one side closes the connection
/// or a fault interrupts it.
async fn forward_connection(mut client: TcpStream, wiremock: SocketAddr) -> io::Result<()> {
    let mut server = TcpStream::connect(wiremock).await?;
    // Send each dripping byte immediately.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ending = {
        let (mut from_client, to_client) = client.split();
        let (from_server, mut to_server) = server.split();
        let requests = async {
            let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
            let _ = to_server.shutdown().await;
            std::future::pending().await
        };
        let responses = ResponseForwarder { from: from_server, to: to_client, unsent: Vec::new() }.forward();
        tokio::select! {
            ending = responses => ending?,
            ending = requests => ending,
        }
    };
    match ending {
        ConnectionFault::Closed => Ok(()),
        ConnectionFault::Reset => set_reset_on_close(&client),
        ConnectionFault::Stalled => {
            // Wait until the client closes the connection.
            tokio::io::copy(&mut client, &mut tokio::io::sink()).await.map(drop)
        }
    }
}

/// Makes the connection end with RST instead of FIN when it is dropped.
#[allow(deprecated, reason = "the replacement for zero seconds is newer than the minimum tokio version of this crate")]
fn set_reset_on_close(stream: &TcpStream) -> io::Result<()> {
    stream.set_linger(Some(Duration::ZERO))
}

/// The forwarding of responses.
struct ResponseForwarder<'a> {
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    /// Bytes received from wiremock and not yet sent to the client.
    unsent: Vec<u8>,
}

impl ResponseForwarder<'_> {
    async fn forward(mut self) -> io::Result<ConnectionFault> {
        loop {
            let Some(head) = self.read_head().await? else {
                self.to.write_all(&self.unsent).await?;
                tokio::io::copy(&mut self.from, &mut self.to).await?;
                return Ok(ConnectionFault::Closed);
            };
            let whole = head.end + head.length;
            while self.unsent.len() < whole && self.receive().await? > 0 {}
            let rest = self.unsent.split_off(whole.min(self.unsent.len()));
            let response = std::mem::replace(&mut self.unsent, rest);
            let body = &response[head.end..];
            match head.delivery {
                None => self.to.write_all(&response).await?,
                Some(ResponseDelivery::Dripping(pause)) => self.drip(&[&head.bytes, body].concat(), pause).await?,
                Some(ResponseDelivery::Interrupted(after, ending)) => {
                    let sent = after.unwrap_or(body.len() / 2).min(body.len());
                    self.to.write_all(&[&head.bytes, &body[..sent]].concat()).await?;
                    return Ok(ending);
                }
                Some(_) => return Ok(ConnectionFault::Closed),
            }
        }
    }

    /// Reads the head of the next response. Returns `None` at the end of the connection, or if the
    /// data is not HTTP/1.
    async fn read_head(&mut self) -> io::Result<Option<ResponseHead>> {
        loop {
            if let Some(head) = ResponseHead::parse(&self.unsent) {
                return Ok(Some(head));
            }
            let beginning = self.unsent.len().min(HTTP_1_PREFIX.len());
            if self.unsent[..beginning] != HTTP_1_PREFIX[..beginning] || self.receive().await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn receive(&mut self) -> io::Result<usize> {
        self.from.read_buf(&mut self.unsent).await
    }

    async fn drip(&mut self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        let clock = SystemClock::new();
        for byte in bytes {
            self.to.write_all(&[*byte]).await?;
            if pause.is_zero() {
                yield_now().await;
            } else {
                clock.sleep(pause).await;
            }
        }
        Ok(())
    }
}

const HTTP_1_PREFIX: &[u8] = b"HTTP/1.";

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
struct ResponseHead {
    /// The bytes that are sent to the client.
    bytes: Vec<u8>,
    /// The offset of the body.
    end: usize,
    /// The length of the body.
    length: usize,
    delivery: Option<ResponseDelivery>,
}

impl ResponseHead {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let mut head = Self { bytes: Vec::with_capacity(end), end, length: 0, delivery: None };
        for line in bytes[..end].split_inclusive(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            match text.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case(RELAY_HEADER) => {
                    head.delivery = ResponseDelivery::from_header(value);
                    continue;
                }
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    head.length = value.trim().parse().unwrap_or_default();
                }
                _ => {}
            }
            head.bytes.extend(line);
        }
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_head_is_parsed_with_length_and_delivery() {
        assert_eq!(ResponseHead::parse(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n"), None);
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec();
        let expected = ResponseHead { end: text.len(), length: 5, delivery: None, bytes: text.clone() };
        assert_eq!(ResponseHead::parse(&[&text, &b"hello"[..]].concat()), Some(expected));

        let with_delivery = b"HTTP/1.1 200 OK\r\nx-mock-relay: Reset 2\r\nContent-Length: 5\r\n\r\n";
        let delivery = Some(ResponseDelivery::Interrupted(Some(2), ConnectionFault::Reset));
        assert_eq!(
            ResponseHead::parse(with_delivery),
            Some(ResponseHead { end: with_delivery.len(), length: 5, delivery, bytes: text })
        );

        let bare = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(
            ResponseHead::parse(bare),
            Some(ResponseHead { bytes: bare.to_vec(), end: bare.len(), length: 0, delivery: None })
        );
    }
}
