//! HTML pages.
//!
//! They load no external resources, run no script, and are accessible by keyboard and screen
//! reader.

use crate::testing::consent_page::ConsentPage;
use crate::testing::device_page::{self, CodePage};
use crate::testing::document::Document;
use crate::testing::form_post_page::FormPostPage;
use crate::testing::refusal_page::ErrorPage;
use crate::testing::sign_in_page::SignInPage;

/// A page shown to a browser.
#[derive(Debug)]
pub(super) enum Page {
    SignIn(SignInPage),
    Consent(ConsentPage),
    Code(CodePage),
    /// The final page of a device login.
    DeviceDone {
        is_yes: bool,
    },
    Refusal(ErrorPage),
    FormPost(FormPostPage),
    /// The logout page for a browser without a redirect target.
    SignedOut,
    /// A page that is not Webex's, sent in place of JSON.
    Stray,
}

impl Page {
    /// Returns the HTML document.
    pub(super) fn html(&self) -> String {
        let plain = |title, text| Document { title, body: &format!("<h1>{title}</h1><p>{text}</p>") }.html();
        match self {
            Self::SignIn(page) => page.html(),
            Self::Consent(page) => page.html(),
            Self::Code(page) => page.html(),
            Self::DeviceDone { is_yes } => device_page::done(*is_yes),
            Self::Refusal(page) => page.html(),
            Self::FormPost(page) => page.html(),
            Self::SignedOut => plain("You have signed out", "You can close this window."),
            Self::Stray => plain("Welcome to the network", "Sign in to the network to continue."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sign_in_page::{Person, Why};

    #[test]
    fn untrusted_text_is_escaped_on_every_page() {
        let evil = || "\"'><script>&".to_owned();
        let sign_in = |is_unknown| {
            Page::SignIn(SignInPage {
                base: "/v1",
                transaction: evil(),
                integration: evil(),
                why: Why::Nobody,
                email: evil(),
                is_unknown,
                people: vec![Person { email: evil(), name: evil(), is_signed_in: true }],
            })
        };
        let consent = Page::Consent(ConsentPage {
            base: "/v1",
            transaction: evil(),
            integration: evil(),
            // A scope cannot contain these characters.
            scopes: "spark:all".parse().unwrap(),
            name: evil(),
            email: evil(),
            user_code: Some(evil()),
        });
        let code = Page::Code(CodePage { code: evil(), problem: Some(device_page::Problem::UnknownCode) });
        let form_post = Page::FormPost(FormPostPage { action: evil(), fields: vec![("state", evil())] });
        for (page, times) in [(sign_in(false), 6), (sign_in(true), 7), (consent, 6), (code, 1), (form_post, 2)] {
            let html = page.html();
            assert!(!html.contains("<script"), "{html}");
            assert_eq!(html.matches("&lt;script&gt;").count(), times, "{html}");
        }
    }
}
