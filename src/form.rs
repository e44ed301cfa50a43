//! A form that the client sends, and proves with its secret that it is the one (RFC 6749 section 2.3.1).

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request};

use crate::endpoint::Endpoint;
use crate::error::Result;
use crate::message;
use crate::registration::Registration;
use crate::service::ClientAuth;

/// The request with this form, authenticated in the service's way.
///
/// # Errors
///
/// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the client has no secret.
pub(crate) fn request(
    registration: &Registration,
    endpoint: &Endpoint,
    mut form: Serializer<'_, String>,
) -> Result<Request<Bytes>> {
    if registration.service.client_auth() == ClientAuth::Basic {
        return basic_request(registration, endpoint, form);
    }
    form.append_pair("client_id", registration.client_id());
    form.append_pair("client_secret", registration.require_secret()?.expose());
    plain_request(registration, endpoint, form)
}

/// The request with this form, authenticated in its header.
///
/// # Errors
///
/// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the client has no secret.
pub(crate) fn basic_request(
    registration: &Registration,
    endpoint: &Endpoint,
    form: Serializer<'_, String>,
) -> Result<Request<Bytes>> {
    let authorization = registration.require_secret()?.basic();
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
