//! What a user answers when no browser shows the consent page.

use crate::testing::authorize;
use crate::testing::state::{Authorization, Moment, State};

/// Consent, or not.
pub(super) enum Answer {
    /// Yes, as this user or as the one who is chosen when the page opens.
    Accept(Option<usize>),
    Deny,
}

impl Answer {
    pub(super) fn give(self, authorization: Authorization, state: &mut State, moment: &mut Moment<'_>) -> String {
        match self {
            Self::Accept(user) => {
                let user = user.unwrap_or_else(|| authorize::hinted_user(&authorization, state));
                authorize::accept(authorization, user, state, moment)
            }
            Self::Deny => authorize::deny(&authorization),
        }
    }
}
