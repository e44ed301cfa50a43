//! A browser that signs users in at the mock. It stores the cookie, fills in the forms of pages,
//! and follows no redirects.

use reqwest::{Client, Response, header, redirect};

pub(crate) struct Browser {
    http: Client,
    cookie: Option<String>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Self { http, cookie: None }
    }

    pub(crate) async fn get(&mut self, url: impl AsRef<str>) -> Response {
        let request = self.http.get(url.as_ref());
        self.send(request).await
    }

    /// Opens the page at this address.
    pub(crate) async fn open(&mut self, url: impl AsRef<str>) -> Page {
        Page::from_response(self.get(url).await).await
    }

    /// Submits the form of the page with these fields and its hidden fields.
    pub(crate) async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> Response {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("transaction", page.value("transaction")).extend_pairs(fields);
        let request = self.http.post(page.url.join(page.action()).unwrap()).body(form.finish());
        self.send(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")).await
    }

    /// Signs in on the page, and returns the next page.
    pub(crate) async fn sign_in(&mut self, page: &Page, email: &str) -> Page {
        let response = self.submit(page, &[("user", email)]).await;
        assert_eq!(response.status(), 303, "{response:?}");
        let next = page.url.join(&location(&response)).unwrap();
        self.open(next).await
    }

    /// Signs in as the expected user, if the page requires it, and consents. Returns the redirect
    /// target.
    pub(crate) async fn consent(&mut self, url: impl AsRef<str>) -> String {
        let mut page = self.open(url).await;
        if page.action().ends_with("/signin") {
            let email = [page.value("user"), page.first_user()].into_iter().find(|email| !email.is_empty()).unwrap();
            let email = email.to_owned();
            let response = self.submit(&page, &[("user", &email)]).await;
            let next = page.url.join(&location(&response)).unwrap();
            if !next.path().ends_with("/consent") || next.port() != page.url.port() {
                return next.into();
            }
            page = self.open(next).await;
        }
        let response = self.submit(&page, &[("decision", "accept")]).await;
        assert_eq!(response.status(), 303, "{response:?}");
        location(&response)
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Response {
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, format!("theme=dark; {cookie}"));
        }
        let response = request.send().await.unwrap();
        if let Some(cookie) = response.headers().get(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
            let pair = cookie.split(';').next().unwrap().to_owned();
            self.cookie = Some(pair).filter(|_| !cookie.contains("Max-Age=0"));
        }
        response
    }
}

/// A page in the browser.
pub(crate) struct Page {
    pub(crate) url: reqwest::Url,
    pub(crate) status: u16,
    pub(crate) html: String,
}

impl Page {
    pub(crate) async fn from_response(response: Response) -> Self {
        assert!(!response.headers().contains_key(header::LOCATION), "{response:?}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        let (url, status) = (response.url().clone(), response.status().as_u16());
        Self { url, status, html: response.text().await.unwrap() }
    }

    pub(crate) fn heading(&self) -> &str {
        text_between(&self.html, "<h1>", "</h1>").unwrap()
    }

    /// Returns the target of the form.
    pub(crate) fn action(&self) -> &str {
        text_between(&self.html, "action=\"", "\"").unwrap_or_else(|| panic!("no form: {}", self.html))
    }

    /// Returns the prefilled value of a form field.
    pub(crate) fn value(&self, name: &str) -> &str {
        text_between(&self.html, &format!("name=\"{name}\""), ">")
            .and_then(|field| text_between(field, "value=\"", "\""))
            .unwrap_or_else(|| panic!("no {name}: {}", self.html))
    }

    fn first_user(&self) -> &str {
        self.value("choice")
    }
}

fn text_between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split(end).next()
}

/// Returns the redirect target of a response.
pub(crate) fn location(response: &Response) -> String {
    response.headers()[header::LOCATION].to_str().unwrap().to_owned()
}
