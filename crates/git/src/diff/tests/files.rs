use hakata_names::{ObjectFormat, Oid, TreePath};

use super::{letter, render};
use crate::diff::{Change, DiffLimits, DiffQuery, NoHunks, Renames, Versions};
use crate::objects::Objects;
use crate::read::Allowance;
use crate::read::zoo::{Dice, Files, Made, Zoo};
use crate::testing;

/// Renders changes as `diff-tree --raw -z --no-abbrev` does.
fn raw(changes: &[Change], format: ObjectFormat) -> Vec<u8> {
    let mut out = Vec::new();
    for change in changes {
        let mode = |side: &Option<crate::diff::ChangeSide>| side.as_ref().map_or(0, |side| side.mode);
        let oid = |side: &Option<crate::diff::ChangeSide>| {
            Oid::wire_hex(side.as_ref().map(|side| side.oid), format)
        };
        let (old, new) = (&change.old, &change.new);
        let head = format!(
            ":{:06o} {:06o} {} {} {}\0",
            mode(old),
            mode(new),
            oid(old),
            oid(new),
            letter(change.status)
        );
        out.extend_from_slice(head.as_bytes());
        let both = matches!(change.status, crate::diff::Status::Renamed(_) | crate::diff::Status::Copied(_));
        for side in
            [old, new].into_iter().flatten().skip(usize::from(!both && old.is_some() && new.is_some()))
        {
            out.extend_from_slice(&side.path);
            out.push(0);
        }
    }
    out
}

fn query(old: Oid, new: Oid) -> DiffQuery {
    DiffQuery { old: Some(old), new: Some(new), ..DiffQuery::default() }
}

async fn check(zoo: &Zoo, objects: &Objects, query: &DiffQuery, flags: &[&str], paths: &[&str]) {
    let [old, new] = [query.old, query.new].map(|oid| oid.unwrap().to_string());
    let base = ["--literal-pathspecs", "diff-tree", "-r", "-z", "--raw", "--no-abbrev"];
    let args = [&base[..], flags, &[&old, &new, "--"], paths].concat();
    let expected = testing::pipe(&zoo.dir, &args, b"");
    let found = objects.changes(query, &Allowance::default()).await.unwrap();
    let found = raw(&found, zoo.commits[0].format());
    assert_eq!(
        String::from_utf8_lossy(&found).replace('\0', "\n"),
        String::from_utf8_lossy(&expected).replace('\0', "\n"),
        "{args:?}"
    );
}

#[tokio::test]
async fn changed_files_are_git_s() {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let zoo = Zoo::wild(format, 40, 101).await;
        let objects = zoo.objects().await;
        for n in 1..40 {
            let pair = query(zoo.commits[n / 3], zoo.commits[n]);
            check(
                &zoo,
                &objects,
                &DiffQuery { renames: Renames::Off, ..pair.clone() },
                &["--no-renames"],
                &[],
            )
            .await;
            check(&zoo, &objects, &pair, &["-M"], &[]).await;
            let paths = ["dir", "a", ":(glob)*", "-dash", "dir.x/no"];
            let some = paths.iter().map(|path| TreePath::parse(path.as_bytes()).unwrap()).collect();
            check(&zoo, &objects, &DiffQuery { paths: some, ..pair.clone() }, &["-M"], &paths).await;
            if n % 8 == 0 {
                check(&zoo, &objects, &DiffQuery { renames: Renames::WithCopies, ..pair }, &["-C"], &[])
                    .await;
            }
        }
    }
}

/// Commits in which files move and change at once.
pub(super) fn moving(seed: u64) -> Vec<Made> {
    let mut dice = Dice(seed);
    let names = ["a/x.c", "a/y.c", "b/x.c", "b/z.h", "c/README", "README", "d/e/f/y.c", "Makefile", "x.c"];
    let mut files = Files::new();
    let mut commits: Vec<Made> = Vec::new();
    for at in 0..60 {
        for _ in 0..=dice.roll(4) {
            let (from, to) = (names[dice.roll(names.len())], names[dice.roll(names.len())]);
            let n_lines = 1 + dice.roll(30);
            let mut file = match files.remove(from.as_bytes()) {
                Some(file) => file,
                None => {
                    let text: String =
                        (0..n_lines).map(|n| format!("line {} of {from} {at}\n", n * n)).collect();
                    (0o100_644, text.into_bytes())
                }
            };
            for _ in 0..dice.roll(3) * dice.roll(8) {
                let text = String::from_utf8(file.1).unwrap();
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                let place = dice.roll(lines.len());
                match dice.roll(3) {
                    0 if lines.len() > 1 => drop(lines.remove(place)),
                    1 => lines.insert(place, format!("new {at} {}\r", dice.roll(1_000))),
                    _ => lines[place]
                        .push_str(" and more of this line, so that it grows beyond the length of a piece"),
                }
                file.1 = (lines.join("\n") + "\n").into_bytes();
            }
            files.insert(to.as_bytes().to_vec(), file);
        }
        let parents = if at == 0 { vec![] } else { vec![at - 1] };
        commits.push(Made {
            parents,
            files: files.clone(),
            message: vec![b'm'],
            time: at as u64,
            ..Made::default()
        });
    }
    commits
}

