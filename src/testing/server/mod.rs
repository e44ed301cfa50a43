//! The HTTP server: wiremock accepts connections, and the rules respond.
//!
//! - `relay` produces the connection faults that wiremock does not support.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use std::{io, thread};

use http::{HeaderMap, HeaderName, header};
use serde_json::json;
use tokio::runtime::Handle;
use wiremock::{Match, Mock, MockServer, Respond, ResponseTemplate, matchers};

use crate::clock::Clock;
use crate::random;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::faults::fault::Fault;
use crate::testing::faults::response_override::{OverrideContext, REDIRECT_TARGET};
use crate::testing::faults::response_override::{RELAY_HEADER, ResponseDelivery};
use crate::testing::message::{Fields, JSON, RawResponse, Request, TRACKING_ID};
use crate::testing::model::state::{State, StepContext};
use crate::testing::request_log::MockRequest;
use crate::testing::server::relay::Relay;
use crate::testing::{browser_session, rules, token_codec};

pub(crate) mod relay;

/// The number of requests after which wiremock's own request log is cleared.
///
/// Mocks of wiremock store every request, even without recording. A request counts once, and once
/// more for each KiB.
const MAX_STORED_WEIGHT: u64 = 4096;

/// Listens on a loopback port and returns the listener and its origin. Port 0 selects a free port.
#[expect(clippy::panic, reason = "a test cannot continue without its port")]
pub(crate) fn listen_on_loopback(port: u16) -> (TcpListener, String) {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let bound = bound.and_then(|listener| listener.local_addr().map(|address| (listener, format!("http://{address}"))));
    bound.unwrap_or_else(|error| panic!("failed to listen on port {port}: {error}"))
}

/// Checks that the server accepts connections. wiremock does not report that its thread failed for
/// lack of handles.
#[expect(clippy::panic, reason = "a test cannot continue without its server")]
fn check_connection(address: SocketAddr) {
    if let Err(error) = TcpStream::connect(address) {
        panic!(
            "failed to connect to the mock at {address}: {error}; a mock uses five operating system handles and \
             two for each connection; check the limit with \"ulimit -n\""
        );
    }
}

/// A running HTTP server with an optional relay.
pub(crate) struct Server {
    wiremock: Option<MockServer>,
    relay: Option<Relay>,
}

impl Server {
    pub(crate) async fn start(receiver: Responder, listener: TcpListener, is_relayed: bool) -> Arc<Self> {
        let (listener, front) = if is_relayed { (listen_on_loopback(0).0, Some(listener)) } else { (listener, None) };
        let wiremock = MockServer::builder().listener(listener).disable_request_recording().start().await;
        check_connection(*wiremock.address());
        let relay = front.map(|front| Relay::start(front, *wiremock.address()));
        let server = Arc::new(Self { wiremock: Some(wiremock), relay });
        server.register(receiver.with_server(&server)).await;
        server
    }

    pub(crate) fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    async fn register(&self, receiver: Responder) {
        if let Some(server) = &self.wiremock {
            let [losing, answering] = receiver.mocks();
            tokio::join!(biased; server.register(losing), server.register(answering));
        }
    }

    /// Replaces the mocks, and thereby clears wiremock's request log.
    async fn replace_mocks(&self, receiver: Responder) {
        if let Some(server) = &self.wiremock {
            // All of them queue for wiremock's fair lock in the same poll, on the only thread that
            // receives requests. No request therefore finds the server without its mocks.
            tokio::join!(biased; server.reset(), self.register(receiver));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let server = self.wiremock.take();
        // wiremock blocks on a tokio lock when dropped. In a task with an exhausted budget, or on
        // the server's own thread, this deadlocks.
        let thread = thread::Builder::new().spawn(move || drop(server));
        // If no thread could be spawned, the server was dropped by the failed call.
        drop(thread);
    }
}

/// Locks a mutex. State left by a panicking test is still valid.
pub(crate) fn lock_ignoring_poison<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns random bytes for the rules.
#[expect(clippy::expect_used, reason = "a test cannot continue without the operating system's generator")]
pub(crate) fn random_bytes() -> [u8; 32] {
    let mut bytes = [0; 32];
    random::fill(&mut bytes).expect("the operating system's random generator works");
    bytes
}

/// The responder for all requests.
#[derive(Clone)]
pub(crate) struct Responder {
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
    server: Weak<Server>,
    /// The weight of all requests that wiremock has stored, including cleared ones.
    stored_weight: Arc<AtomicU64>,
    /// The response to the current request. wiremock processes one request at a time.
    outgoing: Arc<Mutex<Option<PreparedResponse>>>,
}

impl Responder {
    pub(crate) fn new(state: Arc<Mutex<State>>, clock: Arc<dyn Clock>) -> Self {
        Self { state, clock, server: Weak::new(), stored_weight: Arc::default(), outgoing: Arc::default() }
    }

