//! A browser that signs users in at the mock: it keeps the cookie, fills in the consent page, and follows no redirect by
//! itself.

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

    /// Consents on the page at this address; returns where the browser is sent.
    pub(crate) async fn consent(&mut self, url: impl AsRef<str>) -> String {
        let page = self.get(url.as_ref()).await;
        assert_eq!(page.status(), 200, "{page:?}");
        let address = page.url().join("consent").unwrap();
        let html = page.text().await.unwrap();
        let transaction = html.split("name=\"transaction\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let user = html.split("<option value=\"").find(|option| option.contains("\" selected>")).unwrap();
        let user = user.split('"').next().unwrap();
        let fields = [("transaction", transaction), ("user", user), ("decision", "accept")];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.http.post(address).body(form);
        let answer = self.send(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")).await;
        assert_eq!(answer.status(), 303, "{answer:?}");
        location(&answer)
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Response {
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, format!("theme=dark; {cookie}"));
        }
        let answer = request.send().await.unwrap();
        if let Some(cookie) = answer.headers().get(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
            let pair = cookie.split(';').next().unwrap().to_owned();
            self.cookie = Some(pair).filter(|_| !cookie.contains("Max-Age=0"));
        }
        answer
    }
}

/// Where an answer sends the browser.
pub(crate) fn location(answer: &Response) -> String {
    answer.headers()[header::LOCATION].to_str().unwrap().to_owned()
}
