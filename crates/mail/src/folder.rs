//! A maildir that letters are put into instead of being sent.

use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt as _;

use crate::{SendError, Taken};

/// Longest name of a file made from an id.
const MAX_NAME: usize = 200;

/// A maildir.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Puts a letter into `new/`, whole or not at all. Its file has the name of its id, so a letter that comes twice
    /// lies there once.
    pub(crate) async fn keep(&self, id: &str, letter: &[u8]) -> Result<Taken, SendError> {
        let name = file_name(id);
        let (temporary, path) = (self.path.join("tmp").join(&name), self.path.join("new").join(&name));
        for directory in ["tmp", "new", "cur"].map(|name| self.path.join(name)) {
            let made = tokio::fs::create_dir_all(&directory).await;
            made.map_err(|source| SendError::Folder { path: directory, source })?;
        }
        let written = async {
            let mut file = tokio::fs::File::create(&temporary).await?;
            file.write_all(letter).await?;
            file.sync_all().await?;
            tokio::fs::rename(&temporary, &path).await
        };
        written.await.map_err(|source| SendError::Folder { path: path.clone(), source })?;
        Ok(Taken { answer: format!("written to {}", shown(&path)) })
    }
}

fn file_name(id: &str) -> String {
    let fine = |c: char| if c.is_ascii_alphanumeric() || ".@-_".contains(c) { c } else { '_' };
    let name: String = id.chars().map(fine).take(MAX_NAME).collect();
    name.trim_start_matches('.').to_owned()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::{Folder, file_name};

    #[test]
    fn ids_become_names_without_paths() {
        for (id, name) in
            [("a.1@x.example", "a.1@x.example"), ("../../etc/passwd", "_.._etc_passwd"), (".x", "x")]
        {
            assert_eq!(file_name(id), name);
        }
    }

    #[tokio::test]
    async fn a_letter_that_comes_twice_is_there_once() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::new(directory.path().join("mail"));
        folder.keep("a@x", b"one").await.unwrap();
        folder.keep("a@x", b"two").await.unwrap();
        folder.keep("b@x", b"three").await.unwrap();
        let mut names: Vec<_> = std::fs::read_dir(directory.path().join("mail/new"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["a@x", "b@x"]);
        assert_eq!(std::fs::read(directory.path().join("mail/new/a@x")).unwrap(), b"two");
    }
}
