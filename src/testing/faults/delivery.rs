//! Delivery of responses: complete, delayed, cut off, or lost.

use std::time::Duration;

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
