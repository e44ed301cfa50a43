//! A browser without a screen: it keeps cookies, follows redirects as far as the application, and fills forms in.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use url::{Url, form_urlencoded};

use crate::Server;
use crate::form::Form;

/// The maximum number of consecutive redirects. More indicate a redirect loop.
const MAX_REDIRECTS: usize = 10;

/// Forms in a row, after which one of them leads to itself.
const MAX_FORMS: usize = 5;

/// One person's browser.
#[derive(Debug)]
pub struct Browser {
    http: Client,
    /// By name alone: each test has one browser, and each browser one server.
    cookies: BTreeMap<String, String>,
}

/// Where a walk has led.
enum Destination {
    /// To a page of the server, whose address and text these are.
    Page(Url, String),
    /// Back to the application, with this URL.
    Application(String),
}

impl Default for Browser {
    fn default() -> Self {
        let http = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }
}

impl Browser {
    /// One without cookies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a URL that leads to the application without a question; gives what the application gets.
    ///
    /// # Panics
    ///
    /// When there is a page on the way.
    pub async fn authorize(&mut self, url: &str) -> String {
        match self.open(url).await {
            Destination::Application(callback) => callback,
            Destination::Page(url, text) => panic!("{url} shows a page: {text}"),
        }
    }

    /// Signs in at oidc-provider as `login` and consents; gives what the application gets.
    ///
    /// # Panics
    ///
    /// When the pages are not those of oidc-provider.
    pub async fn consent(&mut self, authorization_url: &str, login: &str) -> String {
        let mut place = self.open(authorization_url).await;
        loop {
            let (url, text) = match place {
                Destination::Application(callback) => return callback,
                Destination::Page(url, text) => (url, text),
            };
            let form = if text.contains(r#"name="prompt" value="login""#) {
                vec![("prompt", "login"), ("login", login), ("password", "x")]
            } else {
                assert!(text.contains(r#"name="prompt" value="consent""#), "no form at {url}: {text}");
                vec![("prompt", "consent")]
            };
            let action = attribute(&text, "action").expect("the form has an action");
            place = self.submit(url.join(&action).unwrap(), &form).await;
        }
    }

    /// Opens oidc-provider's first page, and leaves by "Cancel"; gives what the application gets, or what it shows where it is a
    /// server that answers.
    ///
    /// # Panics
    ///
    /// As [`consent`](Self::consent).
    pub async fn cancel(&mut self, authorization_url: &str) -> Result<String, String> {
        let Destination::Page(url, text) = self.open(authorization_url).await else { panic!("no page") };
        let mut links = text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let link = links.find(|link| link.ends_with("/abort")).expect("the page has a link to cancel");
        match self.open(url.join(link).unwrap().as_str()).await {
            Destination::Application(callback) => Ok(callback),
            Destination::Page(_, text) => Err(text),
        }
    }

    /// Opens oidc-provider's page for a device, and says that this is no device of its user's; gives the last page.
    ///
    /// # Panics
    ///
    /// When the pages are not those of oidc-provider.
    pub async fn abort_device(&mut self, verification_uri: &str) -> String {
        let first = self.open(verification_uri).await;
        let Destination::Page(url, text) = self.submit_page_form(first, |_| ()).await else {
            panic!("a device is brought nowhere")
        };
        assert!(text.contains(">[ Abort ]<"), "no consent page at {url}: {text}");
        // That button stands outside of its form.
        let press = |form: &mut Form| form.fields.push(("abort".to_owned(), "yes".to_owned()));
        match self.submit_page_form(Destination::Page(url, text), press).await {
            Destination::Page(_, text) => text,
            Destination::Application(callback) => panic!("a device is not brought to {callback}"),
        }
    }

    /// Sends the only form of a page, after a last change.
    async fn submit_page_form(&mut self, place: Destination, change: impl FnOnce(&mut Form)) -> Destination {
        let Destination::Page(url, text) = place else { panic!("no page") };
        let mut form = Form::find(&text, &[]).unwrap_or_else(|| panic!("no form at {url}: {text}"));
        change(&mut form);
        self.submit(url.join(&form.action).unwrap(), &form.pairs()).await
    }

    /// Opens a page and fills in whatever forms it shows, one after the other, with these answers, names and values; gives what
    /// the application gets, or the last page where there is no way back to it.
    ///
    /// # Panics
    ///
    /// When a form leads to itself.
    pub async fn fill_in(&mut self, url: &str, answers: &[(&str, &str)]) -> Result<String, String> {
        let mut place = self.open(url).await;
        for _ in 0..MAX_FORMS {
            let (url, text) = match place {
                Destination::Application(callback) => return Ok(callback),
                Destination::Page(url, text) => (url, text),
            };
            let Some(form) = Form::find(&text, answers) else { return Err(text) };
            let mut action = url.join(&form.action).unwrap();
            place = if form.is_query {
                action.query_pairs_mut().clear().extend_pairs(form.pairs());
                self.open(action.as_str()).await
            } else {
                self.submit(action, &form.pairs()).await
            };
        }
        panic!("more than {MAX_FORMS} forms after {url}");
    }

    async fn open(&mut self, url: &str) -> Destination {
        let url = Url::parse(url).unwrap();
        self.follow_redirects(self.http.get(url.clone()), url).await
    }

    async fn submit(&mut self, url: Url, form: &[(&str, &str)]) -> Destination {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.http.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        self.follow_redirects(request, url).await
    }

    async fn follow_redirects(&mut self, mut request: RequestBuilder, mut url: Url) -> Destination {
        for _ in 0..MAX_REDIRECTS {
            let answer = request.header(COOKIE, self.cookie_header()).send().await.unwrap();
            for cookie in answer.headers().get_all(SET_COOKIE) {
                self.store_cookie(cookie.to_str().unwrap());
            }
            let Some(location) = answer.headers().get(LOCATION) else {
                // The application may have to say that something failed.
                assert!(answer.status() == StatusCode::OK || url.path() == "/callback", "{} of {url}", answer.status());
                return Destination::Page(url, answer.text().await.unwrap());
            };
            let location = location.to_str().unwrap();
            if location.starts_with(Server::REDIRECT_URI) {
                return Destination::Application(location.to_owned());
            }
            url = url.join(location).unwrap();
            request = self.http.get(url.clone());
        }
        panic!("more than {MAX_REDIRECTS} redirects, the last to {url}");
    }

    fn store_cookie(&mut self, cookie: &str) {
        let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
        // An empty value is how the server takes a cookie away.
        if value.is_empty() {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

/// An attribute of the first element that has it.
fn attribute(html: &str, name: &str) -> Option<String> {
    Some(html.split_once(&format!("{name}=\""))?.1.split('"').next()?.replace("&amp;", "&"))
}
