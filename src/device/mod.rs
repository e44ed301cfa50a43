//! The device authorization grant (RFC 8628), as implemented by Webex
//! (<https://developer.webex.com/docs/login-with-webex>).
//!
//! - `authorization` requests a device code: a [`DeviceAuthorization`].
//! - `poll` requests the tokens and classifies the response: a [`Reply`] or an error.
//! - `pace` schedules the requests: [`PollSchedule`] is a value that does not read a clock.

use crate::grant::ExchangeOptions;
use crate::pending::Payload;
use crate::scope::Scopes;

pub(crate) mod authorization;
pub(crate) mod pace;
pub(crate) mod poll;

pub use self::authorization::DEVICE_REDIRECT_URIS;
pub(crate) use self::authorization::DeviceAuthorization;
pub(crate) use self::pace::{Kept, NextPoll, PollSchedule};
pub(crate) use self::poll::Reply;

/// A device code, with the parameters of its login.
pub(crate) struct DeviceGrant {
    pub(crate) authorization: DeviceAuthorization,
    pub(crate) asked: Scopes,
    pub(crate) options: ExchangeOptions,
    pub(crate) payload: Payload,
}
