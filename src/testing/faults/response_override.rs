//! Overrides of a response: status, headers, body, `Retry-After`, and delivery.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::testing::faults::webex_error::{self, ErrorBody, ErrorFormat, WebexError};
use crate::testing::message::{HTML, JSON, RawResponse, TRACKING_ID};

/// Overrides of a response, either the mock's own or an empty one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResponseOverride {
    pub(crate) status: Option<u16>,
    pub(crate) content: Option<Content>,
    pub(crate) change: Option<JsonChange>,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) retry_after: Option<RetryAfter>,
    /// `true` if the client is redirected to another origin.
    pub(crate) redirects: bool,
    pub(crate) duplicates_tracking_id: bool,
}

/// A change to a JSON object.
#[derive(Clone, Debug)]
pub(crate) enum JsonChange {
    RemoveMember(String),
    DuplicateMember(String),
    /// A member and the JSON of its value.
    SetMember(String, String),
    /// A change of the whole JSON value.
    Edit(JsonEdit),
}

#[derive(Clone)]
pub(crate) struct JsonEdit(pub(crate) Arc<dyn Fn(&mut Value) + Send + Sync>);

impl fmt::Debug for JsonEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edit(..)")
    }
}

/// The replacement of a body.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// The error page of a proxy.
    StatusPage,
    /// The sign-in page of a captive portal.
    CaptivePortal,
    Error(ErrorFormat, WebexError),
    /// A content type and a body.
    Custom(HeaderValue, Bytes),
}

/// The request context that some overrides depend on.
pub(crate) struct OverrideContext<'a> {
    pub(crate) origin: &'a str,
    pub(crate) path: &'a str,
    pub(crate) now: UnixTime,
}

/// The path prefix of the target of [`Fault::redirect`](crate::testing::Fault::redirect). The
/// target uses another host name and is therefore another origin.
pub(crate) const REDIRECT_TARGET: &str = "/elsewhere";

impl ResponseOverride {
    /// Returns `true` if there are no overrides except those that the description of a
    /// [`Fault`](crate::testing::Fault) names: the status and a member.
    pub(crate) fn is_plain(&self) -> bool {
        self.content.is_none()
            && self.content_type.is_none()
            && self.headers.is_empty()
            && self.retry_after.is_none()
            && !self.duplicates_tracking_id
    }

    pub(crate) fn apply(&self, raw: &mut RawResponse, room: &OverrideContext<'_>) {
        raw.status = self.status.unwrap_or(raw.status);
        match &self.content {
            None => {}
            Some(Content::StatusPage) => raw.write(HTML, status_page(raw.status)),
            Some(Content::CaptivePortal) => raw.write(HTML, CAPTIVE_PORTAL_PAGE),
            Some(Content::Custom(content_type, body)) => raw.write(content_type.clone(), body.clone()),
            Some(Content::Error(shape, error)) => match shape.body(*error, raw.tracking_id()) {
                ErrorBody::Json(body) => raw.write(JSON, body.to_string()),
                ErrorBody::Page => raw.write(HTML, status_page(error.status())),
                ErrorBody::Empty => {}
            },
        }
        if let Some(change) = &self.change {
            change.apply(raw);
        }
        if let Some(content_type) = &self.content_type {
            raw.content_type = Some(content_type.clone());
        }
        self.apply_headers(raw, room);
    }

    fn apply_headers(&self, raw: &mut RawResponse, room: &OverrideContext<'_>) {
        self.headers.iter().for_each(|(name, _)| raw.remove(name));
        raw.headers.extend(self.headers.iter().cloned());
        if let Some(retry_after) = self.retry_after {
            raw.remove(&header::RETRY_AFTER);
            retry_after.values(room.now).into_iter().for_each(|value| raw.add(header::RETRY_AFTER, value));
        }
        if self.redirects {
            let listener = room.origin.replace("127.0.0.1", "localhost");
            raw.add(header::LOCATION, format!("{listener}{REDIRECT_TARGET}{}", room.path));
        }
        if self.duplicates_tracking_id {
            let twice = format!("{id},{id}", id = raw.tracking_id());
            raw.remove(&TRACKING_ID);
            raw.add(TRACKING_ID, twice);
        }
    }
}

const CAPTIVE_PORTAL_PAGE: &str = "<!doctype html><html lang=\"en\"><head><title>Welcome to the network</title></head><body>\
    <h1>Welcome to the network</h1><form method=\"post\"><button>Accept and continue</button></form></body></html>";

fn status_page(status: u16) -> String {
    let title = format!("{status} {}", webex_error::reason_phrase(status));
    let head = format!("<!doctype html><html lang=\"en\"><head><title>{title}</title></head>");
    format!("{head}<body><h1>{title}</h1><hr>proxy</body></html>")
}

