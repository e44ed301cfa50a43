//! The transport over [`reqwest`].

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{Client, ClientBuilder, Request, Response, redirect};
use url::Url;

use crate::clock::{Clock as _, SystemClock};
use crate::endpoint::is_loopback;
use crate::error::{Delivery, Error, ErrorKind, Result};
use crate::secret::ZeroizingBuffer;

use super::failure::{is_unprocessed, reading_failed, sending_failed};
use super::proxy::ProxyEnvironment;
use super::tls::{self, Https, TlsBackend};
use super::{Limits, Transport};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes that are allocated for a response because its server announces so many.
const MAX_FIRST_ALLOCATION: usize = 64 * 1024;

/// The least time that must be left for sending a request again: with less, its response would most likely be lost.
const MIN_REPEAT_TIME: Duration = Duration::from_secs(1);

/// The [`Transport`] that clients use unless told otherwise.
///
/// It follows no redirect, decompresses nothing and sends no `Referer`. A request is sent once more, at once and on a new
/// connection, only if the server provably did not process it: it refused the HTTP/2 stream, or closed the connection
/// before it (RFC 9113 section 8.7).
///
/// A certificate that is rejected, and a proxy that cannot be used, are errors that
/// [`is_misconfigured`](Error::is_misconfigured): waiting does not help.
///
/// On a tokio runtime with one thread, a server that sends 1xx responses without end can delay the time limit by seconds:
/// hyper reads all of them before it yields to the timer. On a runtime with several threads the limit holds.
///
/// # Proxies
///
/// http and https proxies are taken from `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` (or the same in lower case) and from the
/// system's settings on macOS and Windows; `NO_PROXY` lists the hosts that are reached without. They are read by
/// [`build`](ReqwestTransportBuilder::build). SOCKS proxies are not supported, unless the application turns on the feature
/// `socks` of reqwest. A request for which one of these variables has no usable address fails: it is not sent past the proxy.
/// Requests to this host (`localhost`, 127.0.0.0/8, `[::1]`) never go through a proxy.
///
/// Clones share one pool of connections; do not wrap it in an `Arc` for that. A pool belongs to the tokio runtime it
/// was first used on, which needs its time and IO drivers.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use webex_oauth::transport::ReqwestTransport;
///
/// # fn main() -> webex_oauth::Result<()> {
/// let transport = ReqwestTransport::builder().connect_timeout(Duration::from_secs(3)).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ReqwestTransport {
    /// Absent where only this machine is spoken to.
    main: Option<Client>,
    /// For this machine.
    loopback: Client,
    /// The settings of both, where they are this crate's own.
    settings: Option<Arc<Settings>>,
}

/// What clients of this crate's own are made with.
struct Settings {
    https: Https,
    connect_timeout: Duration,
    proxies: ProxyEnvironment,
}

impl Settings {
    fn main(&self) -> ClientBuilder {
        self.https.apply(ClientBuilder::new().connect_timeout(self.connect_timeout))
    }

    fn loopback(&self) -> ClientBuilder {
        self.main().no_proxy()
    }
}

impl ReqwestTransport {
    /// Begins a transport of this crate's own making.
    pub fn builder() -> ReqwestTransportBuilder {
        ReqwestTransportBuilder {
            backend: None,
            roots: Vec::new(),
            connect_timeout: CONNECT_TIMEOUT,
            loopback_only: false,
        }
    }

    /// A transport with your own settings of reqwest: proxies, client certificates, DNS.
    ///
    /// Proxies are then reqwest's own matter: it ignores a proxy, of the environment or of your settings, whose address it
    /// cannot use, and needs its feature `socks` for SOCKS.
    ///
    /// This crate has the last word on redirects, decompression, `Referer`, retries and verbose logging: all are off.
    /// Plain http to this machine goes through a client that knows nothing of your settings.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when reqwest cannot build the client.
    ///
    /// reqwest *panics* when it is compiled with rustls but with no crypto provider (its feature `rustls-no-provider`,
    /// as under this crate's `rustls-ring`), none is installed for the process, and the builder does not bring TLS
    /// settings of its own. That panic is caught and becomes an error too, except in a program built with
    /// `panic = "abort"`; the panic hook prints its message all the same. To avoid it, call
    /// `tls_backend_preconfigured(..)` on the builder and turn on one of this crate's TLS features, or install a provider.
    pub fn from_builder(builder: ClientBuilder) -> Result<Self> {
        Ok(Self {
            main: Some(finish(builder)?),
            loopback: plain(ClientBuilder::new().connect_timeout(CONNECT_TIMEOUT))?,
            settings: None,
        })
    }

    /// A transport over a client that is already built. **Dangerous:** nothing about it can be checked or changed.
    ///
    /// A client that follows redirects, as reqwest's do by default, sends the client secret and tokens to whatever
    /// address the server answers with. Prefer [`from_builder`](Self::from_builder).
    pub fn insecure_from_client(client: Client) -> Self {
        Self { main: Some(client.clone()), loopback: client, settings: None }
    }

