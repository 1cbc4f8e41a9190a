//! Signatures of commits and tags, and the bytes that were signed: whoever has the keys can prove them.

use hakata_names::{ObjectFormat, Oid};

use super::raw_commit::RawCommit;
use crate::objects::{Kind, ReadError, View};

/// Headers that hold a signature, by the hash function of the object that was signed.
const HEADERS: [&[u8]; 2] = [b"gpgsig", b"gpgsig-sha256"];

/// How signatures begin. Source: the tables of formats in git's gpg-interface.c.
const BEGINNINGS: [(&[u8], SignatureKind); 4] = [
    (b"-----BEGIN PGP SIGNATURE-----", SignatureKind::OpenPgp),
    (b"-----BEGIN PGP MESSAGE-----", SignatureKind::OpenPgp),
    (b"-----BEGIN SIGNED MESSAGE-----", SignatureKind::X509),
    (b"-----BEGIN SSH SIGNATURE-----", SignatureKind::Ssh),
];

/// What made a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureKind {
    /// OpenPGP.
    OpenPgp,
    /// An SSH key.
    Ssh,
    /// An X.509 certificate.
    X509,
    /// Something that git does not know.
    Unknown,
}

/// A signature and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What made it.
    pub kind: SignatureKind,
    /// The signature, armored, as git hands it to whatever verifies it.
    pub signature: Vec<u8>,
    /// The bytes that were signed.
    pub payload: Vec<u8>,
}

impl View {
    /// Reads the signature of a commit or tag object; `None` if it is not signed. Nothing is proved.
    ///
    /// # Errors
    /// [`ReadError::Absent`], [`ReadError::Invalid`] for what is neither, or [`ReadError::Object`] if it is broken.
    pub fn signature(&self, oid: &Oid) -> Result<Option<Signed>, ReadError> {
        let header = self.header(oid)?.ok_or(ReadError::Absent(*oid))?;
        match header.kind {
            Kind::Commit => Ok(of_commit(&self.commit_content(oid)?, oid.format())),
            Kind::Tag => Ok(of_tag(&self.read_counted(oid, Kind::Tag)?)),
            Kind::Tree | Kind::Blob => Err(ReadError::Invalid(format!("{oid} is neither commit nor tag"))),
        }
    }
}

/// Takes the header out. Source: `parse_buffer_signed_by_header` in git's commit.c.
fn of_commit(content: &[u8], format: ObjectFormat) -> Option<Signed> {
    let raw = RawCommit::new(content);
    let wanted = HEADERS[usize::from(format == ObjectFormat::Sha256)];
    let mut signature = Vec::new();
    for header in raw.headers().filter(|header| header.name == wanted) {
        signature.extend(header.unfolded());
        signature.push(b'\n');
    }
    if signature.is_empty() {
        return None;
    }
    let mut payload = Vec::with_capacity(content.len());
    payload.extend_from_slice(raw.links());
    for header in raw.headers().filter(|header| !header.name.starts_with(b"gpgsig")) {
        payload.extend_from_slice(header.lines);
    }
    payload.push(b'\n');
    payload.extend_from_slice(raw.message);
    let kind = begins(&signature).unwrap_or(SignatureKind::Unknown);
    Some(Signed { kind, signature, payload })
}

/// Cuts the end of the message off, from the last line that begins a signature. What signs the object under its other
/// name is no part of what was signed. Source: `parse_signature` in git's gpg-interface.c.
fn of_tag(content: &[u8]) -> Option<Signed> {
    let mut found = None;
    let mut at = 0;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if let Some(kind) = begins(line) {
            found = Some((at, kind));
        }
        at += line.len();
    }
    let (at, kind) = found?;
    let (signed, signature) = content.split_at(at);
    Some(Signed { kind, signature: signature.to_vec(), payload: without_signatures(signed) })
}

/// Leaves out the headers that are signatures.
fn without_signatures(signed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(signed.len());
    let (mut in_headers, mut in_signature) = (true, false);
    for line in signed.split_inclusive(|byte| *byte == b'\n') {
        in_headers &= line != b"\n";
        let name = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        in_signature = in_headers && (HEADERS.contains(&name) || in_signature && line.starts_with(b" "));
        if !in_signature {
            out.extend_from_slice(line);
        }
    }
    out
}

fn begins(line: &[u8]) -> Option<SignatureKind> {
    BEGINNINGS.iter().find(|(beginning, _)| line.starts_with(beginning)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use hakata_names::ObjectFormat;

    use super::{SignatureKind, of_commit, of_tag};

    #[test]
    fn a_tag_is_cut_at_its_last_signature() {
        let head = "object 1\ntype commit\ntag v1\ntagger A <a@b> 1 +0000\n";
        let message = "\nv1\n-----BEGIN PGP SIGNATURE-----\nquoted\n";
        let signature = "-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n";
        let other = "gpgsig-sha256 -----BEGIN SSH SIGNATURE-----\n other\n -----END SSH SIGNATURE-----\n";
        let signed = of_tag(format!("{head}{other}{message}{signature}").as_bytes()).unwrap();
        assert_eq!(signed.kind, SignatureKind::Ssh);
        assert_eq!(signed.signature, signature.as_bytes());
        assert_eq!(String::from_utf8_lossy(&signed.payload), format!("{head}{message}"));
        assert_eq!(of_tag(format!("{head}\nno -----BEGIN SSH SIGNATURE-----\n").as_bytes()), None);
    }

    #[test]
    fn what_git_does_not_know_is_told_as_it_is() {
        let content = b"tree 0\nauthor A <a@b> 1 +0000\ngpgsig ???\ngpgsig-sha256 no\n\nmessage\n";
        let signed = of_commit(content, ObjectFormat::Sha1).unwrap();
        assert_eq!((signed.kind, &signed.signature[..]), (SignatureKind::Unknown, &b"???\n"[..]));
        assert_eq!(signed.payload, b"tree 0\nauthor A <a@b> 1 +0000\n\nmessage\n");
        assert_eq!(of_commit(b"tree 0\n\ngpgsig no\n", ObjectFormat::Sha1), None);
    }
}
