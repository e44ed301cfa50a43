//! HTML pages.
//!
//! - `document` contains the parts common to all pages, and the page for an invalid authorization
//!   request.
//! - `login` contains the sign-in page, the consent page, and the page for the code of a device.

use crate::html::escape_html;
use crate::testing::pages::document::Document;
use crate::testing::pages::document::ErrorPage;
use crate::testing::pages::login::{ConsentPage, SignInPage, UserCodePage};

pub(crate) mod document;
pub(crate) mod login;

/// A page shown to a browser.
#[derive(Debug)]
pub(crate) enum Page {
    SignIn(SignInPage),
    Consent(ConsentPage),
    UserCode(UserCodePage),
    /// The final page of a device login.
    DeviceDone {
        is_approved: bool,
    },
    Error(ErrorPage),
    FormPost(FormPostPage),
    /// The logout page for a browser without a redirect target.
    SignedOut,
    /// A page that is not Webex's, sent in place of JSON.
    CaptivePortal,
}

impl Page {
    /// Returns the HTML document.
    pub(crate) fn html(&self) -> String {
        let plain = |title, text| Document { title, body: &format!("<h1>{title}</h1><p>{text}</p>") }.html();
        match self {
            Self::SignIn(page) => page.html(),
            Self::Consent(page) => page.html(),
            Self::UserCode(page) => page.html(),
            Self::DeviceDone { is_approved: is_yes } => login::final_page(*is_yes),
            Self::Error(page) => page.html(),
            Self::FormPost(page) => page.html(),
            Self::SignedOut => plain("You have signed out", "You can close this window."),
            Self::CaptivePortal => plain("Welcome to the network", "Sign in to the network to continue."),
        }
    }
}

/// The target and fields of the form.
#[derive(Clone, Debug)]
pub(crate) struct FormPostPage {
    pub(crate) action: String,
    pub(crate) fields: Vec<(&'static str, String)>,
}

impl FormPostPage {
    /// Returns the request body that the application receives.
    pub(crate) fn body(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }

    /// Returns the page as HTML. Other servers submit the form with a script; here the user presses
    /// the button.
    pub(crate) fn html(&self) -> String {
        let field = |(name, value): &(&str, String)| {
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape_html(value))
        };
        let body = format!(
            "<h1>Return to the application</h1><p>Press Continue to send the response.</p>\
             <form method=\"post\" action=\"{action}\">{fields}\
             <div class=\"actions\"><button type=\"submit\" class=\"main\">Continue</button></div></form>",
            action = escape_html(&self.action),
            fields = self.fields.iter().map(field).collect::<String>(),
        );
        Document { title: "Return to the application", body: &body }.html()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pages::login::{AccountOption, SignInReason};

    #[test]
    fn untrusted_text_is_escaped_on_every_page() {
        let malicious = || "\"'><script>&".to_owned();
        let sign_in = |is_unknown| {
            Page::SignIn(SignInPage {
                base: "/v1",
                transaction: malicious(),
                integration: malicious(),
                reason: SignInReason::NotSignedIn,
                email: malicious(),
                is_unknown,
                people: vec![AccountOption { email: malicious(), name: malicious(), is_signed_in: true }],
            })
        };
        let consent = Page::Consent(ConsentPage {
            base: "/v1",
            transaction: malicious(),
            integration: malicious(),
            // A scope cannot contain these characters.
            scopes: "spark:all".parse().unwrap(),
            name: malicious(),
            email: malicious(),
            user_code: Some(malicious()),
        });
        let code = Page::UserCode(UserCodePage { code: malicious(), problem: Some(login::Problem::UnknownCode) });
        let form_post = Page::FormPost(FormPostPage { action: malicious(), fields: vec![("state", malicious())] });
        for (page, times) in [(sign_in(false), 6), (sign_in(true), 7), (consent, 6), (code, 1), (form_post, 2)] {
            let html = page.html();
            assert!(!html.contains("<script"), "{html}");
            assert_eq!(html.matches("&lt;script&gt;").count(), times, "{html}");
        }
    }
}
