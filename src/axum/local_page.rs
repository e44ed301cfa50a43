//! Paths that lead to a page of this application.

use url::{Position, Url};

/// The maximum length in bytes. The payload of a login may contain 1 KiB.
const MAX_LEN: usize = 512;

/// Returns path and query of `text` if every browser resolves it to a page of this application.
///
/// Browsers resolve `/\evil.example`, and a `//` that contains a tab, to another host. The result
/// is parsed a second time, because `/..//evil.example` becomes `//evil.example`. The paths in
/// `excluded` are rejected: a login that returns to a login would loop.
pub(crate) fn local_page(text: &str, excluded: &[&str]) -> Option<String> {
    let is_plain = text.starts_with('/') && text.len() <= MAX_LEN && text.bytes().all(|byte| byte.is_ascii_graphic());
    let page = is_plain.then(|| resolve(text)).flatten()?;
    let path = page.split('?').next().unwrap_or_default();
    let is_excluded = excluded.iter().any(|own| path == *own || path.trim_end_matches('/') == *own);
    // Parsing may have percent-encoded characters.
    (page.len() <= MAX_LEN && !is_excluded && resolve(&page).as_ref() == Some(&page)).then_some(page)
}

/// Resolves a reference like a browser.
fn resolve(text: &str) -> Option<String> {
    let base = Url::parse("http://base.invalid/").ok()?;
    let url = base.join(text).ok()?;
    let is_local = url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
    is_local.then(|| url[Position::BeforePath..Position::AfterQuery].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &[&str] = &["/auth/cisco", "/auth/cisco/callback", "/auth/logout"];

    #[test]
    fn pages_of_the_application_are_kept() {
        for good in ["/", "/rooms", "/rooms?week=48&x=/%2F", "/a/b%20c", "/?next=//evil.example", "/auth", "/auth/help"]
        {
            assert_eq!(local_page(good, OWN).as_deref(), Some(good));
        }
        // Every browser resolves percent-encoded characters to a path of the application.
        for encoded in ["/%2F/evil.example", "/%5Cevil.example", "/%09/evil.example", "/%0d%0aLocation:%20x"] {
            assert_eq!(local_page(encoded, OWN).as_deref(), Some(encoded));
        }
        assert_eq!(local_page("/rooms#top", OWN).as_deref(), Some("/rooms"));
        assert_eq!(local_page("/a/../rooms", OWN).as_deref(), Some("/rooms"));
    }

    #[test]
    fn other_hosts_and_login_paths_are_rejected() {
        let long = format!("/{}", "x".repeat(MAX_LEN));
        for bad in [
            "",
            "rooms",
            "?x",
            "https:",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "/\\/evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/ /evil.example",
            "/\r\nLocation: https://evil.example",
            "/\0",
            "/é",
            "/..//evil.example",
            "/.//evil.example",
            "/%2e%2e//evil.example",
            "/%2E//evil.example",
            "/a/..//evil.example",
            "/..\\\\evil.example",
            "//user@evil.example",
            "/auth/cisco",
            "/auth/cisco/",
            "/auth/cisco?return_to=/",
            "/auth/cisco/callback?code=x",
            "/auth/logout#x",
            "/x/../auth/cisco",
            "/%2e/auth/cisco",
            &long,
        ] {
            assert_eq!(local_page(bad, OWN), None, "{bad:?}");
        }
    }
}
