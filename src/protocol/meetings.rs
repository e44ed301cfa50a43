//! Authentication for the XML API of Webex Meetings.
//!
//! A request to the XML API is an XML document, sent with POST as `application/xml` to
//! `https://api.webex.com/WBXService/XMLService`
//! (<https://developer.cisco.com/docs/webex-xml-api-reference-guide/xml-request-and-response-documents>).
//! The document itself contains the access token, in a [`SecurityContext`]:
//!
//! ```text
//! <serv:message xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
//!   <header> <securityContext>...</securityContext> </header>
//!   <body>
//!     <bodyContent xsi:type="java:com.webex.service.binding.user.GetUser">...</bodyContent>
//!   </body>
//! </serv:message>
//! ```
//!
//! Use the access tokens of [`Service::meetings`](crate::Service::meetings). A token of the
//! platform ([`Service::webex`](crate::Service::webex), with the scope `spark:all`) must first be
//! exchanged for a session ticket with the request `AuthenticateUser`
//! (<https://developer.cisco.com/docs/webex-xml-api-reference-guide/request-authentication>).
//!
//! Most of the API was retired on March 31, 2024. The user-related requests remain available
//! (<https://developer.webex.com/docs/webex-xml-api-deprecation-announcement>).
//!
//! # Example
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! use webex_oauth::Callback;
//! use webex_oauth::meetings::SecurityContext;
//! use webex_oauth::testing::{MockService, MockUser, MockWebex};
//!
//! let jane = MockUser::new("jane@example.com").site("acme");
//! let mock = MockWebex::builder().service(MockService::Meetings).user(jane).start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//!
//! let context = SecurityContext::from_tokens(login.tokens())?;
//! assert_eq!(context.site_name(), "acme");
//! let header = context.to_xml(); // contains the access token
//! assert!(header.expose().starts_with("<securityContext><siteName>acme</siteName>"));
//! # Ok(())
//! # }
//! ```

use secrecy::zeroize::Zeroizing;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::AccessToken;
use crate::token::account::{Account, check_site_name};
use crate::token::token_set::TokenSet;

pub use crate::secret::XmlString;

/// The credentials of an XML API request: a site, a user, and an access token
/// (<https://developer.cisco.com/docs/webex-xml-api-reference-guide/security-context>).
///
/// Access tokens are valid for two hours. Create a new context from the current tokens for each
/// request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityContext {
    site_name: String,
    user: User,
    access_token: AccessToken,
}

/// The name of a user in the XML API.
///
/// On sites that are managed in Control Hub, the Webex ID is the e-mail address
/// (<https://developer.cisco.com/docs/webex-meetings/xml-api-9-0-release-notes>).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum User {
    /// The Webex ID, sent as `<webExID>`. The token response calls it `user_name`.
    WebexId(String),
    /// The e-mail address, sent as `<email>`.
    Email(String),
}

impl SecurityContext {
    /// Creates a security context. `site_name` is the first label of the site's host name: `acme`
    /// for `acme.webex.com`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: `site_name` is not a single label, or the name of the user is
    ///   empty or contains a character that is not allowed in XML.
    pub fn new(site_name: impl Into<String>, user: User, access_token: &AccessToken) -> Result<Self> {
        let site_name = site_name.into();
        check_site_name(&site_name)?;
        if user.name().is_empty() || !user.name().chars().all(is_xml_character) {
            let message = "invalid user name: use one or more characters that are allowed in XML, \
                           without control characters";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self { site_name, user, access_token: access_token.clone() })
    }

    /// Creates a security context from the tokens of a login.
    ///
    /// The context contains the site, the Webex ID (or the e-mail address if there is none), and
    /// the access token.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: the tokens do not contain the site or the user. Only tokens of
    ///   [`Service::meetings`](crate::Service::meetings) do.
    /// - [`ErrorKind::InvalidInput`]: see [`new`](Self::new).
    pub fn from_tokens(tokens: &TokenSet) -> Result<Self> {
        Self::from_account(tokens.account(), tokens.access_token())
    }

    pub(crate) fn from_account(account: &Account, access_token: &AccessToken) -> Result<Self> {
        let lacks = |what: &str| {
            let message = format!("tokens do not contain the name of the {what}: use `SecurityContext::new(..)`");
            Error::new(ErrorKind::Unsupported, message)
        };
        let site_name = account.site_name().ok_or_else(|| lacks("site"))?;
        let webex_id = account.user_name().map(|name| User::WebexId(name.to_owned()));
        let user = webex_id.or_else(|| account.email().map(|email| User::Email(email.to_owned())));
        Self::new(site_name, user.ok_or_else(|| lacks("user"))?, access_token)
    }

