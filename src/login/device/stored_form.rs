//! The stored form of a device login.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde::{Serialize, Serializer};

use crate::client::WebexOAuth;
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::login::device::device_login::{DeviceLogin, Phase};
use crate::protocol::authorization::pending::Payload;
use crate::protocol::device::DeviceGrant;
use crate::protocol::device::authorization::DeviceAuthorization;
use crate::protocol::device::schedule::{PollSchedule, StoredPollSchedule};
use crate::protocol::grant::ExchangeOptions;
use crate::registration::ClientIdentity;
use crate::scope::Scopes;
use crate::secret::StoredString;
use crate::stored::{self, FormReader, FormWriter};

const STORED_DEVICE_NAME: &str = "device login";

struct StoredDeviceLogin<'a>(&'a DeviceLogin);

impl Serialize for StoredDeviceLogin<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(login) = self;
        let DeviceGrant { authorization, requested_scopes, options, payload } = &*login.grant;
        let client: &ClientIdentity = &login.webex.registration().client;
        let kept = login.schedule.to_stored(login.webex.clock().elapsed(), login.webex.now());
        let mut form = FormWriter::new(serializer)?;
        form.put("service", &client.service)?;
        form.put("client_id", &client.client_id)?;
        form.put("device_code", authorization.device_code.expose_secret())?;
        form.put("user_code", &authorization.user_code)?;
        form.put("verification_uri", &authorization.verification_uri)?;
        form.put_some("verification_uri_complete", authorization.verification_uri_complete.as_ref())?;
        form.put("scope", requested_scopes.to_string())?;
        form.put("kept_at", kept.kept_at.as_secs())?;
        form.put("expires_at", kept.expires_at.as_secs())?;
        form.put("asked_at", kept.asked_at.as_secs())?;
        form.put("pause", kept.pause.as_secs())?;
        form.put("interval", kept.interval.as_secs())?;
        form.put("life", kept.life.as_secs())?;
        form.put_some("user_info", options.user_info.as_ref())?;
        form.put("self_contained_token", options.self_contained_token)?;
        form.put_some("payload", payload.value())?;
        form.end()
    }
}

fn read_device_login(webex: &WebexOAuth, text: &str) -> Result<DeviceLogin> {
    let mut form = FormReader::new(STORED_DEVICE_NAME, text)?;
    let client = ClientIdentity { service: form.require("service")?, client_id: form.require("client_id")? };
    webex.registration().require_same_client(&client, "the device login was started")?;
    let kept = StoredPollSchedule {
        kept_at: UnixTime::from_secs(form.require("kept_at")?),
        expires_at: UnixTime::from_secs(form.require("expires_at")?),
        asked_at: UnixTime::from_secs(form.require("asked_at")?),
        pause: Duration::from_secs(form.require("pause")?),
        interval: Duration::from_secs(form.require("interval")?),
        life: Duration::from_secs(form.require("life")?),
    };
    let authorization = DeviceAuthorization {
        device_code: form.require::<String>("device_code")?.into(),
        user_code: form.require("user_code")?,
        verification_uri: form.require("verification_uri")?,
        verification_uri_complete: form.take("verification_uri_complete")?,
        lifetime: kept.life,
        interval: kept.interval,
    };
    authorization.check(&webex.registration().insecure_hosts).map_err(|why| form.error(why))?;
    let grant = DeviceGrant {
        authorization,
        requested_scopes: form.take::<String>("scope")?.map(|text| Scopes::from_server(&text)).unwrap_or_default(),
        options: ExchangeOptions {
            user_info: form.take("user_info")?,
            self_contained_token: form.take("self_contained_token")?.unwrap_or_default(),
        },
        payload: Payload::from_stored(form.take_any("payload")?),
    };
    form.finish()?;
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
            Phase::Waiting => stored::serialize_form(STORED_DEVICE_NAME, &StoredDeviceLogin(self)),
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
