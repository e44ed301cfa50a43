//! IDs of the Webex REST API: base64 of `ciscospark://<cluster>/<type>/<id>`.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Webex omits padding, but copied IDs may have it.
const EITHER: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, EITHER);
const SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, EITHER);

const SCHEME: &str = "ciscospark://";

/// The cluster in IDs of the commercial platform.
pub(crate) const COMMERCIAL: &str = "us";

/// The parts of a REST ID.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RestId {
    /// The cluster: `us`, or `urn:TEAM:us-gov-west-1_a1` for Webex for Government.
    pub(crate) cluster: String,
    /// The type: `PEOPLE`, `ORGANIZATION`, `APPLICATION`, ...
    pub(crate) kind: String,
    /// The unique part: a UUID or a client ID.
    pub(crate) id: String,
}

impl RestId {
    /// Parses a REST ID in standard or URL-safe base64, with or without padding.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = PLAIN.decode(text).or_else(|_| SAFE.decode(text)).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let mut parts = text.strip_prefix(SCHEME)?.split('/');
        let parts = (parts.next()?, parts.next()?, parts.next()?, parts.next());
        let (cluster, kind, id, None) = parts else { return None };
        [cluster, kind, id].into_iter().all(is_part).then(|| Self {
            cluster: cluster.to_owned(),
            kind: kind.to_owned(),
            id: id.to_owned(),
        })
    }

    /// Returns `true` if two strings identify the same object of type `kind`, each as a REST ID or
    /// as its unique part.
    ///
    /// UUIDs are compared without regard to case. Base64 is case sensitive.
    pub(crate) fn are_same(kind: &str, one: &str, other: &str) -> bool {
        let unique = |text: &str| match Self::parse(text) {
            Some(id) if id.kind == kind => id.id,
            _ => text.to_owned(),
        };
        let (one, other) = (unique(one), unique(other));
        one == other || is_uuid(&one) && one.eq_ignore_ascii_case(&other)
    }
}

/// Formats the ID in standard base64 without padding, as Webex does.
impl fmt::Display for RestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, kind, id } = self;
        f.write_str(&PLAIN.encode(format!("{SCHEME}{cluster}/{kind}/{id}")))
    }
}

pub(crate) fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(str::len);
    groups.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Returns `true` if `text` is a valid part of a REST ID.
pub(crate) fn is_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_id_is_parsed_from_base64_and_base64url() {
        let id = RestId::parse("Y2lzY29zcGFyazovL3VzL1BFT1BMRS94").unwrap();
        assert_eq!((&*id.cluster, &*id.kind, &*id.id), ("us", "PEOPLE", "x"));
        let padded = RestId::parse("Y2lzY29zcGFyazovL3VybjpURUFNOnVzLWdvdi13ZXN0LTFfYTEvT1JHQU5JWkFUSU9OL28_").unwrap();
        assert_eq!((&*padded.cluster, &*padded.id), ("urn:TEAM:us-gov-west-1_a1", "o?"));
        for bad in ["", "x", "Y2lzY29zcGFyazovL3VzL1BFT1BMRS8", "Y2lzY29zcGFyazovL3VzL0EvQi9D", "aHR0cHM6Ly91cy9BL0I"] {
            assert_eq!(RestId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn rest_id_equals_contained_uuid_of_same_kind_only() {
        let whole = "Y2lzY29zcGFyazovL3VzL1BFT1BMRS94";
        for (kind, one, other, same) in [
            ("PEOPLE", whole, "x", true),
            ("PEOPLE", "X", whole, false),
            ("PEOPLE", "y2lzy29zcgfyazovl3vzl1bft1bmrs94", whole, false),
            ("ORGANIZATION", whole, &whole.to_lowercase(), false),
            ("PEOPLE", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "3F2504E0-4F89-11D3-9A0C-0305E82C3301", true),
            ("PEOPLE", whole, whole, true),
            ("PEOPLE", whole, "y", false),
            ("ORGANIZATION", whole, "x", false),
            ("PEOPLE", "x", "", false),
        ] {
            assert_eq!(RestId::are_same(kind, one, other), same, "{kind} {one} {other}");
        }
    }
}
