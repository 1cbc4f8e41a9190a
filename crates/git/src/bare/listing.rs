//! Answering an `ls-refs` of version 2 from git's answer to the widest one. Source: gitprotocol-v2(5), ls-refs.c.

use bytes::{Bytes, BytesMut};
use hakata_names::ObjectFormat;
use hakata_pkt_line::{FLUSH, Packet, decode, encode};

/// Prefixes from which on git ignores them all. Source: `TOO_MANY_PREFIXES` in ls-refs.c.
const TOO_MANY_PREFIXES: usize = 65_536;

/// What a client asks of refs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish<'a> {
    peel: bool,
    symrefs: bool,
    unborn: bool,
    prefixes: Vec<&'a [u8]>,
}

/// git's answer to the widest `ls-refs`: all refs with all that can be said of them.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) format: ObjectFormat,
    pub(super) lines: Bytes,
}

impl Listing {
    /// Answers a whole request; `None` if it is anything but a plain `ls-refs`: git must answer it.
    ///
    /// Costs one pass over the refs.
    pub(super) fn answer(&self, request: &[u8]) -> Option<Bytes> {
        let packets = packets(request)?;
        let wish = Wish::read(&packets, self.format)?;
        if wish.peel && wish.symrefs && wish.unborn && wish.prefixes.is_empty() {
            return Some(self.lines.clone());
        }
        let mut out = Vec::new();
        let mut rest = &self.lines[..];
        let takes_all = wish.peel && wish.symrefs && wish.unborn;
        while let Some(line) = next_line(&mut rest)? {
            if takes_all {
                if wish.wants(name_of(line)?) {
                    encode(line, &mut out);
                }
                continue;
            }
            wish.answer(line.strip_suffix(b"\n").unwrap_or(line), &mut out)?;
        }
        if !rest.is_empty() {
            return None;
        }
        out.extend_from_slice(FLUSH);
        Some(out.into())
    }
}

/// Takes the next pkt-line off what git said, without a copy; the inner `None` is a flush.
fn next_line<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, tail) = rest.split_at_checked(4)?;
    let length = usize::from_str_radix(std::str::from_utf8(length).ok()?, 16).ok()?;
    if length == 0 {
        *rest = tail;
        return Some(None);
    }
    let (line, tail) = tail.split_at_checked(length.checked_sub(4)?)?;
    *rest = tail;
    Some(Some(line))
}

fn packets(request: &[u8]) -> Option<Vec<Packet>> {
    let mut rest = BytesMut::from(request);
    let mut packets = Vec::new();
    while !rest.is_empty() {
        packets.push(decode(&mut rest).ok()??);
    }
    Some(packets)
}

impl<'a> Wish<'a> {
    /// Reads `command=ls-refs`, harmless capabilities, a delimiter and arguments.
    fn read(packets: &'a [Packet], format: ObjectFormat) -> Option<Self> {
        let (last, packets) = packets.split_last()?;
        let (first, packets) = packets.split_first()?;
        if *last != Packet::Flush || line(first)? != b"command=ls-refs" {
            return None;
        }
        let delim = packets.iter().position(|packet| *packet == Packet::Delim).unwrap_or(packets.len());
        let (capabilities, arguments) = packets.split_at(delim);
        // A client that says nothing of its objects' format has the old one; git checks that it is the repository's.
        let mut of_client = ObjectFormat::Sha1;
        for packet in capabilities {
            match line(packet)? {
                capability if capability.starts_with(b"agent=") => {}
                capability => {
                    let name = capability.strip_prefix(b"object-format=")?;
                    of_client = ObjectFormat::from_name(std::str::from_utf8(name).ok()?)?;
                }
            }
        }
        if of_client != format {
            return None;
        }
        let mut wish = Self::default();
        for packet in arguments.iter().skip(1) {
            match line(packet)? {
                b"peel" => wish.peel = true,
                b"symrefs" => wish.symrefs = true,
                b"unborn" => wish.unborn = true,
                argument => wish.prefixes.push(argument.strip_prefix(b"ref-prefix ")?),
            }
        }
        if wish.prefixes.len() >= TOO_MANY_PREFIXES {
            return None;
        }
        Some(wish)
    }