    /// Returns the site name.
    pub fn site_name(&self) -> &str {
        &self.site_name
    }

    /// Returns the user.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Converts the context into the element `<securityContext>` for the `<header>` of a request.
    ///
    /// **The result contains the access token.**
    pub fn to_xml(&self) -> XmlString {
        let user = match &self.user {
            User::WebexId(_) => "webExID",
            User::Email(_) => "email",
        };
        let elements = [
            ("siteName", self.site_name()),
            (user, self.user.name()),
            ("webExAccessToken", self.access_token.expose()),
        ];
        // The capacity covers the longest escapes: a reallocation would leave a copy of the token
        // in memory.
        let longest = elements.iter().map(|(_, text)| text.len() * MAX_ESCAPE_LEN).sum::<usize>() + MAX_MARKUP_LEN;
        let mut xml = Zeroizing::new(String::with_capacity(longest));
        xml.push_str("<securityContext>");
        for (element, text) in elements {
            xml.extend(["<", element, ">"]);
            push_escaped_xml(text, &mut xml);
            xml.extend(["</", element, ">"]);
        }
        xml.push_str("</securityContext>");
        debug_assert!(xml.len() <= longest);
        XmlString::unchecked(&xml)
    }
}

impl User {
    /// Returns the Webex ID or e-mail address, not escaped.
    pub fn name(&self) -> &str {
        let (Self::WebexId(name) | Self::Email(name)) = self;
        name
    }
}

/// The maximum length of an escaped byte.
const MAX_ESCAPE_LEN: usize = "&amp;".len();

/// An upper bound for the length of all tags.
const MAX_MARKUP_LEN: usize = 160;

/// Returns `true` if XML 1.0 allows this character. Other characters cannot be escaped (section
/// 2.2).
fn is_xml_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Escapes `text` as the content of an element (XML 1.0, sections 2.4 and 2.11).
///
/// The `escape` function of an XML crate would return a copy of the token that is not zeroized.
fn push_escaped_xml(text: &str, xml: &mut String) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            // An XML parser converts an unescaped carriage return into a line feed.
            '\r' => xml.push_str("&#13;"),
            _ => xml.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn context(user: User) -> Result<SecurityContext> {
        SecurityContext::new("acme", user, &AccessToken::new("a<b>&c").unwrap())
    }

    #[test]
    fn security_context_xml_matches_reference_and_is_escaped() {
        let xml = |user| context(user).unwrap().to_xml().expose().to_owned();
        let token = "<webExAccessToken>a&lt;b&gt;&amp;c</webExAccessToken>";
        assert_eq!(
            xml(User::WebexId("jané \"]]>'&amp;\r".into())),
            format!(
                "<securityContext><siteName>acme</siteName><webExID>jané \"]]&gt;'&amp;amp;&#13;</webExID>{token}\
                 </securityContext>"
            )
        );
        assert_eq!(
            xml(User::Email("jane@example.com".into())),
            format!(
                "<securityContext><siteName>acme</siteName><email>jane@example.com</email>{token}</securityContext>"
            )
        );
    }

    #[test]
    fn user_not_representable_in_xml_is_rejected() {
        for name in ["", "\0", "jane\u{b}", "\u{1f}", "\u{fffe}", "jane\u{ffff}"] {
            for user in [User::WebexId(name.into()), User::Email(name.into())] {
                let error = context(user).unwrap_err();
                assert!(
                    error.kind() == ErrorKind::InvalidInput && error.to_string().contains("allowed in XML"),
                    "{name:?}"
                );
            }
        }
        for name in ["\t", "\u{7f}", "\u{85}", "\u{d7ff}", "\u{e000}", "\u{fffd}", "\u{10ffff}"] {
            assert!(context(User::Email(name.into())).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn invalid_site_name_is_rejected_with_hint() {
        for site in ["", "acme.webex.com", "https://acme.webex.com", "a b", "<acme>", "'acme'"] {
            let made = SecurityContext::new(site, User::WebexId("jane".into()), &AccessToken::new("a").unwrap());
            let error = made.unwrap_err();
            assert!(
                error.kind() == ErrorKind::InvalidInput && error.to_string().contains("use \"acme\""),
                "{site}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn user_name_is_always_escaped_in_xml(name in "\\PC{1,40}|[<>&\r\n\t;#a]{1,40}") {
            let xml = context(User::WebexId(name.clone())).unwrap().to_xml();
            let inside = xml.expose().split_once("<webExID>").unwrap().1.split_once("</webExID>").unwrap().0;
            prop_assert!(!inside.contains(['<', '>', '\r']));
            let read = inside.replace("&#13;", "\r").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            prop_assert_eq!(read, name);
        }
    }
}
