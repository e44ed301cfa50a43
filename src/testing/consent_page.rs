//! The consent page.

use crate::html::escape;
use crate::scope::{Scope, Scopes};
use crate::testing::document::Document;

/// The content of the consent page.
#[derive(Debug)]
pub(super) struct ConsentPage {
    /// The path prefix of all endpoints.
    pub(super) base: &'static str,
    pub(super) transaction: String,
    pub(super) integration: String,
    pub(super) scopes: Scopes,
    pub(super) name: String,
    pub(super) email: String,
    /// The user code of a device login.
    pub(super) user_code: Option<String>,
}

impl ConsentPage {
    pub(super) fn html(&self) -> String {
        let (base, transaction) = (self.base, escape(&self.transaction));
        let body = format!(
            "<h1>{integration} requests access</h1>\
             <p>You are signed in as <strong>{name}</strong> ({email}). \
             <a href=\"{base}/signin?transaction={transaction}\">Use another account</a></p>{device}\
             <h2 id=\"scopes\">Requested permissions</h2><ul class=\"scopes\" aria-labelledby=\"scopes\">{scopes}</ul>\
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

/// Returns the warning for a device login. A user who accepts for the device of an attacker grants
/// access to the account (RFC 8628, section 5.4).
fn device(user_code: &str) -> String {
    format!(
        "<div class=\"note\"><p>A device wants to sign in. Accept only if you are using this device and it shows the code \
         <strong>{}</strong>.</p></div>",
        escape(user_code)
    )
}

fn item(scope: &Scope) -> String {
    let summary = scope.summary().map(|summary| format!("<span>{}</span>", escape(&summary))).unwrap_or_default();
    format!("<li>{summary}<code>{}</code></li>", escape(scope.as_str()))
}
