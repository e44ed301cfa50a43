//! The pages that a browser sees: consent, and the refusals that never redirect.
//!
//! They hold nothing of anybody else, run no script, and can be used by keyboard and screen reader.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::html::escape;
use crate::scope::Scopes;

/// A page.
#[derive(Debug)]
pub(super) enum Page {
    Consent(Consent),
    /// Of a login on a device.
    Device(DevicePage),
    Refusal(RefusalPage),
    /// What the logout page says to a browser that has nowhere to go.
    SignedOut,
    /// No page of Webex's: one that stands where JSON should.
    Stray,
}

/// What the consent page shows.
#[derive(Debug)]
pub(super) struct Consent {
    pub(super) transaction: String,
    pub(super) integration: String,
    pub(super) scopes: Scopes,
    /// E-mail addresses and names.
    pub(super) users: Vec<(String, String)>,
    /// Which of them is chosen already.
    pub(super) selected: usize,
}

/// What the page for the user of a device shows.
#[derive(Debug)]
pub(super) enum DevicePage {
    /// It asks for the code.
    Code {
        code: String,
        is_unknown: bool,
    },
    Consent(DeviceConsent),
    Accepted,
    Denied,
}

/// What a device asks its user for.
#[derive(Debug)]
pub(super) struct DeviceConsent {
    pub(super) code: String,
    pub(super) integration: String,
    pub(super) scopes: Scopes,
    /// E-mail addresses and names.
    pub(super) users: Vec<(String, String)>,
}

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
    /// The consent page was answered before, or too late.
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
                "Your administrator denied access to the integration you selected. Your request was captured."
            }
            Self::Expired => "Go back to the application and sign in again.",
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
            Self::Expired => "the consent page was answered before, or more than ten minutes after it was shown",
            Self::DeviceRedirectsMissing => {
                "the integration has not registered all four redirect URIs of Webex's helper for devices"
            }
        })
    }
}

impl std::error::Error for RefusalPage {}

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem;\
    color:#1a1a1a;background:#fff}button,select{font:inherit;padding:.5rem 1.25rem;margin:0 .5rem 0 0}\
    small{color:#555}";

/// The policy that the pages are sent with. It leaves `form-action` open, since browsers apply that to the redirect
/// after a form too, and the redirect leads to the application.
pub(super) fn content_security_policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'")
}

impl Page {
    /// The whole document.
    pub(super) fn html(&self) -> String {
        match self {
            Self::Consent(consent) => consent.html(),
            Self::Device(page) => page.html(),
            Self::SignedOut => document("You have signed out", "<p>You can close this window.</p>"),
            Self::Stray => document("Welcome to the network", "<p>Sign in to the network to go on.</p>"),
            Self::Refusal(page) => {
                let note =
                    format!("<p>{}</p><p><small>MockWebex: {}.</small></p>", page.text(), escape(&page.to_string()));
                document(page.title(), &note)
            }
        }
    }
}

impl DevicePage {
    fn html(&self) -> String {
        match self {
            Self::Code { code, is_unknown } => {
                let note = if *is_unknown {
                    "<p role=\"alert\">No device waits with this code. Look at the device for its code, and type it here.</p>"
                } else {
                    ""
                };
                let body = format!(
                    "{note}<form method=\"post\" action=\"verify\"><p><label for=\"code\">The code that your device shows</label> \
                     <input id=\"code\" name=\"code\" value=\"{}\" inputmode=\"numeric\" autocomplete=\"off\" required autofocus></p>\
                     <p><button>Next</button></p></form>",
                    escape(code)
                );
                document("Connect a device", &body)
            }
            Self::Consent(consent) => consent.html(),
            Self::Accepted => document("You are signed in", "<p>You can go back to your device now.</p>"),
            Self::Denied => {
                document("You have declined", "<p>You can go back to your device now. It was not signed in.</p>")
            }
        }
    }
}

impl DeviceConsent {
    fn html(&self) -> String {
        let body = format!(
            "<p><strong>{integration}</strong> on the device with the code {code} asks for:</p><ul>{scopes}</ul>\
             <form method=\"post\" action=\"verify\"><input type=\"hidden\" name=\"code\" value=\"{code}\">{users}\
             <p><button name=\"decision\" value=\"accept\">Accept</button>\
             <button name=\"decision\" value=\"deny\">Deny</button></p></form>",
            integration = escape(&self.integration),
            scopes = scope_items(&self.scopes),
            code = escape(&self.code),
            users = user_select(&self.users, 0),
        );
        document("Sign in on a device", &body)
    }
}

fn scope_items(scopes: &Scopes) -> String {
    scopes.iter().map(|scope| format!("<li>{}</li>", escape(scope.as_str()))).collect()
}

impl Consent {
    fn html(&self) -> String {
        let scopes = scope_items(&self.scopes);
        let body = format!(
            "<p><strong>{integration}</strong> asks for:</p><ul>{scopes}</ul>\
             <form method=\"post\" action=\"consent\">\
             <input type=\"hidden\" name=\"transaction\" value=\"{transaction}\">{users}\
             <p><button name=\"decision\" value=\"accept\">Accept</button>\
             <button name=\"decision\" value=\"deny\">Deny</button></p></form>\
             <p><small>This is MockWebex: nobody signs in here but made-up people.</small></p>",
            integration = escape(&self.integration),
            transaction = escape(&self.transaction),
            users = user_select(&self.users, self.selected),
        );
        document("Sign in and grant access", &body)
    }
}

fn user_select(users: &[(String, String)], selected: usize) -> String {
    let mut options = String::new();
    for (position, (email, name)) in users.iter().enumerate() {
        let selected = if position == selected { " selected" } else { "" };
        let (email, name) = (escape(email), escape(name));
        // Writing to a `String` cannot fail.
        _ = write!(options, "<option value=\"{email}\"{selected}>{name} ({email})</option>");
    }
    format!("<p><label for=\"user\">Sign in as</label> <select id=\"user\" name=\"user\">{options}</select></p>")
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - MockWebex</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_escaped_everywhere() {
        let evil = "\"'><script>&";
        let consent = Consent {
            transaction: evil.to_owned(),
            integration: evil.to_owned(),
            scopes: "a'><script>b".parse().unwrap(),
            users: vec![(evil.to_owned(), evil.to_owned())],
            selected: 0,
        };
        let html = Page::Consent(consent).html();
        assert!(!html.contains("<script"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;").count(), 6, "{html}");
        assert_eq!(html.matches("&lt;script&gt;&amp;").count(), 5, "{html}");
    }

    #[test]
    fn a_refusal_says_webex_words_and_the_mocks_own() {
        let html = Page::Refusal(RefusalPage::DeniedByAdministrator).html();
        assert!(html.contains("<h1>Access denied</h1>") && html.contains("Your administrator denied access"), "{html}");
    }
}
