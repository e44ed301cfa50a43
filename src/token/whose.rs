//! Comparison of the accounts of two token sets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::TokenSet;
use crate::decode::is_damaged;
use crate::foreign;

impl TokenSet {
    /// Returns `true` if the token sets are known to belong to different accounts.
    ///
    /// The comparison uses the person, the subject of the ID token, the user and site of Webex
    /// Meetings, and the organization in opaque tokens. A value that is known for one of them only
    /// is ignored.
    pub(crate) fn is_of_another_account(&self, other: &Self) -> bool {
        // A value with undecodable characters is ambiguous, so two equal ones may still differ.
        let differs = |own: Option<&str>, other: Option<&str>| {
            own.zip(other).is_some_and(|(own, other)| own != other || is_damaged(own))
        };
        let (own, others) = (self.account(), other.account());
        // An equal person ID from Webex outweighs differences in the tokens.
        if own.person_id().is_some() && others.person_id().is_some() {
            return own.person_id() != others.person_id();
        }
        if let (Some(own), Some(others)) = (own.subject(), others.subject()) {
            return own != others;
        }
        differs(self.subject().as_deref(), other.subject().as_deref())
            || differs(own.user_id(), others.user_id())
            || differs(own.site_id(), others.site_id())
            || differs(self.organization_hint().as_deref(), other.organization_hint().as_deref())
    }

    /// Returns the subject of the ID token without verifying it. Only used to keep accounts apart.
    fn subject(&self) -> Option<String> {
        let payload = self.id_token()?.expose().split('.').nth(1)?;
        let claims = foreign::unambiguous(&URL_SAFE_NO_PAD.decode(payload).ok()?, None).ok()?;
        Some(claims.get("sub")?.as_str()?.to_owned())
    }

    fn organization_hint(&self) -> Option<String> {
        let hint = self.access_token().hint()?;
        // Having no organization is also a known value.
        Some(hint.organization_uuid().unwrap_or("consumer").to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::account::Identity;
    use crate::clock::UnixTime;
    use crate::registration::Owner;
    use crate::scope::Scopes;
    use crate::service::Service;
    use crate::token::{Receipt, TokenResponse};

    fn tokens(more: &str, person: Option<&str>) -> TokenSet {
        let owner = Arc::new(Owner { service: "webex".into(), client_id: "C1".into() });
        let now = UnixTime::from_secs(1_700_000_000);
        let receipt = Receipt { owner, service: &Service::webex(), asked: Scopes::new(), exchange: None, now };
        let json = if more.contains("access_token") {
            format!("{{{more}}}")
        } else {
            format!(r#"{{"access_token":"a",{more}"x":1}}"#)
        };
        let mut tokens = TokenSet::received(TokenResponse::read(json.as_bytes()).ok().unwrap(), receipt);
        if let Some(id) = person {
            tokens.identify(Identity { id: id.to_owned(), ..Identity::default() });
        }
        tokens
    }

    fn id_token(sub: &str) -> String {
        format!(r#""id_token":"h.{}.s","#, URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{sub}"}}"#)))
    }

    fn opaque(organization: &str) -> String {
        format!(r#""access_token":"x_PF84_{organization}""#)
    }

    #[test]
    fn accounts_differ_only_if_shared_identifiers_differ() {
        let (one, two) = ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "3f2504e0-4f89-11d3-9a0c-0305e82c3302");
        let subjects = format!(r#""id_token":"h.{}.s","#, URL_SAFE_NO_PAD.encode(r#"{"sub":"b","sub":"a"}"#));
        for (what, own, other, differs) in [
            ("nothing", tokens("", None), tokens("", None), false),
            ("persons", tokens("", Some("P1")), tokens("", Some("P2")), true),
            ("one person", tokens("", Some("P1")), tokens("", Some("P1")), false),
            ("a person and no person", tokens("", Some("P1")), tokens("", None), false),
            ("subjects", tokens(&id_token("a"), None), tokens(&id_token("b"), None), true),
            ("one subject", tokens(&id_token("a"), None), tokens(&id_token("a"), None), false),
            ("an unreadable subject", tokens(r#""id_token":"h.%%.s","#, None), tokens(&id_token("a"), None), false),
            ("users", tokens(r#""userid":7,"#, None), tokens(r#""userid":8,"#, None), true),
            (
                "undecodable users",
                tokens("\"userid\":\"\\ud800\",", None),
                tokens("\"userid\":\"\\udbff\",", None),
                true,
            ),
            ("a duplicate subject", tokens(&subjects, None), tokens(&id_token("b"), None), false),
            ("sites", tokens(r#""siteid":7,"#, None), tokens(r#""siteid":"8","#, None), true),
            ("organizations", tokens(&opaque(one), None), tokens(&opaque(two), None), true),
            ("one organization", tokens(&opaque(one), None), tokens(&opaque(one), None), false),
            ("no organization", tokens(&opaque("consumer"), None), tokens(&opaque(one), None), true),
            ("one person, moved", tokens(&opaque(one), Some("P1")), tokens(&opaque(two), Some("P1")), false),
        ] {
            assert_eq!(own.is_of_another_account(&other), differs, "{what}");
            assert_eq!(other.is_of_another_account(&own), differs, "{what}, reversed");
        }
    }
}
