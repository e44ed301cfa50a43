//! HTML pages. maud escapes expressions in `(..)`.

use example_web::layout::page;
use maud::{Markup, html};
use webex_oauth::{ApplicationId, Result, SessionStatus, WebexOAuth};

use super::connection::Connection;
use super::tenant::{TENANTS, Tenant};

pub(crate) fn sign_in() -> Markup {
    let content = html! {
        p .note { "This demo signs in anyone without a password. Your product has its own sign-in here." }
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

/// The page of a customer's administrator.
pub(crate) fn tenant(tenant: Tenant, connection: &Connection, webex: &WebexOAuth) -> Result<Markup> {
    let content = match connection {
        Connection::None => html! {
            p #status { "Not connected to Webex" }
            ol {
                li {
                    "If your organization allows only approved apps, its administrator must allow this app in "
                    a href="https://admin.webex.com" { "Control Hub" } " with its Integration ID:" br;
                    code #integration-id { (ApplicationId::new(webex.client_id())?) }
                }
                li { "Log in with Webex, and allow the app to act on your behalf." }
                li { "Set a password for your meetings." }
            }
            (button("/connect", "connect", "Connect Webex"))
        },
        Connection::LoginRequired(status) => html! {
            p .note #status role="status" { (status) }
            div .row { (button("/connect", "reconnect", "Reconnect")) (disconnect()) }
        },
        Connection::Unconfigured(status) => html! {
            p #status role="status" { "Connected to Webex as " (status.account) ". One step is left:" }
            (configurations("Save", "Choose a random password of 8 to 64 characters."))
            (disconnect())
        },
        Connection::Complete(status) => html! {
            p .note #status role="status" { "Connected to Webex. Logged in as " (status.account) " and connected to " (tenant) }
            (last_error_note(status))
            div .row { (button("/check", "check", "Check connection")) (disconnect()) }
            (configurations("Save new password", "A password is set. A new one applies to future meetings."))
        },
    };
    Ok(page(&format!("Webex Meetings for {tenant}"), &html! { (content) (sign_out()) }))
}

/// The page of an operator.
pub(crate) fn tenants(connections: &[(Tenant, Result<Connection>)], webex: &WebexOAuth) -> Result<Markup> {
    let content = html! {
        p { "Integration ID: " code #integration-id { (ApplicationId::new(webex.client_id())?) } }
        div .table tabindex="0" role="region" aria-label="Customers" {
            table {
                thead { tr { th scope="col" { "Customer" } th scope="col" { "Webex" } } }
                tbody {
                    @for (tenant, connection) in connections {
                        tr id=(tenant) { th scope="row" { (tenant) } td { (status_cell(connection)) } }
                    }
                }
            }
        }
        (sign_out())
    };
    Ok(page("Customers", &content))
}

fn status_cell(connection: &Result<Connection>) -> Markup {
    let connection = match connection {
        Ok(connection) => connection,
        Err(error) => return html! { "Failed to read: " (error) },
    };
    let expires_at = connection.status().and_then(|status| status.refresh_token_expires_at);
    html! {
        @match connection {
            Connection::None => "Not connected",
            Connection::LoginRequired(status) | Connection::Complete(status) => (status),
            Connection::Unconfigured(status) => { (status) "; no meeting password yet" },
        }
        @if let (Some(expires_at), false) = (expires_at, matches!(connection, Connection::LoginRequired(_))) {
            br; span .small { "Valid until " (expires_at) }
        }
    }
}

/// A note about a failed refresh, which does not require an action of the customer.
fn last_error_note(status: &SessionStatus) -> Markup {
    html! { @if status.last_error.is_some() { p .small #trouble { "Webex is currently unavailable. We will try again automatically." } } }
}

fn configurations(save: &str, hint: &str) -> Markup {
    html! {
        h2 { "Set Configurations" }
        form method="post" action="/configure" {
            label for="meeting-password" { "Meeting password" }
            // A password of meetings, not of the user: browsers should not offer to store it.
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

pub(crate) fn administrators_only() -> Markup {
    error_page("For administrators of a customer", "Sign in as one, and try again.")
}

pub(crate) fn error_page(title: &str, advice: &str) -> Markup {
    let content = html! {
        p .note #advice role="alert" { (advice) }
        p { a .button #back href="/" { "Back to the settings" } }
    };
    page(title, &content)
}