#[tokio::test]
async fn renames_are_git_s() {
    for seed in [1, 2, 3] {
        let zoo = Zoo::make(ObjectFormat::Sha1, &moving(seed)).await;
        let objects = zoo.objects().await;
        for n in 1..60 {
            check(&zoo, &objects, &query(zoo.commits[n - 1], zoo.commits[n]), &["-M"], &[]).await;
            check(&zoo, &objects, &query(zoo.commits[n / 2], zoo.commits[n]), &["-M"], &[]).await;
        }
    }
}

#[tokio::test]
async fn many_renames_are_left_to_git() {
    let made = |directory: &str, end: &str, parents: Vec<usize>| {
        let file = |n: usize| {
            let text: String = (0..20).map(|line| format!("{line} of {n}\n")).collect();
            let path = format!("{directory}/{n}/main.c").into_bytes();
            (path, (0o100_644, format!("{text}{end}").into_bytes()))
        };
        Made { files: (0..30).map(file).collect(), parents, message: vec![b'm'], ..Made::default() }
    };
    let zoo =
        Zoo::make(ObjectFormat::Sha1, &[made("old", "", vec![]), made("new", "changed\n", vec![0])]).await;
    let objects = zoo.objects().await;
    let pair = query(zoo.commits[0], zoo.commits[1]);
    check(&zoo, &objects, &pair, &["-M"], &[]).await;
    let changes = objects.changes(&pair, &Allowance::default()).await.unwrap();
    assert!(
        changes.iter().all(|change| matches!(change.status, crate::diff::Status::Renamed(_))),
        "{changes:?}"
    );
}

/// More files of one content than git looks at, next to others whose names several have.
#[tokio::test]
async fn renames_of_many_identical_files_are_git_s() {
    let made = |directory: &str, parents: Vec<usize>| {
        let same = (0..150).map(|n| (format!("{directory}/{n}/same"), "same\n".to_owned()));
        let alike = (0..3).map(|n| {
            let text: String = (0..40).map(|line| format!("{line} of {n}\n")).collect();
            (format!("{directory}/{n}/alike"), format!("{text}{directory}\n"))
        });
        let only = [(format!("{directory}/only"), format!("{}{directory}\n", "only\n".repeat(40)))];
        let files = same.chain(alike).chain(only);
        let files = files.map(|(path, text)| (path.into_bytes(), (0o100_644, text.into_bytes())));
        Made { files: files.collect(), parents, message: vec![b'm'], ..Made::default() }
    };
    let zoo = Zoo::make(ObjectFormat::Sha1, &[made("old", vec![]), made("new/er", vec![0])]).await;
    let pair = query(zoo.commits[0], zoo.commits[1]);
    let objects = zoo.objects().await;
    check(&zoo, &objects, &pair, &["-M"], &[]).await;
    let search = move |view: &crate::objects::View| {
        let changes = crate::diff::stream::changes_in_process(view, &pair, 400)?;
        Ok(changes.map(|changes| changes.len()))
    };
    assert_eq!(objects.read(search).await.unwrap(), Some(154), "git is not needed for so few");
}

#[tokio::test]
async fn permissions_that_do_not_count_are_no_change() {
    let zoo = Zoo::wild(ObjectFormat::Sha1, 1, 1).await;
    let blob = testing::pipe(&zoo.dir, &["hash-object", "-w", "--stdin"], b"text\n");
    let blob = Oid::parse_hex(blob.trim_ascii_end()).unwrap();
    let tree = |mode: &str| {
        let raw = [mode.as_bytes(), b" file\0", blob.as_bytes()].concat();
        let args = ["hash-object", "-t", "tree", "--literally", "-w", "--stdin"];
        Oid::parse_hex(testing::pipe(&zoo.dir, &args, &raw).trim_ascii_end()).unwrap()
    };
    let [group, usual, run] = ["100664", "100644", "100775"].map(tree);
    let objects = zoo.objects().await;
    for (old, new) in [(group, usual), (usual, run), (run, group)] {
        check(&zoo, &objects, &query(old, new), &["-M"], &[]).await;
    }
}

