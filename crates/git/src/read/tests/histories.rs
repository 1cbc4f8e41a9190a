use std::ops::ControlFlow;

use hakata_names::{ObjectFormat, Oid, TreePath};

use super::zoo::{Made, PATHS, Zoo};
use crate::read::{AheadBehind, Allowance, LogQuery, Merges, Parents};

/// How much of a history the commit-graph knows.
const GRAPHS: [Option<usize>; 3] = [None, Some(3), Some(1)];

async fn log(zoo: &Zoo, query: LogQuery) -> Vec<Oid> {
    let read = zoo.read(move |view| {
        let mut found = Vec::new();
        view.log(&query, &mut |oid| {
            found.push(oid);
            ControlFlow::Continue(())
        })?;
        Ok(found)
    });
    read.await.unwrap()
}

fn rev_list(zoo: &Zoo, args: &[&str]) -> Vec<Oid> {
    zoo.oids(&[&["--literal-pathspecs", "rev-list"], args].concat())
}

#[tokio::test]
async fn logs_are_git_s() {
    for graph in GRAPHS {
        let zoo = Zoo::wild(ObjectFormat::Sha1, 60, 11).await;
        if let Some(share) = graph {
            zoo.write_commit_graph(share);
        }
        let tips = vec![zoo.commits[59], zoo.commits[57]];
        let args = tips.iter().map(ToString::to_string).collect::<Vec<_>>();
        let hidden = format!("^{}", zoo.commits[48]);
        let base = LogQuery { tips, ..LogQuery::default() };
        let hide = vec![zoo.commits[48]];
        let cases: [(LogQuery, &[&str]); 10] = [
            (base.clone(), &[]),
            (LogQuery { hide: hide.clone(), ..base.clone() }, &[&hidden]),
            (LogQuery { parents: Parents::First, ..base.clone() }, &["--first-parent"]),
            (LogQuery { parents: Parents::First, hide, ..base.clone() }, &["--first-parent", &hidden]),
            (LogQuery { merges: Merges::Omitted, ..base.clone() }, &["--no-merges"]),
            (LogQuery { merges: Merges::Only, ..base.clone() }, &["--merges"]),
            (LogQuery { since: Some(1_700_000_600), ..base.clone() }, &["--max-age=1700000600"]),
            (LogQuery { until: Some(1_700_000_600), ..base.clone() }, &["--min-age=1700000600"]),
            (LogQuery { message: Some("WITH 5".into()), ..base.clone() }, &["-F", "-i", "--grep=WITH 5"]),
            (
                LogQuery { author: Some("ASA@exam".into()), ..base.clone() },
                &["-F", "-i", "--author=ASA@exam"],
            ),
        ];
        for (query, flags) in cases {
            let expected = rev_list(&zoo, &[flags, &[&*args[0], &args[1]]].concat());
            assert_eq!(log(&zoo, query).await, expected, "{flags:?}, graph {graph:?}");
        }
    }
}

#[tokio::test]
async fn logs_of_paths_are_simplified_as_git_does() {
    for (graph, seed) in GRAPHS.into_iter().zip([21, 22, 23]) {
        let zoo = Zoo::wild(ObjectFormat::Sha1, 50, seed).await;
        if let Some(share) = graph {
            zoo.write_commit_graph(share);
        }
        let hide = format!("^{}", zoo.commits[30]);
        for path in PATHS.into_iter().chain([&b"dir"[..], b"dir/deep", b"nothing", b"a/below"]) {
            let Ok(shown) = std::str::from_utf8(path) else { continue };
            for tip in [zoo.commits[49], zoo.commits[46]] {
                let paths = vec![TreePath::parse(path).unwrap()];
                let base = LogQuery { tips: vec![tip], paths, ..LogQuery::default() };
                let tip = tip.to_string();
                let expected = rev_list(&zoo, &[&tip, "--", shown]);
                assert_eq!(log(&zoo, base.clone()).await, expected, "{shown:?} of {tip}, graph {graph:?}");
                let expected = rev_list(&zoo, &["--first-parent", &tip, "--", shown]);
                let first = LogQuery { parents: Parents::First, ..base.clone() };
                assert_eq!(log(&zoo, first).await, expected, "{shown:?} of {tip}, first parents");
                let expected = rev_list(&zoo, &[&tip, &hide, "--", shown]);
                let range = LogQuery { hide: vec![zoo.commits[30]], ..base };
                assert_eq!(log(&zoo, range).await, expected, "{shown:?} of {hide}..{tip}, graph {graph:?}");
            }
        }
        let paths = [&b"a"[..], b"dir/deep", b"-dash"].map(|path| TreePath::parse(path).unwrap()).to_vec();
        let query = LogQuery { tips: vec![zoo.commits[49]], paths, ..LogQuery::default() };
        let expected = rev_list(&zoo, &[&zoo.commits[49].to_string(), "--", "a", "dir/deep", "-dash"]);
        assert_eq!(log(&zoo, query).await, expected, "several paths");
    }
}

