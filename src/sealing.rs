//! Authenticated encryption (XChaCha20-Poly1305) with a key of the application.
//!
//! The format consists of two lines and binary data:
//!
//! ```text
//! <title> v1
//! <key ID>
//! <24 bytes nonce><encrypted content><16 bytes tag>
//! ```
//!
//! The title names the kind of content, so that one kind cannot be decrypted as another. Every
//! version begins with the first line, so that an older program can report an unsupported version.

use chacha20poly1305::{AeadInOut as _, KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroizing;

use crate::encryption_keys::{EncryptionKeys, NamedKey, is_id};
use crate::error::{Error, ErrorKind, Result};
use crate::random;

const VERSION: u64 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

/// The kind of content: the beginning of the first line, up to and including the `v` of the
/// version.
#[derive(Clone, Copy)]
pub(crate) struct Title(pub(crate) &'static str);

/// A decryption failure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// The data is not encrypted, or it is another kind of content.
    Plain,
    /// A later version of this crate encrypted the data.
    Later(u64),
    /// The format is invalid after the first line.
    Damaged,
    /// There is no key with this ID.
    UnknownKey(String),
    /// The authentication failed with the key of this ID: the key, the content, or the bound data
    /// differs.
    Refused(String),
}

/// The parts of encrypted data.
struct Sealed<'a> {
    /// The first two lines.
    header: &'a [u8],
    key_id: &'a str,
    nonce: &'a [u8; NONCE],
    content: &'a [u8],
    tag: &'a [u8; TAG],
}

impl Title {
    /// Encrypts `content` with a random nonce.
    ///
    /// `bound` is authenticated but not encrypted. Decryption requires the same value.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::RandomSource`]: the operating system's random number generator failed.
    /// - [`ErrorKind::InvalidInput`]: the content is longer than 256 GiB, the limit of the cipher.
    pub(crate) fn seal(self, content: &[u8], with: &NamedKey, bound: &[u8]) -> Result<Box<[u8]>> {
        let mut nonce = [0; NONCE];
        random::fill(&mut nonce)?;
        let header = format!("{}{VERSION}\n{}\n", self.0, with.id);
        let header = header.as_bytes();
        // Allocated at its final length and zeroized on failure: it contains the secret until it is
        // encrypted.
        let mut sealed = Zeroizing::new(vec![0; header.len() + NONCE + content.len() + TAG].into_boxed_slice());
        let (start, rest) = sealed.split_at_mut(header.len());
        let (own_nonce, rest) = rest.split_at_mut(NONCE);
        let (own_content, own_tag) = rest.split_at_mut(content.len());
        start.copy_from_slice(header);
        own_nonce.copy_from_slice(&nonce);
        own_content.copy_from_slice(content);
        let tag = cipher(with)
            .encrypt_inout_detached(&XNonce::from(nonce), &[header, bound].concat(), own_content.into())
            .map_err(|_| Error::new(ErrorKind::InvalidInput, "content is too long to encrypt: the limit is 256 GiB"))?;
        own_tag.copy_from_slice(&tag);
        Ok(std::mem::take(&mut *sealed))
    }

    /// Decrypts the output of [`seal`](Self::seal).
    pub(crate) fn open(
        self,
        bytes: &[u8],
        keys: &EncryptionKeys,
        bound: &[u8],
    ) -> Result<Zeroizing<Box<[u8]>>, Unopened> {
        let sealed = self.read(bytes)?;
        let Some(with) = keys.named(sealed.key_id) else { return Err(Unopened::UnknownKey(sealed.key_id.to_owned())) };
        let mut content = Zeroizing::new(Box::<[u8]>::from(sealed.content));
        cipher(with)
            .decrypt_inout_detached(
                &XNonce::from(*sealed.nonce),
                &[sealed.header, bound].concat(),
                (&mut **content).into(),
                &Tag::from(*sealed.tag),
            )
            .map_err(|_| Unopened::Refused(sealed.key_id.to_owned()))?;
        Ok(content)
    }

    /// Returns the key ID in the header, which is not authenticated here.
    #[cfg(feature = "encrypted")]
    pub(crate) fn key_id(self, bytes: &[u8]) -> Result<&str, Unopened> {
        self.read(bytes).map(|sealed| sealed.key_id)
    }

    fn read(self, bytes: &[u8]) -> Result<Sealed<'_>, Unopened> {
        let rest = bytes.strip_prefix(self.0.as_bytes()).ok_or(Unopened::Plain)?;
        let (version, rest) = line(rest).ok_or(Unopened::Damaged)?;
        match version.parse() {
            Ok(VERSION) => {}
            Ok(later @ VERSION..) => return Err(Unopened::Later(later)),
            _ => return Err(Unopened::Damaged),
        }
        let (key_id, rest) = line(rest).filter(|(id, _)| is_id(id)).ok_or(Unopened::Damaged)?;
        let header = &bytes[..bytes.len() - rest.len()];
        let (nonce, rest) = rest.split_first_chunk().ok_or(Unopened::Damaged)?;
        let (content, tag) = rest.split_last_chunk().ok_or(Unopened::Damaged)?;
        Ok(Sealed { header, key_id, nonce, content, tag })
    }
}

fn cipher(with: &NamedKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(with.key.expose().into())
}

fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}
