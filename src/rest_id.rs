//! The ids of Webex's REST API: base64 of `ciscospark://<cluster>/<type>/<id>`.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Webex writes no padding; what people copy may have some.
const EITHER: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, EITHER);
const SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, EITHER);

const SCHEME: &str = "ciscospark://";

/// The cluster of the ids of the commercial platform.
pub(crate) const COMMERCIAL: &str = "us";

/// An id, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RestId {
    /// `us`, or `urn:TEAM:us-gov-west-1_a1` in the government's ids.
    pub(crate) cluster: String,
    /// `PEOPLE`, `ORGANIZATION`, `APPLICATION`, ...
    pub(crate) kind: String,
    /// What is unique about it: a UUID, or a client id.
    pub(crate) id: String,
}

impl RestId {
    /// Reads standard and URL-safe base64, with padding or without.
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

    /// Whether two texts name the same thing of this kind, each as an id of the REST API or as what is unique about it. Case
    /// means nothing in UUIDs, and much in base64.
    pub(crate) fn are_same(kind: &str, one: &str, other: &str) -> bool {
        let unique = |text: &str| match Self::parse(text) {
            Some(id) if id.kind == kind => id.id,
            _ => text.to_owned(),
        };
        let (one, other) = (unique(one), unique(other));
        one == other || is_uuid(&one) && one.eq_ignore_ascii_case(&other)
    }
}

/// Written as Webex writes it.
impl fmt::Display for RestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, kind, id } = self;
        f.write_str(&PLAIN.encode(format!("{SCHEME}{cluster}/{kind}/{id}")))
    }
}

fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(str::len);
    groups.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Whether a text can stand between two slashes.
pub(crate) fn is_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_every_spelling_of_base64() {
        let id = RestId::parse("Y2lzY29zcGFyazovL3VzL1BFT1BMRS94").unwrap();
        assert_eq!((&*id.cluster, &*id.kind, &*id.id), ("us", "PEOPLE", "x"));
        let padded = RestId::parse("Y2lzY29zcGFyazovL3VybjpURUFNOnVzLWdvdi13ZXN0LTFfYTEvT1JHQU5JWkFUSU9OL28_").unwrap();
        assert_eq!((&*padded.cluster, &*padded.id), ("urn:TEAM:us-gov-west-1_a1", "o?"));
        for bad in ["", "x", "Y2lzY29zcGFyazovL3VzL1BFT1BMRS8", "Y2lzY29zcGFyazovL3VzL0EvQi9D", "aHR0cHM6Ly91cy9BL0I"] {
            assert_eq!(RestId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_id_and_the_uuid_within_are_the_same_thing_of_the_same_kind_only() {
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