    fn client_for(&self, url: &Url) -> Result<&Client> {
        match &self.main {
            None if url.scheme() == "http" && is_loopback(url) => Ok(&self.loopback),
            None => {
                let message = "this transport was built for plain http to this machine alone";
                Err(Error::new(ErrorKind::Configuration, message))
            }
            // A builder of the user's own can be used once, so its settings serve https to this machine too.
            Some(main) if self.settings.is_none() && url.scheme() == "https" => Ok(main),
            Some(_) if is_loopback(url) => Ok(&self.loopback),
            Some(main) => Ok(main),
        }
    }

    /// The proxy settings that a request is subject to, as far as they are known.
    fn proxies(&self, url: &Url) -> Option<&ProxyEnvironment> {
        self.settings.as_ref().filter(|_| !is_loopback(url)).map(|settings| &settings.proxies)
    }

    /// Sends a request, and once more if the server provably did not process it and `limit` leaves enough time.
    async fn send(&self, request: Request, limit: Duration) -> Result<Response> {
        let clock = SystemClock::new();
        let url = request.url().clone();
        let proxies = self.proxies(&url);
        proxies.map_or(Ok(()), |proxies| proxies.check(&url))?;
        let client = self.client_for(&url)?;
        let again = request.try_clone();
        let failed = |error| sending_failed(error, &url, proxies.and_then(|proxies| proxies.variable_for(&url)));
        let error = match client.execute(request).await {
            Err(error) if is_unprocessed(&error) => error,
            result => return result.map_err(failed),
        };
        match again.filter(|_| limit.saturating_sub(clock.elapsed()) >= MIN_REPEAT_TIME) {
            Some(again) => self.unpooled(client, &url)?.execute(again).await.map_err(failed),
            None => Err(failed(error)),
        }
    }

    /// A client that makes a new connection. A server that refused a stream would refuse the next one of the same connection.
    ///
    /// Settings of the user's own cannot be used twice; there, only the end of a connection leads to a new one.
    fn unpooled(&self, client: &Client, url: &Url) -> Result<Client> {
        match &self.settings {
            Some(settings) if is_loopback(url) => finish(settings.loopback().pool_max_idle_per_host(0)),
            Some(settings) => finish(settings.main().pool_max_idle_per_host(0)),
            None => Ok(client.clone()),
        }
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn exchange(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        if tokio::runtime::Handle::try_current().is_err() {
            let message =
                "a request can only be sent from within a tokio runtime: call this from an async fn run by one";
            return Err(Error::new(ErrorKind::NoRuntime, message));
        }
        let limits: Limits = request.extensions().get().copied().unwrap_or_default();
        let request = Request::try_from(request).map_err(unsendable)?;
        let exchange = async { read(self.send(request, limits.time).await?, limits.body).await };
        tokio::time::timeout(limits.time, exchange).await.unwrap_or_else(|_| {
            let cause = format!("the time limit of {:?} for the whole exchange passed", limits.time);
            Err(Error::transport(Delivery::Unknown, cause))
        })
    }
}

impl fmt::Debug for ReqwestTransport {
    // reqwest's own output would show default headers and proxy addresses, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport").finish_non_exhaustive()
    }
}

/// Settings of a [`ReqwestTransport`]; made by [`ReqwestTransport::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ReqwestTransportBuilder {
    backend: Option<TlsBackend>,
    roots: Vec<Vec<u8>>,
    connect_timeout: Duration,
    loopback_only: bool,
}

impl ReqwestTransportBuilder {
    /// Chooses the library that speaks TLS; the default is the first of [`TlsBackend`]'s list that is compiled in.
    pub fn tls(mut self, backend: TlsBackend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Trusts the certificates of a PEM text, such as a company's own authority, beside those of the system.
    ///
    /// The text may hold several certificates, and this may be called several times.
    pub fn root_certificate_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.push(pem.as_ref().to_vec());
        self
    }

    /// Limits the time for one connection, TLS included; 10 seconds unless set.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Promises that nothing but plain http to this machine will be asked for: no TLS and no certificates are needed.
    pub(crate) fn loopback_only(mut self) -> Self {
        self.loopback_only = true;
        self
    }

    /// Builds the transport.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when no TLS feature is on, when the machine has no CA certificates (rustls only;
    /// native-tls finds out when it connects), or when a root certificate cannot be used.
    pub fn build(self) -> Result<ReqwestTransport> {
        if self.loopback_only {
            let builder = ClientBuilder::new().connect_timeout(self.connect_timeout);
            return Ok(ReqwestTransport { main: None, loopback: plain(builder)?, settings: None });
        }
        let https = Https::new(self.backend, &self.roots)?;
        let settings = Settings { https, connect_timeout: self.connect_timeout, proxies: ProxyEnvironment::read() };
        Ok(ReqwestTransport {
            main: Some(finish(settings.main())?),
            loopback: finish(settings.loopback())?,
            settings: Some(Arc::new(settings)),
        })
    }
}

/// A client for plain http to this machine.
fn plain(builder: ClientBuilder) -> Result<Client> {
    finish(tls::for_plain_http(builder)?.no_proxy())
}

