//! The default transport, based on [`reqwest`].

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, mem};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{Client, ClientBuilder, Request, Response, redirect};
use url::Url;

use crate::clock::{Clock as _, SystemClock};
use crate::error::{Delivery, Error, ErrorKind, Result, require_runtime};
use crate::secret::ZeroizingBuffer;
use crate::service::url::is_loopback;
use crate::transport::failure::{body_read_error, is_unprocessed, request_send_error};
use crate::transport::proxy::ProxyEnvironment;
use crate::transport::tls::{self, HttpsConfig, TlsBackend};
use crate::transport::traits::{Limits, Transport};

/// The default connect timeout.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum number of bytes that are allocated because of a `Content-Length` header.
const MAX_INITIAL_ALLOCATION: usize = 64 * 1024;

/// The minimum remaining time for a repeated request. With less time, its response would probably
/// be lost.
const MIN_REPEAT_TIME: Duration = Duration::from_secs(1);

/// The default [`Transport`], based on reqwest.
///
/// The transport never follows redirects, never decompresses bodies, and sends no `Referer`. A
/// request is repeated once, on a new connection, if the server did not process it. In that case
/// the server rejected the HTTP/2 stream or closed the connection before the request (RFC 9113,
/// section 8.7).
///
/// [`Error::is_misconfigured`] returns `true` if the server's certificate was rejected or the proxy
/// is not usable. A retry does not help.
///
/// Cloning is cheap: all clones share one connection pool, so there is no need to wrap a transport
/// in an [`Arc`]. A pool belongs to the Tokio runtime on which it was first used. The runtime's
/// time and I/O drivers must be enabled.
///
/// # Proxies
///
/// The transport uses the HTTP and HTTPS proxies in `HTTPS_PROXY`, `HTTP_PROXY`, and `ALL_PROXY`,
/// or the same names in lower case. On macOS and Windows, it also uses the system's proxy settings.
/// `NO_PROXY` lists hosts that need no proxy. All settings are read by
/// [`build`](ReqwestTransportBuilder::build).
///
/// SOCKS proxies require the feature `socks` of reqwest, which the application must enable. If a
/// variable does not contain a usable URL, requests that need it fail. They never bypass the proxy.
/// Requests to loopback addresses (`localhost`, 127.0.0.0/8, `[::1]`) never use a proxy.
///
/// # Timeouts
///
/// On a current-thread runtime, a server that sends an endless series of 1xx responses can delay
/// the timeout by seconds. hyper reads all of them before it yields to the timer. On a multi-thread
/// runtime, the timeout is exact.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use webex_oauth::transport::ReqwestTransport;
///
/// # fn main() -> webex_oauth::Result<()> {
/// let builder = ReqwestTransport::builder().connect_timeout(Duration::from_secs(3));
/// let transport = builder.build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReqwestTransport {
    /// The client for other hosts. Absent if the transport is limited to loopback addresses.
    main: Option<Client>,
    /// The client for loopback addresses.
    loopback: Client,
    /// The settings of both clients. Absent for a builder or client of the application.
    settings: Option<Arc<Settings>>,
}

/// The settings of the clients that this crate builds.
struct Settings {
    https: HttpsConfig,
    connect_timeout: Duration,
    proxies: ProxyEnvironment,
}

impl Settings {
    fn main_builder(&self) -> ClientBuilder {
        self.https.apply(ClientBuilder::new().connect_timeout(self.connect_timeout))
    }

    fn loopback_builder(&self) -> ClientBuilder {
        self.main_builder().no_proxy()
    }
}