#[tokio::test]
async fn pages_make_up_the_whole_log() {
    let zoo = Zoo::wild(ObjectFormat::Sha256, 40, 31).await;
    zoo.write_commit_graph(2);
    let query = LogQuery { tips: vec![zoo.commits[39]], ..LogQuery::default() };
    let whole = log(&zoo, query.clone()).await;
    let read = zoo.read(move |view| {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = view.log_page(&query, after.as_ref(), 7)?;
            after = page.commits.last().copied();
            paged.extend(page.commits);
            if !page.has_more {
                break;
            }
        }
        Ok((paged, view.count_commits(&query)?))
    });
    assert_eq!(read.await.unwrap(), (whole.clone(), whole.len() as u64));
}

#[tokio::test]
async fn merge_bases_are_git_s() {
    for graph in GRAPHS {
        let zoo = Zoo::wild(ObjectFormat::Sha1, 60, 41).await;
        if let Some(share) = graph {
            zoo.write_commit_graph(share);
        }
        for (n, one) in zoo.commits.iter().copied().enumerate().skip(20).step_by(2) {
            for other in [n - 1, n - 2, n / 2, 59 - n / 4].map(|at| zoo.commits[at]) {
                let args = ["merge-base", "--all", &one.to_string(), &other.to_string()];
                let output = crate::testing::command(&zoo.dir, &args).output().unwrap();
                let mut expected: Vec<String> =
                    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
                let found = zoo.read(move |view| view.merge_bases(&one, &[other]));
                let mut found: Vec<String> = found.await.unwrap().iter().map(ToString::to_string).collect();
                expected.sort();
                found.sort();
                assert_eq!(found, expected, "{one} {other}, graph {graph:?}");
            }
        }
    }
}

#[tokio::test]
async fn ahead_and_behind_are_git_s() {
    for graph in GRAPHS {
        let zoo = Zoo::wild(ObjectFormat::Sha1, 60, 51).await;
        if let Some(share) = graph {
            zoo.write_commit_graph(share);
        }
        let pairs: Vec<(Oid, Oid)> = (0..60)
            .flat_map(|n| [(n * 7 + 13) % 60, 59, n].map(|m| (zoo.commits[n], zoo.commits[m])))
            .collect();
        let asked = pairs.clone();
        let found = zoo.read(move |view| view.ahead_behind(&asked)).await.unwrap();
        for ((left, right), found) in pairs.into_iter().zip(found) {
            let counted = zoo.git(&["rev-list", "--left-right", "--count", &format!("{left}...{right}")]);
            let mut counted = counted.split_whitespace().map(|n| n.parse().unwrap());
            let expected = AheadBehind { ahead: counted.next().unwrap(), behind: counted.next().unwrap() };
            assert_eq!(found, expected, "{left} {right}, graph {graph:?}");
        }
        let tips = zoo.commits.clone();
        for target in zoo.commits.iter().copied().step_by(5) {
            let listed =
                zoo.oids(&["for-each-ref", "--format=%(objectname)", "--contains", &target.to_string()]);
            let tips = tips.clone();
            let expected: Vec<bool> = tips.iter().map(|tip| listed.contains(tip)).collect();
            let found = zoo.read(move |view| view.tips_containing(&target, &tips));
            assert_eq!(found.await.unwrap(), expected, "{target}, graph {graph:?}");
        }
    }
}

/// Dates that fall from parent to child: the walks may not rely on them.
#[tokio::test]
async fn clocks_that_go_backwards_change_no_set() {
    let commits: Vec<Made> = (0..50_usize)
        .map(|n| {
            let parents = if n == 0 { vec![] } else { vec![n - 1, (n * 5 / 7).saturating_sub(1).min(n - 1)] };
            let time = 1_000_000 - (n as u64 * 7_919) % 50_000;
            let mut made = Made { parents, time, message: format!("{n}").into_bytes(), ..Made::default() };
            made.parents.dedup();
            made
        })
        .collect();
    for graph in GRAPHS {
        let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
        if let Some(share) = graph {
            zoo.write_commit_graph(share);
        }
        for n in (1..50).step_by(4) {
            let m = n * 3 % 50;
            let (left, right) = (zoo.commits[n], zoo.commits[m]);
            let found = zoo.read(move |view| {
                Ok((view.merge_bases(&left, &[right])?, view.ahead_behind(&[(left, right)])?[0]))
            });
            let (bases, apart) = found.await.unwrap();
            let older = if n < m { left } else { right };
            assert_eq!(bases, [older], "in a chain the older one is the merge base");
            // Not what git counts, which believes the dates if it has no commit-graph.
            let expected =
                AheadBehind { ahead: n.saturating_sub(m) as u64, behind: m.saturating_sub(n) as u64 };
            assert_eq!(apart, expected, "every commit is in the chain, graph {graph:?}");
        }
    }
}

