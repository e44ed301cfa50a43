//! Application IDs of the REST API, which are derived from client IDs.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::token::rest_id::{self, RestId};

/// The application ID of an integration, which an administrator needs to approve it.
///
/// The developer portal displays it as *Integration ID* next to the client ID. It is the client ID
/// in the format of REST API IDs: base64 of `ciscospark://us/APPLICATION/<client ID>`, as in the
/// examples of Webex's API specifications (<https://github.com/webex/webex-openapi-specs>). An
/// application can therefore display its application ID without a separate setting. The ID is not
/// secret.
///
/// Padded and URL-safe base64 is also accepted. `Display` formats the ID as Webex does, in standard
/// base64 without padding.
///
/// # Example
///
/// ```
/// use webex_oauth::ApplicationId;
///
/// let shown = "Y2lzY29zcGFyazovL3VzL0FQUExJQ0FUSU9OL0Mx";
/// let id: ApplicationId = shown.parse()?;
/// assert_eq!((id.cluster(), id.client_id()), ("us", "C1"));
/// assert_eq!(ApplicationId::new("C1")?.to_string(), shown); // or: webex.client_id()
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApplicationId(RestId);

/// The type in application IDs.
const APPLICATION_KIND: &str = "APPLICATION";

impl ApplicationId {
    /// Creates the application ID for a client ID of the commercial platform.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the client ID is empty, or contains a slash or a character
    ///   that is not visible ASCII.
    pub fn new(client_id: impl Into<String>) -> Result<Self> {
        let id = check_id_part(client_id.into(), "client ID")?;
        Ok(Self(RestId { cluster: rest_id::COMMERCIAL_CLUSTER.to_owned(), kind: APPLICATION_KIND.to_owned(), id }))
    }

    /// Sets the cluster. IDs of Webex for Government have been observed with
    /// `urn:TEAM:us-gov-west-1_a1`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the cluster is empty, or contains a slash or a character that
    ///   is not visible ASCII.
    pub fn with_cluster(mut self, cluster: impl Into<String>) -> Result<Self> {
        self.0.cluster = check_id_part(cluster.into(), "cluster")?;
        Ok(self)
    }

    /// Returns the OAuth client ID.
    pub fn client_id(&self) -> &str {
        &self.0.id
    }

    /// Returns the Webex cluster of the integration: `us` for the commercial platform.
    pub fn cluster(&self) -> &str {
        &self.0.cluster
    }
}

fn check_id_part(text: String, what: &str) -> Result<String> {
    if rest_id::is_valid_part(&text) {
        return Ok(text);
    }
    let message = format!("invalid {what}: use one or more visible ASCII characters without \"/\"");
    Err(Error::new(ErrorKind::InvalidInput, message))
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ApplicationId {
    type Err = Error;

    /// Parses an application ID. Whitespace, and quotation marks or angle brackets around the ID,
    /// are ignored.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the string is not an application ID but, for example, a
    ///   client ID or a person ID. The message names the problem.
    fn from_str(text: &str) -> Result<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let text = text.trim_matches(['"', '\'', '`', '<', '>']);
        match RestId::parse(text) {
            Some(id) if id.kind == APPLICATION_KIND => Ok(Self(id)),
            Some(_) => Err(Error::new(
                ErrorKind::InvalidInput,
                "invalid application ID: it is the ID of another kind of object",
            )),
            None if is_client_id(text) => Err(Error::new(
                ErrorKind::InvalidInput,
                "invalid application ID: it is a client ID; convert it with `ApplicationId::new(..)`",
            )),
            None => {
                let message = "invalid application ID: copy the complete Integration ID from the developer portal, \
                               which begins with \"Y2lzY29zcGFyazovL\"";
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        }
    }
}

/// Returns `true` for the format of a client ID: `C` and 64 hexadecimal digits.
fn is_client_id(text: &str) -> bool {
    text.strip_prefix('C').is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    #[test]
    fn quoted_or_wrapped_application_id_is_parsed() {
        for text in ["\"Y2lzY29zcGFyazovL3Vz\n  L0FQUExJQ0FUSU9OL0Mx\"", " <Y2lzY29zcGFyazovL3VzL0FQUExJQ0FUSU9OL0Mx> "]
        {
            assert_eq!(text.parse::<ApplicationId>().unwrap().client_id(), "C1", "{text:?}");
        }
    }

    /// The application ID of SuperOffice's integration, from its documentation.
    const SUPEROFFICE: &str = "Y2lzY29zcGFyazovL3VzL0FQUExJQ0FUSU9OL0MwZThkNmFkYmUzYzZkOTE5Y2MyYzMzNjExYTMzMGQ2NzAzNWQwODYxMTliY2I4ZjhkMGQzZWNkODQ4NDQ2OGVh";

    #[test]
    fn published_application_id_round_trips() {
        let id: ApplicationId = SUPEROFFICE.parse().unwrap();
        let client_id = "C0e8d6adbe3c6d919cc2c33611a330d67035d086119bcb8f8d0d3ecd8484468ea";
        assert_eq!((id.cluster(), id.client_id()), ("us", client_id));
        assert_eq!(id.to_string(), SUPEROFFICE);
        assert_eq!(ApplicationId::new(client_id).unwrap(), id);
    }

    #[test]
    fn invalid_application_id_is_rejected_with_advice() {
        let hydra = |text: &str| STANDARD_NO_PAD.encode(text);
        let client_id = format!("C{}", "0f".repeat(32));
        for (text, advice) in [
            (String::new(), "copy the complete Integration ID"),
            (SUPEROFFICE[..30].to_owned(), "copy the complete Integration ID"),
            (format!("{SUPEROFFICE}="), "copy the complete Integration ID"),
            (SUPEROFFICE.replace('Z', "%"), "copy the complete Integration ID"),
            (hydra("ciscospark://us/APPLICATION/"), "copy the complete Integration ID"),
            (hydra("ciscospark:///APPLICATION/C1"), "copy the complete Integration ID"),
            (hydra("ciscospark://us/APPLICATION/C1/x"), "copy the complete Integration ID"),
            (hydra("ciscospark://us/APPLICATION/C 1"), "copy the complete Integration ID"),
            (hydra("https://us/APPLICATION/C1"), "copy the complete Integration ID"),
            (STANDARD_NO_PAD.encode(b"ciscospark://us/APPLICATION/\xff"), "copy the complete Integration ID"),
            (hydra("ciscospark://us/PEOPLE/C1"), "another kind of object"),
            (client_id, "is a client ID"),
        ] {
            let error = text.parse::<ApplicationId>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(advice), "{text}: {error}");
        }
        for bad in ["", "a/b", "a b", "ä"] {
            assert_eq!(ApplicationId::new(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
            let moved = ApplicationId::new("C1").unwrap().with_cluster(bad);
            assert_eq!(moved.unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn application_id_is_parsed_from_all_base64_variants(
            cluster in "us|eu|urn:TEAM:us-gov-west-1_a1|[!-.0-~]{1,30}",
            client_id in "C[0-9a-f]{64}|[!-.0-~]{1,70}",
        ) {
            let id = ApplicationId::new(client_id.clone()).unwrap().with_cluster(cluster.clone()).unwrap();
            let text = format!("ciscospark://{cluster}/APPLICATION/{client_id}");
            for form in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
                prop_assert_eq!(&form.encode(&text).parse::<ApplicationId>().unwrap(), &id);
            }
            prop_assert_eq!(id.to_string(), STANDARD_NO_PAD.encode(&text));
            prop_assert_eq!((id.cluster(), id.client_id()), (&*cluster, &*client_id));
        }
    }
}
