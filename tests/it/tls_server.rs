//! A TLS server on `localhost`, with certificates of an authority that only its test trusts.

use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::rustls::{NamedGroup, ServerConfig};
use webex_oauth::transport::TlsBackend;

use crate::transport::read_head;

/// The authority that issued the certificates.
pub(crate) const COMPANY_CA: &str = include_str!("certificates/company_ca.pem");
/// An authority that issued none of them.
pub(crate) const OTHER_CA: &str = include_str!("certificates/other_ca.pem");

/// The key of all certificates, which was generated for these tests and is not secret.
const KEY: &[u8] = include_bytes!("certificates/key.pk8");

/// The certificate of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Certificate {
    /// Valid for `localhost` until the year 4096.
    Localhost,
    /// Expired in 2020.
    Expired,
    /// Valid from 2200.
    NotYetValid,
    /// Valid for `webex.test`.
    OtherHost,
    /// Valid for clients and not for servers.
    Client,
}

impl Certificate {
    fn der(self) -> &'static [u8] {
        match self {
            Self::Localhost => include_bytes!("certificates/localhost.der"),
            Self::Expired => include_bytes!("certificates/expired.der"),
            Self::NotYetValid => include_bytes!("certificates/not_yet_valid.der"),
            Self::OtherHost => include_bytes!("certificates/other_host.der"),
            Self::Client => include_bytes!("certificates/client.der"),
        }
    }
}

/// The enabled TLS backends.
pub(crate) const TLS_BACKENDS: &[TlsBackend] = &[
    TlsBackend::Rustls,
    #[cfg(feature = "rustls-ring")]
    TlsBackend::RustlsRing,
    #[cfg(feature = "native-tls")]
    TlsBackend::NativeTls,
];

/// A server that sends the same response to every request.
pub(crate) struct TlsServer {
    pub(crate) url: String,
    offered_protocols: UnboundedReceiver<Vec<Vec<u8>>>,
    key_exchanges: UnboundedReceiver<Vec<NamedGroup>>,
}

impl TlsServer {
    pub(crate) async fn start(response: impl Into<String>) -> Self {
        Self::with_certificate(response, Certificate::Localhost).await
    }

    pub(crate) async fn with_certificate(response: impl Into<String>, certificate: Certificate) -> Self {
        let (response, config) = (response.into(), Arc::new(server_config(certificate)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let (protocols, offered_protocols) = unbounded_channel();
        let (groups, key_exchanges) = unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let handshake = LazyConfigAcceptor::new(Acceptor::default(), stream).await.unwrap();
                let hello = handshake.client_hello();
                // The test may have ended.
                let _ = protocols.send(hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect());
                let _ = groups.send(hello.named_groups().unwrap_or_default().to_vec());
                // A client that does not trust the certificate closes the connection here.
                let Ok(mut stream) = handshake.into_stream(config.clone()).await else { continue };
                read_head(&mut stream).await;
                stream.write_all(response.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        Self { url, offered_protocols, key_exchanges }
    }

    /// Returns the application protocols that the next client offers.
    pub(crate) async fn offered_protocols(&mut self) -> Vec<Vec<u8>> {
        self.offered_protocols.recv().await.unwrap()
    }

    /// Returns the key exchanges that the next client offers.
    pub(crate) async fn key_exchanges(&mut self) -> Vec<NamedGroup> {
        self.key_exchanges.recv().await.unwrap()
    }
}

pub(crate) fn server_config(certificate: Certificate) -> ServerConfig {
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().into()], PrivatePkcs8KeyDer::from(KEY).into())
        .unwrap()
}