impl JsonChange {
    /// Applies the change. Bodies other than JSON objects stay unchanged.
    fn apply(&self, raw: &mut RawResponse) {
        if let Self::Edit(JsonEdit(edit)) = self {
            let Ok(mut json) = serde_json::from_slice(&raw.body) else { return };
            edit(&mut json);
            raw.body = json.to_string().into();
            return;
        }
        let Ok(Value::Object(members)) = serde_json::from_slice(&raw.body) else { return };
        let mut written: Vec<_> = members.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        match self {
            Self::RemoveMember(name) => written.retain(|(own, _)| own != name),
            Self::DuplicateMember(name) => written.extend(written.iter().find(|(own, _)| own == name).cloned()),
            Self::Edit(_) => {}
            Self::SetMember(name, json) => {
                written.retain(|(own, _)| own != name);
                written.push((name.clone(), json.clone()));
            }
        }
        let written: Vec<_> = written.iter().map(|(name, value)| format!("{}:{value}", Value::from(&**name))).collect();
        raw.body = format!("{{{}}}", written.join(",")).into();
    }
}

/// A value of the `Retry-After` header (RFC 9110, section 10.2.3), for
/// [`Fault::retry_after`](crate::testing::Fault::retry_after).
///
/// Webex sometimes sends malformed or zero values, as Cisco's own SDKs report. To omit the header,
/// do not set a value.
///
/// This crate clamps the value to between one second and one hour. If the value is not readable, it
/// waits 15 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryAfter {
    /// A number of seconds, possibly zero.
    Seconds(u64),
    /// A date this far in the future, according to the mock's clock.
    Date(Duration),
    /// The same date in the format of RFC 850, which recipients must accept (RFC 9110, section
    /// 5.6.7).
    Rfc850Date(Duration),
    /// The same date in the format of C's `asctime`, which recipients must accept as well.
    AsctimeDate(Duration),
    /// A date one hour in the past.
    PastDate,
    /// A negative number.
    Negative,
    /// A number with a fraction.
    Fraction,
    /// A word instead of a number or date.
    Malformed,
    /// An empty value.
    Blank,
    /// A number of seconds surrounded by whitespace, which is insignificant (RFC 9110, section
    /// 5.5).
    Padded(u64),
    /// Two headers with these numbers of seconds. This crate uses the first.
    Twice(u64, u64),
    /// A byte that is not ASCII.
    Opaque,
    /// A number of seconds that does not fit into 64 bits.
    Huge,
}

impl RetryAfter {
    /// Returns the header's values, one for each occurrence.
    pub(crate) fn values(self, now: UnixTime) -> Vec<HeaderValue> {
        let texts = match self {
            Self::Opaque => return HeaderValue::from_bytes(b"\xff").into_iter().collect(),
            Self::Seconds(seconds) => vec![seconds.to_string()],
            Self::Date(wait) => vec![(now + wait).to_string()],
            Self::Rfc850Date(wait) => vec![rfc_850(&(now + wait).to_string())],
            Self::AsctimeDate(wait) => vec![asctime(&(now + wait).to_string())],
            Self::PastDate => vec![(now - Duration::from_secs(60 * 60)).to_string()],
            Self::Negative => vec!["-5".to_owned()],
            Self::Fraction => vec!["1.5".to_owned()],
            Self::Malformed => vec!["soon".to_owned()],
            Self::Blank => vec![String::new()],
            Self::Padded(seconds) => vec![format!("  {seconds} ")],
            Self::Twice(first, second) => vec![first.to_string(), second.to_string()],
            Self::Huge => vec!["99999999999999999999999".to_owned()],
        };
        texts.into_iter().filter_map(|text| HeaderValue::try_from(text).ok()).collect()
    }
}

/// Splits an HTTP date into its parts: `Sun`, `06`, `Nov`, `1994`, `08:49:37`.
fn date_parts(date: &str) -> [&str; 5] {
    let mut words = date.split([',', ' ']).filter(|word| !word.is_empty());
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// Converts an HTTP date to the format `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc_850(date: &str) -> String {
    let [weekday, day, month, year, time] = date_parts(date);
    let rest = match weekday {
        "Tue" => "sday",
        "Wed" => "nesday",
        "Thu" => "rsday",
        "Sat" => "urday",
        _ => "day",
    };
    format!("{weekday}{rest}, {day}-{month}-{} {time} GMT", year.get(2..).unwrap_or_default())
}

/// Converts an HTTP date to the format `Sun Nov  6 08:49:37 1994`.
fn asctime(date: &str) -> String {
    let [weekday, day, month, year, time] = date_parts(date);
    format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0'))
}

/// The delivery of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ResponseDelivery {
    /// The complete response is delivered.
    #[default]
    Complete,
    /// No response is delivered, and the connection is closed.
    Lost,
    /// No response is delivered, and the connection stays open.
    Hanging,
    /// Only this many bytes of the body are delivered, or half of them if `None`.
    Interrupted(Option<usize>, ConnectionFault),
    /// The response is delivered byte by byte, with this pause after each.
    Dripping(Duration),
}

/// The way in which an incomplete response is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionFault {
    /// The connection is closed gracefully.
    Closed,
    /// The connection is reset.
    Reset,
    /// No more data arrives, and the connection stays open.
    Stalled,
}

/// The header that passes the delivery from the HTTP server to the relay, which removes it.
pub(crate) const RELAY_HEADER: &str = "x-mock-relay";

