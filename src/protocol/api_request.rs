//! Requests to the Webex API: paths below the base URL, the hosts that may receive an access token,
//! responses, and pagination.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LINK, USER_AGENT};
use http::{HeaderMap, Request, Response, Uri};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::json::value;
use crate::protocol::error_response::{self, RequestKind};
use crate::protocol::http_request;
use crate::registration::Registration;
use crate::secret::AccessToken;
use crate::service::url::{has_authority, has_only_url_characters, is_plain_http_allowed};

/// Checks that an access token may be sent to `uri`.
///
/// The scheme must be https, or http for a loopback address or a test host. The host must belong to
/// the service or have been added by the application.
pub(crate) fn check_token_destination(registration: &Registration, uri: &Uri) -> Result<()> {
    let reject = |why: &str| {
        let host = uri.host().unwrap_or("no host");
        Err(Error::new(ErrorKind::InvalidInput, format!("access token not sent to {host:?}: {why}")))
    };
    let Ok(url) = Url::parse(&uri.to_string()) else {
        return reject("the URL is not absolute");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return reject("the URL contains a user name or password");
    }
    match url.scheme() {
        "https" => {}
        "http" if is_plain_http_allowed(&url, &registration.insecure_hosts) => {}
        _ => return reject("the connection is unencrypted; use https"),
    }
    let host = url.host_str().unwrap_or_default();
    let endpoints = &registration.endpoints;
    let mut own =
        std::iter::once(&endpoints.token).chain(&endpoints.person).filter_map(|endpoint| endpoint.url().host_str());
    let added = registration.service.api_hosts();
    if own.any(|own| own == host) || added.iter().any(|own| own.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    reject("untrusted host; if it belongs to Webex, add it with `Service::with_api_host(..)`")
}

/// Adds the access token and the common headers to a request.
pub(crate) fn authorized_request(
    registration: &Registration,
    mut request: Request<Bytes>,
    token: &AccessToken,
) -> Result<Request<Bytes>> {
    check_token_destination(registration, request.uri())?;
    let bearer = http_request::bearer_header(token)?;
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, bearer);
    headers.entry(USER_AGENT).or_insert_with(|| registration.user_agent.clone());
    http_request::add_tracking_id(headers)?;
    // Responses are not decompressed.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(request)
}

/// Returns the URL of `path`, which is relative to the base URL of the service, or absolute and on an
/// API host of the service.
///
/// Everything that a URL parser would change or that leaves the base URL is rejected: an access
/// token would be sent to another place than the path shows.
pub(crate) fn api_url(registration: &Registration, path: &str) -> Result<Url> {
    let (place, query) = path.split_once('?').map_or((path, None), |(place, query)| (place, Some(query)));
    let invalid = |why: &str| {
        // A query may contain personal data, a fragment a token, and an authority a password.
        let shown = place.split('#').next().filter(|_| !place.contains('@')).unwrap_or_default();
        Error::new(ErrorKind::InvalidInput, format!("invalid API path {shown:?}: {why}"))
    };
    if !has_only_url_characters(place) || !query.unwrap_or_default().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("percent-encode it; add query parameters with `.query(..)`"));
    }
    if place.is_empty() {
        return Err(invalid("it is empty; use a path such as `people/me`"));
    }
    if path.contains('#') {
        return Err(invalid("percent-encode \"#\""));
    }
    let is_absolute = place.contains("://");
    let segments = if is_absolute { place.splitn(4, '/').nth(3).unwrap_or_default() } else { relative_path(place) };
    if !is_absolute && segments.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err(invalid("it is neither a path nor a URL with \"://\""));
    }
    if place.starts_with("//") || segments.contains("//") || segments.starts_with('/') {
        return Err(invalid("it has an empty segment; an ID may be missing"));
    }
    if segments.split('/').any(is_dot_segment) {
        return Err(invalid("it has a `.` or `..` segment; use the path itself"));
    }
    let url = if is_absolute {
        if !has_authority(place) {
            return Err(invalid("it is not a complete URL"));
        }
        Url::parse(path).map_err(|_| invalid("it is not a valid URL"))?
    } else {
        join_base_url(registration, segments, query)?
    };
    let uri = url.as_str().parse().map_err(|_| invalid("it is not a valid URL"))?;
    check_token_destination(registration, &uri)?;
    Ok(url)
}

