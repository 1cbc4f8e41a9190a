//! From credentials to an [`Actor`](crate::Actor).
//!
//! Passwords (argon2id, remembered for a minute), access tokens, SSH keys. Whoever is unknown gets the same
//! answer after the same work as whoever mistyped. A token may stand wherever a password may: then the name
//! beside it must be the token's user, or say nothing (empty, `x-token`, `token`, `oauth2`, `git`).

mod cache;
mod hashing;
mod key_rows;
mod keys;
mod password;
pub(crate) mod refusals;
mod sign_in;
pub(crate) mod throttle;
pub(crate) mod token;
mod tokens;
mod used;

#[cfg(test)]
mod tests;

pub use password::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS};
pub use token::TOKEN_PREFIX;

pub(crate) use sign_in::Authenticator;
