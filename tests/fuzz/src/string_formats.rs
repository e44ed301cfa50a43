//! Targets for values that are parsed from strings.

use webex_oauth::meetings::{SecurityContext, User};
use webex_oauth::{AccessToken, ApplicationId, ErrorKind, RefreshToken, Scope, Scopes};

use crate::secret_leak::check_error;

/// Parses and creates an integration ID.
pub fn integration_id(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    for created in
        [ApplicationId::new(text), ApplicationId::new("C1").unwrap().with_cluster(text)].into_iter().flatten()
    {
        assert_eq!(created.to_string().parse::<ApplicationId>().unwrap(), created);
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
            let reparsed = ApplicationId::new(id.client_id()).unwrap().with_cluster(id.cluster()).unwrap();
            assert_eq!(reparsed, id);
            true
        }
        Err(error) => {
            check_error(&error);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            false
        }
    }
}

/// Parses a scope, a list of scopes, and the scopes of an authorization URL.
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
            check_error(&error);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            false
        }
    }
}

fn check_scopes(scopes: &Scopes) {
    let formatted = scopes.to_string();
    let reparsed: Scopes = formatted.parse().unwrap();
    assert_eq!((reparsed.to_string(), &reparsed), (formatted.clone(), scopes));
    assert_eq!(scopes.len(), formatted.split_whitespace().count());
    assert!(scopes.without(&reparsed).is_empty() && scopes.iter().all(|scope| scopes.contains(scope)));
    let mut unique: Vec<_> = scopes.iter().collect();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), scopes.len(), "duplicate scopes");
    assert!(scopes.iter().all(|scope| scope.as_str().parse::<Scope>().is_ok_and(|reparsed| reparsed == *scope)));
}

/// Creates a security context for the XML API with the input as the user name and as the site name. Only a name that XML can
/// represent is accepted, and it survives a round trip through the XML.
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
                check_error(&error);
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
        let escaped = xml.expose().strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).unwrap();
        assert!(!escaped.contains(['<', '>', '\r']));
        let unescaped = escaped.replace("&#13;", "\r").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        assert_eq!(unescaped, name);
    }
    true
}
