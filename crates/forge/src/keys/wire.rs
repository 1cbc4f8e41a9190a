//! Reading the SSH wire format, strictly. Source: RFC 4251 section 5.

/// What is wrong with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The bytes not read yet.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    /// Reads a length of four bytes and as many bytes behind it.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let (len, rest) = self.0.split_first_chunk::<4>().ok_or(Malformed("it is cut short"))?;
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| Malformed("it is cut short"))?;
        let (string, rest) = rest.split_at_checked(len).ok_or(Malformed("it is cut short"))?;
        self.0 = rest;
        Ok(string)
    }

    /// Reads a positive number in its shortest form and returns it without the leading zero byte.
    pub(super) fn positive_number(&mut self) -> Result<&'a [u8], Malformed> {
        match self.string()? {
            [] => Err(Malformed("a number is zero")),
            [0, rest @ ..] => match rest.first() {
                Some(first) if first & 0x80 != 0 => Ok(rest),
                _ => Err(Malformed("a number is not in its shortest form")),
            },
            [first, ..] if first & 0x80 != 0 => Err(Malformed("a number is negative")),
            number => Ok(number),
        }
    }

    /// Whether everything was read.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("something follows the key")) }
    }
}
