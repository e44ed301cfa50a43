//! The customers of the product, and who is signed in for them.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use webex_oauth::store::TokenKey;

use super::{App, pages};

/// In production, a table.
pub(crate) const TENANTS: [Tenant; 3] = [Tenant("cust10001"), Tenant("cust10002"), Tenant("cust10003")];

/// A customer: one that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenant(&'static str);

/// Who is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Of this customer, and of no other.
    Administrator(Tenant),
    /// Somebody of ours, who sees how all of them are.
    Operator,
}

impl Tenant {
    pub(crate) fn find(name: &str) -> Option<Self> {
        TENANTS.into_iter().find(|tenant| tenant.0 == name)
    }

    pub(crate) fn name(self) -> &'static str {
        self.0
    }

    /// What the customer's login is kept under.
    pub(crate) fn key(self) -> webex_oauth::Result<TokenKey> {
        TokenKey::new(self.0)
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The customer whose administrator is signed in: a handler that has this among its arguments is for nobody else, and can
/// touch no other customer's login, since no form and no address says whose it is.
impl FromRequestParts<App> for Tenant {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match app.sessions.find(&parts.headers) {
            Some(Who::Administrator(tenant)) => Ok(tenant),
            Some(Who::Operator) => Err((StatusCode::FORBIDDEN, pages::for_administrators()).into_response()),
            None => Err((StatusCode::UNAUTHORIZED, pages::for_administrators()).into_response()),
        }
    }
}