/// Returns a path without its leading slash.
fn relative_path(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

/// Appends a path to the base URL. A path that begins with the path of the base URL, such as
/// `/v1/rooms`, is not appended twice.
fn join_base_url(registration: &Registration, path: &str, query: Option<&str>) -> Result<Url> {
    let mut url = registration.api_endpoint("")?.url().clone();
    let base = url.path().trim_end_matches('/').to_owned();
    let own = base.strip_prefix('/').and_then(|base| path.strip_prefix(base)?.strip_prefix('/'));
    url.set_path(&format!("{base}/{}", own.unwrap_or(path)));
    url.set_query(query);
    Ok(url)
}

/// Returns `true` for `.` and `..`, also percent-encoded or next to an encoded slash.
fn is_dot_segment(segment: &str) -> bool {
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    decoded.split('/').any(|part| matches!(part, "." | ".."))
}

/// Adds the fields of `parameters` to the query of `url`.
///
/// `parameters` is a struct, a map, or a list of pairs. `None` is skipped.
pub(crate) fn add_query(url: &mut Url, parameters: &impl Serialize) -> Result<()> {
    let invalid = |why: String| Error::new(ErrorKind::InvalidInput, format!("invalid query parameters: {why}"));
    let parameters = serde_json::to_value(parameters).map_err(|_| invalid("they cannot be serialized".to_owned()))?;
    let mut pairs = Vec::new();
    match parameters {
        Value::Null => {}
        Value::Object(fields) => pairs.extend(fields),
        Value::Array(list) => {
            for pair in list {
                match serde_json::from_value::<(String, Value)>(pair) {
                    Ok(pair) => pairs.push(pair),
                    Err(_) => return Err(invalid("the list must contain pairs of a name and a value".to_owned())),
                }
            }
        }
        _ => return Err(invalid("use a struct, a map, or a list of pairs".to_owned())),
    }
    let mut added = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match value {
            Value::Null => {}
            Value::String(text) => added.push((name, text)),
            Value::Bool(_) | Value::Number(_) => added.push((name, value.to_string())),
            Value::Array(_) | Value::Object(_) => {
                return Err(invalid(format!("{name:?} is not a string, a number, or a Boolean")));
            }
        }
    }
    // An empty list adds no "?".
    if !added.is_empty() {
        url.query_pairs_mut().extend_pairs(added);
    }
    Ok(())
}

/// Reads a response as JSON. An empty body is `null`.
pub(crate) fn read_api_response<T: DeserializeOwned>(
    response: &Response<Bytes>,
    token: &AccessToken,
    now: UnixTime,
) -> Result<T> {
    check_api_status(response, token, now)?;
    if response.body().trim_ascii().is_empty() {
        return serde_json::from_str("null").map_err(|_| {
            invalid_content_error("response has no body: use `fetch::<()>` or `send`".to_owned(), response, token)
        });
    }
    let json = value::decode_json(response.body());
    serde_json::from_slice(&json).map_err(|error| unexpected_json_error(&error, response, token))
}

/// Returns the error of an error response, if it is one.
fn check_api_status(response: &Response<Bytes>, token: &AccessToken, now: UnixTime) -> Result<()> {
    if response.status().is_success() {
        return Ok(());
    }
    Err(error_response::error_from_response(RequestKind::Api, response, &[token.expose()], now))
}

/// Returns the error for a body that is not JSON or does not have the expected type.
fn unexpected_json_error(error: &serde_json::Error, response: &Response<Bytes>, token: &AccessToken) -> Error {
    if !error.is_data() {
        let problem = "invalid response from the API";
        let secrets = [token.expose()];
        return error_response::invalid_response_error(RequestKind::Api, response, problem, &"not JSON", &secrets);
    }
    invalid_content_error(type_mismatch(error), response, token)
}

/// Describes why JSON does not have the expected type. Values of the response are not quoted.
fn type_mismatch(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let names_field = ["missing field", "duplicate field"].iter().any(|stored| text.starts_with(stored));
    let (line, column) = (error.line(), error.column());
    let problem = text.split(" at line ").next().filter(|_| names_field).unwrap_or("value of another type");
    if line == 0 {
        return format!("response does not have the expected type: {problem}");
    }
    format!("response does not have the expected type: {problem} at line {line} column {column}")
}

