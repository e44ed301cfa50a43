//! Parsing of HTTP responses in fuzzer input.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// Parses a response: a line with the status, a line for each header, an empty line, and the body. Input without such a head is
/// the body of a response with status 200.
///
/// ```text
/// 429
/// retry-after: 7
///
/// {"message":"Too many requests"}
/// ```
pub(crate) fn parse_response(input: &[u8]) -> Response<Bytes> {
    parse_with_head(input).unwrap_or_else(|| Response::new(Bytes::copy_from_slice(input)))
}

fn parse_with_head(input: &[u8]) -> Option<Response<Bytes>> {
    let end = input.windows(2).position(|pair| pair == b"\n\n")?;
    let mut lines = input[..end].split(|byte| *byte == b'\n');
    let mut response = Response::new(Bytes::copy_from_slice(&input[end + 2..]));
    *response.status_mut() = StatusCode::from_bytes(lines.next()?).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        response.headers_mut().append(name, value);
    }
    Some(response)
}
