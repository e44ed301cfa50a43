//! The page that brings an answer to the application by a form (OAuth 2.0 Form Post Response Mode section 2).

use crate::html::escape;
use crate::testing::document::Document;

/// What it posts, and where.
#[derive(Clone, Debug)]
pub(super) struct FormPostPage {
    pub(super) action: String,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl FormPostPage {
    /// What arrives at the application.
    pub(super) fn body(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish()
    }

    /// Elsewhere a script presses the button.
    pub(super) fn html(&self) -> String {
        let field = |(name, value): &(&str, String)| {
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escape(value))
        };
        let body = format!(
            "<h1>Back to the application</h1><p>Nothing is left to do here.</p>\
             <form method=\"post\" action=\"{action}\">{fields}\
             <div class=\"actions\"><button type=\"submit\" class=\"main\">Continue</button></div></form>",
            action = escape(&self.action),
            fields = self.fields.iter().map(field).collect::<String>(),
        );
        Document { title: "Back to the application", body: &body }.html()
    }
}