impl ReqwestTransport {
    /// Creates a builder with the default settings.
    pub fn builder() -> ReqwestTransportBuilder {
        ReqwestTransportBuilder {
            backend: None,
            roots: Vec::new(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            loopback_only: false,
        }
    }

    /// Creates a transport from a reqwest builder, for example with proxies, client certificates,
    /// or DNS settings.
    ///
    /// Redirects, decompression, `Referer`, retries, and verbose logging are disabled, regardless
    /// of the builder. Plain HTTP to loopback addresses uses a separate client without these
    /// settings.
    ///
    /// Proxy settings are not checked: reqwest ignores a proxy whose URL it cannot use. SOCKS
    /// proxies require its feature `socks`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: reqwest cannot build the client.
    ///
    /// # Crypto provider
    ///
    /// reqwest panics if it is compiled with rustls but without a crypto provider (its feature
    /// `rustls-no-provider`, which this crate's `rustls-ring` enables), no provider is installed
    /// for the process, and the builder has no TLS settings. This method catches the panic and
    /// returns an error, but the panic hook still prints its message. With `panic = "abort"`, the
    /// process aborts.
    ///
    /// To avoid the panic, install a provider. Alternatively, enable one of this crate's TLS
    /// features and call `tls_backend_preconfigured(..)` on the builder.
    pub fn from_builder(builder: ClientBuilder) -> Result<Self> {
        Ok(Self {
            main: Some(build_hardened_client(builder)?),
            loopback: build_plain_http_client(ClientBuilder::new().connect_timeout(DEFAULT_CONNECT_TIMEOUT))?,
            settings: None,
        })
    }

    /// Creates a transport from an existing reqwest client, whose settings can neither be checked
    /// nor changed.
    ///
    /// **A client that follows redirects sends the client secret and tokens to any URL that the
    /// server responds with.** Clients of reqwest do so by default. Prefer
    /// [`from_builder`](Self::from_builder).
    pub fn insecure_from_client(client: Client) -> Self {
        Self { main: Some(client.clone()), loopback: client, settings: None }
    }

    fn client_for(&self, url: &Url) -> Result<&Client> {
        match &self.main {
            None if url.scheme() == "http" && is_loopback(url) => Ok(&self.loopback),
            None => {
                let message =
                    "transport is limited to loopback addresses: all endpoints of this client are loopback URLs";
                Err(Error::new(ErrorKind::Configuration, message))
            }
            // A builder of the application can be used only once, so its client also handles https
            // to loopback addresses.
            Some(main) if self.settings.is_none() && url.scheme() == "https" => Ok(main),
            Some(_) if is_loopback(url) => Ok(&self.loopback),
            Some(main) => Ok(main),
        }
    }

    /// Returns the proxy settings for a request, if they are known.
    fn proxies(&self, url: &Url) -> Option<&ProxyEnvironment> {
        self.settings.as_ref().filter(|_| !is_loopback(url)).map(|settings| &settings.proxies)
    }

    /// Sends a request. Repeats it once if the server did not process it and enough time remains
    /// until `limit`.
    async fn send(&self, request: Request, limit: Duration) -> Result<Response> {
        let clock = SystemClock::new();
        let url = request.url().clone();
        let proxies = self.proxies(&url);
        proxies.map_or(Ok(()), |proxies| proxies.check(&url))?;
        let client = self.client_for(&url)?;
        let again = request.try_clone();
        let failed = |error| request_send_error(error, &url, proxies.and_then(|proxies| proxies.variable_for(&url)));
        let error = match client.execute(request).await {
            Err(error) if is_unprocessed(&error) => error,
            result => return result.map_err(failed),
        };
        match again.filter(|_| limit.saturating_sub(clock.elapsed()) >= MIN_REPEAT_TIME) {
            Some(again) => self.unpooled_client(client, &url)?.execute(again).await.map_err(failed),
            None => Err(failed(error)),
        }
    }

    /// Returns a client that opens a new connection. A server that rejected a stream would reject
    /// the next one on the same connection.
    ///
    /// Settings of the application cannot be used twice, so its client is returned. It opens a new
    /// connection only if the old one was closed.
    fn unpooled_client(&self, client: &Client, url: &Url) -> Result<Client> {
        match &self.settings {
            Some(settings) if is_loopback(url) => {
                build_hardened_client(settings.loopback_builder().pool_max_idle_per_host(0))
            }
            Some(settings) => build_hardened_client(settings.main_builder().pool_max_idle_per_host(0)),
            None => Ok(client.clone()),
        }
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn exchange(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        require_runtime("a request can only be sent")?;
        let limits: Limits = request.extensions().get().copied().unwrap_or_default();
        let request = Request::try_from(request).map_err(invalid_request_error)?;
        let exchange = async { read_http_response(self.send(request, limits.timeout).await?, limits.max_body).await };
        tokio::time::timeout(limits.timeout, exchange).await.unwrap_or_else(|_| {
            let cause = format!("the timeout of {:?} for the exchange expired", limits.timeout);
            Err(Error::transport(Delivery::Unknown, cause))
        })
    }
}

impl fmt::Debug for ReqwestTransport {
    // The output of reqwest would contain default headers and proxy URLs, which may contain
    // secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport").finish_non_exhaustive()
    }
}

/// A builder for [`ReqwestTransport`], created by [`ReqwestTransport::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ReqwestTransportBuilder {
    backend: Option<TlsBackend>,
    roots: Vec<Vec<u8>>,
    connect_timeout: Duration,
    loopback_only: bool,
}

