//! What becomes of an answer on its way to the client.

use std::time::Duration;

/// What becomes of the bytes of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    /// They arrive.
    #[default]
    Whole,
    /// Nothing arrives, and the connection is closed.
    Lost,
    /// Nothing arrives, and the connection stays.
    Hung,
    /// So many bytes of the body arrive, or half of them, and then it ends.
    Cut(Option<usize>, Ending),
    /// One byte after the other, with pauses.
    Dripping(Duration),
}

/// How an answer ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The connection is closed in an orderly way.
    Closed,
    /// The connection is reset.
    Reset,
    /// Nothing more comes, and the connection stays.
    Stalled,
}

/// By this header the desk tells the relay an answer's fate; no client ever sees it.
pub(super) const HEADER: &str = "x-mock-relay";

impl Fate {
    /// Whether wiremock cannot do it, so that the relay must.
    pub(super) fn needs_relay(self) -> bool {
        matches!(self, Self::Cut(..) | Self::Dripping(_))
    }

    /// What the header says, where the relay has something to do.
    pub(super) fn to_header(self) -> Option<String> {
        match self {
            Self::Whole | Self::Lost | Self::Hung => None,
            Self::Cut(after, ending) => {
                let after = after.map_or_else(|| "half".to_owned(), |bytes| bytes.to_string());
                Some(format!("{ending:?} {after}"))
            }
            Self::Dripping(pause) => Some(format!("Dripping {}", pause.as_micros())),
        }
    }

    pub(super) fn from_header(text: &str) -> Option<Self> {
        let (word, number) = text.trim().split_once(' ')?;
        let ending = match word {
            "Dripping" => return Some(Self::Dripping(Duration::from_micros(number.parse().ok()?))),
            "Closed" => Ending::Closed,
            "Reset" => Ending::Reset,
            "Stalled" => Ending::Stalled,
            _ => return None,
        };
        Some(Self::Cut(number.parse().ok(), ending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_relay_must_do_it_reads_as_it_was_written() {
        for fate in [
            Fate::Cut(None, Ending::Closed),
            Fate::Cut(Some(0), Ending::Reset),
            Fate::Cut(Some(17), Ending::Stalled),
            Fate::Dripping(Duration::from_millis(3)),
        ] {
            assert!(fate.needs_relay());
            assert_eq!(Fate::from_header(&fate.to_header().unwrap()), Some(fate));
        }
        for fate in [Fate::Whole, Fate::Lost, Fate::Hung] {
            assert!(!fate.needs_relay() && fate.to_header().is_none());
        }
        assert_eq!((Fate::from_header(""), Fate::from_header("Reset"), Fate::from_header("x 1")), (None, None, None));
    }
}
