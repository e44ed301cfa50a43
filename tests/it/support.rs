//! Shared fixtures: a client of a local server, a login with its callback, folders, and processes.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::{Semaphore, watch};
use webex_oauth::store::{Entry, FileStore, Head, Precondition, Revision, TokenKey, TokenStore, WriteOutcome};
use webex_oauth::transport::{ReqwestTransport, Transport};
use webex_oauth::{Callback, PendingAuthorization, Service, TokenSet, WebexOAuth, WebexOAuthBuilder};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Secrets that must never be printed.
pub(crate) const CLIENT_SECRET: &str = "PLANTED-client-secret-1";
pub(crate) const CODE: &str = "PLANTED-code-2";
pub(crate) const ACCESS_TOKEN: &str = "PLANTED-access-token-3";
pub(crate) const REFRESH_TOKEN: &str = "PLANTED-refresh-token-4";

pub(crate) const TOKENS: &str = r#"{"access_token":"PLANTED-access-token-3","expires_in":1209599,
    "refresh_token":"PLANTED-refresh-token-4","refresh_token_expires_in":7775999,"token_type":"Bearer",
    "scope":"spark:all spark:kms"}"#;

/// A client of the service, with all settings that a login requires.
pub(crate) fn builder(service: Service) -> WebexOAuthBuilder {
    WebexOAuth::builder()
        .service(service)
        .client_id("C1")
        .client_secret(CLIENT_SECRET)
        .redirect_uri("http://localhost:5000/auth/cisco/callback")
        .scopes("spark:all")
}

/// A client of a commercial Webex at `uri`.
pub(crate) fn client(uri: &str) -> WebexOAuth {
    builder(Service::webex().with_base_url(uri)).build().unwrap()
}

/// A login with the callback that contains [`CODE`].
pub(crate) fn pending_and_callback(webex: &WebexOAuth) -> (PendingAuthorization, Callback) {
    let (url, pending) = webex.authorize().begin().unwrap();
    let state = parameter(url.as_str(), "state");
    (pending, Callback::parse(format!("code={CODE}&state={state}")).unwrap())
}

/// Returns a query parameter of a URL.
pub(crate) fn parameter(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(own, _)| own == name).unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

/// A server that sends the same response to every request.
pub(crate) async fn server(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).mount(&server).await;
    server
}

/// A response with a JSON body, given as a string so that it can be malformed.
pub(crate) fn json(status: u16, body: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body.as_bytes(), "application/json")
}

/// The tokens of a login at a server that grants [`TOKENS`].
pub(crate) async fn tokens(webex: &WebexOAuth) -> TokenSet {
    let (pending, callback) = pending_and_callback(webex);
    webex.login(pending, callback).await.unwrap().into_tokens()
}

/// The same tokens, received 30 seconds earlier: old enough for a requested refresh.
pub(crate) fn backdate_tokens(tokens: &TokenSet) -> TokenSet {
    let mut stored: serde_json::Value = serde_json::from_str(tokens.to_stored().unwrap().expose()).unwrap();
    let received = stored["received_at"].as_u64().unwrap();
    stored["received_at"] = (received - 30).into();
    TokenSet::from_stored(&stored.to_string()).unwrap()
}

/// Parses the form of a request.
pub(crate) fn form(request: &wiremock::Request) -> std::collections::HashMap<String, String> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

/// A folder that is removed after the test.
pub(crate) struct TempDir(pub(crate) PathBuf);

impl TempDir {
    pub(crate) fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// In a memory file system if there is one. The tests do not cover crashes of the host.
    #[cfg(unix)]
    pub(crate) fn in_memory() -> Self {
        let memory = Path::new("/dev/shm");
        if fs::metadata(memory).is_ok_and(|found| found.is_dir() && !found.permissions().readonly()) {
            Self::new_in(memory)
        } else {
            Self::new()
        }
    }

    fn new_in(path: &Path) -> Self {
        // The seed is random.
        let number = RandomState::new().hash_one(std::process::id());
        Self(path.join(format!("webex-oauth-test-{number:016x}")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn store(&self) -> FileStore {
        FileStore::open(&self.0).unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a test of this program again, in another process.
pub(crate) fn rerun_test(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A transport that delays the responses to some requests until the test releases them.
#[derive(Clone, Debug)]
pub(crate) struct HoldingTransport {
    transport: Arc<ReqwestTransport>,
    holds: Arc<[ResponseHold]>,
}

#[derive(Debug)]
struct ResponseHold {
    /// A string in the bodies of the requests.
    pattern: &'static str,
    held: Semaphore,
    is_open: watch::Sender<bool>,
}

impl HoldingTransport {
    /// Delays the responses to requests with these strings in their bodies, each separately.
    pub(crate) fn new(words: &[&'static str]) -> Self {
        let gate = |words: &&'static str| ResponseHold {
            pattern: words,
            held: Semaphore::new(0),
            is_open: watch::Sender::new(false),
        };
        Self {
            transport: Arc::new(ReqwestTransport::builder().build().unwrap()),
            holds: words.iter().map(gate).collect(),
        }
    }

    /// Waits until the server has responded, and the response is delayed.
    pub(crate) async fn wait_until_held(&self, words: &str) {
        self.hold_for(words).held.acquire().await.unwrap().forget();
    }

    /// Releases the response, and all following ones.
    pub(crate) fn release(&self, words: &str) {
        self.hold_for(words).is_open.send_replace(true);
    }

    fn hold_for(&self, words: &str) -> &ResponseHold {
        self.holds.iter().find(|gate| gate.pattern == words).unwrap()
    }
}

#[async_trait]
impl Transport for HoldingTransport {
    async fn exchange(&self, request: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        let body = request.body().clone();
        let response = self.transport.exchange(request).await;
        let is_meant = |gate: &&ResponseHold| String::from_utf8_lossy(&body).contains(gate.pattern);
        if let Some(gate) = self.holds.iter().find(is_meant) {
            gate.held.add_permits(1);
            gate.is_open.subscribe().wait_for(|is_open| *is_open).await.unwrap();
        }
        response
    }
}

/// Yields to the other tasks of a single-threaded runtime until all of them are idle.
pub(crate) async fn yield_until_idle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Reports a skipped test. If `CI` is set, that is a failure.
pub(crate) fn report_skipped(scenario: &str, why: &str) {
    print_to_stderr(&format!("!! NOT RUN: {scenario}: {why}"));
    assert!(std::env::var_os("CI").is_none(), "{scenario} was not run: {why}");
}

/// Prints a message past the test harness, which captures the output of passing tests.
pub(crate) fn print_to_stderr(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// Implements `save_head` with `save`, so that both are counted and fail alike.
pub(crate) async fn save_head(
    store: &dyn TokenStore,
    inner: &dyn TokenStore,
    key: &TokenKey,
    head: &Head,
    expected: Revision,
) -> webex_oauth::Result<WriteOutcome> {
    match inner.load(key).await? {
        Some(stored) if stored.head.revision() == expected => {
            let entry = Entry { head: head.clone(), body: stored.body };
            store.save(key, &entry, Precondition::Revision(expected)).await
        }
        _ => Ok(WriteOutcome::Conflict),
    }
}
