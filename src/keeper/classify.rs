//! What a failed refresh means.

use std::time::Duration;

use super::protocol::{Answer, Reason};
use crate::error::{Delivery, Error};
use crate::service::Rotation;

/// What it takes to send once more: a pause of a second, and a second in which an answer can come.
const TIME_TO_REPEAT: Duration = Duration::from_secs(2);

/// Classifies the error of a refresh, with so much time left for sending. `unexplained` judges a rejection without a reason.
pub(super) fn classify_failure<T>(
    error: &Error,
    rotation: Rotation,
    left: Duration,
    unexplained: impl FnOnce() -> Reason,
) -> Answer<T> {
    let server = error.server();
    let (code, status) = (server.and_then(|server| server.code()), server.and_then(|server| server.status()));
    if error.is_login_required() {
        let is_unexplained = server.is_some_and(|server| server.is_unrecognized());
        let reason = if is_unexplained { unexplained() } else { Reason::Given };
        return Answer::Rejected { code: code.map(str::to_owned), reason };
    }
    // A status alone, a proxy's for example, says nothing of the client, and neither does what happened on the way.
    let is_status_alone = server.is_some() && code.is_none() && !matches!(status, Some(400 | 401));
    if error.is_misconfigured() && !is_status_alone && error.delivery().is_none() {
        // Nothing was sent because of the settings, or the client's credentials are wrong.
        let is_about_all = server.is_none_or(|server| server.names_client());
        return Answer::Misconfigured { is_own: !is_about_all };
    }
    // The server may have acted.
    let is_unknown = matches!((error.delivery(), status), (Some(Delivery::Unknown), _) | (_, Some(502 | 504)));
    let is_not_done = matches!((error.delivery(), status), (Some(Delivery::NotSent), _) | (_, Some(429 | 503)));
    let is_lenient = rotation == Rotation::Lenient;
    Answer::Later {
        retry_after: error.retry_after(),
        // Where no time is left, repeating it would take another claim, and another, while nobody hears of the failure.
        is_repeatable: (is_not_done || is_unknown && is_lenient) && left >= TIME_TO_REPEAT,
        is_lost: is_unknown && !is_lenient,
    }
}

/// Whether the token endpoint responded with something else than JSON, and not because it is overloaded or down.
pub(super) fn is_without_json(error: &Error) -> bool {
    let is_down = |status: u16| matches!(status, 300..=399 | 408 | 423 | 425 | 429 | 500..);
    error
        .server()
        .is_some_and(|server| !server.is_json_object() && server.status().is_some_and(|status| !is_down(status)))
}
