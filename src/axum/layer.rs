//! The layer that provides sessions to the extractor.

use std::pin::Pin;
use std::task::{Context, Poll};

use ::axum::extract::Request;
use ::axum::response::Response;
use http::{StatusCode, Uri};
use tower_layer::Layer;
use tower_service::Service;

use crate::axum::auth::WebexAuth;
use crate::axum::failure::session_ended_page;
use crate::axum::fetch_metadata::is_page_navigation;
use crate::error::Error;

/// A layer that makes [`WebexSession`](super::WebexSession) available to handlers, created by
/// [`WebexAuth::layer`].
#[derive(Clone, Debug)]
pub struct WebexAuthLayer {
    auth: WebexAuth,
}

/// The service of [`WebexAuthLayer`].
#[derive(Clone, Debug)]
pub struct WebexAuthService<S> {
    inner: S,
    auth: WebexAuth,
}

/// The extension that the layer adds to requests.
#[derive(Clone, Debug)]
pub(crate) struct RequestContext {
    pub(crate) auth: WebexAuth,
    /// The URI before nested routers strip their prefix.
    uri: Uri,
    pub(crate) is_navigation: bool,
}

impl RequestContext {
    /// Returns a link to a login that returns to the page of this request.
    pub(crate) fn login_link(&self) -> String {
        self.auth.login_link(self.uri.path_and_query().map_or("/", |page| page.as_str()))
    }
}

impl WebexAuth {
    /// Returns the layer. Add it to the whole application, after all routes.
    ///
    /// - [`WebexSession`](super::WebexSession) requires it.
    /// - If a handler returns an error for which [`Error::is_login_required`] returns `true`, and
    ///   the request opens a page, the response becomes a page with a link to a new login.
    pub fn layer(&self) -> WebexAuthLayer {
        WebexAuthLayer { auth: self.clone() }
    }
}

impl<S> Layer<S> for WebexAuthLayer {
    type Service = WebexAuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WebexAuthService { inner, auth: self.auth.clone() }
    }
}

impl<S> Service<Request> for WebexAuthService<S>
where
    S: Service<Request, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let is_navigation = is_page_navigation(&parts);
        let context = RequestContext { auth: self.auth.clone(), uri: parts.uri.clone(), is_navigation };
        parts.extensions.insert(context.clone());
        let response = self.inner.call(Request::from_parts(parts, body));
        Box::pin(async move {
            let response = response.await?;
            if context.is_navigation && is_ended_session(&response) {
                return Ok(session_ended_page(&context.login_link()));
            }
            Ok(response)
        })
    }
}

/// Returns `true` for the response of [`Error`] if the user must log in again.
fn is_ended_session(response: &Response) -> bool {
    let error = response.extensions().get::<Error>();
    response.status() == StatusCode::UNAUTHORIZED && error.is_some_and(Error::is_login_required)
}
