//! The device authorization grant (RFC 8628), as implemented by Webex
//! (<https://developer.webex.com/docs/login-with-webex>).
//!
//! - `schedule` is the polling schedule: a value that does not read a clock.
//! - `authorization` requests a device code.
//! - `poll` requests the tokens and classifies the response.

use crate::protocol::authorization::pending::Payload;
use crate::protocol::device::authorization::DeviceAuthorization;
use crate::protocol::grant::ExchangeOptions;
use crate::scope::Scopes;

pub(crate) mod schedule;
pub(crate) mod authorization;
pub(crate) mod poll;

/// A device code, with the parameters of its login.
pub(crate) struct DeviceGrant {
    pub(crate) authorization: DeviceAuthorization,
    pub(crate) requested_scopes: Scopes,
    pub(crate) options: ExchangeOptions,
    pub(crate) payload: Payload,
}