impl ResponseDelivery {
    /// Returns `true` if only the relay supports this delivery, because wiremock does not.
    pub(crate) fn needs_relay(self) -> bool {
        matches!(self, Self::Interrupted(..) | Self::Dripping(_))
    }

    /// Returns the header value, or `None` if the relay has nothing to do.
    pub(crate) fn to_header(self) -> Option<String> {
        match self {
            Self::Complete | Self::Lost | Self::Hanging => None,
            Self::Interrupted(after, ending) => {
                let after = after.map_or_else(|| "half".to_owned(), |bytes| bytes.to_string());
                Some(format!("{ending:?} {after}"))
            }
            Self::Dripping(pause) => Some(format!("Dripping {}", pause.as_micros())),
        }
    }

    pub(crate) fn from_header(text: &str) -> Option<Self> {
        let (word, number) = text.trim().split_once(' ')?;
        let ending = match word {
            "Dripping" => return Some(Self::Dripping(Duration::from_micros(number.parse().ok()?))),
            "Closed" => ConnectionFault::Closed,
            "Reset" => ConnectionFault::Reset,
            "Stalled" => ConnectionFault::Stalled,
            _ => return None,
        };
        Some(Self::Interrupted(number.parse().ok(), ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply_change(change: &JsonChange, body: &str) -> String {
        let mut raw = RawResponse::empty(200);
        raw.write(JSON, body.to_owned());
        change.apply(&mut raw);
        String::from_utf8(raw.body.to_vec()).unwrap()
    }

    #[test]
    fn json_member_is_removed_duplicated_or_replaced() {
        let member = |name: &str, json: &str| JsonChange::SetMember(name.into(), json.into());
        for (change, expected) in [
            (JsonChange::RemoveMember("access_token".into()), r#"{"expires_in":5}"#),
            (JsonChange::RemoveMember("nothing".into()), r#"{"access_token":"t","expires_in":5}"#),
            (JsonChange::DuplicateMember("expires_in".into()), r#"{"access_token":"t","expires_in":5,"expires_in":5}"#),
            (member("expires_in", "\"5\""), r#"{"access_token":"t","expires_in":"5"}"#),
            (member("é\"", "NaN"), r#"{"access_token":"t","expires_in":5,"é\"":NaN}"#),
        ] {
            assert_eq!(apply_change(&change, r#"{"access_token":"t","expires_in":5}"#), expected);
        }
    }

    #[test]
    fn non_object_body_is_not_changed() {
        for body in ["", "<html>", "[1]", "{"] {
            assert_eq!(apply_change(&JsonChange::RemoveMember("x".into()), body), body);
        }
    }

    #[test]
    fn retry_after_dates_are_relative_to_clock() {
        let now = UnixTime::from_secs(784_887_151); // Tue, 15 Nov 1994 08:12:31 GMT
        let wait = Duration::from_secs(30);
        let text = |retry_after: RetryAfter, now| retry_after.values(now)[0].to_str().unwrap().to_owned();
        assert_eq!(text(RetryAfter::Date(wait), now), "Tue, 15 Nov 1994 08:13:01 GMT");
        assert_eq!(text(RetryAfter::Rfc850Date(wait), now), "Tuesday, 15-Nov-94 08:13:01 GMT");
        assert_eq!(text(RetryAfter::AsctimeDate(wait), now), "Tue Nov 15 08:13:01 1994");
        assert_eq!(text(RetryAfter::PastDate, now), "Tue, 15 Nov 1994 07:12:31 GMT");
        assert_eq!(text(RetryAfter::Seconds(0), now), "0");
        assert!(text(RetryAfter::Huge, now).parse::<u64>().is_err());
    }

    /// Covers every weekday and a single-digit day.
    #[test]
    fn obsolete_http_date_formats_are_parsed_as_same_date() {
        for day in 0..7 {
            let date = UnixTime::from_secs(784_111_777) + Duration::from_secs(day * 86_400); // Sun, 06 Nov 1994 08:49:37 GMT
            for text in [rfc_850(&date.to_string()), asctime(&date.to_string())] {
                let read = httpdate::parse_http_date(&text).unwrap();
                assert_eq!(UnixTime::from(read), date, "{text}");
            }
        }
    }

    #[test]
    fn response_delivery_header_round_trips() {
        for delivery in [
            ResponseDelivery::Interrupted(None, ConnectionFault::Closed),
            ResponseDelivery::Interrupted(Some(0), ConnectionFault::Reset),
            ResponseDelivery::Interrupted(Some(17), ConnectionFault::Stalled),
            ResponseDelivery::Dripping(Duration::from_millis(3)),
        ] {
            assert!(delivery.needs_relay());
            assert_eq!(ResponseDelivery::from_header(&delivery.to_header().unwrap()), Some(delivery));
        }
        for delivery in [ResponseDelivery::Complete, ResponseDelivery::Lost, ResponseDelivery::Hanging] {
            assert!(!delivery.needs_relay() && delivery.to_header().is_none());
        }
        assert_eq!(
            (
                ResponseDelivery::from_header(""),
                ResponseDelivery::from_header("Reset"),
                ResponseDelivery::from_header("x 1")
            ),
            (None, None, None)
        );
    }
}
