//! Where in an answer of the device grant its code stands.

use serde_json::{Value, json};

/// Where in a refusal of the device grant the code stands: each was seen, or read for, in some client of Webex's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceErrorFormat {
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

impl DeviceErrorFormat {
    /// A body with the code in it, where one stands anywhere.
    pub(super) fn json(self, code: &str, tracking_id: &str) -> Option<Value> {
        let malformed = "The request could not be understood by the server due to malformed syntax.";
        match self {
            Self::Error => Some(json!({"error": code, "error_description": malformed, "trackingID": tracking_id})),
            Self::Message => Some(json!({"message": code, "errors": [], "trackingId": tracking_id})),
            Self::Description => {
                Some(json!({"message": malformed, "errors": [{"description": code}], "trackingId": tracking_id}))
            }
            Self::Empty | Self::Page => None,
        }
    }
}
