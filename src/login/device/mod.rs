//! Login on a device without a browser: the user enters a code elsewhere.
//!
//! - `state` is the state of the login, for display.
//! - `device_login` is the login, from the code to the tokens.
//! - `builder` sets its parameters.
//! - `stored_form` writes and reads its versioned JSON.

pub(crate) mod state;
pub(crate) mod device_login;
pub(crate) mod builder;
pub(crate) mod stored_form;
