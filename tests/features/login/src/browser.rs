//! A minimal browser: it signs in as the first user of the page, presses a button on the consent page, and returns the callback.

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use url::{Url, form_urlencoded};

use crate::Result;

/// Opens an authorization URL, submits `decision`, and returns the callback URL.
pub(crate) async fn submit_decision(authorization_url: &str, decision: &str) -> Result<String> {
    let http = Client::builder().redirect(Policy::none()).no_proxy().build()?;
    let page = http.get(authorization_url).send().await?;
    if page.status() != StatusCode::OK {
        return Err(format!("no sign-in page: {}", page.status()).into());
    }
    let html = page.text().await?;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("transaction", attribute(&html, "name=\"transaction\"", "value")?)
        .append_pair("user", attribute(&html, "name=\"choice\"", "value")?)
        .append_pair("decision", decision)
        .finish();
    let action = Url::parse(authorization_url)?.join("consent")?;
    let content_type = "application/x-www-form-urlencoded";
    let response = http.post(action).header(CONTENT_TYPE, content_type).body(form).send().await?;
    let location = response.headers().get(LOCATION).ok_or_else(|| format!("no redirect: {}", response.status()))?;
    Ok(location.to_str()?.to_owned())
}

/// Returns the value of the first attribute `name` after `marker`.
fn attribute<'a>(html: &'a str, marker: &str, name: &str) -> Result<&'a str> {
    let after = html.split_once(marker).map(|(_, after)| after);
    let value = after.and_then(|after| after.split_once(&format!("{name}=\""))?.1.split('"').next());
    value.ok_or_else(|| format!("the page has no {name} after {marker}").into())
}
