use hakata_names::{ObjectFormat, Oid};

use super::zoo::{Made, Zoo};
use crate::read::Commit;
use crate::testing;

const MESSAGES: [&[u8]; 14] = [
    b"one line",
    b"one line\n",
    b"two\nlines\n\nbody\n",
    b"\n\n  leading\nblank\n",
    b"",
    b"subject\n\nbody\n\nSigned-off-by: A <a@example.org>\nReviewed-by: B\n",
    b"subject\n\nSigned-off-by: A\nnot a trailer\nnor this\n",
    b"subject\n\nno trailer\nKey: value\n",
    b"subject\n\nKey: value\n continued\n\tagain\nOther-Key : spaced\n\n",
    b"Key: value\n",
    b"subject\n\nFirst: 1\n\nSecond: 2\n",
    b"subject\n\n(cherry picked from commit abc)\nKey: value\n",
    b"subject\n\nhttp://example.org\nKey with spaces: no\n# comment\nLast: yes\n",
    b"subject\r\n\r\nKey: carriage\r\n",
];

fn rendered(commit: &Commit) -> Vec<u8> {
    let parents: Vec<String> = commit.parents.iter().map(ToString::to_string).collect();
    let text = |bytes: &[u8]| commit.text(bytes);
    let person = |person: &crate::read::Person| {
        let time = person.time.map(|time| time.to_string()).unwrap_or_default();
        format!("{}\0{}\0{time}\0", text(&person.name), text(&person.email))
    };
    let trailers: String =
        commit.trailers().iter().map(|t| format!("{}: {}\n", text(&t.key), text(&t.value))).collect();
    let mut out = format!("{}\0{}\0", commit.tree, parents.join(" "));
    out += &person(&commit.author);
    out += &person(&commit.committer);
    out += &format!("{}\0{trailers}\0", text(&commit.subject()));
    out.into_bytes()
}

async fn compare(zoo: &Zoo, commits: &[Oid]) {
    let objects = zoo.objects().await;
    for oid in commits {
        let oid = *oid;
        let format = "--format=%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%s%x00%(trailers:only,unfold)%x00";
        let shown =
            testing::pipe(&zoo.dir, &["log", "-1", "--encoding=UTF-8", format, &oid.to_string()], b"");
        let commit = objects.read(move |view| view.read_commit(&oid)).await.unwrap();
        let expected = String::from_utf8_lossy(shown.strip_suffix(b"\n").unwrap_or(&shown)).into_owned();
        assert_eq!(String::from_utf8_lossy(&rendered(&commit)), expected, "{oid} {:?}", commit.message);
        let body = testing::pipe(&zoo.dir, &["cat-file", "commit", &oid.to_string()], b"");
        assert!(body.ends_with(&commit.message), "the message is as it is stored");
    }
}

#[tokio::test]
async fn commits_say_what_git_says() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let mut commits: Vec<Made> = MESSAGES
            .iter()
            .enumerate()
            .map(|(n, message)| {
                let parents = if n > 2 { vec![n - 1, n - 2] } else { vec![] };
                Made { parents, message: message.to_vec(), time: 1_000 + n as u64, ..Made::default() }
            })
            .collect();
        for (encoding, name) in
            [("ISO-8859-1", &b"J\xf6rg <j@example.org>"[..]), ("EUC-JP", b"\xc6\xfc\xcb\xdc <j@example.org>")]
        {
            let author = Some(name.to_vec());
            let message = [name, b"\n"].concat();
            commits.push(Made { encoding: Some(encoding), author, message, time: 5, ..Made::default() });
        }
        let zoo = Zoo::make(format, &commits).await;
        compare(&zoo, &zoo.commits).await;
    }
}

#[tokio::test]
async fn odd_people_are_read_as_leniently() {
    let zoo = Zoo::make(ObjectFormat::Sha1, &[Made::default()]).await;
    let tree = zoo.git(&["rev-parse", "0^{tree}"]);
    let people = [
        "A <a> 1 +0000",
        "<a> 1 +0000",
        "A <a>",
        "A <a> x",
        "A <a> 5 x",
        "A B  <a b> 12 -0130",
        "A <a>> 7 +0000",
        "A <a <b> 7 +0000",
        "A <> 1 +0000",
        "A <a> 99999999999 +0000",
        " A\t<a> 1 +9999",
    ];
    let mut commits = Vec::new();
    for person in people {
        let content = format!("tree {tree}author {person}\ncommitter {person}\n\nm\n");
        commits.push(testing::object(&zoo.dir, "commit", content.as_bytes()));
    }
    compare(&zoo, &commits).await;
}

#[tokio::test]
async fn a_signature_is_taken_out_of_what_it_signs() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = Zoo::make(format, &[Made::default()]).await;
        let tree = zoo.git(&["rev-parse", "0^{tree}"]);
        let header = if format == ObjectFormat::Sha1 { "gpgsig" } else { "gpgsig-sha256" };
        let people = "author A <a> 1 +0000\ncommitter A <a> 1 +0000\n";
        let signed = format!(
            "tree {tree}{people}{header} -----BEGIN-----\n \n abc\n -----END-----\nother x\n\nmessage\n"
        );
        let oid = testing::object(&zoo.dir, "commit", signed.as_bytes());
        let plain = zoo.commits[0];
        let read = zoo.read(move |view| {
            assert_eq!(view.signature(&plain)?, None);
            let commit = view.read_commit(&oid)?;
            assert_eq!(commit.headers[1], (b"other".to_vec(), b"x".to_vec()));
            view.signature(&oid)
        });
        let found = read.await.unwrap().unwrap();
        assert_eq!(found.signature, b"-----BEGIN-----\n\nabc\n-----END-----\n");
        assert_eq!(found.payload, format!("tree {tree}{people}other x\n\nmessage\n").as_bytes());
    }
}
