//! Values of the `Retry-After` header.

use std::time::Duration;

use http::HeaderValue;

use crate::clock::UnixTime;

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
    pub(super) fn values(self, now: UnixTime) -> Vec<HeaderValue> {
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
fn parts(date: &str) -> [&str; 5] {
    let mut words = date.split([',', ' ']).filter(|word| !word.is_empty());
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

/// Converts an HTTP date to the format `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc_850(date: &str) -> String {
    let [weekday, day, month, year, time] = parts(date);
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
    let [weekday, day, month, year, time] = parts(date);
    format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
