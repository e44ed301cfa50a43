//! Values with a written form.

use webex_oauth::meetings::{SecurityContext, User};
use webex_oauth::{AccessToken, ApplicationId, ErrorKind, RefreshToken, Scope, Scopes};

use crate::leak::assert_sound;

/// An integration id, read and made.
pub fn integration_id(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    for made in [ApplicationId::new(text), ApplicationId::new("C1").unwrap().with_cluster(text)].into_iter().flatten() {
        assert_eq!(made.to_string().parse::<ApplicationId>().unwrap(), made);
    }
    if let Ok(token) = AccessToken::new(text) {
        let hint = token.hint();
        assert_eq!(RefreshToken::new(text).unwrap().hint(), hint);
        assert!(
            hint.is_none_or(
                |hint| text.contains(hint.cluster()) && hint.organization_id().is_none_or(|id| id.is_ascii())
            )
        );
    }
    match text.parse::<ApplicationId>() {
        Ok(id) => {
            assert_eq!(id.to_string().parse::<ApplicationId>().unwrap(), id);
            assert!(!id.client_id().contains('/') && !id.cluster().contains('/'));
            let again = ApplicationId::new(id.client_id()).unwrap().with_cluster(id.cluster()).unwrap();
            assert_eq!(again, id);
            true
        }
        Err(error) => {
            assert_sound(&error);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            false
        }
    }
}

/// Scopes: one, several, and those of an authorization URL.
pub fn scopes(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    if let Ok(scope) = text.parse::<Scope>() {
        assert_eq!(scope.as_str(), text);
        assert_eq!(text.parse::<Scopes>().unwrap().to_string(), text, "one scope is a list of one");
    }
    if let Ok(scopes) = Scopes::from_authorization_url(text) {
        assert!(!scopes.is_empty());
        check_scopes(&scopes);
    }
    match text.parse::<Scopes>() {
        Ok(scopes) => {
            check_scopes(&scopes);
            true
        }
        Err(error) => {
            assert_sound(&error);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            false
        }
    }
}

fn check_scopes(scopes: &Scopes) {
    let written = scopes.to_string();
    let again: Scopes = written.parse().unwrap();
    assert_eq!((again.to_string(), &again), (written.clone(), scopes));
    assert_eq!(scopes.len(), written.split_whitespace().count());
    assert!(scopes.without(&again).is_empty() && scopes.iter().all(|scope| scopes.contains(scope)));
    let mut once: Vec<_> = scopes.iter().collect();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), scopes.len(), "each stands once");
    assert!(scopes.iter().all(|scope| scope.as_str().parse::<Scope>().is_ok_and(|again| again == *scope)));
}

/// A user's name for the XML API, and the name of a site. Accepted is a name that XML can carry, and it comes out of the XML
/// as it went in.
pub fn security_context(input: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(input) else { return false };
    let token = AccessToken::new("PLANTED<access>&token").unwrap();
    if let Ok(context) = SecurityContext::new(name, User::Email("jane@example.com".into()), &token) {
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{name:?}");
        assert!(context.to_xml().expose().contains(&format!("<siteName>{name}</siteName>")));
    }
    for (element, user) in [("webExID", User::WebexId(name.into())), ("email", User::Email(name.into()))] {
        let context = match SecurityContext::new("acme", user, &token) {
            Ok(context) => context,
            Err(error) => {
                assert_sound(&error);
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                return false;
            }
        };
        assert!(!format!("{context:?}").contains("<access>"));
        let xml = context.to_xml();
        let expected = format!(
            "<securityContext><siteName>acme</siteName><{element}>{{}}</{element}>\
             <webExAccessToken>PLANTED&lt;access&gt;&amp;token</webExAccessToken></securityContext>"
        );
        let (before, after) = expected.split_once("{}").unwrap();
        let inside = xml.expose().strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap();
        assert!(!inside.contains(['<', '>', '\r']));
        let read = inside.replace("&#13;", "\r").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        assert_eq!(read, name);
    }
    true
}
