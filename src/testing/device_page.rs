//! Pages for the user of a device, before and after the sign-in.

use crate::html::escape;
use crate::testing::document::Document;

/// The page with the code field.
#[derive(Debug)]
pub(super) struct CodePage {
    /// The initial value of the field.
    pub(super) code: String,
    pub(super) problem: Option<Problem>,
}

/// The reason for showing the page again.
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
                    Problem::UnknownCode => "No device is waiting with this code.",
                    Problem::DeadLink => "No device is waiting with the code of this link.",
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
            code = escape(&self.code),
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
pub(super) fn done(is_yes: bool) -> String {
    let (title, text) = if is_yes {
        ("Your device is signed in", "Return to your device. You can close this window.")
    } else {
        ("Your device is not signed in", "You denied access. Return to your device. You can close this window.")
    };
    Document { title, body: &format!("<h1>{title}</h1><p>{text}</p>") }.html()
}
