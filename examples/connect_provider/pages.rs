//! The pages. What stands in `(..)` is escaped.

use maud::{Markup, html};
use webex_oauth::{ApplicationId, Result, SessionStatus, WebexOAuth};

use super::connection::Connection;
use super::shell::page;
use super::tenant::{TENANTS, Tenant};

pub(crate) fn sign_in() -> Markup {
    let content = html! {
        p .note { "This demonstration believes whoever you say you are. The sign-in of your own product stands here." }
        form method="post" action="/sign-in" {
            label for="who" { "Sign in as" }
            select #who name="who" {
                @for tenant in TENANTS { option value=(tenant) { "Administrator of " (tenant) } }
                option value="operator" { "Operator of this product" }
            }
            button #sign-in { "Sign in" }
        }
    };
    page("Settings and maintenance", &content)
}

/// What a customer's administrator sees.
pub(crate) fn tenant(tenant: Tenant, connection: &Connection, webex: &WebexOAuth) -> Result<Markup> {
    let content = match connection {
        Connection::None => html! {
            p #status { "Not connected to Webex" }
            ol {
                li {
                    "Where your organization allows approved apps alone, its administrator adds this app in "
                    a href="https://admin.webex.com" { "Control Hub" } ", by its Integration ID:" br;
                    code #integration-id { (ApplicationId::new(webex.client_id())?) }
                }
                li { "Log in with Webex, and allow the app to work for you." }
                li { "Set the password of your meetings." }
            }
            (button("/connect", "connect", "Connect Webex"))
        },
        Connection::LoginRequired(status) => html! {
            p .note #status role="status" { (status) }
            div .row { (button("/connect", "reconnect", "Reconnect")) (disconnect()) }
        },
        Connection::Unconfigured(status) => html! {
            p #status role="status" { "Webex has let " (status.account) " in. One thing is left:" }
            (configurations("Save", "Your own random password, of 8 to 64 characters."))
            (disconnect())
        },
        Connection::Complete(status) => html! {
            p .note #status role="status" { "Connected to Webex. Logged in as " (status.account) " and connected to " (tenant) }
            (trouble(status))
            div .row { (button("/check", "check", "Check connection")) (disconnect()) }
            (configurations("Save another", "One is set, and not shown again. Another takes its place for meetings to come."))
        },
    };
    Ok(page(&format!("Webex Meetings for {tenant}"), &html! { (content) (sign_out()) }))
}

/// What an operator sees.
pub(crate) fn tenants(connections: &[(Tenant, Result<Connection>)], webex: &WebexOAuth) -> Result<Markup> {
    let content = html! {
        p { "Integration ID: " code #integration-id { (ApplicationId::new(webex.client_id())?) } }
        div .table tabindex="0" role="region" aria-label="Customers" {
            table {
                thead { tr { th scope="col" { "Customer" } th scope="col" { "Webex" } } }
                tbody {
                    @for (tenant, connection) in connections {
                        tr id=(tenant) { th scope="row" { (tenant) } td { (line(connection)) } }
                    }
                }
            }
        }
        (sign_out())
    };
    Ok(page("Customers", &content))
}

fn line(connection: &Result<Connection>) -> Markup {
    let connection = match connection {
        Ok(connection) => connection,
        Err(error) => return html! { "Cannot be read: " (error) },
    };
    let end = connection.status().and_then(|status| status.refresh_token_expires_at);
    html! {
        @match connection {
            Connection::None => "Not connected",
            Connection::LoginRequired(status) | Connection::Complete(status) => (status),
            Connection::Unconfigured(status) => { (status) "; no meeting password yet" },
        }
        @if let (Some(end), false) = (end, matches!(connection, Connection::LoginRequired(_))) {
            br; span .small { "Good until " (end) }
        }
    }
}

/// A refresh that failed in passing is no matter of the customer's, until the login dies.
fn trouble(status: &SessionStatus) -> Markup {
    html! { @if status.trouble.is_some() { p .small #trouble { "Webex does not answer at the moment; we try again by ourselves." } } }
}

fn configurations(save: &str, hint: &str) -> Markup {
    html! {
        h2 { "Set Configurations" }
        form method="post" action="/configure" {
            label for="meeting-password" { "Meeting password" }
            // Of meetings, and nobody's own: no browser shall offer to keep it.
            input #meeting-password name="meeting_password" type="text" autocomplete="off" spellcheck="false"
                required minlength="8" maxlength="64" aria-describedby="meeting-password-hint";
            p .small #meeting-password-hint { (hint) }
            button #save { (save) }
        }
    }
}

fn disconnect() -> Markup {
    html! { form method="post" action="/disconnect" { button .plain #disconnect { "Disconnect" } } }
}

fn sign_out() -> Markup {
    html! { hr; form method="post" action="/sign-out" { button .plain #sign-out { "Sign out" } } }
}

fn button(action: &str, id: &str, text: &str) -> Markup {
    html! { form method="post" action=(action) { button id=(id) { (text) } } }
}

pub(crate) fn for_administrators() -> Markup {
    failed("For administrators of a customer", "Sign in as one, and try again.")
}

pub(crate) fn failed(title: &str, advice: &str) -> Markup {
    let content = html! {
        p .note #advice role="alert" { (advice) }
        p { a .button #back href="/" { "Back to the settings" } }
    };
    page(title, &content)
}
