//! TLS configuration of reqwest. Everything is explicit: no process-wide provider is installed or
//! required.

use reqwest::ClientBuilder;

use crate::error::{Error, ErrorKind, Result};

/// A TLS library. Each variant requires the Cargo feature of the same name.
///
/// If several features are enabled, the first variant in this list is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsBackend {
    /// rustls with the aws-lc provider (feature `rustls`).
    #[cfg(feature = "rustls")]
    Rustls,
    /// rustls with the ring provider (feature `rustls-ring`).
    #[cfg(feature = "rustls-ring")]
    RustlsRing,
    /// The TLS library of the operating system: OpenSSL, Secure Transport, or SChannel (feature
    /// `native-tls`).
    #[cfg(feature = "native-tls")]
    NativeTls,
}

impl TlsBackend {
    /// Returns the default: the first variant that is compiled in.
    fn preferred() -> Option<Self> {
        let in_order: &[Self] = &[
            #[cfg(feature = "rustls")]
            Self::Rustls,
            #[cfg(feature = "rustls-ring")]
            Self::RustlsRing,
            #[cfg(feature = "native-tls")]
            Self::NativeTls,
        ];
        in_order.first().copied()
    }
}

/// The TLS configuration for https. Several clients can share it, so the system's certificates are
/// read only once.
pub(crate) enum HttpsConfig {
    #[cfg(any(feature = "rustls", feature = "rustls-ring"))]
    Rustls(Box<rustls::ClientConfig>),
    #[cfg(feature = "native-tls")]
    Native(Vec<reqwest::Certificate>),
}

impl HttpsConfig {
    /// Creates a configuration that trusts the PEM bundles in `roots` in addition to the system's
    /// certificates.
    #[cfg_attr(
        not(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")),
        expect(unused_variables, reason = "no TLS library is compiled in")
    )]
    pub(crate) fn new(backend: Option<TlsBackend>, roots: &[Vec<u8>]) -> Result<Self> {
        match backend.or_else(TlsBackend::preferred) {
            #[cfg(feature = "rustls")]
            Some(TlsBackend::Rustls) => {
                rustls_config::https_config(rustls_config::aws_lc(), roots).map(|config| Self::Rustls(Box::new(config)))
            }
            #[cfg(feature = "rustls-ring")]
            Some(TlsBackend::RustlsRing) => {
                rustls_config::https_config(rustls_config::ring(), roots).map(|config| Self::Rustls(Box::new(config)))
            }
            #[cfg(feature = "native-tls")]
            Some(TlsBackend::NativeTls) => native_tls_config::certificates(roots).map(Self::Native),
            None => {
                let message = "no TLS feature of webex-oauth is enabled: enable `rustls`, `rustls-ring`, or `native-tls` in \
                               Cargo.toml";
                Err(Error::new(ErrorKind::Configuration, message))
            }
        }
    }

    /// Applies the configuration to `builder`.
    #[cfg_attr(
        not(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")),
        expect(unused_variables, reason = "no TLS library is compiled in")
    )]
    pub(crate) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        match *self {
            #[cfg(any(feature = "rustls", feature = "rustls-ring"))]
            Self::Rustls(ref config) => builder.tls_backend_preconfigured((**config).clone()),
            #[cfg(feature = "native-tls")]
            Self::Native(ref roots) => builder.tls_backend_native().tls_certs_merge(roots.clone()),
        }
    }
}

/// Configures `builder` for plain HTTP only. The system's certificates are not read.
///
/// reqwest initializes TLS in every client and panics if it has rustls but no crypto provider. A
/// configuration is therefore required here as well.
pub(crate) fn configure_plain_http(builder: ClientBuilder) -> Result<ClientBuilder> {
    match TlsBackend::preferred() {
        #[cfg(feature = "rustls")]
        Some(TlsBackend::Rustls) => {
            Ok(builder.tls_backend_preconfigured(rustls_config::for_plain_http(rustls_config::aws_lc())?))
        }
        #[cfg(feature = "rustls-ring")]
        Some(TlsBackend::RustlsRing) => {
            Ok(builder.tls_backend_preconfigured(rustls_config::for_plain_http(rustls_config::ring())?))
        }
        #[cfg(feature = "native-tls")]
        Some(TlsBackend::NativeTls) => Ok(builder.tls_backend_native()),
        None => Ok(builder),
    }
}

#[cfg(any(feature = "rustls", feature = "rustls-ring"))]
mod rustls_config {
    use std::sync::Arc;

    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
    use rustls_platform_verifier::Verifier;

    use crate::error::{Error, ErrorKind, Result};

