//! The page that posts an authorization response to the application (OAuth 2.0 Form Post Response
//! Mode, section 2).

use crate::html::escape;
use crate::testing::document::Document;

/// The target and fields of the form.
#[derive(Clone, Debug)]
pub(super) struct FormPostPage {
    pub(super) action: String,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl FormPostPage {
    /// Returns the request body that the application receives.
    pub(super) fn body(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }

    /// Returns the page as HTML. Other servers submit the form with a script; here the user presses
    /// the button.
    pub(super) fn html(&self) -> String {
        let field = |(name, value): &(&str, String)| {
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value))
        };
        let body = format!(
            "<h1>Return to the application</h1><p>Press Continue to send the response.</p>\
             <form method=\"post\" action=\"{action}\">{fields}\
             <div class=\"actions\"><button type=\"submit\" class=\"main\">Continue</button></div></form>",
            action = escape(&self.action),
            fields = self.fields.iter().map(field).collect::<String>(),
        );
        Document { title: "Return to the application", body: &body }.html()
    }
}
