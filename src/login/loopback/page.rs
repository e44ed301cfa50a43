//! HTML pages of the callback server, for callbacks and for rejected requests.
//!
//! The pages run no scripts, load no resources, cannot be framed, are not cached, and send no
//! referrer. The only variable parts are the error message and the application name. Both are
//! escaped.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use crate::client::login::Login;
use crate::error::{Error, ErrorKind};
use crate::html::escape_html;

/// The style sheet. It follows the light or dark scheme of the system, with the browser's colors.
const STYLE: &str = ":root{color-scheme:light dark}body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;\
    margin:4rem auto;padding:0 1rem;overflow-wrap:anywhere}";

/// The headers of every page.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'sha256-G8JTqdXKQX1JLmuc76vLvhNsYzTvGD0QS0LGhNaY/Q4='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONNECTION, "close"),
];

/// The content of a page.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    status: StatusCode,
    title: &'static str,
    text: String,
    /// The error message.
    detail: Option<String>,
}

impl Page {
    /// Creates the page that reports the result of the login. The user returns to `application`.
    pub(crate) fn for_result(outcome: Result<&Login, &Error>, application: Option<&str>) -> Self {
        let application = application.unwrap_or("the application");
        let Err(error) = outcome else {
            let text = format!("You can close this window and return to {application}.");
            return Self { status: StatusCode::OK, title: "You are logged in", text, detail: None };
        };
        let failed = |status, why: &str| Self {
            status,
            title: "Login failed",
            text: format!("{why} You can close this window and return to {application}."),
            detail: None,
        };
        if error.is_denied() {
            return failed(StatusCode::FORBIDDEN, "The login was denied by you or by an administrator.");
        }
        let page = match error.kind() {
            ErrorKind::AuthorizationRejected => failed(StatusCode::BAD_REQUEST, "Webex rejected the login."),
            _ if error.is_retryable() => {
                failed(StatusCode::BAD_GATEWAY, "Webex is unavailable. Try again in a moment.")
            }
            _ => failed(StatusCode::BAD_GATEWAY, "The login could not be completed."),
        };
        Self { detail: Some(error.to_string()), ..page }
    }

    /// Creates the page for a request that is not this login's callback.
    pub(crate) fn for_rejection(rejected: RejectedRequest) -> Self {
        let (status, text) = match rejected {
            RejectedRequest::Host => (StatusCode::MISDIRECTED_REQUEST, "This host name is not served here."),
            RejectedRequest::Path => (StatusCode::NOT_FOUND, "This page does not exist."),
            RejectedRequest::Method => (StatusCode::METHOD_NOT_ALLOWED, "Only GET requests are supported."),
            // The browser repeats the request when the user visits the page.
            RejectedRequest::Prefetch => (StatusCode::SERVICE_UNAVAILABLE, "This page cannot be prefetched."),
            // Unreachable in practice: hyper responds to these.
            RejectedRequest::Tls | RejectedRequest::TooLarge | RejectedRequest::Malformed => {
                (StatusCode::BAD_REQUEST, "The request is invalid.")
            }
            RejectedRequest::NotACallback => (StatusCode::BAD_REQUEST, "This request is not a login callback."),
            RejectedRequest::State => {
                let text = "This callback does not belong to a login that is waiting here. Return to the \
                            application, and use the page that it opened last.";
                (StatusCode::BAD_REQUEST, text)
            }
            RejectedRequest::ErrorWithoutState => {
                let text = "A login was denied, but the request does not identify it. If you denied it, you can \
                            close this window and cancel the login in the application.";
                (StatusCode::BAD_REQUEST, text)
            }
        };
        Self { status, title: "Request rejected", text: text.to_owned(), detail: None }
    }

    pub(crate) fn response(&self) -> Response<String> {
        let mut response = Response::new(self.html());
        *response.status_mut() = self.status;
        for (name, value) in HEADERS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }

    fn html(&self) -> String {
        let Self { title, text, .. } = self;
        let text = escape_html(text);
        let detail = self.detail.as_ref().map(|line| format!("<p><small>{}</small></p>", escape_html(line)));
        let detail = detail.unwrap_or_default();
        let role = if self.status.is_success() { "status" } else { "alert" };
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1><p role=\"{role}\">{text}</p>{detail}</main></body></html>"
        )
    }
}

