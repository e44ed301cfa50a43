//! The `Retry-After` header (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::clock::UnixTime;

const MIN_LEN: Duration = Duration::from_secs(1);
const MAX_LEN: Duration = Duration::from_secs(60 * 60);
const UNREADABLE: Duration = Duration::from_secs(15);

/// Returns the requested delay, clamped to between 1 second and 1 hour.
///
/// Returns 15 seconds if the header cannot be parsed, and `None` if it is absent.
pub(crate) fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let asked = headers.get(RETRY_AFTER)?.to_str().ok().and_then(|text| read(text.trim(), now));
    Some(asked.unwrap_or(UNREADABLE).clamp(MIN_LEN, MAX_LEN))
}

fn read(text: &str, now: UnixTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows still means a long delay.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date: SystemTime = httpdate::parse_http_date(text).ok()?;
    Some(UnixTime::from(date).since(now))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_seconds_and_dates_are_bounded() {
        let now = UnixTime::from_secs(784_887_151); // Tue, 15 Nov 1994 08:12:31 GMT
        for (text, seconds) in [
            ("30", 30),
            (" 7 ", 7),
            ("0", 1),
            ("3600", 3600),
            ("86400", 3600),
            ("99999999999999999999999", 3600),
            ("Tue, 15 Nov 1994 08:13:01 GMT", 30),
            ("Tue, 15 Nov 1994 08:12:31 GMT", 1),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 1),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
            ("", 15),
            ("-5", 15),
            ("1.5", 15),
            ("+3", 15),
            ("soon", 15),
            ("Tue, 99 Nov 1994 08:12:31 GMT", 15),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(seconds)), "{text:?}");
        }
    }

    #[test]
    fn absent_retry_after_is_none_and_unreadable_is_15_seconds() {
        let now = UnixTime::from_secs(0);
        let opaque = HeaderValue::from_bytes(b"\xff").unwrap();
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
        assert_eq!(retry_after(&HeaderMap::from_iter([(RETRY_AFTER, opaque)]), now), Some(UNREADABLE));
    }
}
