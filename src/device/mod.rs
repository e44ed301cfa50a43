//! The device grant (RFC 8628), as Webex has it (<https://developer.webex.com/docs/login-with-webex>).
//!
//! - `authorization` asks for a code and reads what there is to show: a [`DeviceAuthorization`].
//! - `poll` asks for the tokens and judges the answer: a [`Reply`], or an error that says who can help.
//! - `pace` says when to ask: [`Pace`] is a value that knows no clock.

use crate::grant::ExchangeOptions;
use crate::pending::Payload;
use crate::scope::Scopes;

pub(crate) mod authorization;
pub(crate) mod pace;
pub(crate) mod poll;

pub(crate) use self::authorization::DeviceAuthorization;
pub(crate) use self::pace::{Kept, Pace, Turn};
pub(crate) use self::poll::Reply;

/// What a device waits with.
pub(crate) struct DeviceGrant {
    pub(crate) authorization: DeviceAuthorization,
    pub(crate) asked: Scopes,
    pub(crate) options: ExchangeOptions,
    pub(crate) payload: Payload,
}