impl ReqwestTransportBuilder {
    /// Sets the TLS library. Defaults to the first variant of [`TlsBackend`] that is compiled in.
    pub fn tls(mut self, backend: TlsBackend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Trusts the certificates in `pem` in addition to those of the operating system.
    ///
    /// Use this for a corporate proxy with its own certificate authority. `pem` may contain several
    /// certificates, and this method may be called several times.
    pub fn root_certificate_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.push(pem.as_ref().to_vec());
        self
    }

    /// Sets the connect timeout, which includes the TLS handshake. Defaults to 10 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Limits the transport to plain HTTP on loopback addresses, which needs no TLS and no
    /// certificates.
    pub(crate) fn loopback_only(mut self) -> Self {
        self.loopback_only = true;
        self
    }

    /// Builds the transport.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: no TLS feature is enabled, the host has no CA certificates,
    ///   or a root certificate is invalid. With native-tls, missing CA certificates are reported by
    ///   the first request.
    pub fn build(self) -> Result<ReqwestTransport> {
        if self.loopback_only {
            let builder = ClientBuilder::new().connect_timeout(self.connect_timeout);
            return Ok(ReqwestTransport { main: None, loopback: build_plain_http_client(builder)?, settings: None });
        }
        let https = HttpsConfig::new(self.backend, &self.roots)?;
        let settings = Settings { https, connect_timeout: self.connect_timeout, proxies: ProxyEnvironment::read() };
        Ok(ReqwestTransport {
            main: Some(build_hardened_client(settings.main_builder())?),
            loopback: build_hardened_client(settings.loopback_builder())?,
            settings: Some(Arc::new(settings)),
        })
    }
}

/// Builds a client for plain HTTP to loopback addresses.
fn build_plain_http_client(builder: ClientBuilder) -> Result<Client> {
    build_hardened_client(tls::configure_plain_http(builder)?.no_proxy())
}

/// Builds a client and disables everything that could send a secret to another host.
fn build_hardened_client(builder: ClientBuilder) -> Result<Client> {
    let builder = builder
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        // Verbose logging would write complete requests to the log.
        .connection_verbose(false);
    build_client(builder)
}

/// Builds a client with the builder's settings. A panic becomes an error.
pub(crate) fn build_client(builder: ClientBuilder) -> Result<Client> {
    // Neither the builder nor the features of reqwest reveal if it has a crypto provider.
    panic::catch_unwind(AssertUnwindSafe(|| builder.build()))
        .map_err(|panic| build_error().with_source(panic_message(panic)))?
        .map_err(|source| build_error().with_source(source.without_url()))
}

fn build_error() -> Error {
    Error::new(ErrorKind::Configuration, "reqwest failed to build a client: check the settings")
}

fn panic_message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "unknown panic".to_owned(), |text| (*text).to_owned()),
    }
}

/// Reads a response with its body.
///
/// If the body of an error response is unusable, it is omitted, so that the status is not lost.
async fn read_http_response(mut response: Response, limit: usize) -> Result<http::Response<Bytes>> {
    let body = match read_body(&mut response, limit).await {
        Err(error) if !error.is_retryable() && !response.status().is_success() => Bytes::new(),
        body => body?,
    };
    let mut reply = http::Response::new(body);
    *reply.status_mut() = response.status();
    *reply.version_mut() = response.version();
    *reply.headers_mut() = mem::take(response.headers_mut());
    Ok(reply)
}

