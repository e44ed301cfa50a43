//! The transport over [`reqwest`].

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{Client, ClientBuilder, Response, redirect};
use url::Url;

use crate::endpoint::is_loopback;
use crate::error::{Delivery, Error, ErrorKind, Result};

use super::tls::{self, TlsBackend};
use super::{Limits, Transport};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The [`Transport`] that clients use unless told otherwise.
///
/// It follows no redirect, decompresses nothing, sends no `Referer`, and repeats nothing. Proxies are taken from the
/// system's settings and from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; what goes to this machine
/// (`localhost`, 127.0.0.0/8, `[::1]`) never goes through one.
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
    /// Whether the settings of `main` are not this crate's own.
    is_foreign: bool,
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
            is_foreign: true,
        })
    }

    /// A transport over a client that is already built. **Dangerous:** nothing about it can be checked or changed.
    ///
    /// A client that follows redirects, as reqwest's do by default, sends the client secret and tokens to whatever
    /// address the server answers with. Prefer [`from_builder`](Self::from_builder).
    pub fn insecure_from_client(client: Client) -> Self {
        Self { main: Some(client.clone()), loopback: client, is_foreign: true }
    }

    fn client_for(&self, url: &Url) -> Result<&Client> {
        match &self.main {
            None if url.scheme() == "http" && is_loopback(url) => Ok(&self.loopback),
            None => {
                let message = "this transport was built for plain http to this machine alone";
                Err(Error::new(ErrorKind::Configuration, message))
            }
            // A builder of the user's own can be used once, so its settings serve https to this machine too.
            Some(main) if self.is_foreign && url.scheme() == "https" => Ok(main),
            Some(_) if is_loopback(url) => Ok(&self.loopback),
            Some(main) => Ok(main),
        }
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn exchange(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        if tokio::runtime::Handle::try_current().is_err() {
            let message =
                "a request can only be sent from within a tokio runtime: call this from an async fn run by one";
            return Err(Error::new(ErrorKind::Runtime, message));
        }
        let limits: Limits = request.extensions().get().copied().unwrap_or_default();
        let request = reqwest::Request::try_from(request).map_err(failure)?;
        let client = self.client_for(request.url())?;
        let exchange = async { read(client.execute(request).await.map_err(failure)?, limits.body).await };
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
            return Ok(ReqwestTransport { main: None, loopback: plain(self.client())?, is_foreign: false });
        }
        let https = tls::Https::new(self.backend, &self.roots)?;
        Ok(ReqwestTransport {
            main: Some(finish(https.apply(self.client()))?),
            loopback: finish(https.apply(self.client()).no_proxy())?,
            is_foreign: false,
        })
    }

    fn client(&self) -> ClientBuilder {
        ClientBuilder::new().connect_timeout(self.connect_timeout)
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
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if is_compressed(response.headers()) {
            // None was asked for, and unpacking it could fill the memory.
            return Err(unusable("the server's answer is compressed, which was not asked for".to_owned()));
        }
        if chunk.len() > limit - body.len() {
            return Err(too_long(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
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

fn failure(error: reqwest::Error) -> Error {
    let error = error.without_url();
    if error.is_builder() {
        return Error::new(ErrorKind::Input, "the request cannot be sent: its address is not http or https")
            .with_source(error);
    }
    let delivery = if error.is_connect() { Delivery::NotSent } else { Delivery::Unknown };
    Error::transport(delivery, error)
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