    #[cfg(feature = "rustls")]
    pub(crate) fn aws_lc() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::aws_lc_rs::default_provider())
    }

    #[cfg(feature = "rustls-ring")]
    pub(crate) fn ring() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    pub(crate) fn https_config(provider: Arc<CryptoProvider>, bundles: &[Vec<u8>]) -> Result<ClientConfig> {
        let mut roots = Vec::new();
        for bundle in bundles {
            roots.extend(read_bundle(bundle)?);
        }
        let verifier = verifier(roots, Arc::clone(&provider))?;
        let mut config = config_builder(provider)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    #[cfg(not(target_os = "android"))]
    fn verifier(roots: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Verifier> {
        Verifier::new_with_extra_roots(roots, provider).map_err(verifier_error)
    }

    #[cfg(target_os = "android")]
    fn verifier(roots: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Verifier> {
        if !roots.is_empty() {
            let message = "Android accepts certificates from its own store only: add the certificate there";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        Verifier::new(provider).map_err(verifier_error)
    }

    pub(crate) fn for_plain_http(provider: Arc<CryptoProvider>) -> Result<ClientConfig> {
        Ok(config_builder(provider)?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    fn config_builder(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|source| {
            Error::new(ErrorKind::Configuration, "TLS provider supports no safe TLS version").with_source(source)
        })
    }

    fn read_bundle(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
        let roots = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| super::invalid_root_error().with_source(source))?;
        if roots.is_empty() {
            return Err(super::invalid_root_error().with_source("no certificate found in the PEM data"));
        }
        // Added individually, because the error of the verifier does not name the invalid
        // certificate.
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone()).map_err(|source| super::invalid_root_error().with_source(source))?;
        }
        Ok(roots)
    }

    fn verifier_error(source: rustls::Error) -> Error {
        let message = match source {
            // The verifier reports an empty store as a general error.
            rustls::Error::General(_) => {
                "no CA certificates found on this host: install the `ca-certificates` package or add one with \
                 `root_certificate_pem(..)`"
            }
            _ => "CA certificates of this host cannot be used: check the certificate store",
        };
        Error::new(ErrorKind::Configuration, message).with_source(source)
    }
}

#[cfg(feature = "native-tls")]
mod native_tls_config {
    use reqwest::Certificate;

    use crate::error::Result;

    pub(crate) fn certificates(bundles: &[Vec<u8>]) -> Result<Vec<Certificate>> {
        let mut roots = Vec::new();
        for bundle in bundles {
            roots.extend(read_bundle(bundle)?);
        }
        Ok(roots)
    }

    fn read_bundle(pem: &[u8]) -> Result<Vec<Certificate>> {
        let roots =
            Certificate::from_pem_bundle(pem).map_err(|source| super::invalid_root_error().with_source(source))?;
        if roots.is_empty() {
            return Err(super::invalid_root_error().with_source("no certificate found in the PEM data"));
        }
        Ok(roots)
    }
}

#[cfg(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls"))]
fn invalid_root_error() -> Error {
    Error::new(
        ErrorKind::Configuration,
        "invalid root certificate: pass PEM certificates to `root_certificate_pem(..)`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    const ALL_BACKENDS: &[TlsBackend] = &[
        TlsBackend::Rustls,
        #[cfg(feature = "rustls-ring")]
        TlsBackend::RustlsRing,
        #[cfg(feature = "native-tls")]
        TlsBackend::NativeTls,
    ];

    #[test]
    fn rustls_with_aws_lc_is_preferred() {
        assert_eq!(TlsBackend::preferred(), Some(TlsBackend::Rustls));
    }

    #[test]
    fn invalid_root_certificate_is_rejected_by_every_backend() {
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        let broken = b"-----BEGIN CERTIFICATE-----\n".to_vec();
        for &backend in ALL_BACKENDS {
            for pem in [&garbage, &broken, &b"hello".to_vec(), &Vec::new()] {
                let error = HttpsConfig::new(Some(backend), std::slice::from_ref(pem)).err().unwrap();
                assert_eq!(error.kind(), ErrorKind::Configuration);
                assert!(error.to_string().starts_with("invalid root certificate: "), "{error}");
                assert!(error.source().is_some());
            }
        }
    }

    #[test]
    fn no_process_wide_crypto_provider_is_installed() {
        for &backend in ALL_BACKENDS {
            HttpsConfig::new(Some(backend), &[]).unwrap().apply(ClientBuilder::new()).build().unwrap();
        }
        configure_plain_http(ClientBuilder::new()).unwrap().build().unwrap();
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }
}
