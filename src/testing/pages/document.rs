//! The parts common to all pages: the frame, the style, and the content security policy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The style sheet. Text colors satisfy WCAG level AA in dark and light mode; field borders have a
/// contrast of 3:1.
const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#eef1f5;--card:#fff;--text:#1b1f24;--quiet:#505a66;--line:#7a8490;--soft:#d5dbe2;\
--main:#0a58a8;--main-text:#fff;--bad:#b3261e;--note:#f4f6f9}\
@media(prefers-color-scheme:dark){:root{--ground:#0e1318;--card:#182028;--text:#e9edf2;--quiet:#a9b4c0;--line:#7e8a97;\
--soft:#33404d;--main:#8ac1ff;--main-text:#07192c;--bad:#ffb4ab;--note:#10171e}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:flex;flex-direction:column;align-items:center;background:var(--ground);color:var(--text);\
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
header,main,footer{width:100%;max-width:30rem}\
header{padding:2rem 1.5rem .75rem;font-weight:600}\
header span{margin-left:.5rem;font-weight:400;color:var(--quiet)}\
main{padding:1.75rem 1.5rem;background:var(--card);border-block:1px solid var(--soft)}\
footer{padding:.75rem 1.5rem 2rem;font-size:.875rem;color:var(--quiet)}\
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25}\
h2{margin:1.75rem 0 .5rem;font-size:1rem}\
p{margin:0 0 .75rem}footer p{margin:0}\
a{color:var(--main)}\
label{display:block;margin:1.25rem 0 .25rem;font-weight:600}\
input{width:100%;padding:.625rem .75rem;font:inherit;color:inherit;background:var(--card);border:1px solid var(--line);\
border-radius:.375rem}\
input[aria-invalid]{border:2px solid var(--bad)}\
.code{font-size:1.5rem;letter-spacing:.2em;font-variant-numeric:tabular-nums}\
button{padding:.625rem 1.25rem;font:inherit;font-weight:600;color:var(--main);background:var(--card);\
border:1px solid var(--main);border-radius:.375rem;cursor:pointer}\
button.main{color:var(--main-text);background:var(--main)}\
button:hover{text-decoration:underline}\
:focus-visible{outline:3px solid var(--main);outline-offset:2px}\
.actions{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.5rem 0 0}\
.actions button{flex:1 1 8rem}\
.people,.scopes{margin:0;padding:0;list-style:none}\
.people button{display:block;width:100%;margin:0 0 .5rem;padding:.5rem .75rem;font-weight:400;text-align:start;\
color:inherit;border-color:var(--line)}\
.people span,.scopes span,.scopes code{display:block}\
.people span{color:var(--quiet);font-size:.875rem}\
.scopes li{padding:.625rem 0;border-top:1px solid var(--soft)}\
.scopes code{color:var(--quiet);font-size:.875rem}\
.hint{color:var(--quiet);font-size:.875rem;margin:.25rem 0 0}\
.problem{margin:.25rem 0 0;color:var(--bad);font-weight:600}\
.note{margin:1.5rem 0 0;padding:.75rem 1rem;background:var(--note);border-inline-start:4px solid var(--line)}\
.note h2{margin:0 0 .25rem}.note p{margin:0}\
@media(min-width:34rem){body{padding:4vh 0}main{padding:2rem;border:1px solid var(--soft);border-radius:.75rem}\
header,footer{padding-inline:2rem}}";

/// Returns the content security policy of the pages.
///
/// `form-action` is left open, because browsers also apply it to the redirect after a form, which
/// leads to the application.
pub(crate) fn content_security_policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'")
}

/// The content of a page.
pub(crate) struct Document<'a> {
    /// The title, as HTML. Must be static.
    pub(crate) title: &'static str,
    /// The content, as HTML with an `h1`.
    pub(crate) body: &'a str,
}

impl Document<'_> {
    /// Returns the complete HTML document.
    pub(crate) fn html(&self) -> String {
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - MockWebex</title>\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><style>{STYLE}</style></head>\
             <body><header>MockWebex <span>a simulated Webex</span></header><main>{body}</main>\
             <footer><p>All users are fictitious. No passwords are required.</p></footer></body></html>",
            title = self.title,
            body = self.body,
        )
    }
}
