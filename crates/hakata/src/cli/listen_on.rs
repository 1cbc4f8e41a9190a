//! Where a listener is, as a flag says it.

use hakata_service::listener::{Address, ParseAddressError};
use std::fmt;
use std::str::FromStr;

/// An address, or `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenOn {
    /// There is no such listener.
    Off,
    /// It is here.
    Address(Address),
}

/// What is neither.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}, or off")]
pub(crate) struct ParseListenOnError(ParseAddressError);

impl FromStr for ListenOn {
    type Err = ParseListenOnError;

    fn from_str(text: &str) -> Result<Self, ParseListenOnError> {
        match text {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::Address).map_err(ParseListenOnError),
        }
    }
}

impl fmt::Display for ListenOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_and_addresses_are_given_on_as_they_were() {
        for text in ["off", "127.0.0.1:3000", "unix:/run/h.sock"] {
            assert_eq!(text.parse::<ListenOn>().unwrap().to_string(), text);
        }
        let error = "Off".parse::<ListenOn>().unwrap_err().to_string();
        assert!(error.ends_with(", or off"), "{error}");
    }
}
