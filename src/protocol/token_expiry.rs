//! Expiry of an access token according to Webex: `GET /authorizations/tokenExpiry`.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response};

use crate::clock::UnixTime;
use crate::error::Result;
use crate::json::value;
use crate::protocol::error_response::{self, error_from_response};
use crate::protocol::http_request::{self, RequestKind};
use crate::registration::Registration;
use crate::secret::AccessToken;

/// Returns the request for the expiry of the access token that authorizes it.
pub(crate) fn token_expiry_request(registration: &Registration, access_token: &AccessToken) -> Result<Request<Bytes>> {
    let endpoint = registration.api_endpoint("/authorizations/tokenExpiry")?;
    let mut request = http_request::new_request(registration, Method::GET, &endpoint, Bytes::new())?;
    request.headers_mut().insert(AUTHORIZATION, http_request::bearer_header(access_token)?);
    Ok(request)
}

/// Reads the response, which contains milliseconds since the Unix epoch.
pub(crate) fn read_token_expiry(
    response: &Response<Bytes>,
    access_token: &AccessToken,
    now: UnixTime,
) -> Result<UnixTime> {
    let secrets = [access_token.expose()];
    if !response.status().is_success() {
        return Err(error_from_response(RequestKind::Person, response, &secrets, now));
    }
    let body = value::parse_object(response.body());
    let end = body.as_ref().and_then(|body| value::whole_number(body.get("exp")?));
    end.map(|milliseconds| UnixTime::from_secs(milliseconds / 1000)).ok_or_else(|| {
        let problem = "invalid response from the token expiry endpoint";
        error_response::invalid_response_error(
            RequestKind::Person,
            response,
            problem,
            &"missing `exp` in milliseconds",
            &secrets,
        )
    })
}
