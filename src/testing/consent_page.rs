//! The page where a user says yes or no.

use crate::html::escape;
use crate::scope::{Scope, Scopes};
use crate::testing::document::Document;

/// What it shows.
#[derive(Debug)]
pub(super) struct ConsentPage {
    /// What stands before every endpoint.
    pub(super) base: &'static str,
    pub(super) transaction: String,
    pub(super) integration: String,
    pub(super) scopes: Scopes,
    pub(super) name: String,
    pub(super) email: String,
    /// Of a device that asks.
    pub(super) user_code: Option<String>,
}

impl ConsentPage {
    pub(super) fn html(&self) -> String {
        let (base, transaction) = (self.base, escape(&self.transaction));
        let body = format!(
            "<h1>{integration} asks for access</h1>\
             <p>You are signed in as <strong>{name}</strong> ({email}). \
             <a href=\"{base}/signin?transaction={transaction}\">Use another account</a></p>{device}\
             <h2 id=\"scopes\">What it wants to do</h2><ul class=\"scopes\" aria-labelledby=\"scopes\">{scopes}</ul>\
             <form method=\"post\" action=\"{base}/consent\">\
             <input type=\"hidden\" name=\"transaction\" value=\"{transaction}\">\
             <div class=\"actions\">\
             <button type=\"submit\" class=\"main\" name=\"decision\" value=\"accept\">Accept</button>\
             <button type=\"submit\" name=\"decision\" value=\"deny\">Deny</button></div></form>",
            integration = escape(&self.integration),
            name = escape(&self.name),
            email = escape(&self.email),
            device = self.user_code.as_deref().map(device).unwrap_or_default(),
            scopes = self.scopes.iter().map(item).collect::<String>(),
        );
        Document { title: "Grant access", body: &body }.html()
    }
}

/// Whoever accepts for a stranger's device gives the account away (RFC 8628 section 5.4).
fn device(user_code: &str) -> String {
    format!(
        "<div class=\"note\"><p>A device wants to sign in. Accept only if it is before you and shows the code \
         <strong>{}</strong>.</p></div>",
        escape(user_code)
    )
}

fn item(scope: &Scope) -> String {
    let summary = scope.summary().map(|summary| format!("<span>{}</span>", escape(&summary))).unwrap_or_default();
    format!("<li>{summary}<code>{}</code></li>", escape(scope.as_str()))
}
