//! Where callbacks are handed in: one ends the login, and all who bring it are told how that went.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::request::Parts;
use http::{Method, Response, header};
use tokio::sync::{oneshot, watch};

use crate::authorization_code::AuthorizationCode;
use crate::callback::Callback;
use crate::client::{Login, WebexOAuth};
use crate::error::{Error, ErrorKind, Result};
use crate::loopback::address::Address;
use crate::loopback::page::Page;
use crate::loopback::strays::{Stray, Strays};
use crate::pending::{PendingAuthorization, PendingId};
use crate::trace::event;

/// What browsers ask for by themselves.
const ICON: &str = "/favicon.ico";

/// What the callback of this login came to.
pub(super) type Arrival = Result<AuthorizationCode>;

/// One login and its callback.
pub(super) struct Desk {
    webex: WebexOAuth,
    address: Address,
    application: Option<String>,
    id: PendingId,
    stage: Mutex<Stage>,
    strays: Strays,
    /// What those are shown who brought the callback, once it is known.
    ending: watch::Sender<Option<Page>>,
}

enum Stage {
    Waiting {
        pending: Box<PendingAuthorization>,
        tell: oneshot::Sender<Arrival>,
    },
    /// The callback has come, and how it goes is not known yet.
    Taken,
    /// Nobody waits any more.
    Over,
}

/// Whoever waits at a desk; when it is dropped, nobody does.
pub(super) struct Waiter(Arc<Desk>);

impl Waiter {
    pub(super) fn at(desk: &Arc<Desk>) -> Self {
        Self(Arc::clone(desk))
    }

    /// Tells all who brought the callback how it went.
    pub(super) fn announce(&self, outcome: &Result<Login>) {
        let Desk { ending, application, .. } = &*self.0;
        ending.send_replace(Some(Page::of(outcome.as_ref(), application.as_deref())));
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        *self.0.stage() = Stage::Over;
    }
}

impl Desk {
    pub(super) fn new(
        webex: WebexOAuth,
        address: Address,
        application: Option<String>,
        pending: PendingAuthorization,
    ) -> (Arc<Self>, oneshot::Receiver<Arrival>) {
        let (tell, arrival) = oneshot::channel();
        let id = pending.id();
        let stage = Mutex::new(Stage::Waiting { pending: Box::new(pending), tell });
        let ending = watch::Sender::new(None);
        let desk = Self { webex, address, application, id, stage, strays: Strays::default(), ending };
        (Arc::new(desk), arrival)
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn strays(&self) -> &Strays {
        &self.strays
    }

    /// Whether a callback would end this login: it has this login's state, and a code or an error.
    pub(super) fn is_ended_by(&self, callback: &Callback) -> bool {
        callback.require_answer().is_ok() && callback.pending_id().as_ref() == Some(&self.id)
    }

    /// Takes a callback if it is this login's. The same one may come again, from a browser that reloads; it changes nothing.
    ///
    /// The error says why it is none, and the login waits on.
    pub(super) fn take(&self, callback: Callback) -> Result<()> {
        callback.require_answer()?;
        let mut stage = self.stage();
        let (pending, tell) = match std::mem::replace(&mut *stage, Stage::Taken) {
            Stage::Waiting { pending, tell } => (pending, tell),
            Stage::Taken if callback.pending_id().as_ref() == Some(&self.id) => return Ok(()),
            Stage::Taken => return Err(Error::new(ErrorKind::StateMismatch, "the callback is another login's")),
            Stage::Over => {
                *stage = Stage::Over;
                return Err(Error::new(ErrorKind::PendingExpired, "nobody waits for this login any more"));
            }
        };
        let arrival = match self.webex.accept(*pending, callback) {
            Ok(code) => Ok(code),
            Err(refused) => match refused.into_parts() {
                (error, Some(pending)) => {
                    *stage = Stage::Waiting { pending: Box::new(pending), tell };
                    return Err(error);
                }
                (error, None) => Err(error),
            },
        };
        // Whoever waits holds the other end.
        let _ = tell.send(arrival);
        Ok(())
    }

    /// Answers a request. `is_heard` is called when it is this login's callback, before the wait for how that goes.
    pub(super) async fn answer(&self, request: &Parts, is_heard: impl FnOnce()) -> Response<String> {
        let taken = self.read(request).and_then(|callback| self.take(callback).map_err(|error| stray_of(&error)));
        match taken {
            Ok(()) => {
                is_heard();
                self.ending().await.response()
            }
            Err(stray) => {
                if request.uri.path() != ICON {
                    event!(DEBUG, stray = format_args!("{stray:?}"), "a request that ends no login");
                    self.strays.count(stray);
                }
                Page::stray(stray).response()
            }
        }
    }

    async fn ending(&self) -> Page {
        let mut ending = self.ending.subscribe();
        // The sender is as old as this desk, so there is an end to wait for.
        let seen = ending.wait_for(Option::is_some).await.ok().and_then(|page| page.clone());
        seen.unwrap_or_else(|| Page::stray(Stray::State))
    }

    fn read(&self, request: &Parts) -> Result<Callback, Stray> {
        let mut hosts = request.headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let is_ours = host.is_some_and(|host| self.address.is_meant_by(host)) && hosts.next().is_none();
        if !is_ours || request.uri.authority().is_some() {
            return Err(Stray::Host);
        }
        if request.uri.path() != self.address.path() {
            return Err(Stray::Path);
        }
        if request.method != Method::GET {
            return Err(Stray::Method);
        }
        if Callback::is_prefetch(&request.headers) {
            return Err(Stray::Prefetch);
        }
        let query = request.uri.query().unwrap_or_default();
        Callback::parse(format!("?{query}")).map_err(|_| Stray::Unreadable)
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stray_of(error: &Error) -> Stray {
    match error.kind() {
        ErrorKind::AuthorizationRejected => Stray::Refusal,
        ErrorKind::AmbiguousCallback => Stray::Unreadable,
        _ => Stray::State,
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("address", &self.address).field("strays", &self.strays).finish_non_exhaustive()
    }
}
