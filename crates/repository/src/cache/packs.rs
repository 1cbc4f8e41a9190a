//! The packs of a cache directory, against the catalogue.
//!
//! A pack's file is named by its id in the catalogue, so that a listing of the directory can be compared with rows
//! without opening anything: `pack-<id as 40 hexadecimal digits>.pack`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hakata_blob::{BlobKey, Blobs, PackPart, link_or_copy};
use hakata_git::GitDir;
use hakata_git::quarantine::IndexedPack;
use hakata_names::PackId;

/// Whether the files of a directory are what was once written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Yes, as far as their names and sizes go.
    Sizes,
    /// Only those that are one file with a synced blob.
    Links,
}

/// What the catalogue says of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) size_bytes: u64,
    pub(super) is_inline: bool,
}

/// What is in a directory, against the catalogue.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Packs to be brought.
    pub(super) missing: BTreeSet<PackId>,
    /// Files and directories of objects that the catalogue does not know.
    pub(super) foreign: Vec<PathBuf>,
}

/// Compares a directory with the catalogue; files of packs that are not right are deleted, so that they are missing.
/// Blocks.
pub(super) fn compare(
    dir: &GitDir,
    listed: &BTreeMap<PackId, Listed>,
    blobs: &Blobs,
    trust: Trust,
) -> io::Result<Compared> {
    let (mut found, mut foreign) = (BTreeSet::new(), Vec::new());
    for entry in fs::read_dir(dir.objects().join("pack"))? {
        let entry = entry?;
        let name = entry.file_name();
        match id_of(&name) {
            Some(id) if listed.contains_key(&id) => {
                found.insert(id);
            }
            _ if name.as_encoded_bytes().starts_with(b"pack-") => foreign.push(entry.path()),
            // Derived files, and temporary ones that git makes for them.
            _ => {}
        }
    }
    foreign.extend(loose(dir)?);
    let mut missing = BTreeSet::new();
    for (id, pack) in listed {
        let is_right = found.contains(id) && is_right(dir, *id, *pack, blobs, trust);
        if !is_right {
            remove(dir, *id)?;
            missing.insert(*id);
        }
    }
    Ok(Compared { missing, foreign })
}

/// Tells whether there are packs that cannot be ours by their names, or loose objects. Blocks.
pub(super) fn has_foreign(dir: &GitDir) -> io::Result<bool> {
    for entry in fs::read_dir(dir.objects().join("pack"))? {
        let name = entry?.file_name();
        if name.as_encoded_bytes().starts_with(b"pack-") && id_of(&name).is_none() {
            return Ok(true);
        }
    }
    Ok(!loose(dir)?.is_empty())
}

/// Lists directories of loose objects: nobody but a stranger makes them.
fn loose(dir: &GitDir) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir.objects())? {
        let entry = entry?;
        let name = entry.file_name();
        if name.len() == 2 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn is_right(dir: &GitDir, id: PackId, pack: Listed, blobs: &Blobs, trust: Trust) -> bool {
    let stat = |path: &Path| fs::metadata(path).ok();
    let has_size = stat(&path_of(dir, id, PackPart::Pack)).is_some_and(|at| at.len() == pack.size_bytes);
    let is_indexed = stat(&path_of(dir, id, PackPart::Idx)).is_some();
    let is_blob = |part| {
        let blob = blobs.local_path(BlobKey::pack(id, part)).and_then(|path| stat(&path));
        let here = stat(&path_of(dir, id, part));
        blob.zip(here).is_some_and(|(blob, here)| (blob.ino(), blob.dev()) == (here.ino(), here.dev()))
    };
    has_size
        && is_indexed
        && (trust == Trust::Sizes || !pack.is_inline && PackPart::ALL.into_iter().all(is_blob))
}

/// Links the files of an indexed pack into a directory under the id, the index last. Blocks.
pub(super) fn adopt(dir: &GitDir, id: PackId, pack: &IndexedPack) -> io::Result<()> {
    link_or_copy(&pack.pack, &path_of(dir, id, PackPart::Pack))?;
    link_or_copy(&pack.rev, &path_of(dir, id, PackPart::Rev))?;
    link_or_copy(&pack.idx, &path_of(dir, id, PackPart::Idx))
}

/// Links a pack from a local blob store; false if the store has no such files here. Blocks.
pub(super) fn adopt_blob(dir: &GitDir, id: PackId, blobs: &Blobs) -> io::Result<bool> {
    for part in PackPart::ALL {
        let Some(from) = blobs.local_path(BlobKey::pack(id, part)) else { return Ok(false) };
        match link_or_copy(&from, &path_of(dir, id, part)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                remove(dir, id)?;
                return Ok(false);
            }
            linked => linked?,
        }
    }
    Ok(true)
}

