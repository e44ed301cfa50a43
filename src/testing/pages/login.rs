//! The pages of a login: sign-in, consent, and the code of a device.

use std::fmt::Write as _;

use crate::html::escape_html;
use crate::scope::{Scope, Scopes};
use crate::testing::pages::document::Document;

/// The content of the sign-in page.
#[derive(Debug)]
pub(crate) struct SignInPage {
    /// The path prefix of all endpoints.
    pub(crate) base: &'static str,
    pub(crate) transaction: String,
    pub(crate) integration: String,
    pub(crate) reason: SignInReason,
    /// The initial value of the field.
    pub(crate) email: String,
    /// `true` if the user entered this address and it is unknown.
    pub(crate) is_unknown: bool,
    pub(crate) people: Vec<AccountOption>,
}

/// The reason for a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignInReason {
    /// No user is signed in with this browser, or not the requested user.
    NotSignedIn,
    /// The application requires a new sign-in.
    Reauthentication,
    /// The application or the user requested the choice of an account.
    AccountSelection,
}

/// A user to choose.
#[derive(Debug)]
pub(crate) struct AccountOption {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) is_signed_in: bool,
}

impl SignInPage {
    pub(crate) fn html(&self) -> String {
        let (heading, error) = match self.reason {
            SignInReason::AccountSelection => ("Choose an account", "Error: choose an account"),
            SignInReason::Reauthentication => ("Sign in again", "Error: sign in again"),
            SignInReason::NotSignedIn => ("Sign in", "Error: sign in"),
        };
        // The button of the field precedes those of the users, so that the Enter key activates it.
        let body = format!(
            "<h1>{heading}</h1><p>{to_go_on} <strong>{integration}</strong>.</p>\
             <form method=\"post\" action=\"{base}/signin\">\
             <input type=\"hidden\" name=\"transaction\" value=\"{transaction}\">\
             <label for=\"user\">E-mail address</label>\
             <input type=\"email\" id=\"user\" name=\"user\" value=\"{email}\" autocomplete=\"username\" \
             spellcheck=\"false\" required autofocus{invalid}>{problem}\
             <div class=\"actions\"><button type=\"submit\" class=\"main\">Sign in</button></div>\
             <h2 id=\"people\">Users of this mock</h2><ul class=\"people\" aria-labelledby=\"people\">{people}</ul></form>",
            to_go_on = match self.reason {
                SignInReason::NotSignedIn => "Sign in to continue to",
                SignInReason::Reauthentication => "Sign in again to continue to",
                SignInReason::AccountSelection => "Choose an account to continue to",
            },
            integration = escape_html(&self.integration),
            base = self.base,
            transaction = escape_html(&self.transaction),
            email = escape_html(&self.email),
            invalid = if self.is_unknown { " aria-invalid=\"true\" aria-describedby=\"problem\"" } else { "" },
            problem = if self.is_unknown { self.problem() } else { String::new() },
            people = self.people(),
        );
        Document { title: if self.is_unknown { error } else { heading }, body: &body }.html()
    }

    fn problem(&self) -> String {
        let words = if self.email.is_empty() {
            "Enter an e-mail address or choose one below.".to_owned()
        } else {
            let email = escape_html(&self.email);
            format!(
                "No user of this mock has the address “{email}”. Choose one below, or add the user with the mock's builder."
            )
        };
        format!("<p class=\"problem\" id=\"problem\" role=\"alert\">{words}</p>")
    }

    fn people(&self) -> String {
        self.people.iter().fold(String::new(), |mut items, person| {
            let (email, name) = (escape_html(&person.email), escape_html(&person.name));
            let more = if person.is_signed_in { ", signed in" } else { "" };
            // Writing to a `String` cannot fail.
            _ = write!(
                items,
                "<li><button type=\"submit\" name=\"choice\" value=\"{email}\" formnovalidate>{name}\
                 <span>{email}{more}</span></button></li>"
            );
            items
        })
    }
}

/// The content of the consent page.
#[derive(Debug)]
pub(crate) struct ConsentPage {
    /// The path prefix of all endpoints.
    pub(crate) base: &'static str,
    pub(crate) transaction: String,
    pub(crate) integration: String,
    pub(crate) scopes: Scopes,
    pub(crate) name: String,
    pub(crate) email: String,
    /// The user code of a device login.
    pub(crate) user_code: Option<String>,
}

