//! Form requests with client authentication (RFC 6749, section 2.3.1).

use bytes::Bytes;
use form_urlencoded::byte_serialize;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request};

use crate::endpoint::Endpoint;
use crate::error::Result;
use crate::message;
use crate::registration::Registration;
use crate::secret::ZeroizingBuffer;
use crate::service::ClientAuth;

/// A form in the format `application/x-www-form-urlencoded`. It contains secrets and is zeroized on
/// drop.
pub(crate) struct Form(ZeroizingBuffer);

impl Form {
    pub(crate) fn new() -> Self {
        Self(ZeroizingBuffer::with_capacity(1024))
    }

    pub(crate) fn append_pair(&mut self, name: &str, value: &str) -> &mut Self {
        if !self.0.as_slice().is_empty() {
            self.0.push(b"&");
        }
        self.append_encoded(name);
        self.0.push(b"=");
        self.append_encoded(value);
        self
    }

    fn append_encoded(&mut self, text: &str) {
        for part in byte_serialize(text.as_bytes()) {
            self.0.push(part.as_bytes());
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

/// Creates a request that authenticates the client with the service's [method](ClientAuth).
///
/// # Errors
///
/// - [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): the client has no secret.
pub(crate) fn authenticated_request(
    registration: &Registration,
    endpoint: &Endpoint,
    mut form: Form,
) -> Result<Request<Bytes>> {
    if registration.service.client_auth() == ClientAuth::Basic {
        return basic_request(registration, endpoint, form);
    }
    form.append_pair("client_id", registration.client_id());
    form.append_pair("client_secret", registration.require_secret()?.expose());
    plain_request(registration, endpoint, form)
}

/// Creates a request that authenticates the client with HTTP Basic.
///
/// # Errors
///
/// - [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): the client has no secret.
pub(crate) fn basic_request(registration: &Registration, endpoint: &Endpoint, form: Form) -> Result<Request<Bytes>> {
    let authorization = registration.require_secret()?.basic();
    let mut request = plain_request(registration, endpoint, form)?;
    request.headers_mut().insert(AUTHORIZATION, authorization);
    Ok(request)
}

/// Creates a request without client authentication.
pub(crate) fn plain_request(registration: &Registration, endpoint: &Endpoint, form: Form) -> Result<Request<Bytes>> {
    let mut request = message::request(registration, Method::POST, endpoint, form.into_bytes())?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_encoded_per_url_standard() {
        let pairs = [("grant_type", "authorization_code"), ("a b", "1&2=3%"), ("", ""), ("ü", "\u{1f600}+*-._~\0\n")];
        let mut form = Form::new();
        let mut reference = form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            form.append_pair(name, value);
            reference.append_pair(name, value);
        }
        assert_eq!(form.into_bytes(), reference.finish());
    }

    #[test]
    fn form_longer_than_initial_capacity_is_complete() {
        let long = "é".repeat(5000);
        let mut form = Form::new();
        form.append_pair("code", "c1").append_pair("user_info", &long);
        let bytes = form.into_bytes();
        let pairs: Vec<_> = form_urlencoded::parse(&bytes).into_owned().collect();
        assert_eq!(pairs, [("code".to_owned(), "c1".to_owned()), ("user_info".to_owned(), long)]);
    }
}
