//! Named faults, which the rules of the mock apply.

use crate::testing::callback_fault::CallbackFault;
use crate::testing::device_poll_fault::DevicePollFault;
use crate::testing::device_start_fault::DeviceStartFault;
use crate::testing::discovery_fault::DiscoveryFault;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::id_token_fault::IdTokenFault;
use crate::testing::keys_fault::JwksFault;
use crate::testing::tokens_fault::TokensFault;
use crate::testing::user_info_fault::UserInfoFault;

macro_rules! named_faults {
    ($($kind:ident($fault:ident) at $endpoint:ident, $take:ident;)*) => {
        /// A fault with a name. It takes effect where the mock would otherwise succeed.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum NamedFault {
            $($kind($fault),)*
        }

        impl NamedFault {
            /// Returns the only endpoint where the fault can occur.
            pub(super) fn endpoint(self) -> MockEndpoint {
                match self {
                    $(Self::$kind(_) => MockEndpoint::$endpoint,)*
                }
            }

            $(
                pub(super) fn $take(self) -> Option<$fault> {
                    if let Self::$kind(fault) = self { Some(fault) } else { None }
                }
            )*
        }

        $(
            impl From<$fault> for NamedFault {
                fn from(fault: $fault) -> Self {
                    Self::$kind(fault)
                }
            }
        )*
    };
}

named_faults! {
    IdToken(IdTokenFault) at Token, id_token;
    Tokens(TokensFault) at Token, tokens;
    Keys(JwksFault) at Jwks, keys;
    Discovery(DiscoveryFault) at Discovery, discovery;
    UserInfo(UserInfoFault) at UserInfo, user_info;
    Callback(CallbackFault) at Authorization, callback;
    DeviceStart(DeviceStartFault) at DeviceAuthorization, device_start;
    DevicePoll(DevicePollFault) at DeviceToken, device_poll;
}
