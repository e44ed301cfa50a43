//! Tokens: token sets, their responses and stored form, and the account of the user.
//!
//! - `rest_id` contains IDs of the REST API, and the hints in opaque tokens.
//! - `account` is the identity of the user, with the source of each field.
//! - `response` parses token responses.
//! - `token_set` contains [`TokenSet`](crate::TokenSet), compares accounts, and imports tokens that
//!   were obtained elsewhere.
//! - `stored_form` writes and reads the versioned JSON of a token set.

pub(crate) mod rest_id;
pub(crate) mod account;
pub(crate) mod response;
pub(crate) mod token_set;
pub(crate) mod stored_form;
