//! The XML API of Webex Meetings: how a request says who makes it.
//!
//! A request to the XML API is a document that is sent by POST, as `application/xml`, to
//! `https://api.webex.com/WBXService/XMLService`
//! (<https://developer.cisco.com/docs/webex-xml-api-reference-guide/xml-request-and-response-documents>). Its access token
//! stands in the document itself, in a [`SecurityContext`], not in a header:
//!
//! ```text
//! <serv:message xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
//!   <header> <securityContext>...</securityContext> </header>
//!   <body> <bodyContent xsi:type="java:com.webex.service.binding.user.GetUser">...</bodyContent> </body>
//! </serv:message>
//! ```
//!
//! The token is one of [`Service::meetings`](crate::Service::meetings). One of the platform
//! ([`Service::webex`](crate::Service::webex), with the scope `spark:all`) is first exchanged for a session ticket, by the
//! request `AuthenticateUser` (<https://developer.cisco.com/docs/webex-xml-api-reference-guide/request-authentication>).
//!
//! Most of the API reached its end of life on 31 March 2024; what has to do with users goes on
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
//! let header = context.to_xml(); // a secret: the access token stands in it
//! assert!(header.expose().starts_with("<securityContext><siteName>acme</siteName>"));
//! # Ok(())
//! # }
//! ```

use secrecy::zeroize::Zeroizing;

use crate::account::{Account, check_site_name};
use crate::error::{Error, ErrorKind, Result};
use crate::secret::AccessToken;
use crate::token::TokenSet;

pub use crate::secret::XmlText;

/// Who makes a request to the XML API, and with which access token
/// (<https://developer.cisco.com/docs/webex-xml-api-reference-guide/security-context>).
///
/// The token lives two hours: make a new context for each request, from the tokens that are current then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityContext {
    site_name: String,
    user: User,
    access_token: AccessToken,
}

/// By which name the XML API knows a host or an administrator.
///
/// On sites whose users are managed in Control Hub both are the same
/// (<https://developer.cisco.com/docs/webex-meetings/xml-api-9-0-release-notes>).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum User {
    /// The Webex ID, written as `<webExID>`; the token endpoint calls it `user_name`.
    WebexId(String),
    /// The e-mail address, written as `<email>` in its place.
    Email(String),
}

impl SecurityContext {
    /// A context from its parts. `site_name` is the first label of the site's address: `acme` for `acme.webex.com`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`]: the site is no such label, or the user's name is empty or has a character that XML cannot carry.
    pub fn new(site_name: impl Into<String>, user: User, access_token: &AccessToken) -> Result<Self> {
        let site_name = site_name.into();
        check_site_name(&site_name)?;
        if user.name().is_empty() || !user.name().chars().all(is_xml) {
            let message = "the user's Webex ID or e-mail address must be one or more characters that XML can carry, \
                           without control characters";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Self { site_name, user, access_token: access_token.clone() })
    }

    /// The context of a login: its site, its Webex ID (or else its e-mail address), and its access token.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: the tokens do not say which site or user they are for; only those of
    ///   [`Service::meetings`](crate::Service::meetings) do.
    /// - [`ErrorKind::InvalidInput`]: as for [`new`](Self::new).
    pub fn from_tokens(tokens: &TokenSet) -> Result<Self> {
        Self::of_account(tokens.account(), tokens.access_token())
    }

    pub(crate) fn of_account(account: &Account, access_token: &AccessToken) -> Result<Self> {
        let lacks = |what: &str| {
            let message =
                format!("the tokens do not name the {what} that they are for: use `SecurityContext::new(..)`");
            Error::new(ErrorKind::Unsupported, message)
        };
        let site_name = account.site_name().ok_or_else(|| lacks("site"))?;
        let webex_id = account.user_name().map(|name| User::WebexId(name.to_owned()));
        let user = webex_id.or_else(|| account.email().map(|email| User::Email(email.to_owned())));
        Self::new(site_name, user.ok_or_else(|| lacks("user"))?, access_token)
    }

