//! The body of an entry: the tokens, and what the application keeps with them.

use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};
use crate::registration::Owner;
use crate::store::Body;
use crate::token::TokenSet;

/// A login as this crate writes it into a store.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) tokens: TokenSet,
    /// The application's own, as JSON: untouched by a refresh.
    pub(crate) data: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Writing<'a> {
    v: u64,
    tokens: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Reading<'a> {
    v: u64,
    #[serde(borrow)]
    tokens: &'a RawValue,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

const VERSION: u64 = 1;

impl Record {
    /// Writes it down, for a store.
    pub(crate) fn write(&self) -> Result<Body> {
        let failed = |source| Error::new(ErrorKind::Stored, "the login cannot be written down").with_source(source);
        let stored = self.tokens.to_stored()?;
        let tokens = serde_json::from_str(stored.expose()).map_err(failed)?;
        let writing = Writing { v: VERSION, tokens, data: self.data.as_deref() };
        let length = stored.expose().len() + self.data.as_ref().map_or(0, |data| data.get().len()) + 64;
        let mut json = Zeroizing::new(Vec::with_capacity(length));
        serde_json::to_writer(&mut *json, &writing).map_err(failed)?;
        Ok(Body::new(json.as_slice()))
    }

    /// New tokens, with what was changed beside the old ones while they were fetched.
    pub(crate) fn keep(stored: &Self, mut new: Self) -> Self {
        new.data.clone_from(&stored.data);
        if let Some(person) = &stored.tokens.account().person {
            new.tokens.identify(person.clone());
        }
        new
    }

    /// Reads what is in a store; only the client that wrote it can use it.
    pub(crate) fn read(body: &Body, owner: &Owner) -> Result<Self> {
        // serde_json's message is left out: it may quote the body.
        let damaged = |_| Error::new(ErrorKind::Stored, "the stored login cannot be read: it is damaged");
        let reading: Reading<'_> = serde_json::from_slice(body.expose()).map_err(damaged)?;
        if reading.v != VERSION {
            let message = format!("the stored login is of version {}: update webex-oauth to read it", reading.v);
            return Err(Error::new(ErrorKind::Stored, message));
        }
        let tokens = TokenSet::from_stored(reading.tokens.get())?;
        tokens.require_owner(owner)?;
        Ok(Self { tokens, data: reading.data })
    }
}
