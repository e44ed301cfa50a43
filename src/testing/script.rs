//! What a test tells a running mock: what goes wrong next, and which keys of OpenID Connect there are.

use crate::testing::MockWebex;
use crate::testing::callback_fault::CallbackFault;
use crate::testing::device_poll_fault::DevicePollFault;
use crate::testing::device_start_fault::DeviceStartFault;
use crate::testing::discovery_fault::DiscoveryFault;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::id_token_fault::IdTokenFault;
use crate::testing::keys_fault::KeysFault;
use crate::testing::tokens_fault::TokensFault;
use crate::testing::user_info_fault::UserInfoFault;

/// What goes wrong next: once for each call, in the order of the calls.
impl MockWebex {
    /// Makes one thing wrong with the next ID token, of a login or a refresh; called again, with the one after it.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::testing::{IdTokenFault, MockWebex};
    /// use webex_oauth::{Callback, ErrorKind};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.next_id_token(IdTokenFault::WrongAudience);
    ///
    /// let (url, pending) = webex.authorize().scopes("openid").begin()?;
    /// let error = webex.login(pending, Callback::parse(mock.approve(&url))?).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidIdToken);
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_id_token(&self, fault: IdTokenFault) {
        self.state().faults.id_tokens.push_back(fault);
    }

    /// Makes the next answer about keys another than it should be, of the service or of an issuer; called again, the one after
    /// it. A client may ask in several places and more than once for one ID token: [`KeysFault`] says how often this crate does.
    ///
    /// # Example
    ///
    /// The service's answer is of no use, and the issuer's own keys are there:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{KeysFault, MockWebex};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.next_keys(KeysFault::Page);
    ///
    /// let (url, pending) = webex.authorize().scopes("openid").begin()?;
    /// webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    /// assert_eq!(mock.key_requests(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_keys(&self, fault: KeysFault) {
        self.state().faults.keys.push_back(fault);
    }

    /// Makes one thing wrong with the next discovery document; called again, with the one after it.
    pub fn next_discovery(&self, fault: DiscoveryFault) {
        self.state().faults.discoveries.push_back(fault);
    }

    /// Makes one thing wrong with the next answer of userinfo that would be good; called again, with the one after it.
    pub fn next_user_info(&self, fault: UserInfoFault) {
        self.state().faults.user_infos.push_back(fault);
    }

    /// Makes one thing wrong with what the browser brings back after the next consent or refusal, on a page or by
    /// [`approve`](Self::approve) and [`deny`](Self::deny); called again, after the one after it.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::testing::{CallbackFault, MockWebex};
    /// use webex_oauth::{Callback, ErrorKind};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.next_callback(CallbackFault::OtherState);
    ///
    /// let (url, pending) = webex.authorize().begin()?;
    /// let error = webex.login(pending, Callback::parse(mock.approve(&url))?).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::StateMismatch);
    /// assert_eq!(mock.token_requests(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_callback(&self, fault: CallbackFault) {
        self.state().faults.callbacks.push_back(fault);
    }

    /// Makes one thing wrong with the next answer to a device that asks for a code, and should have got one; called again, with
    /// the one after it.
    pub fn next_device_start(&self, fault: DeviceStartFault) {
        self.state().faults.device_starts.push_back(fault);
    }

    /// Tells the next device that asks for tokens this, whatever its user has said and whoever it is; called again, the one
    /// that asks after it.
    pub fn next_device_poll(&self, fault: DevicePollFault) {
        self.state().faults.device_polls.push_back(fault);
    }

    /// Makes one thing odd about the next good answer of the token endpoint, or to a device; called again, about the one after
    /// it.
    pub fn next_tokens(&self, fault: TokensFault) {
        self.state().faults.tokens.push_back(fault);
    }

    /// How often the keys of ID tokens were asked for, at the service and at the issuers together.
    pub fn key_requests(&self) -> usize {
        self.requests_to(MockEndpoint::Keys)
    }

    /// Signs ID tokens with a new key from now on. Those before it stay published, so that tokens already issued can be
    /// verified.
    pub fn add_key(&self) {
        self.state().keys.add();
    }

    /// Signs ID tokens with a new key from now on, and withdraws all others at once.
    pub fn rotate_keys(&self) {
        self.state().keys.replace();
    }
}
