//! The sign-in page.

use std::fmt::Write as _;

use crate::html::escape;
use crate::testing::document::Document;

/// The content of the sign-in page.
#[derive(Debug)]
pub(super) struct SignInPage {
    /// The path prefix of all endpoints.
    pub(super) base: &'static str,
    pub(super) transaction: String,
    pub(super) integration: String,
    pub(super) why: Why,
    /// The initial value of the field.
    pub(super) email: String,
    /// `true` if the user entered this address and it is unknown.
    pub(super) is_unknown: bool,
    pub(super) people: Vec<Person>,
}

/// The reason for a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No user is signed in with this browser, or not the requested user.
    Nobody,
    /// The application requires a new sign-in.
    Again,
    /// The application or the user requested the choice of an account.
    Choice,
}

/// A user to choose.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) email: String,
    pub(super) name: String,
    pub(super) is_signed_in: bool,
}

impl SignInPage {
    pub(super) fn html(&self) -> String {
        let (heading, error) = match self.why {
            Why::Choice => ("Choose an account", "Error: choose an account"),
            Why::Again => ("Sign in again", "Error: sign in again"),
            Why::Nobody => ("Sign in", "Error: sign in"),
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
            to_go_on = match self.why {
                Why::Nobody => "Sign in to continue to",
                Why::Again => "Sign in again to continue to",
                Why::Choice => "Choose an account to continue to",
            },
            integration = escape(&self.integration),
            base = self.base,
            transaction = escape(&self.transaction),
            email = escape(&self.email),
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
            let email = escape(&self.email);
            format!(
                "No user of this mock has the address “{email}”. Choose one below, or add the user with the mock's builder."
            )
        };
        format!("<p class=\"problem\" id=\"problem\" role=\"alert\">{words}</p>")
    }

    fn people(&self) -> String {
        self.people.iter().fold(String::new(), |mut items, person| {
            let (email, name) = (escape(&person.email), escape(&person.name));
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
