//! Refreshes that are asked for, though the access token lives.

use std::sync::Arc;

use super::engine::{Keeper, LONGEST_WAIT, later};
use super::landing::Landing;
use super::protocol::{Known, Need};
use super::record::Record;
use super::slot::Slot;
use crate::error::{Error, Result};
use crate::secret::AccessToken;
use crate::store::LoginId;

impl Keeper {
    /// A refresh now, though the token lives; it is handed out until the new one is there. Tokens that are younger than the minimum
    /// interval stay.
    pub(crate) async fn refresh(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<()> {
        let old = self.access_token(slot).await?;
        let before = slot.current().as_ref().map(|current| (current.login, current.generation));
        slot.outdate(&old, Need::Wanted);
        if !self.superseded(slot, before).await? {
            slot.content(&old);
        }
        Ok(())
    }

    /// A refresh of the tokens that the store had, for keep-alive; says whether there are others now. Where another process is
    /// faster, its tokens will do. `epoch` is from before they were read: a logout or another login since then is newer.
    pub(crate) async fn renew(self: &Arc<Self>, slot: &Arc<Slot>, epoch: u64, known: &Known<Record>) -> Result<bool> {
        if !slot.publish_granted(epoch, self.current(slot, known)) {
            return Ok(false);
        }
        // What another process is at may be left to it.
        let old = known.tokens.tokens.access_token();
        slot.outdate(old, Need::Stale);
        let is_new = self.superseded(slot, Some((known.head.login, known.head.generation))).await?;
        if !is_new {
            slot.content(old);
        }
        Ok(is_new)
    }

    /// The replacement of an access token that the API rejected with 401: a newer one if there is one, else what one refresh brings
    /// to all callers, else `None`. Other callers keep getting the rejected token meanwhile. `may_cut_pause` is set for endpoints
    /// that accept every valid token.
    ///
    /// # Errors
    ///
    /// Only those that [call the user](crate::Error::is_login_required): anything else that prevents a refresh says less than the
    /// API's own response.
    pub(crate) async fn replacement(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
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
        if let Err(error) = self.superseded(slot, before).await {
            return only_login_required(error);
        }
        let newer = slot.current().as_ref().map(|current| current.access_token.clone());
        let newer = newer.filter(|token| token != rejected);
        if newer.is_none() {
            slot.deny(self.webex.clock().elapsed());
        }
        Ok(newer)
    }

    /// Waits until other tokens than these are there, or it is known why not; returns `false` if a refresh is not due.
    async fn superseded(self: &Arc<Self>, slot: &Arc<Slot>, before: Option<(LoginId, u64)>) -> Result<bool> {
        let mut earlier: Option<Error> = None;
        // Once more for a flight that was under way already, and did not know of this caller.
        for is_last in [false, true] {
            let is_anothers = slot.in_the_air().is_some();
            let mut flight = self.depart(slot)?;
            let landing = flight.wait_for(|landing| !landing.is_open());
            let Ok(landing) = tokio::time::timeout(LONGEST_WAIT, landing).await else {
                return Err(self.given_up(slot));
            };
            // Its runtime is gone, and it with it.
            let Ok(landing) = landing else { continue };
            if let Landing::Failed(error) | Landing::Landed(Some(error)) = &*landing {
                if is_last || !is_anothers {
                    // The mark in the store says less than the response that it was made from.
                    let is_mark = error.is_login_required() && error.server().is_none();
                    let earlier = earlier.filter(|earlier| is_mark && earlier.is_login_required());
                    return Err(earlier.unwrap_or_else(|| error.clone()));
                }
                earlier = Some(error.clone());
                continue;
            }
            drop(landing);
            if slot.current().as_ref().map(|current| (current.login, current.generation)) != before {
                return Ok(true);
            }
            if is_last || !is_anothers {
                return Ok(false);
            }
        }
        Err(later("the refresh was interrupted: try again"))
    }
}
