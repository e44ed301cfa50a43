//! The parts common to all pages (frame, style, content security policy), and the error page.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::html::escape_html;

/// The style sheet. Text colors satisfy WCAG level AA in dark and light mode; field borders have a
/// contrast of 3:1.
const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#eef1f5;--card:#fff;--text:#1b1f24;--quiet:#505a66;--line:#7a8490;--soft:#d5dbe2;\
--main:#0a58a8;--main-text:#fff;--bad:#b3261e;--note:#f4f6f9}\
@media(prefers-color-scheme:dark){:root{--ground:#0e1318;--card:#182028;--text:#e9edf2;--quiet:#a9b4c0;--line:#7e8a97;\
--soft:#33404d;--main:#8ac1ff;--main-text:#07192c;--bad:#ffb4ab;--note:#10171e}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;background:var(--ground);color:var(--text);\
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
header,main,footer{width:100%;max-width:30rem}\
header{padding:2rem 1.5rem .75rem;font-weight:600}\
header span{margin-left:.5rem;font-weight:400;color:var(--quiet)}\
main{padding:1.75rem 1.5rem;background:var(--card);border-block:1px solid var(--soft)}\
footer{padding:.75rem 1.5rem 2rem;font-size:.875rem;color:var(--quiet)}\
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25}\
h2{margin:1.75rem 0 .5rem;font-size:1rem}\
p{margin:0 0 .75rem}footer p{margin:0}\
a{color:var(--main)}\
label{display:block;margin:1.25rem 0 .25rem;font-weight:600}\
input{width:100%;padding:.625rem .75rem;font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);\
border-radius:.375rem}\
input[aria-invalid]{border:2px solid var(--bad)}\
.code{font-size:1.5rem;letter-spacing:.2em;font-variant-numeric:tabular-nums}\
button{padding:.625rem 1.25rem;font:inherit;font-weight:600;color:var(--main);background:var(--card);\
border:1px solid var(--main);border-radius:.375rem;cursor:pointer}\
button.main{color:var(--main-text);background:var(--main)}\
button:hover{text-decoration:underline}\
:focus-visible{outline:3px solid var(--main);outline-offset:2px}\
.actions{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.5rem 0 0}\
.actions button{flex:1 1 8rem}\
.people,.scopes{margin:0;padding:0;list-style:none}\
.people button{display:block;width:100%;margin:0 0 .5rem;padding:.5rem .75rem;font-weight:400;text-align:start;\
color:inherit;border-color:var(--line)}\
.people span,.scopes span,.scopes code{display:block}\
.people span{color:var(--quiet);font-size:.875rem}\
.scopes li{padding:.625rem 0;border-top:1px solid var(--soft)}\
.scopes code{color:var(--quiet);font-size:.875rem}\
.hint{color:var(--quiet);font-size:.875rem;margin:.25rem 0 0}\
.problem{margin:.25rem 0 0;color:var(--bad);font-weight:600}\
.note{margin:1.5rem 0 0;padding:.75rem 1rem;background:var(--note);border-inline-start:4px solid var(--line)}\
.note h2{margin:0 0 .25rem}.note p{margin:0}\
@media(min-width:34rem){body{padding:4vh 0}main{padding:2rem;border:1px solid var(--soft);border-radius:.75rem}\
header,footer{padding-inline:2rem}}";

/// Returns the content security policy of the pages.
///
/// `form-action` is left open, because browsers also apply it to the redirect after a form, which
/// leads to the application.
pub(crate) fn content_security_policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'")
}

/// The content of a page.
pub(crate) struct Document<'a> {
    /// The title, as HTML. Must be static.
    pub(crate) title: &'static str,
    /// The content, as HTML with an `h1`.
    pub(crate) body: &'a str,
}

impl Document<'_> {
    /// Returns the complete HTML document.
    pub(crate) fn html(&self) -> String {
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - MockWebex</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><style>{STYLE}</style></head>\
             <body><header>MockWebex <span>a simulated Webex</span></header><main>{body}</main>\
             <footer><p>All users are fictitious. No passwords are required.</p></footer></body></html>",
            title = self.title,
            body = self.body,
        )
    }
}

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
