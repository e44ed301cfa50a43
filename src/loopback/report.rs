//! Why nobody may have come back: what Webex shows on pages of its own, and tells no application.

use std::io;
use std::time::Duration;

use crate::client::WebexOAuth;
use crate::error::{Error, ErrorKind};
use crate::integration::ApplicationId;
use crate::loopback::desk::Desk;
use crate::loopback::strays::Stray;

/// The cluster that the government's integrations were seen in.
const GOVERNMENT: (&str, &str) = ("webex-gov", "urn:TEAM:us-gov-west-1_a1");

/// What the user can do about requests that brought no callback, and that say why.
const ADVICE: [(Stray, &str); 3] = [
    (
        Stray::Tls,
        "a program came with TLS, as a browser does that insists on https: write http:// in place of https:// in its address bar, \
         except this address from its https-only mode, or paste the address into the application",
    ),
    (
        Stray::TooLarge,
        "a request had too many or too long headers: delete the browser's cookies of this host, or paste the address into the \
         application",
    ),
    (
        Stray::Malformed,
        "a request was no valid HTTP or broke off: look for a proxy or another program between the browser and this port, or \
         paste the address into the application",
    ),
];

/// The error for a login that nobody came back to within `limit`.
pub(super) fn nobody_came(webex: &WebexOAuth, desk: &Desk, limit: Duration, no_browser: Option<io::Error>) -> Error {
    let (uri, id, service) = (desk.address().uri(), webex.client_id(), webex.service().id());
    let mut message = format!("nobody came back to {uri} within {} s", limit.as_secs());
    for (stray, advice) in ADVICE {
        if desk.strays().has(stray) {
            message += "; ";
            message += advice;
        }
    }
    message += &format!(
        "; where the browser shows an error of Webex's, that is one of these: the redirect URI is not registered exactly as {uri}; or {service} has no integration with the client id {id}"
    );
    if webex.service().person_endpoint().is_some() {
        message += "; or an administrator of the user's has to approve the integration in Control Hub";
        if let Some(id) = integration_id(id, &service) {
            message += &format!(", under the integration id {id}");
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
