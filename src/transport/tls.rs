//! What reqwest is told about TLS: explicit in every part, so that nothing process-wide is installed or relied on.

use reqwest::ClientBuilder;

use crate::error::{Error, ErrorKind, Result};

/// The library that speaks TLS; each stands behind the Cargo feature of its name.
///
/// Where several are on and the builder is not told, the first of this list is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsBackend {
    /// rustls with the aws-lc provider.
    #[cfg(feature = "rustls")]
    Rustls,
    /// rustls with the ring provider.
    #[cfg(feature = "rustls-ring")]
    RustlsRing,
    /// The operating system's own: OpenSSL, Secure Transport or SChannel.
    #[cfg(feature = "native-tls")]
    NativeTls,
}

impl TlsBackend {
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

/// What is needed to speak https; several clients can be made with it, and the system's certificates are read once.
pub(super) enum Https {
    #[cfg(any(feature = "rustls", feature = "rustls-ring"))]
    Rustls(Box<rustls::ClientConfig>),
    #[cfg(feature = "native-tls")]
    Native(Vec<reqwest::Certificate>),
}

impl Https {
    /// `roots` are PEM bundles that are trusted beside the system's certificates.
    #[cfg_attr(
        not(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")),
        expect(unused_variables, reason = "there is nothing to ready")
    )]
    pub(super) fn new(backend: Option<TlsBackend>, roots: &[Vec<u8>]) -> Result<Self> {
        match backend.or_else(TlsBackend::preferred) {
            #[cfg(feature = "rustls")]
            Some(TlsBackend::Rustls) => {
                with_rustls::for_https(with_rustls::aws_lc(), roots).map(|config| Self::Rustls(Box::new(config)))
            }
            #[cfg(feature = "rustls-ring")]
            Some(TlsBackend::RustlsRing) => {
                with_rustls::for_https(with_rustls::ring(), roots).map(|config| Self::Rustls(Box::new(config)))
            }
            #[cfg(feature = "native-tls")]
            Some(TlsBackend::NativeTls) => with_native_tls::certificates(roots).map(Self::Native),
            None => {
                let message = "no TLS feature of webex-oauth is on: enable `rustls`, `rustls-ring` or `native-tls` in \
                               Cargo.toml";
                Err(Error::new(ErrorKind::Configuration, message))
            }
        }
    }

    /// Readies `builder`.
    #[cfg_attr(
        not(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")),
        expect(unused_variables, reason = "there is nothing to ready")
    )]
    pub(super) fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        match *self {
            #[cfg(any(feature = "rustls", feature = "rustls-ring"))]
            Self::Rustls(ref config) => builder.tls_backend_preconfigured((**config).clone()),
            #[cfg(feature = "native-tls")]
            Self::Native(ref roots) => builder.tls_backend_native().tls_certs_merge(roots.clone()),
        }
    }
}

/// Readies `builder` for plain http alone: no certificate of the system is read.
///
/// reqwest readies TLS in every client, and panics where it has rustls but no provider for it; so it is told here too.
pub(super) fn for_plain_http(builder: ClientBuilder) -> Result<ClientBuilder> {
    match TlsBackend::preferred() {
        #[cfg(feature = "rustls")]
        Some(TlsBackend::Rustls) => {
            Ok(builder.tls_backend_preconfigured(with_rustls::for_plain_http(with_rustls::aws_lc())?))
        }
        #[cfg(feature = "rustls-ring")]
        Some(TlsBackend::RustlsRing) => {
            Ok(builder.tls_backend_preconfigured(with_rustls::for_plain_http(with_rustls::ring())?))
        }
        #[cfg(feature = "native-tls")]
        Some(TlsBackend::NativeTls) => Ok(builder.tls_backend_native()),
        None => Ok(builder),
    }
}

#[cfg(any(feature = "rustls", feature = "rustls-ring"))]
mod with_rustls {
    use std::sync::Arc;

    use rustls::crypto::CryptoProvider;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
    use rustls_platform_verifier::Verifier;

    use crate::error::{Error, ErrorKind, Result};

