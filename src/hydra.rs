//! Ids as Webex's REST API writes them: base64 of `ciscospark://<cluster>/<TYPE>/<id>`.
//!
//! Cisco's own code calls them hydra ids. Webex writes standard base64 without padding; any other base64 is read, too.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD_NO_PAD};

/// The cluster of the ids of the commercial platform.
pub(crate) const COMMERCIAL: &str = "us";

const SCHEME: &str = "ciscospark://";

const ANY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parts of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HydraId<'a> {
    pub(crate) cluster: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) id: &'a str,
}

impl<'a> HydraId<'a> {
    /// Takes the text of an id apart, once it is [decoded].
    pub(crate) fn read(decoded: &'a str) -> Option<Self> {
        let (cluster, rest) = decoded.strip_prefix(SCHEME)?.split_once('/')?;
        let (kind, id) = rest.split_once('/')?;
        [cluster, kind, id].into_iter().all(is_part).then_some(Self { cluster, kind, id })
    }
}

impl fmt::Display for HydraId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, kind, id } = self;
        f.write_str(&STANDARD_NO_PAD.encode(format!("{SCHEME}{cluster}/{kind}/{id}")))
    }
}

/// What the base64 says: standard or url-safe, padded or not.
pub(crate) fn decoded(text: &str) -> Option<String> {
    String::from_utf8(ANY.decode(text.trim().replace('-', "+").replace('_', "/")).ok()?).ok()
}

/// Whether a text can stand between two slashes.
pub(crate) fn is_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}
