//! The user's decision on a device login, made without a browser.

use crate::testing::MockWebex;
use crate::testing::device;
use crate::testing::devices::Decision;
use crate::testing::endpoint::MockEndpoint;

/// The user of a device, and the polls of the device.
impl MockWebex {
    /// Approves the device login with this user code as the first user. The next poll of the device
    /// returns tokens.
    ///
    /// Nothing is sent over the network.
    ///
    /// # Example
    ///
    /// A device simulated with a plain HTTP client:
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
    ///     let url = format!("{}/device/{path}", mock.uri());
    ///     let request = http.post(url).basic_auth(&id, Some(&secret)).body(form);
    ///     request.header("content-type", "application/x-www-form-urlencoded").send()
    /// };
    ///
    /// let response = post("authorize", format!("client_id={id}&scope=spark:all")).await?;
    /// let codes: serde_json::Value = serde_json::from_slice(&response.bytes().await?)?;
    /// mock.approve_device(codes["user_code"].as_str().unwrap());
    ///
    /// let code = codes["device_code"].as_str().unwrap();
    /// let grant_type = "urn:ietf:params:oauth:grant-type:device_code";
    /// let form = format!("grant_type={grant_type}&client_id={id}&device_code={code}");
    /// assert_eq!(post("token", form).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if no device login is waiting with this code: it was never issued, was already
    /// completed, or expired. Also panics if Webex would show an error page to the user.
    #[track_caller]
    pub fn approve_device(&self, user_code: impl AsRef<str>) {
        let at = self.clock.now();
        self.answer_device(user_code.as_ref(), Decision::Approved { user: 0, at });
    }

    /// Approves the device login as the user with this e-mail address.
    ///
    /// Otherwise identical to [`approve_device`](Self::approve_device).
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`approve_device`](Self::approve_device), and if the
    /// mock has no such user.
    #[track_caller]
    pub fn approve_device_as(&self, user_code: impl AsRef<str>, email: impl AsRef<str>) {
        let (user, at) = (self.user(email.as_ref()), self.clock.now());
        self.answer_device(user_code.as_ref(), Decision::Approved { user, at });
    }

    /// Denies the device login. The next poll of the device returns `access_denied`.
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`approve_device`](Self::approve_device).
    #[track_caller]
    pub fn deny_device(&self, user_code: impl AsRef<str>) {
        self.answer_device(user_code.as_ref(), Decision::Denied);
    }

    /// Returns the number of polls by devices, including failed ones.
    ///
    /// They are not counted by [`token_requests`](Self::token_requests).
    pub fn device_polls(&self) -> usize {
        self.requests_to(MockEndpoint::DeviceToken)
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "an unknown user code is a mistake in the test")]
    fn answer_device(&self, user_code: &str, answer: Decision) {
        let elapsed = self.clock.elapsed();
        let mut state = self.state();
        let Some((device_code, device)) = state.devices.waiting(user_code, elapsed) else {
            panic!(
                "no device login is waiting with code {user_code:?}: it was never issued, was completed, or expired"
            );
        };
        if let Some(page) = device::refusal(device.integration, &state) {
            panic!("Webex would show an error page instead of asking for consent: {page}");
        }
        let device_code = device_code.to_owned();
        state.devices.answer(&device_code, answer, elapsed);
    }
}