    fn with_server(mut self, server: &Arc<Server>) -> Self {
        self.server = Arc::downgrade(server);
        self
    }

    /// Returns two mocks, because each mock of wiremock sends either responses or errors.
    ///
    /// The first mock matches requests whose connection is closed without a response. It therefore
    /// processes every request.
    fn mocks(self) -> [Mock; 2] {
        let closed = |_: &wiremock::Request| io::Error::from(io::ErrorKind::ConnectionAborted);
        let losing = Mock::given(DropResponse(self.clone())).respond_with_err(closed);
        [losing, Mock::given(matchers::any()).respond_with(self)]
    }

    fn receive(&self, request: &wiremock::Request) -> PreparedResponse {
        let weight = request_weight(request);
        if is_full(self.stored_weight.fetch_add(weight, Ordering::Relaxed), weight) {
            self.clear_stored_requests();
        }
        let mut context =
            StepContext { now: self.clock.now(), elapsed: self.clock.elapsed(), random: &mut random_bytes };
        prepare_response(&read_request(request), &mut lock_ignoring_poison(&self.state), &mut context)
    }

    fn clear_stored_requests(&self) {
        if let (Some(server), Ok(runtime)) = (self.server.upgrade(), Handle::try_current()) {
            let receiver = self.clone();
            runtime.spawn(async move { server.replace_mocks(receiver).await });
        }
    }
}

fn request_weight(request: &wiremock::Request) -> u64 {
    let headers = request.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let bytes = request.body.len() + request.url.as_str().len() + headers.sum::<usize>();
    1 + (bytes / 1024) as u64
}

/// Returns `true` if the stored weight crosses the limit by adding `more` to `before`.
fn is_full(before: u64, more: u64) -> bool {
    before / MAX_STORED_WEIGHT != before.wrapping_add(more) / MAX_STORED_WEIGHT
}

/// A matcher for requests whose response is lost.
struct DropResponse(Responder);

impl Match for DropResponse {
    fn matches(&self, request: &wiremock::Request) -> bool {
        let outgoing = self.0.receive(request);
        let is_lost = outgoing.delivery == ResponseDelivery::Lost;
        *lock_ignoring_poison(&self.0.outgoing) = (!is_lost).then_some(outgoing);
        is_lost
    }
}

impl Respond for Responder {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let received = lock_ignoring_poison(&self.outgoing).take();
        let outgoing = received.unwrap_or_else(|| self.receive(request));
        let template = response_template(outgoing);
        // The response to a HEAD request announces a body that does not follow. The relay must not
        // wait for it.
        if request.method == "HEAD" { template.insert_header(header::CONNECTION, "close") } else { template }
    }
}

fn read_request(request: &wiremock::Request) -> Request {
    let text = |name: HeaderName| header_text(&request.headers, &name);
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let is_form = content_type.starts_with("application/x-www-form-urlencoded");
    let is_json = content_type.starts_with("application/json");
    Request {
        method: request.method.to_string(),
        path: request.url.path().to_owned(),
        query: Fields::parse(request.url.query().unwrap_or_default().as_bytes()),
        form: is_form.then(|| Fields::parse(&request.body)),
        json: is_json.then(|| serde_json::from_slice(&request.body).ok()).flatten(),
        authorization: text(header::AUTHORIZATION),
        session: text(header::COOKIE).as_deref().and_then(browser_session::session_id_in).map(str::to_owned),
        tracking_id: text(TRACKING_ID),
    }
}

