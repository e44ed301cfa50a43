//! A browser for tests. It stores the cookies of one application and acts like a user.

use std::collections::BTreeMap;

use axum::Router;
use reqwest::{Client, Method, Response, header, redirect};
use tokio::net::TcpListener;

/// An application on its own port, identified by its origin.
pub struct Site {
    pub listener: TcpListener,
    pub origin: String,
}

impl Site {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
        Self { listener, origin }
    }

    pub fn redirect_uri(&self) -> String {
        format!("{}/auth/cisco/callback", self.origin)
    }

    /// Serves the application until the test ends.
    pub fn serve(self, router: Router) -> String {
        tokio::spawn(async move { axum::serve(self.listener, router).await });
        self.origin
    }
}

/// A response of the application.
pub struct Page {
    pub status: u16,
    pub headers: header::HeaderMap,
    pub text: String,
}

impl Page {
    async fn from_response(answer: Response) -> Self {
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Self { status, headers, text: answer.text().await.unwrap() }
    }

    /// Returns the redirect target.
    #[track_caller]
    pub fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.text);
        self.headers[header::LOCATION].to_str().unwrap()
    }

    /// Returns the text of the element with this ID, which has no child elements.
    #[track_caller]
    pub fn element(&self, id: &str) -> &str {
        let start = format!("id=\"{id}\"");
        let (_, rest) = self.text.split_once(&start).unwrap_or_else(|| panic!("no #{id} in {}", self.text));
        rest.split_once('>').unwrap().1.split_once("</").unwrap().0
    }

    pub fn has_element(&self, id: &str) -> bool {
        self.text.contains(&format!("id=\"{id}\""))
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

pub struct BrowserClient {
    http: Client,
    origin: String,
    pub cookies: BTreeMap<String, String>,
}

impl BrowserClient {
    pub fn new(origin: &str) -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Self { http, origin: origin.to_owned(), cookies: BTreeMap::new() }
    }

    /// Opens a path or a complete URL of the application.
    pub async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, None, &[]).await
    }

    /// Prefetches a page, as a browser does before the user navigates.
    pub async fn prefetch(&mut self, path: &str) -> Page {
        let url = format!("{}{}", self.origin, path.trim_start_matches(&self.origin));
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.http.get(url).header(header::COOKIE, pairs.join("; "));
        Page::from_response(request.header("Sec-Purpose", "prefetch;prerender").send().await.unwrap()).await
    }

    /// Submits a form of the application's own page.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let origin = self.origin.clone();
        self.post_from(Some(&origin), path, fields).await
    }

    /// Submits a form of a page of that origin with the cookies, as if `SameSite` had no effect.
    pub async fn post_from(&mut self, origin: Option<&str>, path: &str, fields: &[(&str, &str)]) -> Page {
        self.send(Method::POST, path, origin, fields).await
    }

    async fn send(&mut self, method: Method, path: &str, origin: Option<&str>, fields: &[(&str, &str)]) -> Page {
        let url = if path.starts_with('/') { format!("{}{path}", self.origin) } else { path.to_owned() };
        assert!(url.starts_with(&self.origin), "{url} is elsewhere");
        let mut request = self.http.request(method.clone(), url);
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        if method == Method::POST {
            let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        }
        let page = Page::from_response(request.send().await.unwrap()).await;
        for cookie in page.set_cookies() {
            let (name, rest) = cookie.split_once('=').unwrap();
            match rest.split(';').next().unwrap() {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        page
    }

    /// Returns the names of the cookies of pending logins.
    pub fn pending_login_cookies(&self) -> Vec<&str> {
        self.cookies.keys().map(String::as_str).filter(|name| name.starts_with("webex-login-")).collect()
    }
}

/// Returns a query parameter of a URL.
///
/// # Panics
///
/// Panics if there is none.
pub fn parameter(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(own, _)| own == name).unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}
