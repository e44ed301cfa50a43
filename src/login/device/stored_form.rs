//! The stored form of a device login.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::Value;

use crate::client::WebexOAuth;
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::json::Object;
use crate::login::device::device_login::{DeviceLogin, Phase};
use crate::protocol::authorization::pending::Payload;
use crate::protocol::device::DeviceGrant;
use crate::protocol::device::authorization::DeviceAuthorization;
use crate::protocol::device::schedule::{PollSchedule, StoredPollSchedule};
use crate::protocol::grant::ExchangeOptions;
use crate::registration::ClientIdentity;
use crate::scope::Scopes;
use crate::secret::StoredString;
use crate::stored::{self, unreadable_error};

const STORED_DEVICE_NAME: &str = "device login";

const FIELDS: [&str; 16] = [
    "v",
    "service",
    "client_id",
    "device_code",
    "user_code",
    "verification_uri",
    "verification_uri_complete",
    "scope",
    "kept_at",
    "expires_at",
    "asked_at",
    "pause",
    "interval",
    "life",
    "user_info",
    "self_contained_token",
];

#[derive(Serialize)]
struct StoredDeviceLogin<'a> {
    v: u64,
    service: &'a str,
    client_id: &'a str,
    device_code: &'a str,
    user_code: &'a str,
    verification_uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_uri_complete: Option<&'a str>,
    scope: String,
    kept_at: u64,
    expires_at: u64,
    asked_at: u64,
    pause: u64,
    interval: u64,
    life: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_info: Option<&'a str>,
    self_contained_token: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a Value>,
}

pub(crate) fn write_device_login(login: &DeviceLogin) -> Result<StoredString> {
    let DeviceGrant { authorization, requested_scopes: asked, options, payload } = &*login.grant;
    let owner: &ClientIdentity = &login.webex.registration().client;
    let kept = login.schedule.to_stored(login.webex.clock().elapsed(), login.webex.now());
    let form = StoredDeviceLogin {
        v: stored::VERSION,
        service: &owner.service,
        client_id: &owner.client_id,
        device_code: authorization.device_code.expose_secret(),
        user_code: &authorization.user_code,
        verification_uri: &authorization.verification_uri,
        verification_uri_complete: authorization.verification_uri_complete.as_deref(),
        scope: asked.to_string(),
        kept_at: kept.kept_at.as_secs(),
        expires_at: kept.expires_at.as_secs(),
        asked_at: kept.asked_at.as_secs(),
        pause: kept.pause.as_secs(),
        interval: kept.interval.as_secs(),
        life: kept.life.as_secs(),
        user_info: options.user_info.as_deref(),
        self_contained_token: options.self_contained_token,
        payload: payload.value(),
    };
    stored::serialize_form(STORED_DEVICE_NAME, &form)
}

pub(crate) fn read_device_login(webex: &WebexOAuth, text: &str) -> Result<DeviceLogin> {
    let damaged = |why: String| unreadable_error(STORED_DEVICE_NAME, why);
    let missing = |name: &str| damaged(format!("`{name}` is missing"));
    let mut form =
        Object::read(text.as_bytes(), &FIELDS).map_err(|fault| unreadable_error(STORED_DEVICE_NAME, fault))?;
    stored::check_version(STORED_DEVICE_NAME, form.take_exact_integer("v"))?;
    let mut text = |name| form.take_exact_string(name).map_err(damaged);
    let mut plain = |name| Ok::<_, Error>(text(name)?.map(|text| text.expose_secret().to_owned()));
    let owner = ClientIdentity {
        service: plain("service")?.ok_or_else(|| missing("service"))?,
        client_id: plain("client_id")?.ok_or_else(|| missing("client_id"))?,
    };
    webex.registration().require_same_client(&owner, "the device login was started")?;
    let user_code = plain("user_code")?.ok_or_else(|| missing("user_code"))?;
    let verification_uri = plain("verification_uri")?.ok_or_else(|| missing("verification_uri"))?;
    let verification_uri_complete = plain("verification_uri_complete")?;
    let (scope, user_info) = (plain("scope")?, plain("user_info")?);
    let device_code = text("device_code")?.ok_or_else(|| missing("device_code"))?;
    let self_contained_token = form.take_exact_bool("self_contained_token").map_err(damaged)?.unwrap_or_default();
    let mut number = |name| form.take_exact_integer(name).map_err(damaged)?.ok_or_else(|| missing(name));
    let kept = StoredPollSchedule {
        kept_at: UnixTime::from_secs(number("kept_at")?),
        expires_at: UnixTime::from_secs(number("expires_at")?),
        asked_at: UnixTime::from_secs(number("asked_at")?),
        pause: Duration::from_secs(number("pause")?),
        interval: Duration::from_secs(number("interval")?),
        life: Duration::from_secs(number("life")?),
    };
    let authorization = DeviceAuthorization {
        device_code,
        user_code,
        verification_uri,
        verification_uri_complete,
        lifetime: kept.life,
        interval: kept.interval,
    };
    authorization.check(&webex.registration().insecure_hosts).map_err(|why| damaged(why.to_owned()))?;
    let grant = DeviceGrant {
        authorization,
        requested_scopes: scope.map(|text| Scopes::from_server(&text)).unwrap_or_default(),
        options: ExchangeOptions { user_info, self_contained_token },
        payload: Payload::from_stored(form.extra.remove("payload")),
    };
    let clock = Arc::clone(webex.clock());
    let (now, wall) = (clock.elapsed(), clock.now());
    let pace = PollSchedule::from_stored(kept, now, wall);
    let expires_at = kept.expires_at.min(wall + pace.time_left(now));
    Ok(DeviceLogin { is_restored: true, ..DeviceLogin::with_schedule(webex.clone(), grant, pace, expires_at) })
}

impl DeviceLogin {
    /// Returns the login as versioned JSON, so that it survives a restart of the application.
    ///
    /// **It contains the device code.** With the code and the client secret, anyone can fetch the
    /// tokens. Delete it when the login is finished. Store the login again from time to time, to
    /// preserve an increased interval.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the login is finished.
    pub fn to_stored(&self) -> Result<StoredString> {
        match self.phase {
            Phase::Waiting => write_device_login(self),
            Phase::LoggedIn | Phase::Failed(_) => {
                Err(Error::new(ErrorKind::InvalidInput, "device login is finished: there is nothing to store"))
            }
        }
    }

    /// Restores a login from [`to_stored`](Self::to_stored).
    ///
    /// The polling interval is kept. The first request follows after one interval, because another
    /// process may have polled in the meantime. The remaining lifetime is measured by the wall
    /// clock. A code stored more than 10 minutes in the future counts as expired.
    ///
    /// An expired code is not an error. Check [`time_left`](Self::time_left) before you display the
    /// code, and start a new login if it is zero. [`next`](Self::next) returns
    /// [`DeviceState::Expired`](crate::DeviceState::Expired).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CorruptEntry`]: the stored login is damaged, or was written by a later
    ///   version. The error does not quote it.
    /// - [`ErrorKind::ClientMismatch`]: the login was started with another service or client.
    pub fn from_stored(webex: &WebexOAuth, stored: &str) -> Result<Self> {
        read_device_login(webex, stored)
    }
}
