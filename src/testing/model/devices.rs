//! Device logins: the issued codes, the polls, and the users' decisions.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::testing::token_codec;

/// The tolerance for early polls, because network delays vary.
const TOLERANCE: Duration = Duration::from_millis(100);

/// The permanent increase of the interval after an early poll (RFC 8628, section 3.5).
const SLOW_DOWN_INCREMENT: Duration = Duration::from_secs(5);

/// A pending device login.
pub(crate) struct Device {
    pub(crate) integration: usize,
    pub(crate) scopes: Scopes,
    /// The user code, six digits.
    pub(crate) user_code: String,
    /// The representation of the user code in the link.
    pub(crate) link: String,
    /// The expiry in monotonic time, like all times in this file. Setting the wall clock does not
    /// affect it.
    expires: Duration,
    interval: Duration,
    polled: Option<Duration>,
    decision: Option<Decision>,
}

/// The user's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Approved { user: usize, at: UnixTime },
    Denied,
}

/// The result of a poll.
pub(crate) enum PollResult {
    Pending,
    /// Still pending, and polled too early.
    TooFast,
    Denied,
    /// Approved by this user. The login is complete.
    Granted {
        user: usize,
        at: UnixTime,
        scopes: Scopes,
    },
    /// An unknown, expired, or used device code, or one of another integration.
    InvalidCode,
}

/// All device logins and their settings.
pub(crate) struct Devices {
    pub(crate) lifetime: Duration,
    pub(crate) interval: Duration,
    /// `true` if an integration must register the redirect URIs of Webex's helper.
    pub(crate) requires_helper_redirects: bool,
    by_code: HashMap<String, Device>,
}

impl Default for Devices {
    /// The values of the sample response in developer.webex.com/docs/login-with-webex.
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(300),
            interval: Duration::from_secs(2),
            requires_helper_redirects: false,
            by_code: HashMap::new(),
        }
    }
}

impl Devices {
    /// Begins a login and returns its device code.
    pub(crate) fn begin(
        &mut self,
        (integration, scopes): (usize, Scopes),
        elapsed: Duration,
        random: &mut dyn FnMut() -> [u8; 32],
    ) -> (String, &Device) {
        // The entries double between two sweeps, so the amortized cost of a sweep is constant.
        if self.by_code.len().is_power_of_two() {
            self.by_code.retain(|_, device| elapsed < device.expires);
        }
        let device = Device {
            integration,
            scopes,
            user_code: self.free_user_code(random()),
            link: token_codec::hex(&random()),
            expires: elapsed.saturating_add(self.lifetime),
            interval: self.interval,
            polled: None,
            decision: None,
        };
        let device_code = token_codec::uuid(&random());
        (device_code.clone(), self.by_code.entry(device_code).insert_entry(device).into_mut())
    }

    /// Returns a user code that no other login uses.
    fn free_user_code(&self, [a, b, c, ..]: [u8; 32]) -> String {
        let start = u32::from_be_bytes([0, a, b, c]);
        let mut codes = (0..1_000_000).map(|step| format!("{:06}", (start + step) % 1_000_000));
        let is_free = |code: &String| self.by_code.values().all(|device| device.user_code != *code);
        codes.find(is_free).unwrap_or_default()
    }

    /// Returns the pending login with this user code, and its device code. Spaces and dashes in the
    /// user code are ignored.
    pub(crate) fn find_by_user_code(&self, user_code: &str, elapsed: Duration) -> Option<(&str, &Device)> {
        let digits: String = user_code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        self.find(elapsed, |device| device.user_code == digits)
    }

    /// Returns the pending login with this link, and its device code.
    pub(crate) fn find_by_link(&self, link: &str, elapsed: Duration) -> Option<(&str, &Device)> {
        self.find(elapsed, |device| device.link == link)
    }

    /// Returns the pending login with this device code.
    pub(crate) fn find_by_device_code(&self, device_code: &str, elapsed: Duration) -> Option<&Device> {
        self.by_code.get(device_code).filter(|device| device.is_waiting(elapsed))
    }

    fn find(&self, elapsed: Duration, is_meant: impl Fn(&Device) -> bool) -> Option<(&str, &Device)> {
        let mut waiting = self.by_code.iter().filter(|(_, device)| device.is_waiting(elapsed));
        waiting.find(|(_, device)| is_meant(device)).map(|(code, device)| (code.as_str(), device))
    }

    /// Records the user's decision. Returns `false` if the login is no longer pending.
    pub(crate) fn record_decision(&mut self, device_code: &str, response: Decision, elapsed: Duration) -> bool {
        let waiting = self.by_code.get_mut(device_code).filter(|device| device.is_waiting(elapsed));
        waiting.map(|device| device.decision = Some(response)).is_some()
    }

    /// Records a poll and returns its result.
    pub(crate) fn poll(&mut self, device_code: &str, integration: usize, elapsed: Duration) -> PollResult {
        let stored = self.by_code.get_mut(device_code);
        let Some(device) = stored.filter(|device| device.integration == integration && elapsed < device.expires) else {
            return PollResult::InvalidCode;
        };
        match device.decision {
            Some(Decision::Approved { user, at }) => {
                let scopes = device.scopes.clone();
                self.by_code.remove(device_code);
                PollResult::Granted { user, at, scopes }
            }
            Some(Decision::Denied) => PollResult::Denied,
            None => device.poll(elapsed),
        }
    }

    /// Records a poll whose response is a scripted fault.
    pub(crate) fn record_faulty_poll(&mut self, device_code: &str, elapsed: Duration, slows_down: bool) {
        if let Some(device) = self.by_code.get_mut(device_code) {
            device.polled = Some(elapsed);
            if slows_down {
                device.slow_down();
            }
        }
    }
}

impl Device {
    fn is_waiting(&self, elapsed: Duration) -> bool {
        self.decision.is_none() && elapsed < self.expires
    }

    /// Records a poll of a pending login. The first poll is never too early.
    fn poll(&mut self, elapsed: Duration) -> PollResult {
        let last = self.polled.replace(elapsed);
        if last.is_none_or(|last| elapsed.saturating_sub(last) + TOLERANCE >= self.interval) {
            return PollResult::Pending;
        }
        self.slow_down();
        PollResult::TooFast
    }

    fn slow_down(&mut self) {
        self.interval = self.interval.saturating_add(SLOW_DOWN_INCREMENT);
    }
}
