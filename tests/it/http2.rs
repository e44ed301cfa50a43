//! HTTP/2 over TLS: only a request that the server has certainly not processed is repeated.
//!
//! The server writes its frames itself, because libraries send no GOAWAY with arbitrary streams.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::transport::{Limits, ReqwestTransport, Transport as _};
use webex_oauth::{Delivery, Error, ErrorKind, Rotation, Service, TokenManager, WebexOAuth};

use crate::support::{CODE, REFRESH_TOKEN, TOKENS, backdate_tokens, builder, pending_and_callback, tokens};
use crate::tls_server::{COMPANY_CA, Certificate, server_config};
use crate::transport::full_error_text;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` in HPACK's static table.
const STATUS_200: u8 = 0x88;

const NO_ERROR: u8 = 0;
const INTERNAL_ERROR: u8 = 2;
const REFUSED_STREAM: u8 = 7;
const CANCEL: u8 = 8;
const ENHANCE_YOUR_CALM: u8 = 11;

/// The reaction of the server to one request.
#[derive(Clone, Copy, Debug)]
enum Reaction {
    Serve,
    Reset(u8),
    HeadThenReset(u8),
    /// A GOAWAY with a last stream below the request's.
    GoAwayBelow(u8),
    /// A GOAWAY with the request's own stream as the last one. Then the connection is closed.
    GoAwayAtThenClose(u8),
}

use Reaction::{GoAwayAtThenClose, GoAwayBelow, HeadThenReset, Reset, Serve};

/// The reaction to the nth request of the nth connection, both counted from 0.
type Plan = fn(connection: usize, request: usize) -> Reaction;

struct Http2Server {
    url: String,
    /// The number of the connection and the body of every request, and whether it was served.
    received: Arc<Mutex<Vec<(usize, String, bool)>>>,
}

impl Http2Server {
    async fn start(plan: Plan) -> Self {
        let mut config = server_config(Certificate::Localhost);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let received = Arc::<Mutex<Vec<_>>>::default();
        let log = Arc::clone(&received);
        tokio::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.unwrap();
                    // The connection ends when the client closes it.
                    let _ = serve(stream, connection, plan, &log).await;
                });
            }
        });
        Self { url, received }
    }

    fn received(&self) -> Vec<(usize, String, bool)> {
        self.received.lock().unwrap().clone()
    }

    /// Returns the connection of each request, and whether it was served.
    fn outcomes(&self) -> Vec<(usize, bool)> {
        self.received().into_iter().map(|(connection, _, is_served)| (connection, is_served)).collect()
    }

    fn transport(&self) -> ReqwestTransport {
        ReqwestTransport::builder().root_certificate_pem(COMPANY_CA).build().unwrap()
    }

    /// A transport with settings that cannot be applied a second time.
    fn transport_from_client_builder(&self) -> ReqwestTransport {
        let root = reqwest::Certificate::from_pem(COMPANY_CA.as_bytes()).unwrap();
        ReqwestTransport::from_builder(reqwest::Client::builder().tls_certs_merge([root])).unwrap()
    }

    /// A client with a clock on which waits end immediately.
    fn client(&self, rotation: Rotation) -> WebexOAuth {
        let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
        let service = Service::webex().with_base_url(&self.url).with_rotation(rotation);
        builder(service).root_certificate_pem(COMPANY_CA).clock(clock).build().unwrap()
    }

    fn post(&self, body: &'static str) -> http::Request<Bytes> {
        http::Request::post(&self.url).body(Bytes::from_static(body.as_bytes())).unwrap()
    }
}

async fn serve(
    mut stream: TlsStream<TcpStream>,
    connection: usize,
    plan: Plan,
    log: &Mutex<Vec<(usize, String, bool)>>,
) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 24]).await?;
    write_frame(&mut stream, SETTINGS, 0, 0, &[]).await?;
    let mut body = Vec::new();
    for request in 0.. {
        let id = read_request(&mut stream, &mut body).await?;
        let reaction = plan(connection, request);
        let text = String::from_utf8(std::mem::take(&mut body)).unwrap();
        log.lock().unwrap().push((connection, text, matches!(reaction, Serve)));
        match reaction {
            Serve => {
                write_frame(&mut stream, HEADERS, END_HEADERS, id, &[STATUS_200]).await?;
                write_frame(&mut stream, DATA, END_STREAM, id, TOKENS.as_bytes()).await?;
            }
            Reset(code) => write_frame(&mut stream, RST_STREAM, 0, id, &[0, 0, 0, code]).await?,
            HeadThenReset(code) => {
                write_frame(&mut stream, HEADERS, END_HEADERS, id, &[STATUS_200]).await?;
                write_frame(&mut stream, RST_STREAM, 0, id, &[0, 0, 0, code]).await?;
            }
            GoAwayBelow(code) => write_go_away(&mut stream, id.saturating_sub(2), code).await?,
            GoAwayAtThenClose(code) => {
                write_go_away(&mut stream, id, code).await?;
                return stream.shutdown().await;
            }
        }
    }
    Ok(())
}

/// Reads frames until a request is complete, and returns its stream.
async fn read_request(stream: &mut TlsStream<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await?;
        let (kind, flags) = (head[3], head[4]);
        if kind == DATA {
            body.extend(payload);
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            return Ok(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
        }
    }
}

async fn write_go_away(stream: &mut TlsStream<TcpStream>, last: u32, code: u8) -> std::io::Result<()> {
    let mut payload = last.to_be_bytes().to_vec();
    payload.extend([0, 0, 0, code]);
    write_frame(stream, GOAWAY, 0, 0, &payload).await
}

async fn write_frame(
    stream: &mut (impl AsyncWrite + Unpin),
    kind: u8,
    flags: u8,
    id: u32,
    payload: &[u8],
) -> std::io::Result<()> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

fn assert_not_sent(error: &Error) {
    assert_eq!(error.delivery(), Some(Delivery::NotSent), "{}", full_error_text(error));
    assert!(error.is_retryable() && error.to_string().contains("did not process the request"), "{error}");
    assert_eq!(error.tracking_id(), None);
}

#[tokio::test]
async fn request_on_refused_stream_is_repeated_on_new_connection() {
    // The second request of a connection is rejected, as by a server that is shutting down.
    let server = Http2Server::start(|_, request| if request == 0 { Serve } else { Reset(REFUSED_STREAM) }).await;
    let transport = server.transport();
    for number in 1..=3 {
        let response = transport.exchange(server.post("form")).await.unwrap();
        assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, TOKENS.as_bytes()), "{number}");
    }
    assert_eq!(server.outcomes(), [(0, true), (0, false), (1, true), (0, false), (2, true)]);
    assert!(server.received().iter().all(|(_, body, _)| body == "form"), "each body is complete");
}

#[tokio::test]
async fn request_on_refused_stream_is_repeated_with_custom_builder() {
    let server = Http2Server::start(|_, request| if request == 1 { Reset(REFUSED_STREAM) } else { Serve }).await;
    let transport = server.transport_from_client_builder();
    for _ in 0..2 {
        assert_eq!(transport.exchange(server.post("form")).await.unwrap().status(), 200);
    }
    assert_eq!(server.outcomes(), [(0, true), (0, false), (0, true)]);
}

#[tokio::test]
async fn request_above_goaway_last_stream_is_repeated_for_every_code() {
    let plans: [Plan; 3] = [
        |connection, _| if connection == 0 { GoAwayBelow(NO_ERROR) } else { Serve },
        |connection, _| if connection == 0 { GoAwayBelow(ENHANCE_YOUR_CALM) } else { Serve },
        |connection, request| if (connection, request) == (0, 1) { GoAwayBelow(INTERNAL_ERROR) } else { Serve },
    ];
    for (number, plan) in plans.into_iter().enumerate() {
        for is_own in [true, false] {
            let server = Http2Server::start(plan).await;
            let transport = if is_own { server.transport() } else { server.transport_from_client_builder() };
            for _ in 0..2 {
                assert_eq!(transport.exchange(server.post("form")).await.unwrap().status(), 200, "{number} {is_own}");
            }
            let is_served = |(_, is_served): &&(usize, bool)| *is_served;
            let outcomes = server.outcomes();
            assert_eq!((outcomes.len(), outcomes.iter().filter(is_served).count()), (3, 2), "{outcomes:?}");
        }
    }
}

#[tokio::test]
async fn request_on_two_refused_streams_is_reported_as_not_sent() {
    let plans: [Plan; 3] =
        [|_, _| Reset(REFUSED_STREAM), |_, _| GoAwayBelow(NO_ERROR), |_, _| GoAwayBelow(ENHANCE_YOUR_CALM)];
    for plan in plans {
        let server = Http2Server::start(plan).await;
        for transport in [server.transport(), server.transport_from_client_builder()] {
            let error = transport.exchange(server.post("form")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Transport);
            assert_not_sent(&error);
        }
        assert_eq!(server.received().len(), 4);
    }
}

#[tokio::test]
async fn possibly_processed_request_is_not_repeated() {
    let plans: [Plan; 7] = [
        |_, _| Reset(CANCEL),
        |_, _| Reset(INTERNAL_ERROR),
        |_, _| Reset(ENHANCE_YOUR_CALM),
        // A GOAWAY that contradicts a response is ignored.
        |_, _| HeadThenReset(REFUSED_STREAM),
        |_, _| HeadThenReset(CANCEL),
        |_, _| GoAwayAtThenClose(NO_ERROR),
        |_, _| GoAwayAtThenClose(ENHANCE_YOUR_CALM),
    ];
    for (number, plan) in plans.into_iter().enumerate() {
        let server = Http2Server::start(plan).await;
        for (count, transport) in [server.transport(), server.transport_from_client_builder()].iter().enumerate() {
            let error = transport.exchange(server.post("form")).await.unwrap_err();
            assert_eq!(error.delivery(), Some(Delivery::Unknown), "{number}: {}", full_error_text(&error));
            assert_eq!(server.received().len(), count + 1, "{number}");
        }
    }
}

#[tokio::test]
async fn request_on_refused_stream_is_not_repeated_without_time_left() {
    let server = Http2Server::start(|_, request| if request == 0 { Serve } else { Reset(REFUSED_STREAM) }).await;
    let transport = server.transport();
    transport.exchange(server.post("form")).await.unwrap();
    let mut limits = Limits::default();
    limits.timeout = Duration::from_millis(999);
    let mut request = server.post("form");
    request.extensions_mut().insert(limits);

    assert_not_sent(&transport.exchange(request).await.unwrap_err());

    assert_eq!(server.outcomes(), [(0, true), (0, false)]);
}

#[tokio::test]
async fn code_exchange_on_refused_stream_is_repeated() {
    let plans: [Plan; 2] = [
        |connection, _| if connection == 0 { Reset(REFUSED_STREAM) } else { Serve },
        // The third connection is the first one of the second attempt.
        |connection, _| if connection < 2 { GoAwayBelow(NO_ERROR) } else { Serve },
    ];
    for plan in plans {
        let server = Http2Server::start(plan).await;
        let webex = server.client(Rotation::Lenient);
        let (pending, callback) = pending_and_callback(&webex);
        let login = webex.login(pending, callback).await.unwrap();
        assert_eq!(login.tokens().refresh_token().unwrap().expose(), REFRESH_TOKEN);
        let received = server.received();
        assert!(received.iter().all(|(_, body, _)| body.contains(CODE)), "{received:?}");
        assert_eq!(received.iter().filter(|(_, _, is_served)| *is_served).count(), 1);
    }
}

#[tokio::test]
async fn code_exchange_on_refused_streams_is_reported_as_not_sent() {
    let server = Http2Server::start(|_, _| Reset(REFUSED_STREAM)).await;
    let webex = server.client(Rotation::Lenient);
    let (pending, callback) = pending_and_callback(&webex);
    let error = webex.login(pending, callback).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CodeExchange);
    assert_not_sent(&error);
    assert_eq!(server.received().len(), 6, "three sendings, each on two connections");
}

#[tokio::test]
async fn code_exchange_with_lost_response_is_not_repeated() {
    let server = Http2Server::start(|_, _| Reset(CANCEL)).await;
    let webex = server.client(Rotation::Lenient);
    let (pending, callback) = pending_and_callback(&webex);
    let error = webex.login(pending, callback).await.unwrap_err();
    assert_eq!((error.delivery(), server.received().len()), (Some(Delivery::Unknown), 1));
    assert!(error.tracking_id().is_some(), "the server has seen it: {error}");
}

#[tokio::test]
async fn strict_refresh_on_refused_stream_is_repeated() {
    let server = Http2Server::start(|_, request| if request == 0 { Serve } else { Reset(REFUSED_STREAM) }).await;
    let webex = server.client(Rotation::Strict);
    let tokens = tokens(&webex).await;
    webex.refresh(&tokens).await.unwrap();
    assert_eq!(server.outcomes(), [(0, true), (0, false), (1, true)]);
}

#[tokio::test]
async fn strict_session_refresh_on_refused_stream_is_repeated() {
    let server = Http2Server::start(|_, request| if request == 0 { Serve } else { Reset(REFUSED_STREAM) }).await;
    let webex = server.client(Rotation::Strict);
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), backdate_tokens(&tokens(&webex).await)).await.unwrap();
    session.refresh().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(server.outcomes(), [(0, true), (0, false), (1, true)]);
}

#[tokio::test]
async fn api_call_on_refused_stream_is_repeated() {
    let server = Http2Server::start(|_, request| if request == 1 { Reset(REFUSED_STREAM) } else { Serve }).await;
    let webex = server.client(Rotation::Lenient);
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), tokens(&webex).await).await.unwrap();
    let response = session.send(server.post("message")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(server.outcomes(), [(0, true), (0, false), (1, true)]);
}
