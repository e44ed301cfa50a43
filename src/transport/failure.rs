//! Conversion of reqwest's errors, with the delivery and the remedy.

use std::error::Error as StdError;
use std::{io, iter};

use url::Url;

use crate::error::{Delivery, Error, ErrorClass, ErrorKind};

/// Returns `true` if the server did not process the request although a connection was established.
///
/// Call this only for errors before a response. After the head of a response, the result has no
/// meaning.
pub(crate) fn is_unprocessed(error: &(dyn StdError + 'static)) -> bool {
    error_chain(error).any(|cause| {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            // RFC 9113, section 8.7: REFUSED_STREAM, or a stream above the last stream of a GOAWAY.
            // `h2` reports a remote GOAWAY to those streams only, with any code. Lower streams fail
            // with an I/O error when the connection closes.
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (is_refused || error.is_go_away());
        }
        // The connection closed before the request was written.
        cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
    })
}

/// Converts an error that occurred before a response. `proxy` is the variable that configures the
/// proxy, if any.
pub(crate) fn request_send_error(error: reqwest::Error, url: &Url, proxy: Option<&str>) -> Error {
    let error = error.without_url();
    if error.is_builder() {
        return Error::new(ErrorKind::InvalidInput, "invalid request URL: expected an http or https URL")
            .with_source(error);
    }
    if error.is_connect() {
        return match connect_error_message(&error, url, proxy) {
            Some(message) => not_sent_error(message, error).with_class(ErrorClass::Misconfigured),
            None => Error::transport(Delivery::NotSent, error),
        };
    }
    if is_unprocessed(&error) {
        let message = "server did not process the request: it rejected the HTTP/2 stream or closed the connection; \
                       retry";
        return not_sent_error(message.to_owned(), error).with_class(ErrorClass::Retryable);
    }
    Error::transport(Delivery::Unknown, error)
}

/// Converts an error that occurred while a response was read.
pub(crate) fn body_read_error(error: reqwest::Error) -> Error {
    Error::transport(Delivery::Unknown, error.without_url())
}

fn not_sent_error(message: String, source: reqwest::Error) -> Error {
    Error::new(ErrorKind::Transport, message).with_delivery(Delivery::NotSent).with_source(source)
}

/// Returns the message for a problem that a retry does not solve: an unusable proxy or a rejected
/// certificate.
fn connect_error_message(error: &reqwest::Error, url: &Url, proxy: Option<&str>) -> Option<String> {
    let texts = || error_chain(error).map(ToString::to_string);
    // hyper-rustls and hyper-util have no error types for these. The request URL is http or https,
    // so the unsupported scheme is that of the proxy.
    if texts().any(|text| text.starts_with("unsupported scheme")) {
        let setting = proxy.map_or_else(String::new, |name| format!(" in {name}"));
        return Some(format!(
            "unsupported proxy{setting}: only HTTP and HTTPS proxies are supported, not SOCKS; use an HTTP or HTTPS \
             proxy, or exempt the host in NO_PROXY"
        ));
    }
    if texts().any(|text| text.ends_with("proxy authorization required")) {
        let setting = proxy.map_or_else(String::new, |name| format!(" in {name}"));
        return Some(format!(
            "proxy{setting} rejected the connection: it requires a user name and password (407); add them to its URL, \
             percent-encoded, as in http://user:password@host:port"
        ));
    }
    let rejection = certificate_rejection(error)?;
    let host = url.host_str().unwrap_or_default();
    let advice = match rejection {
        CertificateRejection::Expired => "it has expired; check this host's clock, then the server",
        CertificateRejection::NotYetValid => "it is not valid yet; check this host's clock",
        CertificateRejection::UnknownIssuer => {
            "its issuer is not trusted; if a proxy on this network inspects TLS, trust its root certificate with \
             `root_certificate_pem(..)`"
        }
        CertificateRejection::WrongName => {
            "it is for another host name; check the service's URL, and check for a proxy or a network sign-in page that \
             intercepts the connection"
        }
        CertificateRejection::Other => "it cannot be verified; see the source of this error",
    };
    Some(format!("TLS certificate for {host} was rejected: {advice}"))
}

/// The reason for the rejection of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertificateRejection {
    Expired,
    NotYetValid,
    UnknownIssuer,
    WrongName,
    Other,
}

