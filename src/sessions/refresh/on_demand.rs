//! Refreshes that a caller requests, or that a 401 requires.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::secret::AccessToken;
use crate::sessions::refresh::cache_entry::CacheEntry;
use crate::sessions::refresh::rare_state::RefreshStatus;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::refresher::MAX_WAIT;
use crate::sessions::refresh::shared::{Refresher, retryable_error};
use crate::sessions::refresh::steps::{StoredLogin, Urgency};
use crate::store::entry::LoginId;

impl Refresher {
    /// Refreshes a valid token now. It is served until the new token arrives.
    ///
    /// Tokens younger than the minimum interval are not refreshed.
    pub(crate) async fn refresh(self: &Arc<Self>, slot: &Arc<CacheEntry>) -> Result<()> {
        let old = self.access_token(slot).await?;
        let before = slot.current().as_ref().map(|current| (current.login, current.generation));
        slot.request_refresh(&old, Urgency::Requested);
        if !self.wait_for_new_tokens(slot, before).await? {
            slot.cancel_refresh_request(&old);
        }
        Ok(())
    }

    /// Refreshes a loaded session for keep-alive. Returns `true` if there are new tokens, possibly
    /// from another process.
    ///
    /// `epoch` was read before the session was loaded, so a later logout or login takes precedence.
    pub(crate) async fn refresh_if_needed(
        self: &Arc<Self>,
        slot: &Arc<CacheEntry>,
        epoch: u64,
        known: &StoredLogin<SessionData>,
    ) -> Result<bool> {
        if !slot.publish_same_login(epoch, self.to_cached_token(slot, known)) {
            return Ok(false);
        }
        // Do not wait for a refresh by another process.
        let old = known.tokens.tokens.access_token();
        slot.request_refresh(old, Urgency::Due);
        let is_new = self.wait_for_new_tokens(slot, Some((known.head.login, known.head.generation))).await?;
        if !is_new {
            slot.cancel_refresh_request(old);
        }
        Ok(is_new)
    }

    /// Returns a replacement for an access token that the API rejected with 401.
    ///
    /// This is a newer token if there is one, or the result of one refresh shared by all callers,
    /// or `None`. In the meantime, other callers still receive the rejected token. `may_cut_pause`
    /// is set for endpoints that accept every valid token.
    ///
    /// # Errors
    ///
    /// Only errors for which [`is_login_required`](crate::Error::is_login_required) returns `true`.
    /// After any other failure, the API's own response is more useful to the caller.
    pub(crate) async fn replacement(
        self: &Arc<Self>,
        slot: &Arc<CacheEntry>,
        rejected: &AccessToken,
        may_cut_pause: bool,
    ) -> Result<Option<AccessToken>> {
        let only_login_required = |error: Error| if error.is_login_required() { Err(error) } else { Ok(None) };
        if slot.current().as_ref().is_none_or(|current| current.access_token != *rejected) {
            return Box::pin(self.access_token(slot)).await.map(Some).or_else(only_login_required);
        }
        slot.mark_unauthorized(rejected, may_cut_pause);
        if !may_cut_pause && slot.is_denied(self.webex.clock().elapsed()) {
            return Ok(None);
        }
        let before = slot.current().as_ref().map(|current| (current.login, current.generation));
        if let Err(error) = self.wait_for_new_tokens(slot, before).await {
            return only_login_required(error);
        }
        let newer = slot.current().as_ref().map(|current| current.access_token.clone());
        let newer = newer.filter(|token| token != rejected);
        if newer.is_none() {
            slot.record_denial(self.webex.clock().elapsed());
        }
        Ok(newer)
    }

    /// Waits until there are tokens other than `before`. Returns `false` if no refresh is due.
    async fn wait_for_new_tokens(
        self: &Arc<Self>,
        slot: &Arc<CacheEntry>,
        before: Option<(LoginId, u64)>,
    ) -> Result<bool> {
        let mut earlier: Option<Error> = None;
        // One more attempt after a refresh that was already running and did not know about this
        // caller.
        for is_last in [false, true] {
            let is_anothers = slot.active_refresh().is_some();
            let mut running = self.start_or_join(slot)?;
            let status = running.wait_for(|status| !status.is_result_pending());
            let Ok(status) = tokio::time::timeout(MAX_WAIT, status).await else {
                return Err(self.abandon_refresh(slot));
            };
            // The task was canceled with its runtime.
            let Ok(status) = status else { continue };
            if let RefreshStatus::Failed(error) | RefreshStatus::Done(Some(error)) = &*status {
                if is_last || !is_anothers {
                    // The error from the stored block has less detail than the original response.
                    let is_mark = error.is_login_required() && error.server().is_none();
                    let earlier = earlier.filter(|earlier| is_mark && earlier.is_login_required());
                    return Err(earlier.unwrap_or_else(|| error.clone()));
                }
                earlier = Some(error.clone());
                continue;
            }
            drop(status);
            if slot.current().as_ref().map(|current| (current.login, current.generation)) != before {
                return Ok(true);
            }
            if is_last || !is_anothers {
                return Ok(false);
            }
        }
        Err(retryable_error("token refresh was interrupted; retry"))
    }
}
