//! The customers of the product, and the roles of signed-in users.

use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use webex_oauth::store::TokenKey;

use super::{App, pages};

/// The customers. In production, use a table.
pub(crate) const TENANTS: [Tenant; 3] = [Tenant("cust10001"), Tenant("cust10002"), Tenant("cust10003")];

/// An existing customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenant(&'static str);

/// The role of a signed-in user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// An administrator of this customer.
    Administrator(Tenant),
    /// An operator of the product, who sees the connections of all customers.
    Operator,
}

impl Tenant {
    pub(crate) fn find(name: &str) -> Option<Self> {
        TENANTS.into_iter().find(|tenant| tenant.0 == name)
    }

    pub(crate) fn name(self) -> &'static str {
        self.0
    }

    /// Returns the key of the customer's session.
    pub(crate) fn key(self) -> webex_oauth::Result<TokenKey> {
        TokenKey::new(self.0)
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Extracts the customer whose administrator is signed in, and rejects other users. A handler with
/// this parameter cannot access the session of another customer, because neither the URL nor the
/// form names the customer.
impl FromRequestParts<App> for Tenant {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match app.sessions.find(&parts.headers) {
            Some(Role::Administrator(tenant)) => Ok(tenant),
            Some(Role::Operator) => Err((StatusCode::FORBIDDEN, pages::administrators_only()).into_response()),
            None => Err((StatusCode::UNAUTHORIZED, pages::administrators_only()).into_response()),
        }
    }
}
