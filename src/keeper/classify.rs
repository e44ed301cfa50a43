//! Classification of failed refreshes.

use std::time::Duration;

use super::protocol::{Reason, RefreshResult};
use crate::error::{Delivery, Error};
use crate::service::Rotation;

/// The minimum time for another attempt: a pause of one second, and one second for the response.
const TIME_TO_REPEAT: Duration = Duration::from_secs(2);

/// Classifies the error of a refresh.
///
/// `left` is the remaining time for sending. `unexplained` classifies a rejection without a reason.
pub(super) fn classify_failure<T>(
    error: &Error,
    rotation: Rotation,
    left: Duration,
    unexplained: impl FnOnce() -> Reason,
) -> RefreshResult<T> {
    let server = error.server();
    let (code, status) = (server.and_then(|server| server.code()), server.and_then(|server| server.status()));
    if error.is_login_required() {
        let is_unexplained = server.is_some_and(|server| server.is_unrecognized());
        let reason = if is_unexplained { unexplained() } else { Reason::Given };
        return RefreshResult::Rejected { code: code.map(str::to_owned), reason };
    }
    // A status without a code may come from a proxy. Neither it nor a transport error is a
    // statement about the client.
    let is_status_alone = server.is_some() && code.is_none() && !matches!(status, Some(400 | 401));
    if error.is_misconfigured() && !is_status_alone && error.delivery().is_none() {
        // The settings prevented the request, or the server rejected the client's credentials.
        let is_about_all = server.is_none_or(|server| server.names_client());
        return RefreshResult::Misconfigured { is_own: !is_about_all };
    }
    // The server may have processed the request.
    let is_unknown = matches!((error.delivery(), status), (Some(Delivery::Unknown), _) | (_, Some(502 | 504)));
    let is_not_done = matches!((error.delivery(), status), (Some(Delivery::NotSent), _) | (_, Some(429 | 503)));
    let is_lenient = rotation == Rotation::Lenient;
    RefreshResult::Later {
        retry_after: error.retry_after(),
        // Without enough time, another attempt needs a new lease. Report the failure to the callers
        // instead.
        is_repeatable: (is_not_done || is_unknown && is_lenient) && left >= TIME_TO_REPEAT,
        is_lost: is_unknown && !is_lenient,
    }
}

/// Returns `true` if the token endpoint responded without JSON, except when overloaded or down.
pub(super) fn is_without_json(error: &Error) -> bool {
    let is_down = |status: u16| matches!(status, 300..=399 | 408 | 423 | 425 | 429 | 500..);
    error
        .server()
        .is_some_and(|server| !server.is_json_object() && server.status().is_some_and(|status| !is_down(status)))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::error::{ErrorKind, Remedy};
    use crate::server_error::ServerError;

    const ENOUGH: Duration = TIME_TO_REPEAT;

    fn error(remedy: Remedy) -> Error {
        Error::new(ErrorKind::Refresh, "x").with_remedy(remedy)
    }

    fn server(status: u16, code: Option<&str>) -> ServerError {
        ServerError::new(StatusCode::from_u16(status).ok(), code.map(str::to_owned), None)
    }

    fn classify(error: &Error, rotation: Rotation, left: Duration) -> RefreshResult<()> {
        classify_failure(error, rotation, left, || Reason::Missing)
    }

    fn lenient(error: &Error) -> RefreshResult<()> {
        classify(error, Rotation::Lenient, ENOUGH)
    }

    const fn later(is_repeatable: bool, is_lost: bool) -> RefreshResult<()> {
        RefreshResult::Later { retry_after: None, is_repeatable, is_lost }
    }

    #[test]
    fn rejected_refresh_is_classified_with_code_and_reason() {
        let given = error(Remedy::Login).with_server(server(400, Some("invalid_grant")));
        assert_eq!(
            lenient(&given),
            RefreshResult::Rejected { code: Some("invalid_grant".into()), reason: Reason::Given }
        );
        let missing = error(Remedy::Login).with_server(server(400, None).unrecognized());
        assert_eq!(lenient(&missing), RefreshResult::Rejected { code: None, reason: Reason::Missing });
        assert_eq!(lenient(&error(Remedy::Login)), RefreshResult::Rejected { code: None, reason: Reason::Given });
    }

    #[test]
    fn client_rejection_affects_all_sessions_if_client_is_named() {
        let rejected = |server: ServerError| error(Remedy::Registration).with_server(server);
        for (error, expected) in [
            (error(Remedy::Registration), RefreshResult::Misconfigured { is_own: false }),
            (
                rejected(server(401, Some("invalid_client")).naming_client()),
                RefreshResult::Misconfigured { is_own: false },
            ),
            (rejected(server(401, None).naming_client()), RefreshResult::Misconfigured { is_own: false }),
            (rejected(server(400, Some("invalid_scope"))), RefreshResult::Misconfigured { is_own: true }),
            (rejected(server(403, Some("unauthorized_client"))), RefreshResult::Misconfigured { is_own: true }),
            (rejected(server(400, None)), RefreshResult::Misconfigured { is_own: true }),
            (rejected(server(401, None)), RefreshResult::Misconfigured { is_own: true }),
            // A status without a code, or a transport error, is no statement about the client.
            (rejected(server(403, None)), later(false, false)),
            (rejected(server(407, None)), later(false, false)),
            (rejected(server(451, None)), later(false, false)),
            (error(Remedy::Registration).with_delivery(Delivery::NotSent), later(true, false)),
        ] {
            assert_eq!(lenient(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn transient_failure_is_repeatable_if_safe_and_time_is_left() {
        let failed = || error(Remedy::Later);
        let at = |status| failed().with_server(server(status, None));
        for (error, is_repeated, is_repeated_if_strict, is_lost_if_strict) in [
            (failed().with_delivery(Delivery::NotSent), true, true, false),
            (failed().with_delivery(Delivery::Unknown), true, false, true),
            (at(502), true, false, true),
            (at(504), true, false, true),
            (at(429), true, true, false),
            (at(503), true, true, false),
            (at(500), false, false, false),
            (at(408), false, false, false),
            (failed(), false, false, false),
        ] {
            assert_eq!(lenient(&error), later(is_repeated, false), "{error:?}");
            let strict = classify(&error, Rotation::Strict, ENOUGH);
            assert_eq!(strict, later(is_repeated_if_strict, is_lost_if_strict), "{error:?}");
            let late = classify(&error, Rotation::Lenient, ENOUGH - Duration::from_millis(1));
            assert_eq!(late, later(false, false), "{error:?}");
        }
        let retry_after = Some(Duration::from_secs(7));
        let answer = lenient(&at(429).with_retry_after(retry_after));
        assert_eq!(answer, RefreshResult::Later { retry_after, is_repeatable: true, is_lost: false });
    }

    #[test]
    fn response_without_json_is_counted_unless_server_is_down() {
        let body = |status, is_json| error(Remedy::Later).with_server(server(status, None).with_body(is_json, None));
        for status in [200, 400, 401, 403, 404, 418] {
            assert!(is_without_json(&body(status, false)) && !is_without_json(&body(status, true)), "{status}");
        }
        for status in [300, 399, 408, 423, 425, 429, 500, 503, 599] {
            assert!(!is_without_json(&body(status, false)), "{status}");
        }
        assert!(!is_without_json(&error(Remedy::Later)));
    }
}
