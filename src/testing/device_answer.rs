//! What a user answers a device when no browser shows the verification page.

use crate::testing::MockWebex;
use crate::testing::device;
use crate::testing::devices::Answer;
use crate::testing::endpoint::MockEndpoint;

/// The user of a device, and what the device did.
impl MockWebex {
    /// Lets the first user type the code that a device shows, sign in and consent. The device's next poll brings tokens.
    /// Nothing is sent over the network.
    ///
    /// # Example
    ///
    /// Any HTTP client can be the device:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use webex_oauth::testing::MockWebex;
    ///
    /// let mock = MockWebex::start().await;
    /// let (id, secret) = (mock.client_id(), mock.client_secret());
    /// let http = reqwest::Client::builder().no_proxy().build()?;
    /// let post = |path: &str, form: String| {
    ///     let request = http.post(format!("{}/device/{path}", mock.uri())).basic_auth(&id, Some(&secret));
    ///     request.header("content-type", "application/x-www-form-urlencoded").body(form).send()
    /// };
    ///
    /// let answer = post("authorize", format!("client_id={id}&scope=spark:all")).await?.bytes().await?;
    /// let codes: serde_json::Value = serde_json::from_slice(&answer)?;
    /// mock.approve_device(codes["user_code"].as_str().unwrap());
    ///
    /// let (grant, code) = ("urn:ietf:params:oauth:grant-type:device_code", codes["device_code"].as_str().unwrap());
    /// let tokens = post("token", format!("grant_type={grant}&client_id={id}&device_code={code}")).await?;
    /// assert_eq!(tokens.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When no login waits with this code: there was none, it was answered, or it is expired. And when Webex would show a page
    /// instead of asking the user, with what it says.
    #[track_caller]
    pub fn approve_device(&self, user_code: impl AsRef<str>) {
        let at = self.clock.now();
        self.answer_device(user_code.as_ref(), Answer::Yes { user: 0, at });
    }

    /// [`approve_device`](Self::approve_device), by the user with this e-mail address.
    ///
    /// # Panics
    ///
    /// As [`approve_device`](Self::approve_device), and when the mock has no such user.
    #[track_caller]
    pub fn approve_device_as(&self, user_code: impl AsRef<str>, email: impl AsRef<str>) {
        let (user, at) = (self.user(email.as_ref()), self.clock.now());
        self.answer_device(user_code.as_ref(), Answer::Yes { user, at });
    }

    /// Lets the user decline. The device's next poll brings `access_denied`.
    ///
    /// # Panics
    ///
    /// As [`approve_device`](Self::approve_device).
    #[track_caller]
    pub fn deny_device(&self, user_code: impl AsRef<str>) {
        self.answer_device(user_code.as_ref(), Answer::No);
    }

    /// How many requests for a device's tokens were received, good and bad. They are none of
    /// [`token_requests`](Self::token_requests).
    pub fn device_polls(&self) -> usize {
        self.requests_to(MockEndpoint::DeviceToken)
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a code that no device shows is a mistake in the test")]
    fn answer_device(&self, user_code: &str, answer: Answer) {
        let elapsed = self.clock.elapsed();
        let mut state = self.state();
        let Some((device_code, device)) = state.devices.waiting(user_code, elapsed) else {
            panic!("no device waits with the code {user_code:?}: it was never handed out, was answered, or is expired");
        };
        if let Some(page) = device::refusal(device.integration, &state) {
            panic!("Webex would show a page instead of asking the user: {page}");
        }
        let device_code = device_code.to_owned();
        state.devices.answer(&device_code, answer, elapsed);
    }
}
