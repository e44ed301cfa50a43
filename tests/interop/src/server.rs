//! The authorization servers in `servers/`, as processes that do not outlive the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::control;
use crate::process::Process;

/// A running authorization server. It stops on drop, and when the test process ends.
#[derive(Debug)]
pub struct Server {
    _process: Process,
    url: String,
    control_url: String,
    http: reqwest::Client,
}

impl Server {
    /// A secret that changes if it is not encoded, or encoded twice.
    pub const SECRET: &str = "p+s/w%rd:1 2&x=%20";

    /// The redirect URI. No server listens there.
    pub const REDIRECT_URI: &str = "http://localhost:5000/callback";

    /// Starts the certified `oidc-provider`. Its clients are `basic` and `post`, named after their authentication methods,
    /// `es256`, named after the signature algorithm of its ID tokens, and `native`, which may use `/callback` on any port of
    /// `localhost`. All have the secret [`Server::SECRET`]; the others have the redirect URI [`Server::REDIRECT_URI`].
    pub async fn oidc_provider(access_token_lifetime: Duration, rotation: &str) -> Self {
        let clients: Vec<_> = [("basic", "basic", "RS256"), ("post", "post", "RS256"), ("es256", "basic", "ES256")]
            .into_iter()
            .map(|(id, method, algorithm)| {
                json!({
                    "client_id": id,
                    "client_secret": Self::SECRET,
                    "redirect_uris": [Self::REDIRECT_URI],
                    "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
                    "response_types": ["code"],
                    "token_endpoint_auth_method": format!("client_secret_{method}"),
                    "id_token_signed_response_alg": algorithm,
                })
            })
            .chain([json!({
                "client_id": "native",
                "client_secret": Self::SECRET,
                "application_type": "native",
                // The port is ignored for a native client.
                "redirect_uris": ["http://localhost/callback"],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
            })])
            .collect();
        let environment = [
            ("CLIENTS", json!(clients).to_string()),
            ("SCOPES", "spark:all spark:people_read".to_owned()),
            ("ACCESS_TOKEN_SECONDS", access_token_lifetime.as_secs().to_string()),
            ("ROTATION", rotation.to_owned()),
        ];
        Self::start("oidc-provider.mjs", &environment).await
    }

    /// Starts `oauth2-mock-server`, which injects faults.
    pub async fn oauth2_mock_server() -> Self {
        Self::start("oauth2-mock-server.mjs", &[]).await
    }

    /// Returns the base URL, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a control command to the script and returns its result.
    ///
    /// # Panics
    ///
    /// Panics if the command fails.
    pub async fn send_command(&self, name: &str, parameters: Value) -> Value {
        control::send_command(&self.http, &self.control_url, name, parameters).await
    }

    /// Returns the requests to the token endpoint so far, in order.
    pub async fn token_requests(&self) -> Vec<Value> {
        self.send_command("token_requests", Value::Null).await.as_array().unwrap().clone()
    }

    async fn start(script: &str, environment: &[(&str, String)]) -> Self {
        let mut command = Command::new("node");
        command
            .args(["--no-warnings", script])
            .current_dir(servers_folder())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env_remove("NODE_OPTIONS");
        let (process, startup_info) = Process::start(command).await;
        let url = |name: &str| startup_info[name].as_str().unwrap().to_owned();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { _process: process, url: url("url"), control_url: url("control"), http }
    }
}

/// Returns an error if a server or Node.js is not installed.
pub(crate) fn check_installed() -> Result<(), String> {
    for package in ["oidc-provider", "oauth2-mock-server"] {
        if !servers_folder().join("node_modules").join(package).is_dir() {
            return Err(format!("{package} is missing in tests/interop/servers/node_modules"));
        }
    }
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    node.map(drop).map_err(|error| format!("node cannot be run: {error}"))
}

fn servers_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("servers")
}