    /// The name of the site.
    pub fn site_name(&self) -> &str {
        &self.site_name
    }

    /// The user.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The element `<securityContext>`, escaped and without white space, for the `<header>` of a request. **It holds the
    /// access token.**
    pub fn to_xml(&self) -> XmlText {
        let user = match &self.user {
            User::WebexId(_) => "webExID",
            User::Email(_) => "email",
        };
        let elements = [
            ("siteName", self.site_name()),
            (user, self.user.name()),
            ("webExAccessToken", self.access_token.expose()),
        ];
        // Long enough for every escape, so that the buffer never moves and leaves a copy of the token behind.
        let longest = elements.iter().map(|(_, text)| text.len() * LONGEST_ESCAPE).sum::<usize>() + MARKUP;
        let mut xml = Zeroizing::new(String::with_capacity(longest));
        xml.push_str("<securityContext>");
        for (element, text) in elements {
            xml.extend(["<", element, ">"]);
            escape(text, &mut xml);
            xml.extend(["</", element, ">"]);
        }
        xml.push_str("</securityContext>");
        debug_assert!(xml.len() <= longest);
        XmlText::unchecked(&xml)
    }
}

impl User {
    /// The Webex ID or e-mail address, as it is: not escaped.
    pub fn name(&self) -> &str {
        let (Self::WebexId(name) | Self::Email(name)) = self;
        name
    }
}

/// The longest that one byte becomes.
const LONGEST_ESCAPE: usize = "&amp;".len();

/// More than all tags are long.
const MARKUP: usize = 160;

/// Whether XML 1.0 has this character at all; the others cannot even be escaped (section 2.2).
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Writes text as the content of an element (XML 1.0 sections 2.4 and 2.11). An XML crate's own `escape` would hand out
/// a copy of the token that nobody wipes.
fn escape(text: &str, xml: &mut String) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            // As itself it would be read as a line feed.
            '\r' => xml.push_str("&#13;"),
            _ => xml.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context(user: User) -> Result<SecurityContext> {
        SecurityContext::new("acme", user, &AccessToken::new("a<b>&c").unwrap())
    }

    #[test]
    fn the_element_is_written_as_ciscos_reference_has_it_with_everything_escaped() {
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
    fn what_xml_cannot_carry_is_refused() {
        for name in ["", "\0", "jane\u{b}", "\u{1f}", "\u{fffe}", "jane\u{ffff}"] {
            for user in [User::WebexId(name.into()), User::Email(name.into())] {
                let error = context(user).unwrap_err();
                assert!(
                    error.kind() == ErrorKind::InvalidInput && error.to_string().contains("XML can carry"),
                    "{name:?}"
                );
            }
        }
        for name in ["\t", "\u{7f}", "\u{85}", "\u{d7ff}", "\u{e000}", "\u{fffd}", "\u{10ffff}"] {
            assert!(context(User::Email(name.into())).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_site_is_the_first_label_of_its_address() {
        for site in ["", "acme.webex.com", "https://acme.webex.com", "a b", "<acme>", "'acme'"] {
            let made = SecurityContext::new(site, User::WebexId("jane".into()), &AccessToken::new("a").unwrap());
            let error = made.unwrap_err();
            assert!(
                error.kind() == ErrorKind::InvalidInput && error.to_string().contains("write \"acme\""),
                "{site}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_name_breaks_out_of_its_element(name in "\\PC{1,40}|[<>&\r\n\t;#a]{1,40}") {
            let xml = context(User::WebexId(name.clone())).unwrap().to_xml();
            let inside = xml.expose().split_once("<webExID>").unwrap().1.split_once("</webExID>").unwrap().0;
            prop_assert!(!inside.contains(['<', '>', '\r']));
            let read = inside.replace("&#13;", "\r").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            prop_assert_eq!(read, name);
        }
    }
}