#[tokio::test]
async fn nothing_on_one_side_is_the_empty_tree() {
    let zoo = Zoo::wild(ObjectFormat::Sha256, 5, 5).await;
    let objects = zoo.objects().await;
    let tip = zoo.commits[4];
    let all = DiffQuery { new: Some(tip), ..DiffQuery::default() };
    let added = objects.changes(&all, &Allowance::default()).await.unwrap();
    let listed = testing::pipe(&zoo.dir, &["ls-tree", "-r", "-z", "--name-only", &tip.to_string()], b"");
    let paths: Vec<u8> = added.iter().flat_map(|change| [change.path(), b"\0"].concat()).collect();
    assert_eq!(paths, listed);
}

#[tokio::test]
async fn limits_are_kept_and_told() {
    let file = |n: usize| (format!("{n:02}").into_bytes(), (0o100_644, "line\n".repeat(10).into_bytes()));
    let binary = (b"zz".to_vec(), (0o100_644, b"a\0b".to_vec()));
    let files: Files = (0..20).map(file).chain([binary]).collect();
    let zoo = Zoo::make(ObjectFormat::Sha1, &[Made { files, ..Made::default() }]).await;
    let objects = zoo.objects().await;
    let all = DiffQuery { new: Some(zoo.commits[0]), ..DiffQuery::default() };
    let read = async |query: DiffQuery| {
        let mut diff = objects.diff(&query, &Allowance::default()).await.unwrap();
        let mut files = Vec::new();
        while let Some(file) = diff.next().await.unwrap() {
            files.push(file);
        }
        (diff.n_changes(), files)
    };
    let (n, files) = read(all.clone()).await;
    assert_eq!((n, files.len()), (21, 21));
    assert_eq!(files[20].hunks, Err(NoHunks::Binary { old_bytes: 0, new_bytes: 3 }));
    assert!(files[..20].iter().all(|file| file.n_added == 10 && !render(file).is_empty()));
    let limits = DiffLimits { max_files: 5, ..DiffLimits::default() };
    assert_eq!(read(DiffQuery { limits, ..all.clone() }).await.1.len(), 5);
    let limits = DiffLimits { max_lines: 25, ..DiffLimits::default() };
    let (_, files) = read(DiffQuery { limits, ..all.clone() }).await;
    let told: Vec<bool> = files[..5].iter().map(|file| file.is_truncated).collect();
    assert_eq!(told, [false, false, true, true, true]);
    assert_eq!(files[4].hunks, Err(NoHunks::LimitReached));
    let limits = DiffLimits { max_bytes: 120, ..DiffLimits::default() };
    let (_, files) = read(DiffQuery { limits, ..all.clone() }).await;
    assert_eq!(files.iter().filter(|file| !render(file).is_empty()).count(), 2);
    let mut counting = all;
    counting.file.max_lines = 0;
    let (_, files) = read(counting).await;
    assert_eq!(files.iter().map(|file| file.n_added).sum::<u64>(), 200, "counted without hunks");
}

#[tokio::test]
async fn versions_are_paired_as_by_range_diff() {
    let file = |text: &str| Files::from([(b"f".to_vec(), (0o100_644, text.as_bytes().to_vec()))]);
    let made = |parents: Vec<usize>, text: &str, message: &str| Made {
        parents,
        files: file(text),
        message: message.as_bytes().to_vec(),
        ..Made::default()
    };
    let commits = [
        made(vec![], "1\n2\n3\n4\n5\n", "base"),
        made(vec![0], "one\n2\n3\n4\n5\n", "first"),
        made(vec![1], "one\n2\n3\n4\nfive\n", "second"),
        made(vec![0], "one\n2\n3\n4\n5\n", "first\n\nreworded"),
        made(vec![3], "one\n2\n3\n4\nfive\n", "second"),
        made(vec![4], "one\n2\nthree\n4\nfive\n", "third"),
    ];
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    let objects = zoo.objects().await;
    let at = |n: usize| zoo.commits[n];
    let versions = Versions { old: (at(0), at(2)), new: (at(0), at(5)) };
    let pairs = objects.range_diff(versions, &Allowance::default()).await.unwrap();
    let shown: Vec<_> =
        pairs.iter().map(|pair| (pair.old, pair.new, pair.is_same, &pair.subject[..])).collect();
    assert_eq!(
        shown,
        [
            (Some((1, at(1))), Some((1, at(3))), false, &b"first"[..]),
            (Some((2, at(2))), Some((2, at(4))), true, b"second"),
            (None, Some((3, at(5))), false, b"third"),
        ]
    );
    let mut patch = objects.range_diff_patch(versions, &Allowance::default()).await.unwrap();
    let text = patch.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&text).contains("+    reworded"), "{text:?}");
}

