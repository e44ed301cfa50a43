//! The pages for the user of a device, before and after the sign-in.

use crate::html::escape;
use crate::testing::document::Document;

/// Asks for the code.
#[derive(Debug)]
pub(super) struct CodePage {
    /// What the field is filled in with.
    pub(super) code: String,
    pub(super) problem: Option<Problem>,
}

/// Why it asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    UnknownCode,
    DeadLink,
}

impl CodePage {
    pub(super) fn html(&self) -> String {
        let (title, invalid, problem) = match self.problem {
            None => ("Connect a device", "", String::new()),
            Some(problem) => {
                let words = match problem {
                    Problem::UnknownCode => "No device waits with this code.",
                    Problem::DeadLink => "No device waits with the code of this link.",
                };
                let problem = format!(
                    "<p class=\"problem\" id=\"problem\" role=\"alert\">{words} Codes end after a few minutes: look at the \
                     device for its present one.</p>"
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
            code = escape(&self.code),
            hint = if self.code.is_empty() || self.problem.is_some() {
                "It has six digits."
            } else {
                "Go on if your device shows the same."
            },
        );
        Document { title, body: &body }.html()
    }
}

/// The end of the way.
pub(super) fn done(is_yes: bool) -> String {
    let (title, text) = if is_yes {
        ("Your device is signed in", "You can go back to your device, and close this window.")
    } else {
        ("Your device is not signed in", "You have declined. You can go back to your device, and close this window.")
    };
    Document { title, body: &format!("<h1>{title}</h1><p>{text}</p>") }.html()
}
