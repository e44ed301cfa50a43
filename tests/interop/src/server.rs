//! A foreign server: a script of `servers/`, in a process of its own that does not outlive the test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

/// For a script that hangs before it listens.
const STARTING: Duration = Duration::from_secs(30);

/// A running server. It ends when this is dropped, also by a panic, and when the test process ends in any other way.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Gathers what the process writes to its standard error, for a test that fails.
    complaints: Option<JoinHandle<String>>,
    url: String,
    desk: String,
    http: reqwest::Client,
}

impl Server {
    /// A secret that is another one wherever somebody forgets to encode it, or encodes it twice.
    pub const SECRET: &str = "p+s/w%rd:1 2&x=%20";

    /// Where browsers come back to; nobody listens there.
    pub const REDIRECT_URI: &str = "http://localhost:5000/callback";

    /// The certified `oidc-provider`, which knows the clients `basic` and `post`, named after the way in which they prove who
    /// they are, and `es256`, named after how its ID tokens are signed. All have the secret [`Server::SECRET`] and the redirect URI [`Server::REDIRECT_URI`].
    pub async fn oidc_provider(access_token_lifetime: Duration, rotation: &str) -> Self {
        let clients: Vec<_> = [("basic", "basic", "RS256"), ("post", "post", "RS256"), ("es256", "basic", "ES256")]
            .into_iter()
            .map(|(id, method, algorithm)| {
                json!({
                    "client_id": id,
                    "client_secret": Self::SECRET,
                    "redirect_uris": [Self::REDIRECT_URI],
                    "grant_types": ["authorization_code", "refresh_token"],
                    "response_types": ["code"],
                    "token_endpoint_auth_method": format!("client_secret_{method}"),
                    "id_token_signed_response_alg": algorithm,
                })
            })
            .collect();
        let environment = [
            ("CLIENTS", json!(clients).to_string()),
            ("SCOPES", "spark:all spark:people_read".to_owned()),
            ("ACCESS_TOKEN_SECONDS", access_token_lifetime.as_secs().to_string()),
            ("ROTATION", rotation.to_owned()),
        ];
        Self::start("oidc-provider.mjs", &environment).await
    }

    /// `oauth2-mock-server`, which does what it is told, however wrong.
    pub async fn mock() -> Self {
        Self::start("oauth2-mock-server.mjs", &[]).await
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Gives the script an order; its answer is the script's.
    ///
    /// # Panics
    ///
    /// When the script fails.
    pub async fn order(&self, name: &str, what: Value) -> Value {
        let request = self.http.post(format!("{}/{name}", self.desk)).body(what.to_string());
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "the order {name} failed: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// What came to the token endpoint so far, in order.
    pub async fn requests(&self) -> Vec<Value> {
        self.order("requests", Value::Null).await.as_array().unwrap().clone()
    }

    async fn start(script: &str, environment: &[(&str, String)]) -> Self {
        let mut child = Command::new("node")
            .args(["--no-warnings", script])
            .current_dir(folder())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env_remove("NODE_OPTIONS")
            // The script ends when this pipe does.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let complaints = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut server = Self { child, complaints: Some(complaints), url: String::new(), desk: String::new(), http };

        let (sender, receiver) = oneshot::channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            let _ = sender.send(lines.next());
            lines.for_each(drop);
        });
        let line = tokio::time::timeout(STARTING, receiver).await.expect("the server did not start in time").unwrap();
        let line = line.expect("the server ended before it listened").unwrap();
        let places: Value = serde_json::from_str(&line).unwrap();
        server.url = places["url"].as_str().unwrap().to_owned();
        server.desk = places["desk"].as_str().unwrap().to_owned();
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if thread::panicking() {
            eprintln!("the server's own words:\n{complaints}");
        }
    }
}

/// Whether the servers can be started here; if not, why.
pub(crate) fn are_installed() -> Result<(), String> {
    for package in ["oidc-provider", "oauth2-mock-server"] {
        if !folder().join("node_modules").join(package).is_dir() {
            return Err(format!("{package} is missing in tests/interop/servers/node_modules"));
        }
    }
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    node.map(drop).map_err(|error| format!("node cannot be run: {error}"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("servers")
}