/// The kind of a request that is not the callback of this login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RejectedRequest {
    /// It has another `Host`.
    Host,
    /// It has another path.
    Path,
    /// It has a method other than GET.
    Method,
    /// It cannot be parsed as a callback.
    NotACallback,
    /// Its `state` is missing or belongs to another login.
    State,
    /// It has an `error` but no `state`. Webex may send this, and so can any other client.
    ErrorWithoutState,
    /// It is a prefetch by a browser.
    Prefetch,
    /// It is a TLS handshake: the browser enforces HTTPS.
    Tls,
    /// It has too many headers, or headers that are too large.
    TooLarge,
    /// It is incomplete or not HTTP/1.1.
    Malformed,
}

/// The description of each kind in the timeout error.
const REJECTION_DESCRIPTIONS: [(RejectedRequest, &str); 10] = [
    (RejectedRequest::State, "with a missing or unknown `state`"),
    (RejectedRequest::ErrorWithoutState, "with an `error` but no `state`"),
    (RejectedRequest::NotACallback, "that could not be parsed as a callback"),
    (RejectedRequest::Path, "for another path"),
    (RejectedRequest::Host, "for another host name"),
    (RejectedRequest::Method, "with a method other than GET"),
    (RejectedRequest::Prefetch, "that only prefetched the callback"),
    (RejectedRequest::Tls, "with TLS"),
    (RejectedRequest::TooLarge, "with too many or too large headers"),
    (RejectedRequest::Malformed, "that were incomplete or invalid HTTP"),
];

/// The number of requests of each kind.
#[derive(Debug, Default)]
pub(crate) struct RejectionCounts([AtomicUsize; REJECTION_DESCRIPTIONS.len()]);

impl RejectionCounts {
    pub(crate) fn count(&self, rejected: RejectedRequest) {
        self.0[rejected as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns `true` if at least one request of this kind was received.
    pub(crate) fn has(&self, rejected: RejectedRequest) -> bool {
        self.0[rejected as usize].load(Ordering::Relaxed) > 0
    }

    /// Returns a one-line summary of the received requests, or `None` if there were none.
    pub(crate) fn summary(&self) -> Option<String> {
        let reported: Vec<_> = REJECTION_DESCRIPTIONS
            .iter()
            .map(|(rejected, words)| (self.0[*rejected as usize].load(Ordering::Relaxed), words))
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        (!reported.is_empty()).then(|| format!("other requests received: {}", reported.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServerError;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn content_security_policy_allows_only_page_style() {
        let response = Page::for_rejection(RejectedRequest::Path).response();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert!(policy.starts_with(&format!("default-src 'none'; style-src 'sha256-{hash}';")), "{hash} {policy}");
        assert!(response.body().contains(&format!("<style>{STYLE}</style>")));
        for never in ["<script", "src=", "href=", "<link", "url("] {
            assert!(!response.body().contains(never), "{never}");
        }
    }

    #[test]
    fn untrusted_text_is_escaped_in_page() {
        let malicious = "\"'><script>&";
        let server = ServerError::new(None, Some(malicious.to_owned()), Some(malicious.to_owned()));
        let error = Error::new(ErrorKind::CodeExchange, "webex refused the code").with_server(server);
        let html = Page::for_result(Err(&error), Some(malicious)).html();
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("return to &quot;&#39;&gt;&lt;script&gt;&amp;."), "{html}");
    }

    #[test]
    fn page_text_distinguishes_denial_and_retryable_error() {
        let denied = ServerError::new(None, Some("access_denied".to_owned()), None);
        let denied = Error::new(ErrorKind::AuthorizationRejected, "x").with_server(denied);
        let page = Page::for_result(Err(&denied), Some("Acme"));
        assert!(page.text.contains("by you or by an administrator") && page.text.contains("Acme"), "{page:?}");
        assert!(page.detail.is_none() && page.html().contains("role=\"alert\""));
        let later = Error::transport(crate::error::Delivery::NotSent, "x").with_operation_kind(ErrorKind::CodeExchange);
        assert!(Page::for_result(Err(&later), None).text.contains("in a moment"));
    }

    #[test]
    fn rejected_requests_are_counted_by_kind() {
        let strays = RejectionCounts::default();
        assert_eq!(strays.summary(), None);
        for (rejected, _) in REJECTION_DESCRIPTIONS {
            strays.count(rejected);
        }
        strays.count(RejectedRequest::Path);
        let reported = strays.summary().unwrap();
        assert!(reported.contains(", 2 for another path, ") && reported.matches("1 ").count() == 9, "{reported}");
    }
}
