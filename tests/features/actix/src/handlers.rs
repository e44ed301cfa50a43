use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{COOKIE, HeaderValue, LOCATION, SET_COOKIE};
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use webex_oauth::cookies::{PendingCookies, SetCookies};
use webex_oauth::{Callback, Error, WebexOAuth};

pub struct App {
    pub webex: WebexOAuth,
    pub pending: PendingCookies,
}

pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/auth/cisco", web::get().to(begin));
    config.route("/auth/cisco/callback", web::get().to(finish));
}

async fn begin(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let (url, pending) = app.webex.authorize().begin()?;
    let mut response = redirect(url.as_str());
    append(&mut response, app.pending.store(pending, cookies_of(&request))?);
    Ok(response)
}

async fn finish(app: Data<App>, request: HttpRequest) -> Result<HttpResponse, Failure> {
    let headers = request.headers().iter().map(|(name, v)| (name.as_str(), v.as_bytes()));
    if Callback::is_prefetch(headers) {
        let mut response = HttpResponse::ServiceUnavailable();
        return Ok(response.insert_header(("cache-control", "no-store")).finish());
    }
    let callback = Callback::parse(request.query_string())?;
    let (pending, removal) = app.pending.take(&callback, cookies_of(&request))?;
    let mut response = match app.webex.login(pending, callback).await {
        Ok(_login) => redirect("/"), // and begin a session with a new ID
        Err(error) => Failure(error).error_response(),
    };
    append(&mut response, removal); // in any case
    Ok(response)
}

fn cookies_of(request: &HttpRequest) -> impl Iterator<Item = &[u8]> {
    request.headers().get_all(COOKIE).map(|value| value.as_bytes())
}

fn redirect(url: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, url)).finish()
}

// actix-web 4 has the headers of `http` 0.2.
fn append(response: &mut HttpResponse, cookies: SetCookies) {
    for cookie in cookies.values() {
        if let Ok(cookie) = HeaderValue::from_bytes(cookie.as_bytes()) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

#[derive(Debug)]
struct Failure(Error); // `guide::web` distinguishes the cases

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The login failed.")
    }
}

impl ResponseError for Failure {
    fn status_code(&self) -> StatusCode {
        let is_webex_down = self.0.is_retryable();
        if is_webex_down { StatusCode::BAD_GATEWAY } else { StatusCode::BAD_REQUEST }
    }
}
