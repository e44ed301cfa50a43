//! The timeout error of a login, with possible causes: Webex shows some errors only to the user.

use std::io;
use std::time::Duration;

use crate::client::WebexOAuth;
use crate::error::{Error, ErrorKind};
use crate::integration::ApplicationId;
use crate::loopback::desk::CallbackReceiver;
use crate::loopback::strays::RejectedRequest;

/// The cluster of integrations in Webex for Government, as observed.
const GOVERNMENT: (&str, &str) = ("webex-gov", "urn:TEAM:us-gov-west-1_a1");

/// Remedies for requests that indicate why no callback arrived.
const ADVICE: [(RejectedRequest, &str); 3] = [
    (
        RejectedRequest::Tls,
        "a TLS connection was attempted, probably by a browser that enforces HTTPS: replace https:// with http:// in its \
         address bar, exclude this address from its HTTPS-only mode, or paste the URL into the application",
    ),
    (
        RejectedRequest::TooLarge,
        "a request had too many or too large headers: delete the browser's cookies for this host, or paste the URL into \
         the application",
    ),
    (
        RejectedRequest::Malformed,
        "a request was incomplete or invalid HTTP: check for a proxy or another program between the browser and this \
         port, or paste the URL into the application",
    ),
];

/// Returns the error for a login that received no callback within `limit`.
pub(super) fn nobody_came(
    webex: &WebexOAuth,
    desk: &CallbackReceiver,
    limit: Duration,
    no_browser: Option<io::Error>,
) -> Error {
    let (uri, id, service) = (desk.address().uri(), webex.client_id(), webex.service().id());
    let mut message = format!("login timed out: no callback arrived at {uri} within {} s", limit.as_secs());
    for (stray, advice) in ADVICE {
        if desk.strays().has(stray) {
            message += "; ";
            message += advice;
        }
    }
    message += &format!(
        "; if the browser shows a Webex error page, check that the redirect URI is registered exactly as {uri} and \
         that {service} has an integration with the client ID {id}"
    );
    if webex.service().person_endpoint().is_some() {
        message += "; an administrator may have to approve the integration in Control Hub";
        if let Some(id) = integration_id(id, &service) {
            message += &format!(" (integration ID {id})");
        }
    }
    if no_browser.is_some() {
        message += "; the browser could not be opened";
    }
    if let Some(strays) = desk.strays().told() {
        message += &format!("; {strays}");
    }
    let error = Error::new(ErrorKind::CallbackTimeout, message);
    match no_browser {
        Some(why) => error.with_source(why),
        None => error,
    }
}

fn integration_id(client_id: &str, service: &str) -> Option<ApplicationId> {
    let id = ApplicationId::new(client_id).ok()?;
    let (government, cluster) = GOVERNMENT;
    if service.starts_with(government) { id.with_cluster(cluster).ok() } else { Some(id) }
}
