//! The verification page, where the user of a device enters its code.

use crate::testing::browsing;
use crate::testing::device_page::{CodePage, Problem};
use crate::testing::exchange::{Body, Request};
use crate::testing::pages::Page;
use crate::testing::state::{State, StepContext};

/// Shows the code field, prefilled if a link contains the hash of the code. With a code, the user
/// continues to the sign-in and consent pages, and is never redirected to an application.
pub(super) fn show(request: &Request, state: &mut State, moment: &mut StepContext<'_>) -> (u16, Body) {
    let ask = |code: &str, problem| (200, Body::Page(Page::Code(CodePage { code: code.to_owned(), problem })));
    if let Some(code) = request.query.get("code") {
        let found = state.devices.waiting(code, moment.elapsed);
        return match found.map(|(device_code, device)| (device_code.to_owned(), device.integration)) {
            Some((device_code, integration)) => {
                browsing::begin_device(device_code, integration, request, state, moment)
            }
            None => ask(code, Some(Problem::UnknownCode)),
        };
    }
    match request.query.get("userCode").map(|link| state.devices.linked(link, moment.elapsed)) {
        None => ask("", None),
        Some(Some((_, device))) => ask(&device.user_code, None),
        Some(None) => ask("", Some(Problem::DeadLink)),
    }
}
