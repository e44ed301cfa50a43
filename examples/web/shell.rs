//! What stands around every page: its frame, the headers that keep browsers careful, and who may post.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};

const STYLE: &str = include_str!("style.css");

/// A page that the browser has kept to go back to is loaded again: it may be of somebody who has logged out since. `no-store`
/// is not enough, since Chromium keeps such a page all the same and drops it when a cookie changes, but not where the redirects
/// of a login have led to it.
const SCRIPT: &str = r#"addEventListener("pageshow", event => { if (event.persisted) location.reload(); });"#;

/// `form-action` stays open, since browsers hold it against the redirect after a form too, and ours may lead to Webex.
///
/// The policy for referrers is not `no-referrer`: with that, browsers write `Origin: null` on the forms of our own pages.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Puts the shell around an application that browsers know by this origin.
pub(crate) fn around(router: Router, origin: String) -> Router {
    router
        .route("/style.css", get(([(header::CONTENT_TYPE, "text/css")], STYLE)))
        .route("/page.js", get(([(header::CONTENT_TYPE, "text/javascript")], SCRIPT)))
        .route("/favicon.ico", get(StatusCode::NO_CONTENT))
        .layer(from_fn_with_state(Arc::<str>::from(origin), guard))
}

/// Lets nobody change anything but our own pages: a form of another site's comes with that site's `Origin`, and every browser
/// sends one with a POST. `SameSite=Lax` keeps our cookies from such a form as well; neither has to be enough alone.
async fn guard(State(origin): State<Arc<str>>, request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let is_ours = request.headers().get(header::ORIGIN).is_some_and(|found| found.as_bytes() == origin.as_bytes());
    let mut answer = if changes && !is_ours {
        (StatusCode::FORBIDDEN, "This was not sent by a page of this application.").into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    answer
}

/// A whole page.
pub(crate) fn page(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/style.css";
                script src="/page.js" {}
            }
            body { main { h1 #title { (title) } (content) } }
        }
    }
}
