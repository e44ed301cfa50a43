//! The logins that were begun on devices: what was handed out, how often it was asked about, and what the user said.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::testing::opaque;

/// How much sooner than its interval a poll may come: the network brings one request faster than another.
const TOLERANCE: Duration = Duration::from_millis(100);

/// What is added to the interval of whoever polls too fast, for good (RFC 8628 section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// A login that waits for its user.
pub(super) struct Device {
    pub(super) integration: usize,
    pub(super) scopes: Scopes,
    /// Six digits.
    pub(super) user_code: String,
    /// What stands for the user code in the link.
    pub(super) link: String,
    /// By the clock's `elapsed`, as all times of this file are: a wall clock that is set moves none of them.
    expires: Duration,
    interval: Duration,
    polled: Option<Duration>,
    answer: Option<Answer>,
}

/// What the user said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes { user: usize, at: UnixTime },
    No,
}

/// What a poll finds.
pub(super) enum Found {
    Pending,
    /// Still pending, and asked too soon.
    TooFast,
    Denied,
    /// The login is over with this.
    Granted {
        user: usize,
        at: UnixTime,
        scopes: Scopes,
    },
    /// Unknown, of another integration, expired, or used before.
    Dead,
}

/// All of them.
pub(super) struct Devices {
    pub(super) lifetime: Duration,
    pub(super) interval: Duration,
    /// Whether an integration must have registered the addresses of Webex's own helper.
    pub(super) wants_helpers: bool,
    by_code: HashMap<String, Device>,
}

impl Default for Devices {
    /// The figures of developer.webex.com/docs/login-with-webex, in its sample of an answer.
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(300),
            interval: Duration::from_secs(2),
            wants_helpers: false,
            by_code: HashMap::new(),
        }
    }
}

impl Devices {
    /// Begins a login; returns its device code.
    pub(super) fn begin(
        &mut self,
        (integration, scopes): (usize, Scopes),
        elapsed: Duration,
        random: &mut dyn FnMut() -> [u8; 32],
    ) -> (String, &Device) {
        // Doubling between two sweeps keeps the cost of forgetting constant.
        if self.by_code.len().is_power_of_two() {
            self.by_code.retain(|_, device| elapsed < device.expires);
        }
        let device = Device {
            integration,
            scopes,
            user_code: self.free_user_code(random()),
            link: opaque::hex(&random()),
            expires: elapsed.saturating_add(self.lifetime),
            interval: self.interval,
            polled: None,
            answer: None,
        };
        let device_code = opaque::uuid(&random());
        (device_code.clone(), self.by_code.entry(device_code).insert_entry(device).into_mut())
    }

    /// Six digits that stand for no other login.
    fn free_user_code(&self, [a, b, c, ..]: [u8; 32]) -> String {
        let start = u32::from_be_bytes([0, a, b, c]);
        let mut codes = (0..1_000_000).map(|step| format!("{:06}", (start + step) % 1_000_000));
        let is_free = |code: &String| self.by_code.values().all(|device| device.user_code != *code);
        codes.find(is_free).unwrap_or_default()
    }

    /// The waiting login of a user code, with its device code; spaces and dashes that a person typed do not matter.
    pub(super) fn waiting(&self, user_code: &str, elapsed: Duration) -> Option<(&str, &Device)> {
        let digits: String = user_code.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        self.find(elapsed, |device| device.user_code == digits)
    }

    /// The waiting login whose link says this.
    pub(super) fn linked(&self, link: &str, elapsed: Duration) -> Option<(&str, &Device)> {
        self.find(elapsed, |device| device.link == link)
    }

    /// The waiting login of a device code.
    pub(super) fn named(&self, device_code: &str, elapsed: Duration) -> Option<&Device> {
        self.by_code.get(device_code).filter(|device| device.is_waiting(elapsed))
    }

    fn find(&self, elapsed: Duration, is_meant: impl Fn(&Device) -> bool) -> Option<(&str, &Device)> {
        let mut waiting = self.by_code.iter().filter(|(_, device)| device.is_waiting(elapsed));
        waiting.find(|(_, device)| is_meant(device)).map(|(code, device)| (code.as_str(), device))
    }

    /// The user answers; says whether the device still waited.
    pub(super) fn answer(&mut self, device_code: &str, answer: Answer, elapsed: Duration) -> bool {
        let waiting = self.by_code.get_mut(device_code).filter(|device| device.is_waiting(elapsed));
        waiting.map(|device| device.answer = Some(answer)).is_some()
    }

    /// Somebody asks for tokens.
    pub(super) fn poll(&mut self, device_code: &str, integration: usize, elapsed: Duration) -> Found {
        let known = self.by_code.get_mut(device_code);
        let Some(device) = known.filter(|device| device.integration == integration && elapsed < device.expires) else {
            return Found::Dead;
        };
        match device.answer {
            Some(Answer::Yes { user, at }) => {
                let scopes = device.scopes.clone();
                self.by_code.remove(device_code);
                Found::Granted { user, at, scopes }
            }
            Some(Answer::No) => Found::Denied,
            None => device.poll(elapsed),
        }
    }

    /// Somebody asks and gets an answer that a test has ordered.
    pub(super) fn poll_in_vain(&mut self, device_code: &str, elapsed: Duration, slows_down: bool) {
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
        self.answer.is_none() && elapsed < self.expires
    }

    /// The first poll is never too soon.
    fn poll(&mut self, elapsed: Duration) -> Found {
        let last = self.polled.replace(elapsed);
        if last.is_none_or(|last| elapsed.saturating_sub(last) + TOLERANCE >= self.interval) {
            return Found::Pending;
        }
        self.slow_down();
        Found::TooFast
    }

    fn slow_down(&mut self) {
        self.interval = self.interval.saturating_add(SLOWER);
    }
}