/// Its ways to a root are short, though it is young: a walk that went by their length would come to it last of all.
#[tokio::test]
async fn a_young_history_from_elsewhere_costs_its_own_commits() {
    let made = |n: usize, parents: Vec<usize>, time: u64| Made {
        parents,
        time,
        message: n.to_string().into_bytes(),
        ..Made::default()
    };
    let mut commits: Vec<Made> =
        (0..300).map(|n| made(n, n.checked_sub(1).into_iter().collect(), 1_000 + n as u64)).collect();
    commits.push(made(300, vec![], 1_290));
    commits.push(made(301, vec![300], 1_291));
    commits.push(made(302, vec![299, 301], 1_300));
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits).await;
    zoo.write_commit_graph(1);
    let (tip, before) = (zoo.commits[302], zoo.commits[298]);
    let allowance = Allowance { entries: Some(60), ..Allowance::default() };
    let count = move |view: &crate::objects::View| {
        Ok((view.ahead_behind(&[(tip, before)])?[0], view.merge_bases(&tip, &[before])?))
    };
    let (apart, bases) = zoo.objects().await.read_within(&allowance, count).await.unwrap();
    assert_eq!(apart, AheadBehind { ahead: 4, behind: 0 });
    assert_eq!(bases, [before]);
}

/// Git 2.47 corrects dates that are more than 68 years wrong by too little.
#[tokio::test]
async fn clocks_that_were_decades_wrong_change_no_set() {
    let times = [100, 6_000_000_000, 5, 7, 6_100_000_000, 9, 10, 11];
    let parents = [vec![], vec![0], vec![1], vec![0], vec![3], vec![2, 4], vec![3], vec![5, 6]];
    let made = |(n, (parents, time)): (usize, (Vec<usize>, u64))| Made {
        parents,
        time,
        message: n.to_string().into_bytes(),
        ..Made::default()
    };
    let commits = parents.clone().into_iter().zip(times).enumerate().map(made);
    let zoo = Zoo::make(ObjectFormat::Sha1, &commits.collect::<Vec<_>>()).await;
    zoo.write_commit_graph(1);
    // Not what git counts, which believes the dates.
    let mut reached: Vec<u8> = Vec::new();
    for (n, parents) in parents.iter().enumerate() {
        reached.push(parents.iter().fold(1 << n, |all, parent| all | reached[*parent]));
    }
    for (left, of_left) in zoo.commits.clone().into_iter().zip(&reached) {
        for (right, of_right) in zoo.commits.clone().into_iter().zip(&reached) {
            let expected = AheadBehind {
                ahead: (of_left & !of_right).count_ones().into(),
                behind: (of_right & !of_left).count_ones().into(),
            };
            let found = zoo.read(move |view| view.ahead_behind(&[(left, right)])).await.unwrap();
            assert_eq!(found, [expected], "{left} {right}");
        }
    }
}

#[tokio::test]
async fn a_criss_cross_has_two_merge_bases_and_strangers_have_none() {
    let made = |parents: Vec<usize>, n: u64| Made {
        parents,
        message: n.to_string().into_bytes(),
        time: 100 + n,
        ..Made::default()
    };
    let parents = [vec![], vec![0], vec![0], vec![1, 2], vec![2, 1], vec![3], vec![4], vec![]];
    let commits: Vec<Made> = parents.into_iter().zip(0..).map(|(parents, n)| made(parents, n)).collect();
    let zoo = Zoo::make(ObjectFormat::Sha256, &commits).await;
    let at = |n: usize| zoo.commits[n];
    let (left, right, stranger, newer, older) = (at(5), at(6), at(7), at(2), at(1));
    let read = zoo.read(move |view| {
        assert_eq!(view.merge_bases(&left, &[right])?, [newer, older], "the newest first");
        assert_eq!(view.merge_bases(&left, &[stranger])?, []);
        assert_eq!(view.merge_bases(&left, &[stranger, older])?, [older], "as of a merge of the others");
        assert_eq!(view.merge_bases(&left, &[left])?, [left]);
        Ok(())
    });
    read.await.unwrap();
}

#[tokio::test]
async fn an_empty_repository_has_no_answers_and_no_errors_of_its_own() {
    let zoo = Zoo::make(ObjectFormat::Sha1, &[]).await;
    let read = zoo.read(|view| {
        let resolved = view.resolve(b"HEAD", &|_| None);
        assert!(matches!(resolved, Err(crate::objects::ReadError::NotFound(_))), "{resolved:?}");
        assert_eq!(view.count_commits(&LogQuery::default())?, 0);
        assert_eq!(view.tree_changes(None, None, &[])?, []);
        let empty = Oid::parse_hex(b"4b825dc642cb6eb9a060e54bf8d69288fbee4904").unwrap();
        assert_eq!(view.find_entry(&empty, &TreePath::parse(b"a").unwrap())?, None);
        assert_eq!(
            view.resolve(empty.to_string().as_bytes(), &|_| None)?,
            empty,
            "known without being there"
        );
        Ok(())
    });
    read.await.unwrap();
}