fn certificate_rejection(error: &reqwest::Error) -> Option<CertificateRejection> {
    #[cfg(any(feature = "rustls", feature = "rustls-ring"))]
    if let Some(error) = error_chain(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return rejection_from_rustls(error);
    }
    // Other TLS libraries have no common error types.
    error_chain(error).find_map(|cause| rejection_from_text(&cause.to_string()))
}

#[cfg(any(feature = "rustls", feature = "rustls-ring"))]
fn rejection_from_rustls(error: &rustls::Error) -> Option<CertificateRejection> {
    use rustls::CertificateError as Certificate;

    let rustls::Error::InvalidCertificate(error) = error else { return None };
    Some(match error {
        Certificate::Expired | Certificate::ExpiredContext { .. } => CertificateRejection::Expired,
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => CertificateRejection::NotYetValid,
        Certificate::UnknownIssuer => CertificateRejection::UnknownIssuer,
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => CertificateRejection::WrongName,
        // Some platform verifiers report a string only.
        other => rejection_from_text(&format!("certificate: {other}")).unwrap_or(CertificateRejection::Other),
    })
}

fn rejection_from_text(text: &str) -> Option<CertificateRejection> {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if !has(&["certificate"]) || has(&["alert"]) {
        return None;
    }
    Some(if has(&["not yet valid", "not valid yet"]) {
        CertificateRejection::NotYetValid
    } else if has(&["expired"]) {
        CertificateRejection::Expired
    } else if has(&["issuer", "self-signed", "self signed", "not trusted", "untrusted"]) {
        CertificateRejection::UnknownIssuer
    } else if has(&["hostname", "host name", "name mismatch", "valid for name"]) {
        CertificateRejection::WrongName
    } else {
        CertificateRejection::Other
    })
}

/// Returns the error and all its causes. Unlike [`StdError::source`], this includes the error that
/// an [`io::Error`] wraps.
fn error_chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |&error: &&'a (dyn StdError + 'static)| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as _).or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_error_of_any_tls_library_is_classified_by_text() {
        for (text, expected) in [
            (
                "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:\
              ssl/statem/statem_clnt.c:2091: (certificate has expired)",
                Some(CertificateRejection::Expired),
            ),
            ("certificate verify failed: (certificate is not yet valid)", Some(CertificateRejection::NotYetValid)),
            (
                "certificate verify failed: (unable to get local issuer certificate)",
                Some(CertificateRejection::UnknownIssuer),
            ),
            ("certificate verify failed: (self-signed certificate)", Some(CertificateRejection::UnknownIssuer)),
            ("The certificate was not trusted.", Some(CertificateRejection::UnknownIssuer)),
            ("certificate verify failed: (hostname mismatch)", Some(CertificateRejection::WrongName)),
            ("certificate verify failed: (certificate revoked)", Some(CertificateRejection::Other)),
            ("sslv3 alert bad certificate", None),
            ("connection reset by peer", None),
        ] {
            assert_eq!(rejection_from_text(text), expected, "{text}");
        }
    }

    fn post() -> http::Request<String> {
        http::Request::post("/").body("form".to_owned()).unwrap()
    }

    #[tokio::test]
    async fn request_is_unprocessed_only_if_not_written() {
        use hyper::client::conn::http1::handshake;
        use hyper_util::rt::TokioIo;
        use tokio::io::AsyncReadExt as _;

        let (near, _far) = tokio::io::duplex(1024);
        let (mut sender, connection) = handshake(TokioIo::new(near)).await.unwrap();
        drop(connection);
        let error = sender.send_request(post()).await.unwrap_err();
        assert!(is_unprocessed(&error), "{error:?}");

        let (near, mut far) = tokio::io::duplex(1024);
        let (mut sender, connection) = handshake(TokioIo::new(near)).await.unwrap();
        tokio::spawn(connection);
        let server = async move { far.read_u8().await };
        let (result, byte) = tokio::join!(sender.send_request(post()), server);
        assert!(byte.is_ok() && !is_unprocessed(&result.unwrap_err()));
    }

    #[test]
    fn causes_of_nested_io_errors_are_all_found() {
        let inner = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        let outer = io::Error::other(io::Error::other(inner));
        assert!(error_chain(&outer).any(|cause| cause.is::<rustls::Error>()));
    }
}
