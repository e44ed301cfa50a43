//! What goes wrong next, as a test has ordered it.

use std::collections::VecDeque;

use crate::testing::callback_fault::CallbackFault;
use crate::testing::device_poll_fault::DevicePollFault;
use crate::testing::device_start_fault::DeviceStartFault;
use crate::testing::discovery_fault::DiscoveryFault;
use crate::testing::id_token_fault::IdTokenFault;
use crate::testing::keys_fault::KeysFault;
use crate::testing::tokens_fault::TokensFault;
use crate::testing::user_info_fault::UserInfoFault;

/// Each in the order in which it was asked for, and once.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) id_tokens: VecDeque<IdTokenFault>,
    pub(super) keys: VecDeque<KeysFault>,
    pub(super) discoveries: VecDeque<DiscoveryFault>,
    pub(super) user_infos: VecDeque<UserInfoFault>,
    pub(super) callbacks: VecDeque<CallbackFault>,
    pub(super) tokens: VecDeque<TokensFault>,
    pub(super) device_starts: VecDeque<DeviceStartFault>,
    pub(super) device_polls: VecDeque<DevicePollFault>,
}
