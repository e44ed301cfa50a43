//! IDs of the Webex REST API, and the hints in opaque tokens.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::secret::{AccessToken, RefreshToken};

/// Webex omits padding, but copied IDs may have it.
const PADDING_INDIFFERENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_encode_padding(false);
const STANDARD_BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, PADDING_INDIFFERENT);
const URL_SAFE_BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, PADDING_INDIFFERENT);

const SCHEME: &str = "ciscospark://";

/// The cluster in IDs of the commercial platform.
pub(crate) const COMMERCIAL_CLUSTER: &str = "us";

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
        let bytes = STANDARD_BASE64.decode(text).or_else(|_| URL_SAFE_BASE64.decode(text)).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let mut parts = text.strip_prefix(SCHEME)?.split('/');
        let parts = (parts.next()?, parts.next()?, parts.next()?, parts.next());
        let (cluster, kind, id, None) = parts else { return None };
        [cluster, kind, id].into_iter().all(is_valid_part).then(|| Self {
            cluster: cluster.to_owned(),
            kind: kind.to_owned(),
            id: id.to_owned(),
        })
    }

    /// Returns `true` if two strings identify the same object of type `kind`, each as a REST ID or
    /// as its unique part.
    ///
    /// UUIDs are compared without regard to case. Base64 is case sensitive.
    pub(crate) fn is_same_object(kind: &str, one: &str, other: &str) -> bool {
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
        f.write_str(&STANDARD_BASE64.encode(format!("{SCHEME}{cluster}/{kind}/{id}")))
    }
}

pub(crate) fn is_uuid(text: &str) -> bool {
    let groups = text.split('-').map(str::len);
    groups.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Returns `true` if `text` is a valid part of a REST ID.
pub(crate) fn is_valid_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

/// The unverified origin of an opaque token or authorization code.
///
/// Webex formats these as `<secret>_<cluster>_<organization>`. The organization is a UUID, or
/// `consumer` for a user without an organization. Webex's own SDK relies on this format
/// (<https://github.com/webex/webex-js-sdk>), but Webex does not document it.
///
/// **The values are not signed.** Use them to sort or log tokens, or to warn before a login
/// replaces that of another organization. To restrict logins, use
/// [`Login::require_organization`](crate::Login::require_organization).
///
/// Self-contained access tokens (JWTs) and tokens of Webex Meetings have a different format and no
/// hint.
///
/// # Example
///
/// ```
/// use webex_oauth::AccessToken;
///
/// let token = AccessToken::new("ZmFrZQ_PF84_1eb65fdf-9643-417f-9974-ad72cae0e10f")?;
/// let hint = token.hint().unwrap();
/// assert_eq!(hint.cluster(), "PF84");
/// assert_eq!(hint.organization_uuid(), Some("1eb65fdf-9643-417f-9974-ad72cae0e10f"));
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenHint {
    cluster: String,
    organization: Option<String>,
}

/// The organization of a user who has none.
const CONSUMER: &str = "consumer";

impl TokenHint {
    /// Returns the cluster of the identity service, for example `PF84`.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Returns the UUID of the user's organization in lower case, or `None` for a user without an
    /// organization.
    pub fn organization_uuid(&self) -> Option<&str> {
        self.organization.as_deref()
    }

    /// Returns the organization in the format of
    /// [`Person::organization_id`](crate::Person::organization_id).
    ///
    /// The equivalence of the two IDs is inferred from samples and not documented. Only IDs of the
    /// commercial platform have this format.
    pub fn organization_id(&self) -> Option<String> {
        let id = self.organization.clone()?;
        Some(RestId { cluster: COMMERCIAL_CLUSTER.to_owned(), kind: "ORGANIZATION".to_owned(), id }.to_string())
    }

    /// Returns `true` if the user belongs to no organization, according to the token.
    pub fn is_consumer(&self) -> bool {
        self.organization.is_none()
    }

    /// Parses a string in the format of an opaque token. Parts of the secret are never returned.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (rest, organization) = text.rsplit_once('_')?;
        let (secret, cluster) = rest.rsplit_once('_')?;
        let is_consumer = organization == CONSUMER;
        let fits = !secret.is_empty() && !secret.contains('.') && is_cluster(cluster);
        (fits && (is_consumer || is_uuid(organization))).then(|| Self {
            cluster: cluster.to_owned(),
            organization: (!is_consumer).then(|| organization.to_ascii_lowercase()),
        })
    }
}

/// Returns `true` for a cluster name such as `PF84`. Known names have four capital letters and
/// digits.
fn is_cluster(text: &str) -> bool {
    (2..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

impl AccessToken {
    /// Returns the cluster and organization of an opaque token. **Not verified**, see
    /// [`TokenHint`].
    pub fn hint(&self) -> Option<TokenHint> {
        TokenHint::read(self.expose())
    }
}

impl RefreshToken {
    /// Returns the cluster and organization of the token. **Not verified**, see [`TokenHint`].
    pub fn hint(&self) -> Option<TokenHint> {
        TokenHint::read(self.expose())
    }
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
            assert_eq!(RestId::is_same_object(kind, one, other), same, "{kind} {one} {other}");
        }
    }

    const UUID: &str = "1eb65fdf-9643-417f-9974-ad72cae0e10f";

    #[test]
    fn opaque_token_hint_has_cluster_and_organization() {
        for (text, cluster, organization) in [
            (format!("ZmFrZQ_PF84_{UUID}"), "PF84", Some(UUID)),
            (format!("Zm_FrZ_Q_FC82_{}", UUID.to_uppercase()), "FC82", Some(UUID)),
            ("ZmFrZQ_PF84_consumer".to_owned(), "PF84", None),
        ] {
            let hint = TokenHint::read(&text).unwrap();
            assert_eq!((hint.cluster(), hint.organization_uuid()), (cluster, organization), "{text}");
            assert_eq!(hint.is_consumer(), organization.is_none());
        }
    }

    #[test]
    fn token_in_another_format_has_no_hint() {
        for text in [
            "",
            "ZmFrZQ",
            "_PF84_consumer",
            "PF84_consumer",
            "ZmFrZQ_PF84",
            "ZmFrZQ__consumer",
            "ZmFrZQ_PF84_nobody",
            "ZmFrZQ_pf84_consumer",
            "ZmFrZQ_c2VjcmV0LXNlY3JldA_consumer",
            "ZmFrZQ_PF84_1eb65fdf9643417f9974ad72cae0e10f",
            "ZmFrZQ_PF84_1eb65fdf-9643-417f-9974-ad72cae0e10g",
            "eyJhbGciOiJSUzI1NiJ9.e30.c2ln_PF84_1eb65fdf-9643-417f-9974-ad72cae0e10f",
        ] {
            assert_eq!(TokenHint::read(text), None, "{text}");
        }
    }

    #[test]
    fn hint_organization_id_is_in_rest_api_format() {
        let hint = TokenHint::read(&format!("ZmFrZQ_PF84_{UUID}")).unwrap();
        let written = RestId::parse(&hint.organization_id().unwrap()).unwrap();
        assert_eq!((&*written.cluster, &*written.kind, &*written.id), ("us", "ORGANIZATION", UUID));
        assert_eq!(TokenHint::read("ZmFrZQ_PF84_consumer").unwrap().organization_id(), None);
    }
}
