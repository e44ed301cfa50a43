//! What an error of reqwest means: whether the request was sent, and who can help.

use std::error::Error as StdError;
use std::io;
use std::iter;

use url::Url;

use crate::error::{Delivery, Error, ErrorKind, Remedy};

/// Whether the server provably did not process the request, although a connection was made.
///
/// It is for an error in place of a response; after a response's head nothing is proven any more.
pub(super) fn is_unprocessed(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            // RFC 9113 section 8.7: a refused stream, and one above the last stream of a GOAWAY. `h2` gives the remote GOAWAY
            // to those alone, whatever its code; streams up to the last one end with the connection, as an I/O error.
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (is_refused || error.is_go_away());
        }
        // The connection ended before the request was written to it.
        cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
    })
}

/// An error in place of a response. `proxy` is the variable that names the proxy, where one does.
pub(super) fn sending_failed(error: reqwest::Error, url: &Url, proxy: Option<&str>) -> Error {
    let error = error.without_url();
    if error.is_builder() {
        return Error::new(ErrorKind::InvalidInput, "the request cannot be sent: its address is not http or https")
            .with_source(error);
    }
    if error.is_connect() {
        return match connect_problem(&error, url, proxy) {
            Some(message) => not_sent(message, error).with_remedy(Remedy::Registration),
            None => Error::transport(Delivery::NotSent, error),
        };
    }
    if is_unprocessed(&error) {
        let message = "the server did not process the request: it refused the HTTP/2 stream or closed the connection \
                       before it; try again";
        return not_sent(message.to_owned(), error).with_remedy(Remedy::Later);
    }
    Error::transport(Delivery::Unknown, error)
}

/// An error while a response was read.
pub(super) fn reading_failed(error: reqwest::Error) -> Error {
    Error::transport(Delivery::Unknown, error.without_url())
}

fn not_sent(message: String, source: reqwest::Error) -> Error {
    Error::new(ErrorKind::Transport, message).with_delivery(Delivery::NotSent).with_source(source)
}

/// What time does not solve: a proxy that cannot be used, or a certificate that is rejected.
fn connect_problem(error: &reqwest::Error, url: &Url, proxy: Option<&str>) -> Option<String> {
    let texts = || causes(error).map(ToString::to_string);
    // hyper-rustls and hyper-util have no types for these. The address itself is http or https, so the scheme is a proxy's.
    if texts().any(|text| text.starts_with("unsupported scheme")) {
        let setting = proxy.map_or_else(String::new, |name| format!(" in {name}"));
        return Some(format!(
            "the proxy{setting} cannot be used: only http and https proxies are supported, not SOCKS; name an http or \
             https proxy, or exempt the host in NO_PROXY"
        ));
    }
    if texts().any(|text| text.ends_with("proxy authorization required")) {
        let setting = proxy.map_or_else(String::new, |name| format!(" in {name}"));
        return Some(format!(
            "the proxy{setting} rejected the connection: it requires a user name and password (407); write them into \
             its address as http://user:password@host:port, percent-encoded"
        ));
    }
    let rejection = rejection(error)?;
    let host = url.host_str().unwrap_or_default();
    let advice = match rejection {
        Rejection::Expired => "it has expired; check this host's clock, and then the server",
        Rejection::NotYetValid => "it is not valid yet; check this host's clock",
        Rejection::UnknownIssuer => {
            "its issuer is not trusted; if a proxy on this network inspects TLS, trust its root certificate with \
             `root_certificate_pem(..)`"
        }
        Rejection::WrongName => {
            "it is for another host name; check the service's address, and whether a proxy or a network's sign-in page \
             responds in its place"
        }
        Rejection::Other => "it cannot be verified; the error's source has the reason",
    };
    Some(format!("the TLS certificate presented for {host} was rejected: {advice}"))
}

/// Why a server's certificate was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejection {
    Expired,
    NotYetValid,
    UnknownIssuer,
    WrongName,
    Other,
}

fn rejection(error: &reqwest::Error) -> Option<Rejection> {
    #[cfg(any(feature = "rustls", feature = "rustls-ring"))]
    if let Some(error) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return rejection_by_rustls(error);
    }
    // Other TLS libraries have no types in common.
    causes(error).find_map(|cause| rejection_by_text(&cause.to_string()))
}

#[cfg(any(feature = "rustls", feature = "rustls-ring"))]
fn rejection_by_rustls(error: &rustls::Error) -> Option<Rejection> {
    use rustls::CertificateError as Certificate;

    let rustls::Error::InvalidCertificate(error) = error else { return None };
    Some(match error {
        Certificate::Expired | Certificate::ExpiredContext { .. } => Rejection::Expired,
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => Rejection::NotYetValid,
        Certificate::UnknownIssuer => Rejection::UnknownIssuer,
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => Rejection::WrongName,
        // Some of the platforms' verifiers have no more than a text.
        other => rejection_by_text(&format!("certificate: {other}")).unwrap_or(Rejection::Other),
    })
}

fn rejection_by_text(text: &str) -> Option<Rejection> {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if !has(&["certificate"]) || has(&["alert"]) {
        return None;
    }
    Some(if has(&["not yet valid", "not valid yet"]) {
        Rejection::NotYetValid
    } else if has(&["expired"]) {
        Rejection::Expired
    } else if has(&["issuer", "self-signed", "self signed", "not trusted", "untrusted"]) {
        Rejection::UnknownIssuer
    } else if has(&["hostname", "host name", "name mismatch", "valid for name"]) {
        Rejection::WrongName
    } else {
        Rejection::Other
    })
}

/// The error and all its causes. An [`io::Error`] leaves the error that it wraps out of its own chain.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |&error: &&'a (dyn StdError + 'static)| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|wrapped| wrapped as _).or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_error_of_any_tls_library_is_classified_by_its_text() {
        for (text, expected) in [
            (
                "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:\
              ssl/statem/statem_clnt.c:2091: (certificate has expired)",
                Some(Rejection::Expired),
            ),
            ("certificate verify failed: (certificate is not yet valid)", Some(Rejection::NotYetValid)),
            ("certificate verify failed: (unable to get local issuer certificate)", Some(Rejection::UnknownIssuer)),
            ("certificate verify failed: (self-signed certificate)", Some(Rejection::UnknownIssuer)),
            ("The certificate was not trusted.", Some(Rejection::UnknownIssuer)),
            ("certificate verify failed: (hostname mismatch)", Some(Rejection::WrongName)),
            ("certificate verify failed: (certificate revoked)", Some(Rejection::Other)),
            ("sslv3 alert bad certificate", None),
            ("connection reset by peer", None),
        ] {
            assert_eq!(rejection_by_text(text), expected, "{text}");
        }
    }

    fn post() -> http::Request<String> {
        http::Request::post("/").body("form".to_owned()).unwrap()
    }

    #[tokio::test]
    async fn request_that_a_connection_never_took_is_unprocessed_and_one_that_was_written_is_not() {
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
        assert!(causes(&outer).any(|cause| cause.is::<rustls::Error>()));
    }
}
