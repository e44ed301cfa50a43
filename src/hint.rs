//! Unverified hints in opaque tokens and codes.

use crate::rest_id::{self, RestId};
use crate::secret::{AccessToken, RefreshToken};

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
        Some(RestId { cluster: rest_id::COMMERCIAL.to_owned(), kind: "ORGANIZATION".to_owned(), id }.to_string())
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
        (fits && (is_consumer || rest_id::is_uuid(organization))).then(|| Self {
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