fn header_text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A delay longer than any test.
const HANG_DELAY: Duration = Duration::from_secs(365 * 86_400);

fn response_template(outgoing: PreparedResponse) -> ResponseTemplate {
    let mut template = raw_response_template(outgoing.response);
    if let Some(order) = outgoing.delivery.to_header() {
        template = template.insert_header(RELAY_HEADER, order);
    }
    let delay = if outgoing.delivery == ResponseDelivery::Hanging { Some(HANG_DELAY) } else { outgoing.delay };
    match delay {
        Some(delay) => template.set_delay(delay),
        None => template,
    }
}

fn raw_response_template(raw: RawResponse) -> ResponseTemplate {
    let template = ResponseTemplate::new(raw.status);
    let template = match raw.content_type {
        Some(content_type) => template.set_body_bytes(raw.body).insert_header(header::CONTENT_TYPE, content_type),
        None => template,
    };
    raw.headers.into_iter().fold(template, |template, (name, value)| template.append_header(name, value))
}

/// A response and its delivery.
pub(crate) struct PreparedResponse {
    pub(crate) response: RawResponse,
    pub(crate) delay: Option<Duration>,
    pub(crate) delivery: ResponseDelivery,
}

impl PreparedResponse {
    fn complete(reply: RawResponse) -> Self {
        Self { response: reply, delay: None, delivery: ResponseDelivery::Complete }
    }

    fn status(&self) -> Option<u16> {
        (!matches!(self.delivery, ResponseDelivery::Lost | ResponseDelivery::Hanging)).then_some(self.response.status)
    }
}

/// Responds to a request and logs it.
pub(crate) fn prepare_response(
    request: &Request,
    state: &mut State,
    context: &mut StepContext<'_>,
) -> PreparedResponse {
    if request.path.starts_with(REDIRECT_TARGET) {
        state.request_log.followed_redirects += 1;
        return PreparedResponse::complete(other_users_tokens());
    }
    let resource = || state.resources.target(&request.path).map(|target| MockEndpoint::Resource(target.path));
    let position = MockEndpoint::from_request(request, state.service).or_else(resource);
    state.request_log.count(position.as_ref(), &request.path);
    let fault = state.fault_script.take(position.as_ref(), &request.path);
    let outgoing = match &fault {
        Some(fault) => apply_fault(fault, request, state, context),
        None => PreparedResponse::complete(RawResponse::from_reply(rules::respond(request, state, context))),
    };
    state.request_log.log(|shows_secrets| {
        let fault = fault.map(|fault| fault.to_string());
        MockRequest::new(request, position, shows_secrets).with_outcome(outgoing.status(), fault)
    });
    outgoing
}

fn apply_fault(fault: &Fault, request: &Request, state: &mut State, context: &mut StepContext<'_>) -> PreparedResponse {
    let reply = fault.processes_request.then(|| rules::respond(request, state, context));
    let mut answer = match reply.filter(|_| fault.keeps_mock_response) {
        Some(reply) => RawResponse::from_reply(reply),
        None => RawResponse::with_tracking_id(204, tracking_id(request, context)),
    };
    let room = OverrideContext { origin: &state.origin, path: &request.path, now: context.now };
    fault.response_override.apply(&mut answer, &room);
    PreparedResponse { response: answer, delay: fault.delay, delivery: fault.delivery }
}

fn tracking_id(request: &Request, context: &mut StepContext<'_>) -> String {
    match &request.tracking_id {
        Some(id) => id.clone(),
        None => format!("ROUTER_{}", token_codec::uuid(&(context.random)())),
    }
}

/// Returns the response at the target of a redirect, with tokens that belong to another user.
fn other_users_tokens() -> RawResponse {
    let tokens = json!({"access_token": "another-users", "refresh_token": "another-users", "expires_in": 1_209_599});
    let mut raw = RawResponse::empty(200);
    raw.write(JSON, tokens.to_string());
    raw
}
