//! Grants at the token endpoint: form parameters and responses.

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};
use secrecy::ExposeSecret as _;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::authorization::code::AuthorizationCode;
use crate::protocol::error_response::{self, error_from_response};
use crate::protocol::http_request::{self, Form, RequestKind};
use crate::registration::{Credentials, Registration};
use crate::secret::RefreshToken;
use crate::token::account::check_site_name;
use crate::token::response::{InvalidTokenResponse, TokenResponse};
use crate::token::token_set::TokenSet;

/// Webex-specific parameters of a token request.
///
/// They apply to the exchange of an authorization code and to the login of a
/// [device](crate::DeviceLogin).
///
/// # Example
///
/// ```
/// use webex_oauth::ExchangeOptions;
///
/// let options = ExchangeOptions::new()
///     .self_contained_token()
///     .user_info(&serde_json::json!({"device_id": "d-1", "device_name": "Lobby"}))?;
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ExchangeOptions {
    pub(crate) user_info: Option<String>,
    pub(crate) self_contained_token: bool,
}

impl ExchangeOptions {
    /// Creates options without additional parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the device information sent to Webex
    /// (<https://developer.webex.com/docs/login-with-webex>).
    ///
    /// The value is JSON, for example `{"device_id": .., "device_name": ..}`.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the value cannot be serialized as JSON.
    pub fn user_info(mut self, user_info: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_string(user_info).map_err(|source| {
            Error::new(ErrorKind::InvalidInput, "invalid user info: it cannot be serialized as JSON")
                .with_source(source)
        })?;
        self.user_info = Some(json);
        Ok(self)
    }

    /// Requests a self-contained access token: a signed JWT.
    ///
    /// Its lifetime is shorter than that of an opaque token: 18 hours in Webex's samples.
    pub fn self_contained_token(mut self) -> Self {
        self.self_contained_token = true;
        self
    }

    pub(crate) fn append_to(&self, form: &mut Form) {
        if let Some(user_info) = &self.user_info {
            form.append_pair("user_info", user_info);
        }
        if self.self_contained_token {
            form.append_pair("self_contained_token", "true");
        }
    }
}

impl fmt::Debug for ExchangeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeOptions")
            .field("user_info", &self.user_info.as_ref().map(|_| "[secret]"))
            .field("self_contained_token", &self.self_contained_token)
            .finish()
    }
}

/// A grant for the token endpoint.
pub(crate) enum Grant<'a> {
    Code {
        code: &'a AuthorizationCode,
        options: &'a ExchangeOptions,
    },
    Refresh {
        tokens: &'a TokenSet,
        refresh_token: &'a RefreshToken,
    },
    /// A refresh token that was issued outside this crate, with its site if known.
    ImportedRefreshToken {
        refresh_token: &'a RefreshToken,
        site: Option<&'a str>,
    },
}

impl<'a> Grant<'a> {
    /// Creates a grant for a refresh token that was issued outside this crate.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: `site` is not a single host name label.
    pub(crate) fn import(refresh_token: &'a RefreshToken, site: Option<&'a str>) -> Result<Self> {
        site.map_or(Ok(()), check_site_name)?;
        Ok(Self::ImportedRefreshToken { refresh_token, site })
    }

    pub(crate) fn request_kind(&self) -> RequestKind {
        match self {
            Self::Code { .. } => RequestKind::Exchange,
            Self::Refresh { .. } | Self::ImportedRefreshToken { .. } => RequestKind::Refresh,
        }
    }

    /// Returns the request for this grant.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the client has no secret.
    pub(crate) fn request(&self, registration: &Registration) -> Result<Request<Bytes>> {
        let mut form = Form::new();
        self.append_to(registration, &mut form);
        http_request::authenticated_request(registration, &registration.endpoints.token, form)
    }

