//! The page template, security headers, and the check of `Origin`.

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

/// Reloads a page that the browser restores from memory, because its user may have logged out
/// since. `no-store` is not sufficient: Chromium keeps such pages until a cookie changes, and even
/// longer after the redirects of a login.
const SCRIPT: &str = r#"addEventListener("pageshow", event => { if (event.persisted) location.reload(); });"#;

/// Security headers of every response.
///
/// `form-action` is omitted, because browsers apply it to the redirect after a form as well, which
/// may lead to Webex. The referrer policy is not `no-referrer`, because browsers would send
/// `Origin: null` with the forms of our own pages.
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

/// Adds static files, security headers, and the check of `Origin` to an application with this origin.
pub fn with_layout(router: Router, origin: String) -> Router {
    router
        .route("/style.css", get(([(header::CONTENT_TYPE, "text/css")], STYLE)))
        .route("/page.js", get(([(header::CONTENT_TYPE, "text/javascript")], SCRIPT)))
        .route("/favicon.ico", get(StatusCode::NO_CONTENT))
        .layer(from_fn_with_state(Arc::<str>::from(origin), check_origin))
}

/// Rejects changes that do not come from our own pages. Browsers send `Origin` with every POST, and
/// a form of another site has the origin of that site. `SameSite=Lax` withholds our cookies from
/// such a form as well.
async fn check_origin(State(origin): State<Arc<str>>, request: Request, next: Next) -> Response {
    let is_write = !matches!(*request.method(), Method::GET | Method::HEAD);
    let is_same_origin =
        request.headers().get(header::ORIGIN).is_some_and(|value| value.as_bytes() == origin.as_bytes());
    let mut response = if is_write && !is_same_origin {
        (StatusCode::FORBIDDEN, "The request does not come from a page of this application.").into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

/// Renders a complete page.
pub fn page(title: &str, content: &Markup) -> Markup {
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
