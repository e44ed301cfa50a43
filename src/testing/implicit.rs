//! Authorization responses of the implicit flow.

use crate::clock::UnixTime;
use crate::testing::authorization::Authorization;
use crate::testing::callback_fault::Parameters;
use crate::testing::id_token::{self, Wanted};
use crate::testing::state::State;

/// Returns the parameters that developer.webex.com/docs/login-with-webex shows. They include no
/// scope and no refresh token.
pub(super) fn tokens(authorization: &Authorization, user: usize, state: &mut State, now: UnixTime) -> Parameters {
    let response = authorization.response;
    let access_token = response.brings_access_token().then(|| {
        let grant = state.open_brief_grant(authorization, user, now);
        state.issue_access_token(grant, now)
    });
    let wanted = Wanted {
        user,
        integration: authorization.integration,
        auth_time: authorization.signed_in_at(now),
        authentication: &authorization.authentication,
        access_token: access_token.as_deref(),
        code: None,
    };
    let id_token = response.brings_id_token().then(|| id_token::issue(&wanted, state, now)).flatten();
    let mut parameters = Vec::new();
    let life = access_token.as_ref().map(|_| state.lifetimes.access_token.as_secs());
    parameters.extend(access_token.map(|token| ("access_token", token)));
    parameters.extend(id_token.map(|token| ("id_token", token)));
    if let Some(seconds) = life {
        parameters.push(("token_type", "Bearer".to_owned()));
        parameters.push(("expires_in", seconds.to_string()));
    }
    parameters
}