    #[cfg(feature = "rustls")]
    pub(super) fn aws_lc() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::aws_lc_rs::default_provider())
    }

    #[cfg(feature = "rustls-ring")]
    pub(super) fn ring() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    pub(super) fn for_https(provider: Arc<CryptoProvider>, bundles: &[Vec<u8>]) -> Result<ClientConfig> {
        let mut roots = Vec::new();
        for bundle in bundles {
            roots.extend(read_bundle(bundle)?);
        }
        let verifier = verifier(roots, Arc::clone(&provider))?;
        let mut config =
            begin(provider)?.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    #[cfg(not(target_os = "android"))]
    fn verifier(roots: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Verifier> {
        Verifier::new_with_extra_roots(roots, provider).map_err(unverifiable)
    }

    #[cfg(target_os = "android")]
    fn verifier(roots: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Verifier> {
        if !roots.is_empty() {
            let message = "Android trusts only the certificates of its own store: add yours there";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        Verifier::new(provider).map_err(unverifiable)
    }

    pub(super) fn for_plain_http(provider: Arc<CryptoProvider>) -> Result<ClientConfig> {
        Ok(begin(provider)?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
    }

    fn begin(provider: Arc<CryptoProvider>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|source| {
            Error::new(ErrorKind::Configuration, "the TLS provider speaks no safe version of TLS").with_source(source)
        })
    }

    fn read_bundle(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
        let roots = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| super::unusable_root().with_source(source))?;
        if roots.is_empty() {
            return Err(super::unusable_root().with_source("there is no certificate in it"));
        }
        // Tried one by one, because the verifier's own error would not say that it is about these.
        let mut store = RootCertStore::empty();
        for root in &roots {
            store.add(root.clone()).map_err(|source| super::unusable_root().with_source(source))?;
        }
        Ok(roots)
    }

    fn unverifiable(source: rustls::Error) -> Error {
        let message = match source {
            // The verifier has no variant of its own for an empty store.
            rustls::Error::General(_) => {
                "no CA certificates were found on this machine: install the `ca-certificates` package \
                 or add one with root_certificate_pem(..)"
            }
            _ => "the CA certificates of this machine cannot be used",
        };
        Error::new(ErrorKind::Configuration, message).with_source(source)
    }
}

#[cfg(feature = "native-tls")]
mod with_native_tls {
    use reqwest::Certificate;

    use crate::error::Result;

    pub(super) fn certificates(bundles: &[Vec<u8>]) -> Result<Vec<Certificate>> {
        let mut roots = Vec::new();
        for bundle in bundles {
            roots.extend(read_bundle(bundle)?);
        }
        Ok(roots)
    }

    fn read_bundle(pem: &[u8]) -> Result<Vec<Certificate>> {
        let roots = Certificate::from_pem_bundle(pem).map_err(|source| super::unusable_root().with_source(source))?;
        if roots.is_empty() {
            return Err(super::unusable_root().with_source("there is no certificate in it"));
        }
        Ok(roots)
    }
}

#[cfg(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls"))]
fn unusable_root() -> Error {
    Error::new(ErrorKind::Configuration, "what was given to root_certificate_pem(..) cannot be used")
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    const EVERY: &[TlsBackend] = &[
        TlsBackend::Rustls,
        TlsBackend::RustlsRing,
        #[cfg(feature = "native-tls")]
        TlsBackend::NativeTls,
    ];

    #[test]
    fn rustls_with_aws_lc_is_preferred() {
        assert_eq!(TlsBackend::preferred(), Some(TlsBackend::Rustls));
    }

    #[test]
    fn a_root_that_is_no_certificate_is_refused_by_every_backend() {
        let garbage = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        let broken = b"-----BEGIN CERTIFICATE-----\n".to_vec();
        for &backend in EVERY {
            for pem in [&garbage, &broken, &b"hello".to_vec(), &Vec::new()] {
                let error = Https::new(Some(backend), std::slice::from_ref(pem)).err().unwrap();
                assert_eq!(error.kind(), ErrorKind::Configuration);
                assert_eq!(error.to_string(), "what was given to root_certificate_pem(..) cannot be used");
                assert!(error.source().is_some());
            }
        }
    }

    #[test]
    fn nothing_is_installed_for_the_whole_process() {
        for &backend in EVERY {
            Https::new(Some(backend), &[]).unwrap().apply(ClientBuilder::new()).build().unwrap();
        }
        for_plain_http(ClientBuilder::new()).unwrap().build().unwrap();
        assert!(rustls::crypto::CryptoProvider::get_default().is_none());
    }
}
