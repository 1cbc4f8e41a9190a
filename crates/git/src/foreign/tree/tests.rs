use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Search, What};

/// Makes the parts of a repository that a search looks at; its one object file has 7 bytes.
fn repository(root: &Path, place: &str) {
    let path = root.join(place);
    fs::create_dir_all(path.join("refs")).unwrap();
    fs::create_dir_all(path.join("objects/pack")).unwrap();
    fs::write(path.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(path.join("objects/pack/p.pack"), "1234567").unwrap();
}

/// What a search finds: place, and where the repository is or what is wrong with it.
fn found(root: &Path) -> Vec<(String, String)> {
    let mut search = Search::new(root);
    while search.advance(1) {}
    let told = |what: What| match what {
        What::Repository { directory, size_bytes, full_path } => {
            assert_eq!((size_bytes, full_path), (7, None));
            directory.strip_prefix(root).unwrap().display().to_string()
        }
        What::Odd(oddity) => oddity.to_string(),
    };
    search.into_found().into_iter().map(|at| (at.place.display().to_string(), told(at.what))).collect()
}

#[test]
fn bare_ones_and_work_trees_are_found_at_any_depth_and_not_looked_into() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for place in ["a/one.git", "a/no-tail", "a/b/c/deep.git", "work/.git", "a/one.git/modules/inner.git"] {
        repository(root, place);
    }
    repository(root, "work/submodule/.git");
    fs::create_dir_all(root.join("empty/nothing")).unwrap();
    fs::create_dir_all(root.join("a/objects")).unwrap();
    fs::write(root.join("a/file.git"), "").unwrap();
    let expected = [
        ("a/b/c/deep.git", "a/b/c/deep.git"),
        ("a/no-tail", "a/no-tail"),
        ("a/one.git", "a/one.git"),
        ("work", "work/.git"),
    ];
    assert_eq!(found(root), expected.map(|(place, at)| (place.to_owned(), at.to_owned())));
    assert!(Search::is_repository(&root.join("a/one.git")) && Search::is_repository(&root.join("work")));
    assert!(!Search::is_repository(root));
}

#[test]
fn what_could_be_taken_for_a_repository_is_named_never_left_out() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let root = root.path();
    repository(elsewhere.path(), "secret.git");
    fs::create_dir(elsewhere.path().join("folder")).unwrap();
    symlink(elsewhere.path().join("secret.git"), root.join("link.git")).unwrap();
    symlink(elsewhere.path().join("folder"), root.join("folder")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    for place in ["objects.git", "pack.git", "refs.git", "headless.git"] {
        repository(root, place);
    }
    fs::remove_dir_all(root.join("objects.git/objects")).unwrap();
    symlink(elsewhere.path().join("secret.git/objects"), root.join("objects.git/objects")).unwrap();
    let pack = PathBuf::from("objects/pack/p.pack");
    fs::remove_file(root.join("pack.git").join(&pack)).unwrap();
    symlink(elsewhere.path().join("secret.git").join(&pack), root.join("pack.git").join(&pack)).unwrap();
    fs::remove_dir(root.join("refs.git/refs")).unwrap();
    fs::remove_file(root.join("headless.git/HEAD")).unwrap();
    fs::create_dir_all(root.join("hollow.git")).unwrap();
    fs::create_dir_all(root.join("linked")).unwrap();
    fs::write(root.join("linked/.git"), "gitdir: /elsewhere\n").unwrap();
    let link = "it is a symbolic link, and those are not followed";
    let expected = [
        ("folder", link),
        ("headless.git", "it is not a git repository: it has no HEAD"),
        ("hollow.git", "it is not a git repository: it has no HEAD"),
        ("link.git", link),
        ("linked", "its .git is a file that names a repository elsewhere"),
        ("objects.git", "its objects is a symbolic link, and those are not followed"),
        ("pack.git", "its objects/pack/p.pack is a symbolic link, and those are not followed"),
        ("refs.git", "it is not a git repository: it has no refs"),
    ];
    assert_eq!(found(root), expected.map(|(place, what)| (place.to_owned(), what.to_owned())));
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let told = found(Path::new("/nowhere/at/all"));
    assert!(told[0].0.is_empty() && told[0].1.starts_with("it cannot be read"), "{told:?}");
}

#[test]
fn gitlab_tells_the_name_in_the_configuration() {
    let root = tempfile::tempdir().unwrap();
    repository(root.path(), "@hashed/6b/86/6b86.git");
    fs::write(root.path().join("@hashed/6b/86/6b86.git/config"), "[gitlab]\n\tfullpath = team/tools\n")
        .unwrap();
    let mut search = Search::new(root.path());
    assert!(!search.advance(100));
    let found = search.into_found();
    let What::Repository { full_path, .. } = &found[0].what else { panic!("{found:?}") };
    assert_eq!(full_path.as_deref(), Some("team/tools"));
}
