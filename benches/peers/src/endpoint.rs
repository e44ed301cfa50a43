//! A token endpoint on this machine: it reads a request, waits, answers, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Runs on a thread of its own for as long as the process lives.
#[derive(Clone)]
pub struct MockEndpoint {
    pub url: String,
    answered: Arc<AtomicUsize>,
}

impl MockEndpoint {
    /// An endpoint that answers a code with `first` and everything else with `later`, after `delay`.
    pub fn start(first: String, later: String, delay: Duration) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let answered = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&answered);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                // As deep a queue as the system allows: some clients open a thousand connections at once.
                let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
                socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
                let listener: TcpListener = socket.listen(4096).expect("a listener");
                sender.send(listener.local_addr().expect("an address")).expect("somebody waits for it");
                let answers = Arc::new([response(&first), response(&later)]);
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&answers), delay, Arc::clone(&count)));
                }
            });
        });
        let address = receiver.recv().expect("the endpoint has started");
        Self { url: format!("http://{address}"), answered }
    }

    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

fn response(json: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
    format!("{head} {}\r\n\r\n{json}", json.len()).into_bytes()
}

async fn serve(mut stream: TcpStream, answers: Arc<[Vec<u8>; 2]>, delay: Duration, count: Arc<AtomicUsize>) {
    stream.set_nodelay(true).expect("a socket that can be set");
    let mut request = Vec::new();
    loop {
        request.clear();
        while !is_whole(&request) {
            if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        count.fetch_add(1, Ordering::SeqCst);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let is_code = contains(&request, b"grant_type=authorization_code");
        if stream.write_all(&answers[usize::from(!is_code)]).await.is_err() {
            return;
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length =
        head.split_once("content-length:").and_then(|(_, rest)| rest.split("\r\n").next()?.trim().parse().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
