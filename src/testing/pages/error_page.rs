//! Error pages of the authorization endpoint.

use std::fmt;

use crate::html::escape_html;
use crate::testing::pages::document::Document;

/// An error page that Webex shows instead of redirecting. The application receives no callback.
///
/// The [`Display`](fmt::Display) text describes the cause for the author of the test.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use webex_oauth::testing::{MockWebex, ErrorPage};
///
/// let mock = MockWebex::start().await;
/// let endpoint = mock.service().authorization_endpoint().to_owned();
/// let url = format!("{endpoint}?response_type=code&client_id=C0ffee&scope=spark:all");
/// assert_eq!(mock.try_approve(url), Err(ErrorPage::UnknownClient));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorPage {
    /// No integration has this client ID.
    UnknownClient,
    /// The redirect URI does not exactly match a registered one, or is missing although several are
    /// registered.
    RedirectUriMismatch,
    /// An administrator denied access to the integration.
    DeniedByAdministrator,
    /// The page expired or its form was already submitted.
    Expired,
    /// The integration has not registered the redirect URIs of Webex's device helper.
    DeviceRedirectsMissing,
}

impl ErrorPage {
    /// Returns the HTTP status of the page.
    pub fn status(self) -> u16 {
        match self {
            Self::UnknownClient | Self::RedirectUriMismatch | Self::DeviceRedirectsMissing | Self::Expired => 400,
            Self::DeniedByAdministrator => 403,
        }
    }

    /// Returns the HTML document.
    ///
    /// Titles and first sentences are Webex's own where they are known.
    pub(crate) fn html(self) -> String {
        let body = format!(
            "<h1>{title}</h1><p>{text}</p>\
             <div class=\"note\"><h2>Reason (not shown by Webex)</h2><p>{reason}.</p></div>",
            title = self.title(),
            text = self.text(),
            reason = escape_html(&capitalize(&self.to_string())),
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
            Self::Expired => "Go back to the application or device and sign in again.",
        }
    }
}

impl fmt::Display for ErrorPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownClient => "unknown client ID: no integration of the mock has it",
            Self::RedirectUriMismatch => {
                "redirect URI mismatch: it does not exactly match a registered one, or is missing although several are registered"
            }
            Self::DeniedByAdministrator => "an administrator denied access to the integration",
            Self::Expired => {
                "page expired: its form was already submitted, it is older than ten minutes, or the device code expired"
            }
            Self::DeviceRedirectsMissing => {
                "missing redirect URIs: the integration has not registered all four URIs of Webex's device helper"
            }
        })
    }
}

impl std::error::Error for ErrorPage {}

fn capitalize(sentence: &str) -> String {
    let mut characters = sentence.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_page_has_webex_text_and_mock_reason() {
        for (page, title, text, reason) in [
            (ErrorPage::UnknownClient, "We've encountered an error", "Try again later.", "Unknown client ID"),
            (ErrorPage::RedirectUriMismatch, "We've encountered an error", "Try again later.", "Redirect URI mismatch"),
            (ErrorPage::DeviceRedirectsMissing, "We've encountered an error", "Try again later.", "all four URIs"),
            (
                ErrorPage::DeniedByAdministrator,
                "Access denied",
                "Your administrator denied access to the integration you selected. We captured your request.",
                "An administrator",
            ),
            (ErrorPage::Expired, "This page has expired", "Go back to the application", "already submitted"),
        ] {
            let html = page.html();
            assert!(html.contains(&format!("<h1>{title}</h1>")), "{html}");
            assert!(html.contains(text) && html.contains(reason), "{html}");
        }
    }
}