/// Removes what the catalogue does not know. Blocks.
pub(super) fn remove_foreign(paths: &[PathBuf]) -> io::Result<()> {
    for path in paths {
        match path.is_dir() {
            true => fs::remove_dir_all(path)?,
            false => absent_is_fine(fs::remove_file(path))?,
        }
    }
    Ok(())
}

/// Removes the files of a pack, the index first. Blocks.
pub(super) fn remove(dir: &GitDir, id: PackId) -> io::Result<()> {
    PackPart::ALL
        .into_iter()
        .rev()
        .try_for_each(|part| absent_is_fine(fs::remove_file(path_of(dir, id, part))))
}

fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

pub(super) fn path_of(dir: &GitDir, id: PackId, part: PackPart) -> PathBuf {
    dir.objects().join("pack").join(format!("{}.{}", stem_of(id), part.extension()))
}

/// Names the files of a pack, up to the dot.
pub(crate) fn stem_of(id: PackId) -> String {
    format!("pack-{:040x}", id.get())
}

/// Reads the id out of the name of one of a pack's three files.
fn id_of(name: &OsStr) -> Option<PackId> {
    let (hex, extension) = name.to_str()?.strip_prefix("pack-")?.split_once('.')?;
    let is_part = PackPart::ALL.iter().any(|part| part.extension() == extension);
    let is_id = hex.len() == 40 && !hex.bytes().any(|byte| byte.is_ascii_uppercase());
    let id = i64::from_str_radix(hex, 16).ok()?;
    (is_part && is_id).then_some(PackId::new(id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use hakata_blob::{BlobKey, Blobs, PackPart};
    use hakata_git::GitDir;
    use hakata_names::PackId;
    use hakata_runtime::blocking::Blocking;

    use super::{Listed, Trust, adopt_blob, compare, id_of, path_of, remove_foreign};

    const ID: PackId = PackId::new(10);

    #[test]
    fn only_names_of_ours_have_an_id() {
        let ours = format!("pack-{:040x}", 10);
        assert_eq!(id_of(format!("{ours}.pack").as_ref()), Some(ID));
        for foreign in
            [format!("{ours}.keep"), format!("{}.pack", ours.to_uppercase()), ours, "pack-1.pack".into()]
        {
            assert_eq!(id_of(foreign.as_ref()), None, "{foreign}");
        }
        let checksum = "pack-8ab686eafeb1f44702738c8b0f24f2567c36da6d.pack";
        assert_eq!(id_of(checksum.as_ref()), None, "git's own names are larger than any id");
    }

    #[tokio::test]
    async fn what_is_not_in_the_catalogue_is_foreign_and_what_is_torn_is_missing() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = GitDir::new(temporary.path().join("1.git"));
        fs::create_dir_all(dir.objects().join("pack")).unwrap();
        let blobs = Blobs::open_fs(temporary.path().join("blobs"), Blocking::new(1)).await.unwrap();
        for part in PackPart::ALL {
            blobs.put(BlobKey::pack(ID, part), &b"synced"[..]).await.unwrap();
        }
        let mut pack = Listed { size_bytes: 6, is_inline: false };
        let compared = |pack, trust| compare(&dir, &BTreeMap::from([(ID, pack)]), &blobs, trust).unwrap();
        assert!(compared(pack, Trust::Sizes).missing.contains(&ID));
        assert!(adopt_blob(&dir, ID, &blobs).unwrap());
        assert!(compared(pack, Trust::Links).missing.is_empty());

        fs::write(dir.objects().join("pack/pack-1.pack"), "x").unwrap();
        fs::write(dir.objects().join("pack/multi-pack-index"), "x").unwrap();
        fs::create_dir(dir.objects().join("0a")).unwrap();
        let foreign = compared(pack, Trust::Links).foreign;
        assert_eq!(foreign.len(), 2);
        remove_foreign(&foreign).unwrap();
        assert!(compared(pack, Trust::Links).foreign.is_empty());

        pack.is_inline = true;
        assert!(compared(pack, Trust::Sizes).missing.is_empty());
        assert!(compared(pack, Trust::Links).missing.contains(&ID), "a pack of its own was never synced");
        assert!(!path_of(&dir, ID, PackPart::Idx).exists(), "what is not believed is removed");

        assert!(adopt_blob(&dir, ID, &blobs).unwrap());
        pack.size_bytes = 7;
        assert!(compared(pack, Trust::Sizes).missing.contains(&ID));
    }
}
