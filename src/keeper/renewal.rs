//! Refreshes that are asked for, though the access token lives.

use std::sync::Arc;

use super::engine::{Keeper, LONGEST_WAIT, SHORTEST_GAP, later};
use super::landing::Landing;
use super::protocol::{Known, Need};
use super::record::Record;
use super::slot::Slot;
use crate::error::Result;
use crate::store::LoginId;

impl Keeper {
    /// A refresh now, though the token lives; it is handed out until the new one is there.
    pub(crate) async fn refresh(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<()> {
        let old = self.access_token(slot).await?;
        let elapsed = self.webex.clock().elapsed();
        if slot.granted_at().is_some_and(|at| elapsed.saturating_sub(at) < SHORTEST_GAP) {
            return Ok(());
        }
        let before = slot.current().as_ref().map(|current| (current.login, current.generation));
        slot.outdate(&old, Need::Wanted);
        slot.wake();
        self.superseded(slot, before).await
    }

    /// A refresh of the tokens that the store had, for keep-alive; says whether there are others now. Where another process is
    /// faster, its tokens will do. `epoch` is from before they were read: a logout or another login since then is newer.
    pub(crate) async fn renew(self: &Arc<Self>, slot: &Arc<Slot>, epoch: u64, known: &Known<Record>) -> Result<bool> {
        if !slot.publish_granted(epoch, self.current(slot, known)) {
            return Ok(false);
        }
        // What another process is at may be left to it.
        slot.outdate(known.tokens.tokens.access_token(), Need::Stale);
        self.superseded(slot, Some((known.head.login, known.head.generation))).await?;
        Ok(true)
    }

    /// Waits until other tokens than these are there, or it is known why not.
    async fn superseded(self: &Arc<Self>, slot: &Arc<Slot>, before: Option<(LoginId, u64)>) -> Result<()> {
        // Once more for a flight that was in the air already, and did not know that somebody waits.
        for is_last in [false, true] {
            let is_anothers = slot.in_the_air().is_some();
            let mut flight = self.depart(slot)?;
            let landing = flight.wait_for(|landing| !landing.is_awaited());
            let Ok(landing) = tokio::time::timeout(LONGEST_WAIT, landing).await else {
                slot.abandon();
                return Err(later("the refresh has not come back: try again"));
            };
            if let Ok(Landing::Failed(error) | Landing::Landed(Some(error))) = landing.as_deref() {
                if is_last || !is_anothers {
                    return Err(error.clone());
                }
                continue;
            }
            drop(landing);
            if slot.current().as_ref().map(|current| (current.login, current.generation)) != before {
                return Ok(());
            }
        }
        Err(later("the refresh was interrupted: try again"))
    }
}
