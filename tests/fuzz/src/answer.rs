//! An answer of a server, written as text.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// Reads an answer: its status and headers, one a line, an empty line, and the body. What has no such head is a body alone,
/// with the status 200.
///
/// ```text
/// 429
/// retry-after: 7
///
/// {"message":"Too many requests"}
/// ```
pub(crate) fn read(text: &[u8]) -> Response<Bytes> {
    with_head(text).unwrap_or_else(|| Response::new(Bytes::copy_from_slice(text)))
}

fn with_head(text: &[u8]) -> Option<Response<Bytes>> {
    let end = text.windows(2).position(|pair| pair == b"\n\n")?;
    let mut lines = text[..end].split(|byte| *byte == b'\n');
    let mut response = Response::new(Bytes::copy_from_slice(&text[end + 2..]));
    *response.status_mut() = StatusCode::from_bytes(lines.next()?).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        response.headers_mut().append(name, value);
    }
    Some(response)
}
