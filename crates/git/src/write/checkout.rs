//! Paths that would hurt whoever checks them out, on any system.
//!
//! git refuses such paths in a worktree, some only on the systems that they hurt. A server does not know where its
//! repositories will be checked out, so what it makes itself is free of all of them.

use gix::bstr::ByteSlice;
use gix::validate::path::component::{self, Mode, Options};
use gix::validate::path::component_is_windows_device;
use hakata_names::TreePath;

use super::{EntryMode, WriteError};

/// The longest name of one file, in bytes. Source: `NAME_MAX` of Linux; no other system allows more.
const MAX_NAME_BYTES: usize = 255;

/// What is refused whatever the system that git was built for: `.git` as HFS+ and NTFS understand it.
const OPTIONS: Options = Options { protect_windows: false, protect_hfs: true, protect_ntfs: true };

/// Refuses a path below which, or as which, nothing should be made.
pub(super) fn check(path: &TreePath, mode: EntryMode) -> Result<(), WriteError> {
    let mut parts = path.as_bytes().split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let is_link = parts.peek().is_none() && mode.is_link();
        if let Some(why) = refusal(part, is_link) {
            return Err(WriteError::Invalid(format!("{path}: {why}")));
        }
    }
    Ok(())
}

/// Says what is wrong with one component.
fn refusal(part: &[u8], is_link: bool) -> Option<&'static str> {
    if part.len() > MAX_NAME_BYTES {
        return Some("a name is longer than 255 bytes");
    }
    if part.iter().any(u8::is_ascii_control) {
        return Some("a control character is in a name");
    }
    if part.contains(&b'\\') {
        return Some("a backslash is in a name");
    }
    if component_is_windows_device(part.as_bstr()) {
        return Some("a name is that of a device of Windows");
    }
    match gix::validate::path::component(part.as_bstr(), is_link.then_some(Mode::Symlink), OPTIONS) {
        Ok(_) => None,
        Err(component::Error::SymlinkedGitModules) => Some(".gitmodules may not be a symbolic link"),
        Err(component::Error::DotGitDir) => Some("some system takes a name for .git"),
        Err(_) => Some("a name is malformed"),
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use crate::testing::{self, Bench};
    use hakata_names::ObjectFormat;

    /// A name, whether git refuses it in an index that protects HFS+ and NTFS, and whether we do.
    const NAMES: &[(&[u8], bool, bool)] = &[
        (b".git", true, true),
        (b".GiT", true, true),
        (b".git.", true, true),
        (b".git ", true, true),
        (b".git . .", true, true),
        (b"git~1", true, true),
        (b"GIT~1", true, true),
        (b"git~1 .", true, true),
        (b".git::$INDEX_ALLOCATION", true, true),
        (b".git:stream", true, true),
        (b".g\xe2\x80\x8cit", true, true),
        (b"\xef\xbb\xbf.git", true, true),
        (b".gi\xe2\x80\x8dT\xe2\x80\xaa", true, true),
        (b"..", true, true),
        (b".", true, true),
        (b".git\\config", true, true),
        (b"a\\b", false, true),
        (b"CON", false, true),
        (b"aux.c", false, true),
        (b"com1.txt", false, true),
        (b"LPT9 .x", false, true),
        (b"nul", false, true),
        (b"conin$", false, true),
        (b"a\tb", false, true),
        (b"a\x7f", false, true),
        (b"\x1b[2J", false, true),
        (&[b'a'; 256], false, true),
        (&[b'a'; 255], false, false),
        (b".gitignore", false, false),
        (b".gitmodules", false, false),
        (b".gitx", false, false),
        (b"git~2", false, false),
        (b"git", false, false),
        (b"...", false, false),
        (b"console", false, false),
        (b"com", false, false),
        (b"com10", false, false),
        (b"auxiliary", false, false),
        (b"\xff\xfe", false, false),
        (b"a b.", false, false),
        ("ü".as_bytes(), false, false),
    ];

    #[tokio::test]
    async fn git_and_we_refuse_the_same_names_and_we_some_more() {
        let bench = Bench::new().await;
        let dir = bench.repository(ObjectFormat::Sha1);
        let blob = testing::object(&dir, "blob", b"x");
        for (name, by_git, by_us) in NAMES {
            let said = String::from_utf8_lossy(name);
            let mut command =
                testing::command(&dir, &["-c", "core.protectHFS=true", "-c", "core.protectNTFS=true"]);
            command.args(["update-index", "-z", "--index-info"]);
            let line = [format!("100644 {blob}\t").as_bytes(), name, b"\0"].concat();
            // git complains and goes on.
            testing::feed(command, &line);
            let is_in = !testing::pipe(&dir, &["ls-files", "-z"], b"").is_empty();
            assert_eq!(!is_in, *by_git, "git about {said:?}");
            assert_eq!(refusal(name, false).is_some(), *by_us, "we about {said:?}");
            testing::git(&dir, &["read-tree", "--empty"]);
        }
    }

    #[test]
    fn modules_are_no_links_under_any_name() {
        for name in
            [".gitmodules", ".GITmodules", "gitmod~1", "GI7EBA~1", ".gitmodules .", ".gitm\u{200c}odules"]
        {
            assert!(refusal(name.as_bytes(), true).is_some(), "{name}");
            assert!(refusal(name.as_bytes(), false).is_none(), "{name}");
        }
        assert!(refusal(b".gitmodule", true).is_none());
    }
}