/// Returns an error about the content of a response with a success status.
fn invalid_content_error(message: String, response: &Response<Bytes>, token: &AccessToken) -> Error {
    let tracking_id = http_request::received_tracking_id(response, None, &[token.expose()]);
    Error::new(ErrorKind::ApiRequest, message).with_tracking_id(tracking_id)
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct ApiPage {
    pub(crate) items: Vec<Box<RawValue>>,
    /// The URL of the next page.
    pub(crate) next: Option<Url>,
}

/// Reads a page: the items in `member`, and the link to the next page.
///
/// `first` is the URL of the first page, and `current` that of this page.
pub(crate) fn read_api_page(
    response: &Response<Bytes>,
    member: &str,
    (first, current): (&Url, &Url),
    token: &AccessToken,
    now: UnixTime,
) -> Result<ApiPage> {
    check_api_status(response, token, now)?;
    let json = value::decode_json(response.body());
    let mismatch = |error: serde_json::Error| unexpected_json_error(&error, response, token);
    let page: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&json).map_err(mismatch)?;
    let next = next_page_url(response.headers(), first, current);
    match page.get(member).filter(|value| is_list(value)) {
        Some(items) => Ok(ApiPage { items: serde_json::from_str(items.get()).map_err(mismatch)?, next }),
        None => {
            let lists = page.iter().filter(|(_, value)| is_list(value)).map(|(name, _)| format!("`{name}`"));
            let lists = lists.collect::<Vec<_>>().join(", ");
            let lists = if lists.is_empty() { "none".to_owned() } else { lists };
            let message = format!("response has no list `{member}`: found {lists}; name the member with `list_at(..)`");
            Err(invalid_content_error(message, response, token))
        }
    }
}

fn is_list(value: &RawValue) -> bool {
    value.get().starts_with('[')
}

/// Reads one item of a page.
pub(crate) fn read_api_item<T: DeserializeOwned>(item: &RawValue) -> Result<T> {
    serde_json::from_str(item.get())
        .map_err(|error| Error::new(ErrorKind::ApiRequest, type_mismatch(&error).replacen("response", "item", 1)))
}

/// Returns the URL of the next page: the `Link` with the relation `next` (RFC 8288).
///
/// Webex has sent `max=null`, which the next request rejects, and links without parameters of the
/// first request, which changes the result. The former is removed, and the latter are added.
fn next_page_url(headers: &HeaderMap, first: &Url, current: &Url) -> Option<Url> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let target = links.flat_map(|links| split_unquoted(links, ',')).find_map(link_target_of_next)?;
    let mut next = current.join(target).ok()?;
    next.set_fragment(None);
    let sent: Vec<(String, String)> = next.query_pairs().into_owned().collect();
    let mut pairs: Vec<_> = sent.iter().filter(|(name, value)| !(name == "max" && value == "null")).cloned().collect();
    let requested: Vec<(String, String)> = first.query_pairs().into_owned().collect();
    let is_repeated = |name: &str| requested.iter().filter(|(own, _)| own == name).count() > 1;
    let is_missing = |pair: &&(String, String)| {
        pairs.iter().all(|(own, _)| *own != pair.0) || is_repeated(&pair.0) && !pairs.contains(pair)
    };
    let forgotten: Vec<_> = requested.iter().filter(is_missing).cloned().collect();
    pairs.extend(forgotten);
    // The encoding of a complete link is left as it is.
    if pairs != sent {
        next.query_pairs_mut().clear().extend_pairs(pairs);
    }
    Some(next)
}

/// Checks that the URL of the next page may receive an access token. The error does not quote it,
/// because the server may have put anything into it.
pub(crate) fn check_page_link(registration: &Registration, url: &Url) -> Result<()> {
    api_url(registration, url.as_str()).map(drop).map_err(|_| {
        let message = "link to the next page is not usable: it does not lead to an API host of the service";
        Error::new(ErrorKind::ApiRequest, message)
    })
}

