//! A token endpoint on the loopback interface, with a delay and a request counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A token endpoint on its own thread. It runs until the process ends.
#[derive(Clone)]
pub struct MockEndpoint {
    pub url: String,
    request_count: Arc<AtomicUsize>,
}

impl MockEndpoint {
    /// Starts an endpoint that responds to a code exchange with `code_response` and to a refresh with `refresh_response`, after
    /// `delay`.
    pub fn start(code_response: String, refresh_response: String, delay: Duration) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let request_count = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&request_count);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                // A long backlog, because some clients open a thousand connections at once.
                let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
                socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
                let listener: TcpListener = socket.listen(4096).expect("a listener");
                sender.send(listener.local_addr().expect("an address")).expect("the caller is waiting");
                let responses = Arc::new([format_response(&code_response), format_response(&refresh_response)]);
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&responses), delay, Arc::clone(&count)));
                }
            });
        });
        let address = receiver.recv().expect("the endpoint has started");
        Self { url: format!("http://{address}"), request_count }
    }

    pub fn request_count(&self) -> usize {
        self.request_count.load(Ordering::SeqCst)
    }
}

fn format_response(json: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
    format!("{head} {}\r\n\r\n{json}", json.len()).into_bytes()
}

async fn serve(mut stream: TcpStream, responses: Arc<[Vec<u8>; 2]>, delay: Duration, count: Arc<AtomicUsize>) {
    stream.set_nodelay(true).expect("a connected socket");
    let mut request = Vec::new();
    loop {
        request.clear();
        while !is_complete(&request) {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        count.fetch_add(1, Ordering::SeqCst);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let is_code = contains(&request, b"grant_type=authorization_code");
        if stream.write_all(&responses[usize::from(!is_code)]).await.is_err() {
            return;
        }
    }
}

fn is_complete(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length =
        head.split_once("content-length:").and_then(|(_, rest)| rest.split("\r\n").next()?.trim().parse().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
