use hakata_names::{ObjectFormat, Oid, TreePath};

use super::zoo::{Files, Made, PATHS, Zoo};
use crate::diff::Whitespace;
use crate::objects::ReadError;
use crate::read::{Allowance, BlameHunk, BlameQuery, Exhausted, Pattern, SearchHit, SearchQuery};
use crate::testing;

fn blame(commit: Oid, path: &[u8]) -> BlameQuery {
    let path = TreePath::parse(path).unwrap();
    BlameQuery { commit, path, ranges: vec![], ignored: vec![], whitespace: Whitespace::Exact }
}

async fn read_blame(zoo: &Zoo, query: BlameQuery) -> Result<Vec<BlameHunk>, ReadError> {
    let mut blame = zoo.objects().await.blame(query, &Allowance::default()).await?;
    let mut hunks = Vec::new();
    while let Some(hunk) = blame.next().await? {
        hunks.push(hunk);
    }
    hunks.sort_by_key(|hunk| hunk.line);
    Ok(hunks)
}

/// The commits of a file's lines.
fn lines(hunks: &[BlameHunk]) -> Vec<String> {
    let all =
        hunks.iter().flat_map(|hunk| (0..hunk.n_lines).map(move |n| (hunk.commit, hunk.original_line + n)));
    all.map(|(commit, line)| format!("{commit} {line}")).collect()
}

fn git_blame(zoo: &Zoo, flags: &[&str], commit: Oid, path: &[u8]) -> Option<Vec<String>> {
    use std::os::unix::ffi::OsStrExt;
    let mut command = testing::command(&zoo.dir, &["--literal-pathspecs", "blame", "-p"]);
    command.args(flags).args([&*commit.to_string(), "--"]).arg(std::ffi::OsStr::from_bytes(path));
    let output = command.output().unwrap();
    let head = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?;
        let words: Vec<&str> = line.split(' ').collect();
        let is_head = Oid::parse_hex(words[0].as_bytes()).is_ok() && words.len() >= 3;
        is_head.then(|| format!("{} {}", words[0], words[1]))
    };
    let found = output.stdout.split(|byte| *byte == b'\n').filter_map(head).collect();
    output.status.success().then_some(found)
}