    /// Tells whether a ref is among those asked for.
    fn wants(&self, name: &[u8]) -> bool {
        self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Writes a ref as the client wants it, if it does. Attributes follow the name, each behind a space.
    fn answer(&self, whole: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let mut words = whole.split(|byte| *byte == b' ');
        let (oid, name) = (words.next()?, words.next()?);
        if !self.wants(name) {
            return Some(());
        }
        if oid == b"unborn" && !(self.unborn && self.symrefs) {
            return Some(());
        }
        let mut kept = [oid, b" ", name].concat();
        for word in words {
            let is_wanted = match word {
                _ if word.starts_with(b"symref-target:") => self.symrefs,
                _ if word.starts_with(b"peeled:") => self.peel,
                _ => return None,
            };
            if is_wanted {
                kept.push(b' ');
                kept.extend_from_slice(word);
            }
        }
        kept.push(b'\n');
        encode(&kept, out);
        Some(())
    }
}

/// The name in a line: its second word.
fn name_of(line: &[u8]) -> Option<&[u8]> {
    line.trim_ascii_end().split(|byte| *byte == b' ').nth(1)
}

/// A line without its line feed; git drops one and no more.
fn line(packet: &Packet) -> Option<&[u8]> {
    match packet {
        Packet::Data(line) => Some(line.strip_suffix(b"\n").unwrap_or(line)),
        Packet::Flush | Packet::Delim | Packet::ResponseEnd => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hakata_names::ObjectFormat;

    use super::Listing;

    fn lines(lines: &[&str]) -> Bytes {
        let mut out = String::new();
        for line in lines {
            match *line {
                "0000" | "0001" => out.push_str(line),
                line => out.push_str(&format!("{:04x}{line}\n", line.len() + 5)),
            }
        }
        out.into()
    }

    fn listing() -> Listing {
        let lines = lines(&[
            "aa HEAD symref-target:refs/heads/main",
            "aa refs/heads/main",
            "bb refs/remotes/o/HEAD symref-target:refs/remotes/o/x",
            "cc refs/tags/v1 peeled:aa",
            "0000",
        ]);
        Listing { format: ObjectFormat::Sha1, lines }
    }

    #[test]
    fn attributes_and_prefixes_are_those_asked_for() {
        for (arguments, expected) in [
            (&["peel", "symrefs", "unborn"][..], None),
            (
                &["ref-prefix refs/heads/", "ref-prefix HEAD", "symrefs"],
                Some(&["aa HEAD symref-target:refs/heads/main", "aa refs/heads/main", "0000"][..]),
            ),
            (&["ref-prefix refs/tags/v1"], Some(&["cc refs/tags/v1", "0000"])),
            (
                &["peel", "ref-prefix refs/t", "ref-prefix refs/tags"],
                Some(&["cc refs/tags/v1 peeled:aa", "0000"]),
            ),
            (&["ref-prefix refs/none"], Some(&["0000"])),
            (
                &["peel", "symrefs", "unborn", "ref-prefix refs/tags/", "ref-prefix H"],
                Some(&["aa HEAD symref-target:refs/heads/main", "cc refs/tags/v1 peeled:aa", "0000"]),
            ),
        ] {
            let request = lines(&[&["command=ls-refs", "agent=x", "0001"], arguments, &["0000"]].concat());
            let expected = expected.map_or_else(|| listing().lines, lines);
            assert_eq!(listing().answer(&request), Some(expected), "{arguments:?}");
        }
    }

    #[test]
    fn an_unborn_head_is_told_only_to_who_wants_it() {
        let unborn = "unborn HEAD symref-target:refs/heads/main";
        let listing = Listing { format: ObjectFormat::Sha1, lines: lines(&[unborn, "0000"]) };
        let ask = |arguments: &[&str]| {
            listing.answer(&lines(&[&["command=ls-refs", "0001"], arguments, &["0000"]].concat())).unwrap()
        };
        assert_eq!(ask(&["unborn", "symrefs"]), lines(&[unborn, "0000"]));
        assert_eq!(
            (ask(&["unborn"]), ask(&["symrefs"]), ask(&[])),
            (lines(&["0000"]), lines(&["0000"]), lines(&["0000"]))
        );
    }

    #[test]
    fn anything_else_is_gits() {
        for request in [
            &["command=fetch", "0001", "0000"][..],
            &["command=ls-refs", "session-id=x", "0001", "0000"],
            &["command=ls-refs", "object-format=sha256", "0001", "0000"],
            &["command=ls-refs", "0001", "frobnicate", "0000"],
            &["command=ls-refs", "0001", "peel"],
            &["command=ls-refs", "0001", "peel", "0000", "0000"],
            &["0000"],
            &[],
        ] {
            assert_eq!(listing().answer(&lines(request)), None, "{request:?}");
        }
        assert_eq!(listing().answer(b"zzzz"), None);
        let cut = Listing { format: ObjectFormat::Sha1, lines: listing().lines.slice(..20) };
        assert_eq!(cut.answer(&lines(&["command=ls-refs", "0001", "0000"])), None);
    }
}
