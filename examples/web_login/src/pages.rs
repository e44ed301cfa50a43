//! HTML pages. maud escapes expressions in `(..)`.

use axum::http::Uri;
use example_web::layout::page;
use maud::{Markup, html};

use super::return_to::ReturnTo;
use super::users::User;

pub(crate) fn home(user: Option<&User>) -> Markup {
    let content = match user {
        None => html! {
            p #who { "You are not logged in." }
            p {
                a .button #login href="/auth/cisco" { "Log in with Webex" }
                a .button .plain #login-another href="/auth/cisco?account=another" { "Use another account" }
            }
            p .small { "If this browser is signed in to Webex, Webex does not ask for a password, even after you log out here. To switch users, use another account." }
        },
        Some(user) => html! {
            p { "Logged in as " strong #who { (user.name) } @if let Some(email) = &user.email { " (" (email) ")" } "." }
            p { a #events-link href="/events" { "See your events" } }
            (log_out())
        },
    };
    page("The workshop", &content)
}

pub(crate) fn events(user: &User) -> Markup {
    let content = html! {
        p { "Only " strong #who { (user.name) } " can see this." }
        p { a #home href="/" { "Back to the start" } }
        (log_out())
    };
    page("Your events", &content)
}

/// The page for users who must log in first.
pub(crate) fn login_required(uri: &Uri) -> Markup {
    let return_to = uri.path_and_query().map(|path| ReturnTo::from_browser(path.as_str())).unwrap_or_default();
    let content = html! {
        p { "Log in to see this page." }
        p { a .button #login href=(return_to.login_link()) { "Log in with Webex" } }
        p { a #home href="/" { "Back to the start" } }
    };
    page("Please log in", &content)
}

pub(crate) fn error_page(title: &str, advice: &str, return_to: &ReturnTo) -> Markup {
    let content = html! {
        p .note #advice role="alert" { (advice) }
        p { a .button #login href=(return_to.login_link()) { "Log in with Webex" } }
        p { a #home href="/" { "Back to the start" } }
    };
    page(title, &content)
}

fn log_out() -> Markup {
    html! {
        form method="post" action="/api/logout" { button .plain #logout { "Log out" } }
    }
}
