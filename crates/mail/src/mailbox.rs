//! Addresses, parsed once: what is behind these types can neither end a header nor begin a command.

use std::fmt;
use std::str::FromStr;

/// Most bytes of an address. Source: RFC 5321, section 4.5.3.1.3, without the brackets.
const MAX_BYTES: usize = 254;

/// An address such as `alice@example.org`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(lettre::Address);

/// An address with the name of whoever reads there; the name may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// For people; control characters in it are written as spaces.
    pub name: String,
    /// Where to.
    pub address: Address,
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no mail address")]
pub struct ParseMailboxError {
    /// The text.
    pub text: String,
}

impl Address {
    /// Returns what follows the `@`.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    pub(crate) fn inner(&self) -> &lettre::Address {
        &self.0
    }

    pub(crate) fn is_ascii(&self) -> bool {
        AsRef::<str>::as_ref(&self.0).is_ascii()
    }
}

impl FromStr for Address {
    type Err = ParseMailboxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseMailboxError { text: text.to_owned() };
        let odd = |c: char| c.is_control() || c.is_whitespace() || "<>".contains(c);
        if text.len() > MAX_BYTES || text.contains(odd) {
            return Err(error());
        }
        text.parse().map(Self).map_err(|_| error())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address is not for logs.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address(…@{})", self.domain())
    }
}

impl Mailbox {
    pub(crate) fn inner(&self) -> lettre::message::Mailbox {
        let name = crate::letter::on_one_line(&self.name);
        lettre::message::Mailbox::new(Some(name).filter(|name| !name.is_empty()), self.address.0.clone())
    }
}

impl From<Address> for Mailbox {
    fn from(address: Address) -> Self {
        Self { name: String::new(), address }
    }
}

/// Reads `alice@example.org` or `Alice <alice@example.org>`.
impl FromStr for Mailbox {
    type Err = ParseMailboxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((name, rest)) = text.split_once('<') else {
            return Ok(text.trim().parse::<Address>()?.into());
        };
        let address = rest.trim_end().strip_suffix('>');
        let address = address.ok_or_else(|| ParseMailboxError { text: text.to_owned() })?;
        Ok(Self { name: name.trim().trim_matches('"').to_owned(), address: address.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Mailbox};

    #[test]
    fn addresses_are_what_they_seem() {
        for fine in ["a@b.example", "a+b@[127.0.0.1]", "あ@例え.jp", "a.b@localhost"] {
            assert_eq!(fine.parse::<Address>().unwrap().to_string(), fine);
        }
        let long = format!("{}@example.org", "a".repeat(250));
        for bad in
            ["", "a", "a@", "@b", "a b@c.example", "a@b.example\r\nRCPT TO:<x@y>", "<a@b.example>", &long]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_come_with_and_without_quotes() {
        for (text, name) in
            [("Hakata <h@x.example>", "Hakata"), ("\"A, B\" <h@x.example>", "A, B"), ("h@x.example", "")]
        {
            let mailbox: Mailbox = text.parse().unwrap();
            assert_eq!((mailbox.name.as_str(), mailbox.address.domain()), (name, "x.example"), "{text}");
        }
        assert!("Hakata <h@x.example".parse::<Mailbox>().is_err());
        assert_eq!(format!("{:?}", "h@x.example".parse::<Address>().unwrap()), "Address(…@x.example)");
    }
}
