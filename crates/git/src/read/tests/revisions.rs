use hakata_names::{ObjectFormat, Oid};

use super::zoo::{Made, Zoo};
use crate::objects::ReadError;
use crate::testing;

fn lookup(zoo: &Zoo) -> impl Fn(&[u8]) -> Option<Oid> + Clone + Send + 'static {
    let listed = zoo.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
    let refs: Vec<(Vec<u8>, Oid)> = listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, oid)| (name.as_bytes().to_vec(), Oid::parse_hex(oid.as_bytes()).unwrap()))
        .collect();
    move |name| {
        let name = if name == b"HEAD" { b"refs/heads/main" } else { name };
        refs.iter().find(|(known, _)| known == name).map(|(_, oid)| *oid)
    }
}

/// What is appended to names, one a line.
const STEPS: &str = "
^
^0
^1
^2
^3
^9
~
~0
~3
~99
^^
^2^
~2^2~1
^{commit}
^{tree}
^{blob}
^{tag}
^{object}
^{}
^{}^
^{tree}^
^{commit}~1
^{odd}
^{
^x
~x
:
:a
:dir
:dir/
:dir/one
:dir/one/
:dir/deep/three
:dir//one
:nothing
^:dir/deep
:with space
:-dash
^{tree}:dir";

const NAMES: [&str; 9] =
    ["main", "@", "HEAD", "heads/main", "refs/heads/main", "tagged", "twice", "light", "of-tree"];

const ALONE: [&str; 12] = [
    "abcdef",
    "origin",
    "39",
    "nothing",
    "-dash",
    "--all",
    "refs/heads",
    "tags/light",
    "main:new\nline",
    "^main",
    "~1",
    "^",
];

fn questions(zoo: &Zoo) -> Vec<String> {
    let full = zoo.commits[30].to_string();
    let (short, upper) = (&full[..9], full[..12].to_uppercase());
    let mut asked = vec![full.clone(), short.to_owned(), upper, full.to_uppercase()];
    asked.extend([format!("v1-2-g{short}"), format!("x-g{short}"), absent(zoo)]);
    asked.extend(NAMES.iter().flat_map(|name| STEPS.lines().map(move |step| format!("{name}{step}"))));
    asked.extend(ALONE.map(str::to_owned));
    asked
}

fn absent(zoo: &Zoo) -> String {
    "ab".repeat(zoo.commits[0].format().oid_len())
}

/// Asks git, which takes the word of whole ids, and excludes `^main` from ranges; ours are answers with objects.
fn rev_parse(zoo: &Zoo, revision: &str) -> Option<String> {
    let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", revision];
    let output = testing::command(&zoo.dir, &args).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let oid = said.trim().strip_prefix("--end-of-options").unwrap_or(&said).trim().to_owned();
    let is_object = Oid::parse_hex(oid.as_bytes()).is_ok() && revision != absent(zoo);
    (output.status.success() && is_object).then_some(oid)
}

#[tokio::test]
async fn revisions_lead_where_git_s_lead() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = Zoo::wild(format, 40, 7).await;
        zoo.git(&["update-ref", "refs/heads/main", "refs/heads/39"]);
        zoo.git(&["tag", "-a", "-m", "t", "tagged", "refs/heads/20"]);
        zoo.git(&["tag", "-a", "-m", "t", "twice", "tagged"]);
        zoo.git(&["tag", "light", "refs/heads/10"]);
        zoo.git(&["tag", "of-tree", "refs/heads/10^{tree}"]);
        zoo.git(&["update-ref", "refs/heads/abcdef", "refs/heads/3"]);
        zoo.git(&["update-ref", "refs/remotes/origin/HEAD", "refs/heads/5"]);
        let (asked, refs) = (questions(&zoo), lookup(&zoo));
        let expected: Vec<Option<String>> = asked.iter().map(|revision| rev_parse(&zoo, revision)).collect();
        assert!(expected.iter().flatten().count() > 100, "most questions have answers");
        for (graph, n_at_once) in [(None, 0), (Some(3), 10), (Some(1), 30)] {
            if let Some(share) = graph {
                zoo.write_commit_graph(share);
            }
            let (n_asked, asked, lookup) = (asked.len(), asked.clone(), refs.clone());
            let found = zoo.read(move |view| {
                let resolve = |asked: String| (view.resolve(asked.as_bytes(), &lookup), asked);
                Ok(asked.into_iter().map(resolve).collect::<Vec<_>>())
            });
            let (found, objects, mut n) = (found.await.unwrap(), zoo.objects().await, 0);
            for ((found, asked), expected) in found.into_iter().zip(&expected) {
                let shown = found.as_ref().ok().map(ToString::to_string);
                assert_eq!(shown, *expected, "{asked:?}: {found:?}, graph {graph:?}");
                if let Some((oid, kind)) = objects.resolve_at_once(asked.as_bytes(), &refs) {
                    n += 1;
                    assert_eq!(Some(oid), found.ok(), "{asked:?} at once");
                    let header = objects.read(move |view| view.header(&oid)).await.unwrap();
                    assert_eq!(header.map(|header| header.kind), Some(kind), "{asked:?} at once");
                }
            }
            assert!(n >= n_at_once, "{n} of {n_asked} revisions were resolved at once, graph {graph:?}");
        }
    }
}

#[tokio::test]
async fn an_ambiguous_beginning_names_its_candidates() {
    let commits: Vec<Made> =
        (0..600).map(|n| Made { time: n, message: b"m".to_vec(), ..Made::default() }).collect();
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    let mut names: Vec<String> = zoo.commits.iter().map(ToString::to_string).collect();
    names.sort();
    let pair = names.windows(2).find(|pair| pair[0][..4] == pair[1][..4]).expect("600 ids share four digits");
    let prefix = pair[0][..4].to_owned();
    let fitting: Vec<String> = names.iter().filter(|name| name.starts_with(&prefix)).cloned().collect();
    let objects = zoo.objects().await;
    let asked = prefix.clone();
    let found = objects.read(move |view| Ok(view.resolve(asked.as_bytes(), &|_| None))).await.unwrap();
    let Err(ReadError::Ambiguous { candidates, .. }) = found else { panic!("{found:?}") };
    assert_eq!(candidates.iter().map(ToString::to_string).collect::<Vec<_>>(), fitting);
    // A ref of that name wins; so does the only object of the wanted kind.
    let oid = zoo.commits[0];
    let found = objects.read(move |view| {
        view.resolve(prefix.as_bytes(), &|name| name.starts_with(b"refs/heads/").then_some(oid))
    });
    assert_eq!(found.await.unwrap(), oid);
}