async fn read_body(response: &mut Response, limit: usize) -> Result<Bytes> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_long_error(limit));
    }
    // The body may contain tokens.
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    let mut body = ZeroizingBuffer::with_capacity(announced.min(limit).min(MAX_INITIAL_ALLOCATION));
    while let Some(chunk) = response.chunk().await.map_err(body_read_error)? {
        if is_compressed(response.headers()) {
            // The request allowed no content coding, and decompression could exhaust the memory.
            return Err(permanent_response_error(
                "response is compressed: the request did not allow a content coding".to_owned(),
            ));
        }
        if chunk.len() > limit - body.as_slice().len() {
            return Err(too_long_error(limit));
        }
        body.push(&chunk);
    }
    Ok(body.into_bytes())
}

/// Returns `true` if the body is compressed. Some servers send other names that mean no coding.
fn is_compressed(headers: &HeaderMap) -> bool {
    const CODINGS: [&str; 7] = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"];
    let values = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.any(|name| CODINGS.iter().any(|coding| name.eq_ignore_ascii_case(coding)))
}

fn too_long_error(limit: usize) -> Error {
    permanent_response_error(format!("response is longer than the limit of {limit} bytes"))
}

/// Returns an error that is not retryable. The server may have processed the request, and a retry
/// would return the same response.
fn permanent_response_error(message: String) -> Error {
    Error::new(ErrorKind::Transport, message).with_delivery(Delivery::Unknown)
}

fn invalid_request_error(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, "invalid request URL: expected an http or https URL")
        .with_source(error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn loopback_transport_rejects_other_addresses() {
        let transport = ReqwestTransport::builder().loopback_only().build().unwrap();
        for rejected in ["https://localhost/", "https://webexapis.com/v1", "http://webex.test/", "http://10.0.0.1/"] {
            let error = transport.client_for(&rejected.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{rejected}");
        }
        for spoken in ["http://localhost:1/", "http://127.0.0.1/", "http://[::1]:8080/x"] {
            assert!(transport.client_for(&spoken.parse().unwrap()).is_ok(), "{spoken}");
        }
    }

    #[test]
    fn missing_ca_certificates_fail_https_but_not_loopback() {
        const TEST_NAME: &str = concat!(module_path!(), "::missing_ca_certificates_fail_https_but_not_loopback");
        const CHILD_PROCESS_VARIABLE: &str = "WEBEX_OAUTH_TEST_WITHOUT_CERTIFICATES";
        const BACKENDS: &[TlsBackend] = &[
            TlsBackend::Rustls,
            #[cfg(feature = "rustls-ring")]
            TlsBackend::RustlsRing,
        ];
        if std::env::var_os(CHILD_PROCESS_VARIABLE).is_none() {
            // A child process is required, because all tests share the environment of this process.
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", TEST_NAME.split_once("::").unwrap().1])
                .envs([(CHILD_PROCESS_VARIABLE, "1"), ("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/nonexistent")])
                .output()
                .unwrap();
            let output = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success() && output.contains("1 passed"), "{output}");
            return;
        }

        for &backend in BACKENDS {
            let builder = ReqwestTransport::builder().tls(backend);
            builder.clone().loopback_only().build().unwrap();
            builder.clone().root_certificate_pem(COMPANY_CA).build().unwrap();
            let error = builder.build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert_eq!(
                error.to_string(),
                "no CA certificates found on this host: install the `ca-certificates` package or add one with \
                 `root_certificate_pem(..)`"
            );
        }
    }

    const COMPANY_CA: &str = include_str!("../../tests/it/certificates/company_ca.pem");

    #[test]
    fn builder_panic_payload_becomes_text() {
        assert_eq!(panic_message(Box::new("a literal")), "a literal");
        assert_eq!(panic_message(Box::new(String::from("a string"))), "a string");
        assert_eq!(panic_message(Box::new(7)), "unknown panic");
    }
}
