//! The page to open after the login, which is always a page of this application.

use serde::{Deserialize, Serialize};
use url::Url;

/// The query of a link to the login.
#[derive(Deserialize)]
pub(crate) struct LoginQuery {
    return_to: Option<String>,
    account: Option<String>,
}

impl LoginQuery {
    pub(crate) fn return_to(&self) -> ReturnTo {
        self.return_to.as_deref().map(ReturnTo::from_browser).unwrap_or_default()
    }

    /// Returns `true` if the user asked for another account, for example in a shared browser.
    pub(crate) fn is_another_account(&self) -> bool {
        self.account.as_deref() == Some("another")
    }
}

/// A path of this application. It is stored in the pending authorization, which third parties
/// cannot modify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReturnTo(String);

/// The maximum length in bytes. A payload can contain 1,024.
const MAX_LEN: usize = 512;

/// Paths that are not pages. The login itself would loop.
const NON_PAGE_PREFIXES: [&str; 2] = ["/auth/", "/api/"];

impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl ReturnTo {
    /// Returns the path if it belongs to this application, or the start page.
    ///
    /// The path is parsed like in a browser, which resolves `/\evil.example` and a `//` that
    /// contains a tab to other hosts. The result is parsed again, because `/..//evil.example`
    /// becomes `//evil.example`.
    pub(crate) fn from_browser(path: &str) -> Self {
        let is_valid =
            path.starts_with('/') && path.len() <= MAX_LEN && path.bytes().all(|byte| byte.is_ascii_graphic());
        let path = is_valid.then(|| local_path(path)).flatten();
        match path {
            Some(path) if local_path(&path).as_ref() == Some(&path) => Self(path),
            _ => Self::default(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a link to a login that returns to this page.
    pub(crate) fn login_link(&self) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &self.0).finish();
        format!("/auth/cisco?{query}")
    }
}

/// Resolves a reference like a browser. Returns path and query, or `None` if it leaves the
/// application.
fn local_path(reference: &str) -> Option<String> {
    let base = Url::parse("http://base.invalid/").ok()?;
    let url = base.join(reference).ok().filter(|url| url.origin() == base.origin() && url.username().is_empty())?;
    let is_page = NON_PAGE_PREFIXES.iter().all(|prefix| !format!("{}/", url.path()).starts_with(prefix));
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    is_page.then(|| format!("{}{query}", url.path()))
}