/// Splits a part of a `Link` header at a separator that is neither quoted nor within a URL.
fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_url, mut is_escaped) = (false, false, false);
    text.split(move |c| {
        // RFC 9110, section 5.6.4: a backslash quotes the next character of a quoted string.
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match c {
            '\\' if is_quoted => is_escaped = true,
            '"' if !is_url => is_quoted = !is_quoted,
            '<' if !is_quoted => is_url = true,
            '>' if !is_quoted => is_url = false,
            _ => {}
        }
        c == separator && !is_quoted && !is_url
    })
}

/// Returns the target of a link whose relation is `next`.
fn link_target_of_next(link: &str) -> Option<&str> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next =
        split_unquoted(parameters, ';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
            let relations = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && relations.split_ascii_whitespace().any(|relation| relation.eq_ignore_ascii_case("next"))
        });
    is_next.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::ClientIdentity;
    use crate::scope::Scopes;
    use crate::service::Service;
    use std::sync::Arc;

    #[test]
    fn token_is_sent_only_to_service_and_added_api_hosts() {
        let service = Service::webex().with_api_host("analytics.webexapis.com");
        let registration = Registration {
            endpoints: service.endpoints(&[]).unwrap(),
            client: Arc::new(ClientIdentity { service: service.id(), client_id: "C1".into() }),
            service,
            credentials: None,
            redirect_uri: None,
            scopes: Scopes::new(),
            insecure_hosts: Vec::new(),
            user_agent: HeaderValue::from_static("test"),
        };
        for (uri, fits) in [
            ("https://webexapis.com/v1/rooms", true),
            ("https://WEBEXAPIS.com/v1/rooms", true),
            ("https://analytics.webexapis.com/v1/x", true),
            ("http://webexapis.com/v1/rooms", false),
            ("https://webexapis.com.evil.example/", false),
            ("https://evil.example/webexapis.com", false),
            ("https://webexapis.com@evil.example/", false),
            ("https://user@webexapis.com/", false),
            ("https://api.webexapis.com/", false),
            ("http://localhost:1/", false),
            ("/v1/rooms", false),
        ] {
            assert_eq!(check_token_destination(&registration, &uri.parse().unwrap()).is_ok(), fits, "{uri}");
        }
    }

    #[test]
    fn next_page_is_the_link_with_relation_next() {
        let url = |text: &str| Url::parse(text).unwrap();
        let first = url("https://webexapis.com/v1/rooms?max=2&type=group");
        let current = url("https://webexapis.com/v1/rooms?cursor=1&max=2&type=group");
        for (headers, next) in [
            (vec![], None),
            (vec!["<https://webexapis.com/v1/rooms?a>; rel=\"prev\""], None),
            (vec!["https://webexapis.com/v1/rooms?cursor=2; rel=next"], None),
            (vec!["<rooms?cursor=2&max=2&type=group>; rel=next"], Some("rooms?cursor=2&max=2&type=group")),
            (vec!["</v1/rooms?cursor=2&max=2&type=x>; REL=\"first Next\""], Some("rooms?cursor=2&max=2&type=x")),
            (vec!["<a>; rel=prev", "<rooms?cursor=2>; rel=next"], Some("rooms?cursor=2&max=2&type=group")),
            (
                vec!["<a,b>; title=\"x, <y>; rel=next\"; rel=prev, <rooms?max=null&type=>; rel=next"],
                Some("rooms?type=&max=2"),
            ),
            // A quoted string cannot contain a link, and a fragment is not sent.
            (vec!["</v1/x>; rel=\"prev\"; title=\"\\\", </v1/y>; rel=next; x=\\\"\""], None),
            (vec!["<rooms?cursor=3&max=2&type=x#top>; rel=next"], Some("rooms?cursor=3&max=2&type=x")),
            // The encoding of a complete link is kept.
            (vec!["<rooms?cursor=a,b%2C&max=2&type=+>; rel=next"], Some("rooms?cursor=a,b%2C&max=2&type=+")),
        ] {
            let mut map = HeaderMap::new();
            for header in &headers {
                map.append(LINK, HeaderValue::from_static(header));
            }
            let next = next.map(|next| url("https://webexapis.com/v1/").join(next).unwrap());
            assert_eq!(next_page_url(&map, &first, &current), next, "{headers:?}");
        }
    }
}
