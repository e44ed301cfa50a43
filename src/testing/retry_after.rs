//! What can stand in `Retry-After`.

use std::time::Duration;

use crate::clock::UnixTime;

/// What the header `Retry-After` of a [`Fault`](crate::testing::Fault) says (RFC 9110 section 10.2.3). Webex's is now and then
/// malformed or zero (seen by Cisco's own SDKs); where it is to be missing, say nothing.
///
/// This crate waits between one second and one hour, and 15 seconds where it cannot read what is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryAfter {
    /// So many seconds; zero is possible.
    Seconds(u64),
    /// The date so far from now, by the mock's clock.
    Date(Duration),
    /// A date that is past: an hour ago.
    PastDate,
    /// A number below zero.
    Negative,
    /// A number with a fraction.
    Fraction,
    /// A word.
    Malformed,
    /// Nothing after the colon.
    Blank,
    /// More seconds than fit into 64 bits.
    Huge,
}

impl RetryAfter {
    pub(super) fn text(self, now: UnixTime) -> String {
        match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::Date(wait) => (now + wait).to_string(),
            Self::PastDate => (now - Duration::from_secs(60 * 60)).to_string(),
            Self::Negative => "-5".to_owned(),
            Self::Fraction => "1.5".to_owned(),
            Self::Malformed => "soon".to_owned(),
            Self::Blank => String::new(),
            Self::Huge => "99999999999999999999999".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_clock() {
        let now = UnixTime::from_secs(784_887_151); // Tue, 15 Nov 1994 08:12:31 GMT
        let wait = Duration::from_secs(30);
        assert_eq!(RetryAfter::Date(wait).text(now), "Tue, 15 Nov 1994 08:13:01 GMT");
        assert_eq!(RetryAfter::PastDate.text(now), "Tue, 15 Nov 1994 07:12:31 GMT");
        assert_eq!(RetryAfter::Seconds(0).text(now), "0");
        assert!(RetryAfter::Huge.text(now).parse::<u64>().is_err());
    }
}
