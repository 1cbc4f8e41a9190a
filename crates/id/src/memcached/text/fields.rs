//! The fields of a line.

/// The fields of a line, split at any white space, as slices of it.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// Begins at the start of `line`.
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self { line, at: 0 }
    }

    /// Bytes from the start of the line to the end of the field that was taken last.
    pub(super) fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.line[self.at..];
        let Some(blanks) = rest.iter().position(|&byte| !is_blank(byte)) else {
            self.at = self.line.len();
            return None;
        };
        let field = &rest[blanks..];
        let len = field.iter().position(|&byte| is_blank(byte)).unwrap_or(field.len());
        self.at += blanks + len;
        Some(&field[..len])
    }
}

/// White space that ends a field. A line's feed ends the line before.
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || matches!(byte, b'\t'..=b'\r')
}

/// More arguments than any command has.
const MAX_ARGUMENTS: usize = 8;

/// A command's arguments: few, and perhaps the wish for silence.
pub(super) struct Arguments<'a> {
    fields: [&'a [u8]; MAX_ARGUMENTS],
    n_fields: usize,
    /// Whether the client waits for no reply.
    pub(super) noreply: bool,
}

impl<'a> Arguments<'a> {
    /// Collects what is left of a line; `None` if it is more than any command takes.
    pub(super) fn new(rest: Fields<'a>) -> Option<Self> {
        let mut arguments = Self { fields: [&[]; MAX_ARGUMENTS], n_fields: 0, noreply: false };
        for field in rest {
            *arguments.fields.get_mut(arguments.n_fields)? = field;
            arguments.n_fields += 1;
        }
        if arguments.as_slice().last() == Some(&&b"noreply"[..]) {
            arguments.n_fields -= 1;
            arguments.noreply = true;
        }
        Some(arguments)
    }

    /// The arguments without the wish for silence.
    pub(super) fn as_slice(&self) -> &[&'a [u8]] {
        &self.fields[..self.n_fields]
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Fields};

    #[test]
    fn any_white_space_separates_and_nothing_else() {
        let line = b" \tget  a\x0bb\x0cc\r\x00\xff d\r";
        let fields: Vec<&[u8]> = Fields::new(line).collect();
        assert_eq!(fields, [&b"get"[..], b"a", b"b", b"c", b"\x00\xff", b"d"]);
        assert_eq!(Fields::new(b" \r").next(), None);
    }

    #[test]
    fn the_position_is_where_the_last_field_ended() {
        let mut fields = Fields::new(b"  get a ");
        fields.next();
        assert_eq!(fields.position(), 5);
        fields.by_ref().for_each(drop);
        assert_eq!(fields.position(), 8);
    }

    #[test]
    fn silence_is_the_last_argument_only() {
        let arguments = Arguments::new(Fields::new(b"noreply 1 noreply")).expect("few");
        assert!(arguments.noreply);
        assert_eq!(arguments.as_slice(), [&b"noreply"[..], b"1"]);
        assert!(!Arguments::new(Fields::new(b"noreply 1")).expect("few").noreply);
        assert!(Arguments::new(Fields::new(b"1 2 3 4 5 6 7 8")).is_some());
        assert!(Arguments::new(Fields::new(b"1 2 3 4 5 6 7 8 9")).is_none());
    }
}
