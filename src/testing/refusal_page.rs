//! The pages that end a login at Webex.

use std::fmt;

use crate::html::escape;
use crate::testing::document::Document;

/// A page that ends a login at Webex: the browser is never sent back, so the application hears nothing.
///
/// [`Display`](fmt::Display) says what the test's author should know.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use webex_oauth::testing::{MockWebex, RefusalPage};
///
/// let mock = MockWebex::start().await;
/// let endpoint = mock.service().authorization_endpoint().to_owned();
/// let page = mock.try_approve(format!("{endpoint}?response_type=code&client_id=C0ffee&scope=spark:all"));
/// assert_eq!(page, Err(RefusalPage::UnknownClient));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalPage {
    /// No integration has this client id.
    UnknownClient,
    /// The redirect URI is not, character by character, a registered one; or it is missing and several are registered.
    RedirectUriMismatch,
    /// An administrator has denied the integration.
    DeniedByAdministrator,
    /// The page was answered before, or too late.
    Expired,
    /// A device wants to log in with an integration that has not registered the redirect URIs of Webex's helper.
    DeviceRedirectsMissing,
}

impl RefusalPage {
    /// The page's HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::UnknownClient | Self::RedirectUriMismatch | Self::DeviceRedirectsMissing | Self::Expired => 400,
            Self::DeniedByAdministrator => 403,
        }
    }

    /// The whole document. The titles and the first sentences are Webex's own, as far as they are known.
    pub(super) fn html(self) -> String {
        let body = format!(
            "<h1>{title}</h1><p>{text}</p>\
             <div class=\"note\"><h2>What Webex would not say</h2><p>{reason}.</p></div>",
            title = self.title(),
            text = self.text(),
            reason = escape(&capitalized(&self.to_string())),
        );
        Document { title: self.title(), body: &body }.html()
    }

    fn title(self) -> &'static str {
        match self {
            Self::UnknownClient | Self::RedirectUriMismatch | Self::DeviceRedirectsMissing => {
                "We've encountered an error"
            }
            Self::DeniedByAdministrator => "Access denied",
            Self::Expired => "This page has expired",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::UnknownClient | Self::RedirectUriMismatch | Self::DeviceRedirectsMissing => "Try again later.",
            Self::DeniedByAdministrator => {
                "Your administrator denied access to the integration you selected. We captured your request."
            }
            Self::Expired => "Go back to the application or to the device, and sign in again from there.",
        }
    }
}

impl fmt::Display for RefusalPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownClient => "no integration of the mock has this client id",
            Self::RedirectUriMismatch => {
                "the redirect URI is not exactly one that the mock registered, or it is missing and several are"
            }
            Self::DeniedByAdministrator => "an administrator has denied access to the integration",
            Self::Expired => {
                "the page was answered before, is more than ten minutes old, or is of a device whose code has expired"
            }
            Self::DeviceRedirectsMissing => {
                "the integration has not registered all four redirect URIs of Webex's helper for devices"
            }
        })
    }
}

impl std::error::Error for RefusalPage {}

fn capitalized(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_webex_words_and_the_mocks_own() {
        for (page, title, text, reason) in [
            (RefusalPage::UnknownClient, "We've encountered an error", "Try again later.", "No integration of"),
            (RefusalPage::RedirectUriMismatch, "We've encountered an error", "Try again later.", "The redirect URI"),
            (RefusalPage::DeviceRedirectsMissing, "We've encountered an error", "Try again later.", "all four"),
            (
                RefusalPage::DeniedByAdministrator,
                "Access denied",
                "Your administrator denied access to the integration you selected. We captured your request.",
                "An administrator",
            ),
            (RefusalPage::Expired, "This page has expired", "Go back to the application", "answered before"),
        ] {
            let html = page.html();
            assert!(html.contains(&format!("<h1>{title}</h1>")), "{html}");
            assert!(html.contains(text) && html.contains(reason), "{html}");
        }
    }
}
