//! All of it against a simulated Webex.

use crate::Result;

pub(crate) async fn play() -> Result<()> {
    Ok(())
}