#[tokio::test]
async fn lines_are_blamed_as_by_git() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = Zoo::wild(format, 40, 91).await;
        for tip in [zoo.commits[39], zoo.commits[33]] {
            for path in PATHS.into_iter().chain([&b"nothing"[..]]) {
                let found = read_blame(&zoo, blame(tip, path)).await;
                match git_blame(&zoo, &[], tip, path) {
                    Some(expected) => assert_eq!(lines(&found.unwrap()), expected, "{path:?}"),
                    None => assert!(matches!(found, Err(ReadError::NotFound(_))), "{path:?}: {found:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn ranges_ignored_commits_and_renames_are_blamed() {
    let made = |parents: Vec<usize>, path: &str, text: &str| Made {
        files: Files::from([(path.as_bytes().to_vec(), (0o100_644, text.as_bytes().to_vec()))]),
        parents,
        ..Made::default()
    };
    let commits = [
        made(vec![], "old\nname", "alpha beta\ngamma delta\nepsilon zeta\n"),
        made(vec![0], "new", "alpha beta\ngamma delta\nepsilon zeta\n"),
        made(vec![1], "new", "alpha  beta\ngamma DELTA\nepsilon zeta\n"),
    ];
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    let tip = zoo.commits[2];
    let whole = read_blame(&zoo, blame(tip, b"new")).await.unwrap();
    assert_eq!(whole.last().unwrap().path, b"old\nname");
    assert_eq!(whole[0].previous, Some((zoo.commits[1], b"new".to_vec())));
    let middle = BlameQuery { ranges: vec![2..=2], ..blame(tip, b"new") };
    let found = read_blame(&zoo, middle).await.unwrap();
    assert_eq!((found.len(), found[0].line, found[0].commit), (1, 2, tip));
    let absent = Oid::from_bytes(&[9; 20]).unwrap();
    let ignored = BlameQuery { ignored: vec![tip, absent], ..blame(tip, b"new") };
    let expected = git_blame(&zoo, &["--ignore-rev", &tip.to_string()], tip, b"new").unwrap();
    assert_eq!(lines(&read_blame(&zoo, ignored).await.unwrap()), expected);
    let spaces = BlameQuery { whitespace: Whitespace::IgnoreAll, ..blame(tip, b"new") };
    let expected = git_blame(&zoo, &["-w"], tip, b"new").unwrap();
    assert_eq!(lines(&read_blame(&zoo, spaces).await.unwrap()), expected);
    let outside = BlameQuery { ranges: vec![9..=10], ..blame(tip, b"new") };
    let refused = read_blame(&zoo, outside).await;
    assert!(matches!(refused, Err(ReadError::Invalid(_))), "{refused:?}");
    let little = Allowance { bytes: Some(3), ..Allowance::default() };
    let refused = zoo.objects().await.blame(blame(tip, b"new"), &little).await.map(|_| ());
    assert!(matches!(refused, Err(ReadError::Exhausted(Exhausted::Bytes))), "{refused:?}");
}

fn search(root: Oid, pattern: &str) -> SearchQuery {
    let (pattern, paths) = (pattern.to_owned(), vec![]);
    SearchQuery {
        root,
        pattern,
        how: Pattern::Text,
        ignore_case: false,
        paths,
        max_per_file: 100,
        limit: 1_000,
    }
}

async fn read_search(zoo: &Zoo, query: SearchQuery) -> Result<(Vec<SearchHit>, bool), ReadError> {
    let mut search = zoo.objects().await.search(query, &Allowance::default()).await?;
    let mut hits = Vec::new();
    while let Some(hit) = search.next().await? {
        hits.push(hit);
    }
    Ok((hits, search.has_more()))
}

#[tokio::test]
async fn lines_are_found_as_by_git_grep() {
    let zoo = Zoo::wild(ObjectFormat::Sha256, 30, 93).await;
    let tip = zoo.commits[29];
    let paths = |paths: &[&[u8]]| paths.iter().map(|path| TreePath::parse(path).unwrap()).collect();
    let cases: [(SearchQuery, &[&str], &[&str]); 6] = [
        (search(tip, "text"), &["-F", "-etext"], &[]),
        (SearchQuery { ignore_case: true, ..search(tip, "TEXT") }, &["-F", "-i", "-eTEXT"], &[]),
        (SearchQuery { how: Pattern::Regex, ..search(tip, "^(l|o).*s?$") }, &["-E", "-e^(l|o).*s?$"], &[]),
        (search(tip, "-dash"), &["-F", "-e-dash"], &[]),
        (
            SearchQuery { paths: paths(&[b"dir", b":(glob)*"]), ..search(tip, "e") },
            &["-F", "-ee"],
            &["dir", ":(glob)*"],
        ),
        (SearchQuery { paths: paths(&[b"*"]), ..search(tip, "e") }, &["-F", "-ee"], &["*"]),
    ];
    let tree = zoo.oids(&["rev-parse", &format!("{tip}^{{tree}}")])[0].to_string();
    for (query, flags, paths) in cases {
        let base = ["--literal-pathspecs", "grep", "-I", "-n", "-z", "--column"];
        let args = [&base[..], flags, &[&tree, "--"], paths].concat();
        let expected = testing::command(&zoo.dir, &args).output().unwrap().stdout;
        let mut found = Vec::new();
        for hit in read_search(&zoo, query).await.unwrap().0 {
            found.extend_from_slice(format!("{tree}:").as_bytes());
            found.extend_from_slice(&hit.path);
            found.extend_from_slice(format!("\0{}\0{}\0", hit.line, hit.column).as_bytes());
            found.extend_from_slice(&hit.content);
            found.push(b'\n');
        }
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected), "{args:?}");
    }
}

#[tokio::test]
async fn searches_end_at_their_limits() {
    let line = format!("{}needle\n", "x".repeat(100_000));
    let file = |text: String| (0o100_644, text.into_bytes());
    let files =
        Files::from([(b"long".to_vec(), file(line)), (b"many".to_vec(), file("needle\n".repeat(500)))]);
    let zoo = Zoo::make(ObjectFormat::Sha1, &[Made { files, ..Made::default() }]).await;
    let tip = zoo.commits[0];
    let (hits, has_more) =
        read_search(&zoo, SearchQuery { limit: 5, ..search(tip, "needle") }).await.unwrap();
    assert_eq!((hits.len(), has_more), (5, true));
    assert_eq!((hits[0].content.len(), hits[0].column), (1_024, 100_001), "a long line is cut");
    let (hits, has_more) =
        read_search(&zoo, SearchQuery { max_per_file: 3, ..search(tip, "needle") }).await.unwrap();
    assert_eq!((hits.len(), has_more), (4, false));
    let bad =
        [("", Pattern::Text), ("a\nb", Pattern::Text), ("(", Pattern::Regex), (r"(a)\1", Pattern::Regex)];
    for (pattern, how) in bad {
        let refused = read_search(&zoo, SearchQuery { how, ..search(tip, pattern) }).await;
        assert!(matches!(refused, Err(ReadError::Invalid(_))), "{pattern}: {refused:?}");
    }
    assert_eq!(read_search(&zoo, search(tip, "nothing")).await.unwrap().0, []);
}

#[tokio::test]
async fn a_file_is_followed_through_its_names() {
    let text: String = (0..20).map(|n| format!("line {n}\n")).collect();
    let made = |parents: Vec<usize>, path: &[u8], end: &str| Made {
        files: Files::from([(path.to_vec(), (0o100_644, format!("{text}{end}").into_bytes()))]),
        parents,
        message: end.as_bytes().to_vec(),
        ..Made::default()
    };
    let commits = [
        made(vec![], b"first\n", "1\n"),
        made(vec![0], b"first\n", "2\n"),
        made(vec![1], b"-second", "2\n"),
        made(vec![2], b"third", "3\n"),
    ];
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    let (objects, path) = (zoo.objects().await, TreePath::parse(b"third").unwrap());
    let tip = zoo.commits[3];
    let all = objects.follow(tip, &path, 0, 99, &Allowance::default()).await.unwrap();
    let names: Vec<(Oid, &[u8])> = all.iter().map(|one| (one.commit, &one.path[..])).collect();
    let at = |n: usize| zoo.commits[n];
    assert_eq!(
        names,
        [(at(3), &b"third"[..]), (at(2), b"-second"), (at(1), b"first\n"), (at(0), b"first\n")]
    );
    let page = objects.follow(tip, &path, 1, 2, &Allowance::default()).await.unwrap();
    assert_eq!(page, all[1..3]);
}