/// Builds a client, with the last word on everything that could take a secret elsewhere.
fn finish(builder: ClientBuilder) -> Result<Client> {
    let builder = builder
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        // It would write whole requests into the log.
        .connection_verbose(false);
    build_client(builder)
}

/// Builds a client as it is set, without a panic.
pub(crate) fn build_client(builder: ClientBuilder) -> Result<Client> {
    // Whether reqwest has a crypto provider can be seen neither from its builder nor from its features.
    panic::catch_unwind(AssertUnwindSafe(|| builder.build()))
        .map_err(|panic| unbuildable().with_source(text(panic)))?
        .map_err(|source| unbuildable().with_source(source.without_url()))
}

fn unbuildable() -> Error {
    Error::new(ErrorKind::Configuration, "reqwest cannot build a client with these settings")
}

fn text(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "it panicked".to_owned(), |text| (*text).to_owned()),
    }
}

/// Reads an answer to its end.
///
/// Of an answer that is no success, an unreadable body is left out: its status says enough, and must not be lost.
async fn read(mut response: Response, limit: usize) -> Result<http::Response<Bytes>> {
    let body = match body(&mut response, limit).await {
        Err(error) if !error.is_retryable() && !response.status().is_success() => Bytes::new(),
        body => body?,
    };
    let mut answer = http::Response::new(body);
    *answer.status_mut() = response.status();
    *answer.version_mut() = response.version();
    *answer.headers_mut() = mem::take(response.headers_mut());
    Ok(answer)
}

async fn body(response: &mut Response, limit: usize) -> Result<Bytes> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_long(limit));
    }
    // It may hold tokens.
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
    let mut body = ZeroizingBuffer::with_capacity(announced.min(limit).min(MAX_FIRST_ALLOCATION));
    while let Some(chunk) = response.chunk().await.map_err(reading_failed)? {
        if is_compressed(response.headers()) {
            // None was asked for, and unpacking it could fill the memory.
            return Err(unusable("the server's answer is compressed, which was not asked for".to_owned()));
        }
        if chunk.len() > limit - body.as_slice().len() {
            return Err(too_long(limit));
        }
        body.push(&chunk);
    }
    Ok(body.into_bytes())
}

/// Whether the body is in a coding that hides it; some servers send names here that mean none.
fn is_compressed(headers: &HeaderMap) -> bool {
    const CODINGS: [&str; 7] = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"];
    let values = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.any(|name| CODINGS.iter().any(|coding| name.eq_ignore_ascii_case(coding)))
}

fn too_long(limit: usize) -> Error {
    unusable(format!("the server's answer is longer than the limit of {limit} bytes"))
}

/// The server may have acted, and asking again would bring the same answer: so time does not help.
fn unusable(message: String) -> Error {
    Error::new(ErrorKind::Transport, message).with_delivery(Delivery::Unknown)
}

fn unsendable(error: reqwest::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, "the request cannot be sent: its address is not http or https")
        .with_source(error.without_url())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_loopback_transport_refuses_every_other_address_before_anything_is_sent() {
        let transport = ReqwestTransport::builder().loopback_only().build().unwrap();
        for refused in ["https://localhost/", "https://webexapis.com/v1", "http://webex.test/", "http://10.0.0.1/"] {
            let error = transport.client_for(&refused.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration, "{refused}");
        }
        for spoken in ["http://localhost:1/", "http://127.0.0.1/", "http://[::1]:8080/x"] {
            assert!(transport.client_for(&spoken.parse().unwrap()).is_ok(), "{spoken}");
        }
    }

    #[test]
    fn without_ca_certificates_loopback_still_works_and_https_says_what_to_install() {
        const NAME: &str =
            concat!(module_path!(), "::without_ca_certificates_loopback_still_works_and_https_says_what_to_install");
        const EMPTY: &str = "WEBEX_OAUTH_TEST_WITHOUT_CERTIFICATES";
        if std::env::var_os(EMPTY).is_none() {
            // The environment is a process's own, and this one's belongs to all tests.
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", NAME.split_once("::").unwrap().1])
                .envs([(EMPTY, "1"), ("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/nonexistent")])
                .output()
                .unwrap();
            let output = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success() && output.contains("1 passed"), "{output}");
            return;
        }

        for backend in [TlsBackend::Rustls, TlsBackend::RustlsRing] {
            let builder = ReqwestTransport::builder().tls(backend);
            builder.clone().loopback_only().build().unwrap();
            builder.clone().root_certificate_pem(company_ca()).build().unwrap();
            let error = builder.build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert_eq!(
                error.to_string(),
                "no CA certificates were found on this machine: install the `ca-certificates` package or add one with \
                 root_certificate_pem(..)"
            );
        }
    }

    fn company_ca() -> String {
        rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert.pem()
    }

    #[test]
    fn a_panic_of_the_foreign_builder_becomes_a_text() {
        assert_eq!(text(Box::new("a literal")), "a literal");
        assert_eq!(text(Box::new(String::from("a string"))), "a string");
        assert_eq!(text(Box::new(7)), "it panicked");
    }
}
