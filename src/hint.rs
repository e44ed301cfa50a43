//! What opaque tokens and codes say of themselves: a hint, and no proof.

use crate::rest_id::{self, RestId};
use crate::secret::{AccessToken, RefreshToken};

/// Where an opaque token or authorization code seems to come from: **a hint, never a proof**.
///
/// Webex writes them as `<secret>_<cluster>_<organization>`, where the organization is a UUID, or `consumer` for a user
/// without one. Its own SDK relies on that (<https://github.com/webex/webex-js-sdk>); its documentation does not
/// promise it. Nothing is signed: whoever made the text chose what it says. Use it to sort, to log, or to warn before the
/// login of one organization replaces that of another. Proof is what Webex says when it is asked, which
/// [`Login::require_organization`](crate::Login::require_organization) goes by.
///
/// Self-contained access tokens (JWTs) and the tokens of Webex Meetings have no such form, and give no hint.
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

/// What stands in the place of the organization of a user who has none.
const CONSUMER: &str = "consumer";

impl TokenHint {
    /// The cluster of the identity service, such as `PF84`.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The UUID of the user's organization, in lower case; `None` for a consumer.
    pub fn organization_uuid(&self) -> Option<&str> {
        self.organization.as_deref()
    }

    /// The organization in the form of [`Person::organization_id`](crate::Person::organization_id), to compare the two.
    ///
    /// That both name the organization by the same UUID is inferred from samples, not documented, and only the ids of the
    /// commercial platform are written like this.
    pub fn organization_id(&self) -> Option<String> {
        let id = self.organization.clone()?;
        Some(RestId { cluster: rest_id::COMMERCIAL.to_owned(), kind: "ORGANIZATION".to_owned(), id }.to_string())
    }

    /// Whether the text says that the user belongs to no organization.
    pub fn is_consumer(&self) -> bool {
        self.organization.is_none()
    }

    /// The hint of a text that is like an opaque token. Only what cannot be a part of the secret is taken from it.
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

/// Such as `PF84`: Webex's have four capitals and digits.
fn is_cluster(text: &str) -> bool {
    (2..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

impl AccessToken {
    /// Where this token seems to come from, if it is an opaque one. **No proof**: see [`TokenHint`].
    pub fn hint(&self) -> Option<TokenHint> {
        TokenHint::read(self.expose())
    }
}

impl RefreshToken {
    /// Where this token seems to come from. **No proof**: see [`TokenHint`].
    pub fn hint(&self) -> Option<TokenHint> {
        TokenHint::read(self.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "1eb65fdf-9643-417f-9974-ad72cae0e10f";

    #[test]
    fn an_opaque_token_names_its_cluster_and_its_organization() {
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
    fn what_has_another_form_gives_no_hint() {
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
    fn the_organization_is_written_as_the_rest_api_writes_it() {
        let hint = TokenHint::read(&format!("ZmFrZQ_PF84_{UUID}")).unwrap();
        let written = RestId::parse(&hint.organization_id().unwrap()).unwrap();
        assert_eq!((&*written.cluster, &*written.kind, &*written.id), ("us", "ORGANIZATION", UUID));
        assert_eq!(TokenHint::read("ZmFrZQ_PF84_consumer").unwrap().organization_id(), None);
    }
}
