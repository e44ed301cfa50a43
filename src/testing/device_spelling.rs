//! Where in an answer of the device grant its code stands.

use serde_json::json;

use crate::testing::exchange::Body;
use crate::testing::pages::Page;

/// Where in a refusal of the device grant the code stands: each was seen, or read for, in some client of Webex's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceSpelling {
    /// In `error`, as RFC 6749 section 5.2 and Webex's identity broker have it.
    Error,
    /// In `message`, as <https://developer.webex.com/docs/login-with-webex> lists them.
    Message,
    /// In `errors[].description`, where Cisco's sample for devices reads it.
    Description,
    /// Nowhere: the body is empty, and the status says all.
    Empty,
    /// Nowhere: the body is a web page, as a proxy sends it.
    Page,
}

impl DeviceSpelling {
    pub(super) fn write(self, code: &str, tracking_id: &str) -> Body {
        let malformed = "The request could not be understood by the server due to malformed syntax.";
        Body::Json(match self {
            Self::Error => json!({"error": code, "error_description": malformed, "trackingID": tracking_id}),
            Self::Message => json!({"message": code, "errors": [], "trackingId": tracking_id}),
            Self::Description => {
                json!({"message": malformed, "errors": [{"description": code}], "trackingId": tracking_id})
            }
            Self::Empty => return Body::Empty,
            Self::Page => return Body::Page(Page::Stray),
        })
    }
}
