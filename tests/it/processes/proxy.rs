//! A proxy in front of the server, which delays requests and responses until a test releases them.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use webex_oauth::testing::MockWebex;

use super::worker_process::MAX_WAIT;

/// A proxy in front of a mock.
pub(super) struct HoldingProxy {
    state: Arc<ProxyState>,
    port: u16,
    runtime: Option<Runtime>,
}

struct ProxyState {
    client: reqwest::Client,
    /// The scheme, host, and port of the mock.
    origin: String,
    pending_holds: Mutex<VecDeque<PendingHold>>,
    is_unavailable: AtomicBool,
}

/// A pending delay of the next request.
struct PendingHold {
    point: HoldPoint,
    arrived: mpsc::Sender<()>,
    released: oneshot::Receiver<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HoldPoint {
    /// Before the server receives the request.
    Request,
    /// After the server has processed the request.
    Response,
}

/// A handle to a delayed request or response.
pub(super) struct HoldHandle {
    arrived: mpsc::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl HoldHandle {
    /// Waits until a request or response is delayed.
    #[track_caller]
    pub(super) fn wait(&self) {
        self.arrived.recv_timeout(MAX_WAIT).unwrap_or_else(|error| panic!("no request reached the proxy: {error}"));
    }

    pub(super) fn release(self) {
        // The process that sent the request may have canceled it.
        let _ = self.release.send(());
    }
}

impl HoldingProxy {
    pub(super) fn start(mock: &MockWebex) -> Self {
        let passage = Arc::new(ProxyState {
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            origin: mock.uri().strip_suffix("/v1").unwrap().to_owned(),
            pending_holds: Mutex::default(),
            is_unavailable: AtomicBool::new(false),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new().fallback(handle_request).with_state(Arc::clone(&passage));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { state: passage, port, runtime: Some(runtime) }
    }

    pub(super) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Delays the next request, or its response.
    pub(super) fn hold(&self, place: HoldPoint) -> HoldHandle {
        let ((arrive, arrived), (release, released)) = (mpsc::channel(), oneshot::channel());
        self.state.pending_holds.lock().unwrap().push_back(PendingHold { point: place, arrived: arrive, released });
        HoldHandle { arrived, release }
    }

    /// Sets whether all requests receive a 503 response.
    pub(super) fn set_unavailable(&self, is_busy: bool) {
        self.state.is_unavailable.store(is_busy, Ordering::SeqCst);
    }
}

impl Drop for HoldingProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn handle_request(
    State(gate): State<Arc<ProxyState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let hold = gate.pending_holds.lock().unwrap().pop_front();
    let Some(hold) = hold else {
        if gate.is_unavailable.load(Ordering::SeqCst) {
            return Response::builder().status(StatusCode::SERVICE_UNAVAILABLE).body(Body::empty()).unwrap();
        }
        return gate.forward(uri, headers, body).await;
    };
    if hold.point == HoldPoint::Request {
        hold.arrived.send(()).unwrap();
        let _ = hold.released.await;
        return gate.forward(uri, headers, body).await;
    }
    let response = gate.forward(uri, headers, body).await;
    hold.arrived.send(()).unwrap();
    let _ = hold.released.await;
    response
}

impl ProxyState {
    async fn forward(&self, uri: Uri, mut headers: HeaderMap, body: Bytes) -> Response<Body> {
        headers.remove("host");
        let request = self.client.post(format!("{}{uri}", self.origin)).headers(headers).body(body);
        let response = request.send().await.unwrap();
        let (status, kind) = (response.status(), response.headers()["content-type"].clone());
        let body = Body::from(response.bytes().await.unwrap());
        Response::builder().status(status).header("content-type", kind).body(body).unwrap()
    }
}