impl ConsentPage {
    pub(crate) fn html(&self) -> String {
        let (base, transaction) = (self.base, escape_html(&self.transaction));
        let body = format!(
            "<h1>{integration} requests access</h1>\
             <p>You are signed in as <strong>{name}</strong> ({email}). \
             <a href=\"{base}/signin?transaction={transaction}\">Use another account</a></p>{device_warning}\
             <h2 id=\"scopes\">Requested permissions</h2><ul class=\"scopes\" aria-labelledby=\"scopes\">{scopes}</ul>\
             <form method=\"post\" action=\"{base}/consent\">\
             <input type=\"hidden\" name=\"transaction\" value=\"{transaction}\">\
             <div class=\"actions\">\
             <button type=\"submit\" class=\"main\" name=\"decision\" value=\"accept\">Accept</button>\
             <button type=\"submit\" name=\"decision\" value=\"deny\">Deny</button></div></form>",
            integration = escape_html(&self.integration),
            name = escape_html(&self.name),
            email = escape_html(&self.email),
            device_warning = self.user_code.as_deref().map(device_warning).unwrap_or_default(),
            scopes = self.scopes.iter().map(scope_item).collect::<String>(),
        );
        Document { title: "Grant access", body: &body }.html()
    }
}

/// Returns the warning for a device login. A user who accepts for the device of an attacker grants
/// access to the account (RFC 8628, section 5.4).
fn device_warning(user_code: &str) -> String {
    format!(
        "<div class=\"note\"><p>A device wants to sign in. Accept only if you are using this device and it shows the code \
         <strong>{}</strong>.</p></div>",
        escape_html(user_code)
    )
}

fn scope_item(scope: &Scope) -> String {
    let summary = scope.summary().map(|summary| format!("<span>{}</span>", escape_html(&summary))).unwrap_or_default();
    format!("<li>{summary}<code>{}</code></li>", escape_html(scope.as_str()))
}

/// The page with the code field.
#[derive(Debug)]
pub(crate) struct UserCodePage {
    /// The initial value of the field.
    pub(crate) code: String,
    pub(crate) problem: Option<Problem>,
}

/// The reason for showing the page again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    UnknownCode,
    UnknownLink,
}

impl UserCodePage {
    pub(crate) fn html(&self) -> String {
        let (title, invalid, problem) = match self.problem {
            None => ("Connect a device", "", String::new()),
            Some(problem) => {
                let words = match problem {
                    Problem::UnknownCode => "No device is waiting with this code.",
                    Problem::UnknownLink => "No device is waiting with the code of this link.",
                };
                let problem = format!(
                    "<p class=\"problem\" id=\"problem\" role=\"alert\">{words} Codes expire after a few minutes. \
                     Check the device for its current code.</p>"
                );
                ("Error: connect a device", " aria-invalid=\"true\"", problem)
            }
        };
        let described = if self.problem.is_some() { "hint problem" } else { "hint" };
        let body = format!(
            "<h1>Connect a device</h1><form method=\"get\" action=\"/verify\">\
             <label for=\"code\">The code on your device</label>\
             <input type=\"text\" id=\"code\" name=\"code\" class=\"code\" value=\"{code}\" inputmode=\"numeric\" \
             autocomplete=\"off\" spellcheck=\"false\" required autofocus aria-describedby=\"{described}\"{invalid}>\
             <p class=\"hint\" id=\"hint\">{hint}</p>{problem}\
             <div class=\"actions\"><button type=\"submit\" class=\"main\">Next</button></div></form>",
            code = escape_html(&self.code),
            hint = if self.code.is_empty() || self.problem.is_some() {
                "The code has six digits."
            } else {
                "Continue if your device shows the same code."
            },
        );
        Document { title, body: &body }.html()
    }
}

/// Returns the final page as HTML.
pub(crate) fn final_page(is_yes: bool) -> String {
    let (title, text) = if is_yes {
        ("Your device is signed in", "Return to your device. You can close this window.")
    } else {
        ("Your device is not signed in", "You denied access. Return to your device. You can close this window.")
    };
    Document { title, body: &format!("<h1>{title}</h1><p>{text}</p>") }.html()
}
