//! A form that the client sends, and proves with its secret that it is the one (RFC 6749 section 2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use secrecy::zeroize::Zeroizing;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::message;
use crate::registration::Registration;
use crate::service::ClientAuth;

/// The request with this form, authenticated in the service's way.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] when the client has no secret.
pub(crate) fn request(
    registration: &Registration,
    endpoint: &Endpoint,
    mut form: Serializer<'_, String>,
) -> Result<Request<Bytes>> {
    let secret = registration.require_secret()?;
    if registration.service.client_auth() == ClientAuth::Basic {
        return basic_request(registration, endpoint, form);
    }
    form.append_pair("client_id", registration.client_id());
    form.append_pair("client_secret", secret.expose());
    plain_request(registration, endpoint, form)
}

/// The request with this form, authenticated in its header.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] when the client has no secret.
pub(crate) fn basic_request(
    registration: &Registration,
    endpoint: &Endpoint,
    form: Serializer<'_, String>,
) -> Result<Request<Bytes>> {
    let authorization = basic(registration.client_id(), registration.require_secret()?.expose())?;
    let mut request = plain_request(registration, endpoint, form)?;
    request.headers_mut().insert(AUTHORIZATION, authorization);
    Ok(request)
}

/// The request with this form, from whoever it says it is.
pub(crate) fn plain_request(
    registration: &Registration,
    endpoint: &Endpoint,
    mut form: Serializer<'_, String>,
) -> Result<Request<Bytes>> {
    let mut request = message::request(registration, Method::POST, endpoint, Bytes::from(form.finish()))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Ok(request)
}

/// The credentials of HTTP Basic, with id and secret form-encoded first (RFC 6749 section 2.3.1).
pub(crate) fn credentials(client_id: &str, client_secret: &str) -> Zeroizing<String> {
    // As long as encoding can make them: a text that has to grow leaves copies of itself behind.
    let mut pair = Zeroizing::new(String::with_capacity(3 * (client_id.len() + client_secret.len()) + 1));
    pair.extend(form_urlencoded::byte_serialize(client_id.as_bytes()));
    pair.push(':');
    pair.extend(form_urlencoded::byte_serialize(client_secret.as_bytes()));
    Zeroizing::new(STANDARD.encode(pair.as_bytes()))
}

fn basic(client_id: &str, client_secret: &str) -> Result<HeaderValue> {
    let text = Zeroizing::new(format!("Basic {}", *credentials(client_id, client_secret)));
    let mut value = HeaderValue::from_str(&text).map_err(|source| {
        Error::new(ErrorKind::Configuration, "the client cannot be authenticated").with_source(source)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_form_encoded_first() {
        let value = basic("a:b", "c d%é").unwrap();
        let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), b"a%3Ab:c+d%25%C3%A9");
        assert!(value.is_sensitive());
    }
}
