//! Request headers that identify same-origin requests and page navigations.

use http::header::{ACCEPT, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};

/// Fetch Metadata Request Headers (W3C). Browsers send them over HTTPS and to `localhost`, and
/// scripts cannot set them.
const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";
const SEC_FETCH_DEST: &str = "sec-fetch-dest";

/// Returns `true` if a page with the origin `origin` sent the request.
///
/// `Sec-Fetch-Site` decides if it is present, because `Origin` is `null` for pages with the
/// referrer policy `no-referrer`. Requests with neither header are rejected: every browser sends
/// `Origin` with a POST.
pub(crate) fn is_same_origin(headers: &HeaderMap, origin: &str) -> bool {
    match headers.get(SEC_FETCH_SITE) {
        Some(site) => site == "same-origin",
        None => headers.get(ORIGIN).is_some_and(|sent| sent.as_bytes() == origin.as_bytes()),
    }
}

/// Returns `true` if a browser opens a page with this request, in a tab and not in a frame.
pub(crate) fn is_page_navigation(request: &Parts) -> bool {
    let is_header = |name: &str, value: &str| request.headers.get(name).map(|sent| sent == value);
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return false;
    }
    match (is_header(SEC_FETCH_MODE, "navigate"), is_header(SEC_FETCH_DEST, "document")) {
        (None, None) => accepts_html(&request.headers),
        (mode, destination) => mode.unwrap_or(true) && destination.unwrap_or(true),
    }
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let mut types =
        headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    types.any(|accepted| {
        accepted.split(';').next().is_some_and(|accepted| accepted.trim().eq_ignore_ascii_case("text/html"))
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: Method, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn fetch_site_decides_before_origin() {
        const OWN: &str = "https://app.example.com";
        for (headers, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", OWN)], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", OWN)], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", OWN)], true),
            (&[("origin", "https://app.example.com:8443")], false),
            (&[("origin", "https://app.example.com.evil.example")], false),
            (&[("origin", "http://app.example.com")], false),
            (&[("origin", "null")], false),
            (&[("origin", "")], false),
            (&[("referer", "https://app.example.com/")], false),
            (&[], false),
        ] {
            assert_eq!(is_same_origin(&parts(Method::POST, headers).headers, OWN), expected, "{headers:?}");
        }
    }

    #[test]
    fn only_pages_in_a_tab_are_navigations() {
        let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        let (navigate, document) = (("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"));
        for (method, headers, expected) in [
            (Method::GET, &[html][..], true),
            (Method::GET, &[("accept", "application/json, text/html;q=0.5")], true),
            (Method::GET, &[navigate, document], true),
            (Method::HEAD, &[navigate, document, html], true),
            (Method::GET, &[navigate, ("sec-fetch-dest", "iframe"), html], false),
            (Method::GET, &[("sec-fetch-mode", "cors"), html], false),
            (Method::GET, &[("sec-fetch-dest", "empty"), html], false),
            (Method::GET, &[("accept", "*/*")], false),
            (Method::GET, &[], false),
            (Method::POST, &[navigate, document, html], false),
        ] {
            assert_eq!(is_page_navigation(&parts(method, headers)), expected, "{headers:?}");
        }
    }
}
