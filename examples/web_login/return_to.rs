//! Where to go after the login: a page of this application, whatever the browser says.

use serde::{Deserialize, Serialize};
use url::Url;

/// What a link to the login may say.
#[derive(Deserialize)]
pub(crate) struct Wish {
    return_to: Option<String>,
    account: Option<String>,
}

impl Wish {
    pub(crate) fn return_to(&self) -> ReturnTo {
        self.return_to.as_deref().map(ReturnTo::from_browser).unwrap_or_default()
    }

    /// Who shares a browser does not want the other one's account.
    pub(crate) fn is_another_account(&self) -> bool {
        self.account.as_deref() == Some("another")
    }
}

/// A path of this application. It comes back in the pending authorization, which nobody else can have written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReturnTo(String);

/// A payload may have 1,024 bytes.
const LONGEST: usize = 512;

/// Those that are no pages: the login itself would go round in circles.
const NO_PAGES: [&str; 2] = ["/auth/", "/api/"];

impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl ReturnTo {
    /// The same path if it is one of this application, else the landing page.
    ///
    /// It is read as browsers read it, to whom `/\evil.example` and a `//` with a tab in it are other hosts; and what is left of
    /// it is read once more, since `/..//evil.example` becomes `//evil.example`.
    pub(crate) fn from_browser(text: &str) -> Self {
        let is_plain =
            text.starts_with('/') && text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        let path = is_plain.then(|| path_here(text)).flatten();
        match path {
            Some(path) if path_here(&path).as_ref() == Some(&path) => Self(path),
            _ => Self::default(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The link to a login that ends here.
    pub(crate) fn login_link(&self) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &self.0).finish();
        format!("/auth/cisco?{query}")
    }
}

/// Path and query of a reference, as a browser at this application makes them of it, if it does not leave.
fn path_here(text: &str) -> Option<String> {
    let here = Url::parse("http://here.invalid/").ok()?;
    let url = here.join(text).ok().filter(|url| url.origin() == here.origin() && url.username().is_empty())?;
    let is_page = NO_PAGES.iter().all(|folder| !format!("{}/", url.path()).starts_with(folder));
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    is_page.then(|| format!("{}{query}", url.path()))
}