    fn append_to(&self, registration: &Registration, form: &mut Form) {
        let service = &registration.service;
        match self {
            Self::Code { code, options } => {
                form.append_pair("grant_type", "authorization_code");
                form.append_pair("code", code.code.expose_secret());
                form.append_pair("redirect_uri", &code.redirect_uri);
                form.append_pair("code_verifier", code.verifier.expose());
                options.append_to(form);
            }
            Self::Refresh { tokens, refresh_token } => {
                form.append_pair("grant_type", "refresh_token");
                let site = tokens.account().site_name().filter(|_| service.must_prefix_site());
                append_refresh_token(site, refresh_token, form);
                if let Some(exchange) = tokens.exchange().filter(|_| service.must_repeat_exchange()) {
                    form.append_pair("redirect_uri", &exchange.redirect_uri);
                    form.append_pair("code_verifier", exchange.code_verifier.expose_secret());
                }
            }
            Self::ImportedRefreshToken { refresh_token, site } => {
                form.append_pair("grant_type", "refresh_token");
                append_refresh_token(site.filter(|_| service.must_prefix_site()), refresh_token, form);
            }
        }
    }

    /// Returns every secret that the request contains.
    fn secrets<'s>(&'s self, credentials: &'s Credentials) -> Vec<&'s str> {
        let mut secrets = credentials.secrets().to_vec();
        match self {
            Self::Code { code, .. } => secrets.extend([code.code.expose_secret(), code.verifier.expose()]),
            Self::Refresh { tokens, refresh_token } => {
                secrets.push(refresh_token.expose());
                secrets.push(tokens.access_token().expose());
                secrets.extend(tokens.exchange().map(|exchange| exchange.code_verifier.expose_secret()));
            }
            Self::ImportedRefreshToken { refresh_token, .. } => secrets.push(refresh_token.expose()),
        }
        secrets
    }

    /// Reads the response.
    ///
    /// A response is successful if its status is 2xx and its body is a JSON object with
    /// `access_token` and without `error`.
    pub(crate) fn read(
        &self,
        registration: &Registration,
        response: &Response<Bytes>,
        now: UnixTime,
    ) -> Result<TokenResponse> {
        let credentials = registration.require_secret()?;
        let is_success = response.status().is_success();
        let read =
            if is_success { TokenResponse::read(response.body()) } else { Err(InvalidTokenResponse::ErrorResponse) };
        read.map_err(|why| {
            // Secrets are collected for errors only: a response body might quote them.
            let secrets = self.secrets(credentials);
            match why {
                InvalidTokenResponse::ErrorResponse => {
                    error_from_response(self.request_kind(), response, &secrets, now)
                }
                // A success status without tokens, for example from a proxy. The problem may be
                // temporary.
                why => {
                    let problem = "invalid response from the token endpoint";
                    error_response::invalid_response_error(self.request_kind(), response, problem, &why, &secrets)
                }
            }
        })
    }
}

fn append_refresh_token(site: Option<&str>, refresh_token: &RefreshToken, form: &mut Form) {
    let refresh_token = refresh_token.expose();
    let prefixed = site.and_then(|site| with_site_prefix(site, refresh_token));
    form.append_pair("refresh_token", prefixed.as_deref().map_or(refresh_token, String::as_str));
}

/// Returns the refresh token with the prefix `<site>_`, or `None` if it already has this prefix.
///
/// Cisco's table of parameters does not state whether the issued token includes the prefix.
fn with_site_prefix(site: &str, refresh_token: &str) -> Option<Zeroizing<String>> {
    let head = refresh_token.get(..site.len());
    let stands =
        head.is_some_and(|head| head.eq_ignore_ascii_case(site)) && refresh_token[site.len()..].starts_with('_');
    (!stands).then(|| Zeroizing::new(format!("{site}_{refresh_token}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_name_prefix_is_added_once_ignoring_case() {
        for (site, token, sent) in [
            (Some("acme"), "r1", "acme_r1"),
            (Some("acme"), "acme_r1", "acme_r1"),
            (Some("acme"), "ACME_r1", "ACME_r1"),
            (Some("acme"), "acmer1", "acme_acmer1"),
            (Some("acme"), "acm", "acme_acm"),
            (Some("acme"), "äcme_r1", "acme_%C3%A4cme_r1"),
            (Some("acme"), "acme", "acme_acme"),
            (None, "r1", "r1"),
        ] {
            let mut form = Form::new();
            append_refresh_token(site, &RefreshToken::new(token).unwrap(), &mut form);
            assert_eq!(form.into_bytes(), format!("refresh_token={sent}"), "{site:?} {token}");
        }
    }
}
