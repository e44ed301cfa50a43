//! What a browser does with the pages, in one step: it reads the first one's form, signs in as the first user there and presses
//! a button of the second, and is sent back.

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use url::{Url, form_urlencoded};

use crate::Result;

/// Opens an authorization URL and presses the button with this value; gives the URL that the application gets.
pub(crate) async fn answer(authorization_url: &str, button: &str) -> Result<String> {
    let http = Client::builder().redirect(Policy::none()).no_proxy().build()?;
    let page = http.get(authorization_url).send().await?;
    if page.status() != StatusCode::OK {
        return Err(format!("no page to sign in: {}", page.status()).into());
    }
    let html = page.text().await?;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("transaction", attribute(&html, "name=\"transaction\"", "value")?)
        .append_pair("user", attribute(&html, "name=\"choice\"", "value")?)
        .append_pair("decision", button)
        .finish();
    let action = Url::parse(authorization_url)?.join("consent")?;
    let content_type = "application/x-www-form-urlencoded";
    let answer = http.post(action).header(CONTENT_TYPE, content_type).body(form).send().await?;
    let location = answer.headers().get(LOCATION).ok_or_else(|| format!("no redirect: {}", answer.status()))?;
    Ok(location.to_str()?.to_owned())
}

/// The value of the first attribute of this name after `mark`.
fn attribute<'a>(html: &'a str, mark: &str, name: &str) -> Result<&'a str> {
    let after = html.split_once(mark).map(|(_, after)| after);
    let value = after.and_then(|after| after.split_once(&format!("{name}=\""))?.1.split('"').next());
    value.ok_or_else(|| format!("the page has no {name} after {mark}").into())
}
