//! Formats of device grant errors.

use serde_json::{Value, json};

/// The position of the error code in a device grant error.
///
/// Each format was observed in Webex responses or is expected by an existing client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceErrorFormat {
    /// In `error`, as defined by RFC 6749, section 5.2, and sent by Webex's identity broker.
    Error,
    /// In `message`, as documented in <https://developer.webex.com/docs/login-with-webex>.
    Message,
    /// In `errors[].description`, as read by Cisco's device sample.
    Description,
    /// No error code: the body is empty.
    Empty,
    /// No error code: the body is a web page, as sent by a proxy.
    Page,
}

impl DeviceErrorFormat {
    /// Returns the JSON body with the error code, or `None` if the format has no JSON body.
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
