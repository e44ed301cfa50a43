//! A minimal HTTP browser: it stores cookies, follows redirects up to the redirect URI of the application, and fills in forms.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use url::{Url, form_urlencoded};

use crate::Server;
use crate::form::Form;

/// The maximum number of consecutive redirects. More indicate a redirect loop.
const MAX_REDIRECTS: usize = 10;

/// The maximum number of consecutive forms. More indicate a form that leads to itself.
const MAX_FORMS: usize = 5;

/// A browser with its own cookies.
#[derive(Debug)]
pub struct Browser {
    http: Client,
    /// The cookies by name only, because each browser uses a single server.
    cookies: BTreeMap<String, String>,
}

/// The result of a navigation.
enum Destination {
    /// A page of the server, with its URL and its HTML.
    Page(Url, String),
    /// A redirect to the application, with the callback URL.
    Application(String),
}

impl Default for Browser {
    fn default() -> Self {
        let http = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { http, cookies: BTreeMap::new() }
    }
}

impl Browser {
    /// Creates a browser without cookies.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a URL that redirects to the application, and returns the callback URL.
    ///
    /// # Panics
    ///
    /// Panics if the server shows a page.
    pub async fn authorize(&mut self, url: &str) -> String {
        match self.open(url).await {
            Destination::Application(callback) => callback,
            Destination::Page(url, html) => panic!("{url} shows a page: {html}"),
        }
    }

    /// Signs in at oidc-provider as `user`, consents, and returns the callback URL.
    ///
    /// # Panics
    ///
    /// Panics if the pages are not those of oidc-provider.
    pub async fn consent(&mut self, authorization_url: &str, user: &str) -> String {
        let mut destination = self.open(authorization_url).await;
        loop {
            let (url, html) = match destination {
                Destination::Application(callback) => return callback,
                Destination::Page(url, html) => (url, html),
            };
            let form = if html.contains(r#"name="prompt" value="login""#) {
                vec![("prompt", "login"), ("login", user), ("password", "x")]
            } else {
                assert!(html.contains(r#"name="prompt" value="consent""#), "no form at {url}: {html}");
                vec![("prompt", "consent")]
            };
            let action = attribute(&html, "action").expect("the form has an action");
            destination = self.submit(url.join(&action).unwrap(), &form).await;
        }
    }

    /// Opens the first page of oidc-provider and cancels. Returns the callback URL, or the page of an application that listens
    /// at its redirect URI as an error.
    ///
    /// # Panics
    ///
    /// Panics if the pages are not those of oidc-provider.
    pub async fn cancel(&mut self, authorization_url: &str) -> Result<String, String> {
        let Destination::Page(url, html) = self.open(authorization_url).await else { panic!("no page") };
        let mut links = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let link = links.find(|link| link.ends_with("/abort")).expect("the page has a link to cancel");
        match self.open(url.join(link).unwrap().as_str()).await {
            Destination::Application(callback) => Ok(callback),
            Destination::Page(_, html) => Err(html),
        }
    }

    /// Opens the device verification page of oidc-provider, aborts, and returns the HTML of the last page.
    ///
    /// # Panics
    ///
    /// Panics if the pages are not those of oidc-provider.
    pub async fn abort_device(&mut self, verification_uri: &str) -> String {
        let first = self.open(verification_uri).await;
        let Destination::Page(url, html) = self.submit_page_form(first, |_| ()).await else {
            panic!("unexpected redirect to the application")
        };
        assert!(html.contains(">[ Abort ]<"), "no consent page at {url}: {html}");
        // The button is outside its form.
        let press_abort = |form: &mut Form| form.fields.push(("abort".to_owned(), "yes".to_owned()));
        match self.submit_page_form(Destination::Page(url, html), press_abort).await {
            Destination::Page(_, html) => html,
            Destination::Application(callback) => panic!("unexpected redirect to {callback}"),
        }
    }

    /// Submits the only form of a page after an edit.
    async fn submit_page_form(&mut self, destination: Destination, edit: impl FnOnce(&mut Form)) -> Destination {
        let Destination::Page(url, html) = destination else { panic!("no page") };
        let mut form = Form::find(&html, &[]).unwrap_or_else(|| panic!("no form at {url}: {html}"));
        edit(&mut form);
        self.submit(url.join(&form.action).unwrap(), &form.pairs()).await
    }

    /// Opens a page, and fills in and submits consecutive forms with `inputs`, which are names and values. Returns the callback
    /// URL, or the HTML of the last page as an error if there is no redirect to the application.
    ///
    /// # Panics
    ///
    /// Panics if there are too many forms.
    pub async fn fill_in(&mut self, url: &str, inputs: &[(&str, &str)]) -> Result<String, String> {
        let mut destination = self.open(url).await;
        for _ in 0..MAX_FORMS {
            let (url, html) = match destination {
                Destination::Application(callback) => return Ok(callback),
                Destination::Page(url, html) => (url, html),
            };
            let Some(form) = Form::find(&html, inputs) else { return Err(html) };
            let mut action = url.join(&form.action).unwrap();
            destination = if form.is_query {
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
            let response = request.header(COOKIE, self.cookie_header()).send().await.unwrap();
            for cookie in response.headers().get_all(SET_COOKIE) {
                self.store_cookie(cookie.to_str().unwrap());
            }
            let Some(location) = response.headers().get(LOCATION) else {
                // The application may respond to the callback with an error page.
                assert!(
                    response.status() == StatusCode::OK || url.path() == "/callback",
                    "{} of {url}",
                    response.status()
                );
                return Destination::Page(url, response.text().await.unwrap());
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
        // The server deletes a cookie by setting an empty value.
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

/// Returns the value of an attribute of the first element that has it.
fn attribute(html: &str, name: &str) -> Option<String> {
    Some(html.split_once(&format!("{name}=\""))?.1.split('"').next()?.replace("&amp;", "&"))
}