/// Counts as `--numstat` does; `None` for what it calls binary.
async fn counted(objects: &Objects, query: &DiffQuery) -> Vec<Option<(u64, u64)>> {
    let query = DiffQuery { file: query.file.counting(), ..query.clone() };
    let mut diff = objects.diff(&query, &Allowance::default()).await.unwrap();
    let mut counts = Vec::new();
    while let Some(file) = diff.next().await.unwrap() {
        counts.push(file.hunks.is_ok().then_some((file.n_added, file.n_deleted)));
    }
    counts
}

fn numstat(zoo: &Zoo, old: Oid, new: Oid) -> Vec<Option<(u64, u64)>> {
    let listed = zoo.git(&["diff-tree", "-r", "-M", "--numstat", &old.to_string(), &new.to_string()]);
    let count = |line: &str| {
        let mut words = line.split('\t').map(|word| word.parse().ok());
        Some((words.next()??, words.next()??))
    };
    listed.lines().map(count).collect()
}

#[tokio::test]
async fn lines_of_large_and_of_many_files_are_counted_as_by_git() {
    let lines = |n: usize, odd: usize| {
        let line = |at: usize| if at.is_multiple_of(odd) { format!("odd {at}\n") } else { format!("{at}\n") };
        (0..n).map(line).collect::<String>().into_bytes()
    };
    let made = |odd: usize, parents: Vec<usize>| {
        let mut files = Files::new();
        for n in 0..700 {
            files.insert(format!("many/{n}").into_bytes(), (0o100_644, lines(n % 90, odd)));
        }
        files.insert(b"large".to_vec(), (0o100_644, lines(200_000, odd)));
        files.insert(format!("large{odd}").into_bytes(), (0o100_644, lines(300_000, odd)));
        files.insert(b"binary".to_vec(), (0o100_644, vec![0, u8::try_from(odd).unwrap()]));
        Made { files, parents, message: vec![b'm'], ..Made::default() }
    };
    let zoo = Zoo::make(ObjectFormat::Sha1, &[made(7, vec![]), made(11, vec![0])]).await;
    let (old, new) = (zoo.commits[0], zoo.commits[1]);
    let found = counted(&zoo.objects().await, &query(old, new)).await;
    assert!(found.len() > 600, "{}", found.len());
    assert_eq!(found, numstat(&zoo, old, new));
}

#[tokio::test]
async fn files_too_large_to_be_counted_are_told() {
    let made = |text: &str, n: usize, parents: Vec<usize>| {
        let files = Files::from([(b"f".to_vec(), (0o100_644, text.repeat(n).into_bytes()))]);
        Made { files, parents, message: vec![b'm'], ..Made::default() }
    };
    let commits =
        [made("a\n", 1, vec![]), made("\n", 1 << 21, vec![0]), made("a long line\n", 2 << 20, vec![1])];
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    let objects = zoo.objects().await;
    let told = async |old: Option<Oid>, new: Oid| {
        let file = DiffQuery::default().file.counting();
        let query = DiffQuery { old, new: Some(new), file, ..DiffQuery::default() };
        let mut diff = objects.diff(&query, &Allowance::default()).await.unwrap();
        let file = diff.next().await.unwrap().unwrap();
        (file.hunks == Err(NoHunks::TooLarge), file.n_added)
    };
    let [few, many, large] = [0, 1, 2].map(|n| zoo.commits[n]);
    assert_eq!(told(Some(few), many).await, (true, 0), "a million lines are not compared");
    assert_eq!(told(None, many).await, (false, 1 << 21), "lines of a new file are only counted");
    assert_eq!(told(None, large).await, (true, 0));
}
