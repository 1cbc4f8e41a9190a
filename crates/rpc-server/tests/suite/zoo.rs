//! Histories with everything that is odd, the same every time, as scripts for git-fast-import(1).

use std::collections::BTreeMap;
use std::fmt::Write;

use hakata_names::ObjectFormat;

/// Paths whose names git, shells and people treat in their own ways.
const PATHS: [&[u8]; 18] = [
    b"a",
    b"b.txt",
    b"dir/one",
    b"dir/two",
    b"dir/deep/three",
    b"dir/deep/four",
    b"dir.x",
    b"dir0",
    b"with space",
    b"new\nline",
    b"tab\there",
    b"latin-\xe9\xff",
    b"-dash",
    b":(glob)*",
    "日本/語".as_bytes(),
    b"q\"uote",
    b"base64:name",
    b"1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/leaf",
];

/// Names of people and of the encodings that their commits are written in.
const PEOPLE: [(&[u8], Option<&str>); 4] = [
    ("Åsa Öberg <asa@example.org>".as_bytes(), None),
    (b"J\xfcrgen <juergen@example.org>", Some("ISO-8859-1")),
    (b"\x8eR\x93c <yamada@example.org>", Some("Shift_JIS")),
    (b"J\xfcrgen Untold <untold@example.org>", None),
];

/// A generator of numbers that is the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n.max(1)
    }
}

type Files = BTreeMap<Vec<u8>, (u32, Vec<u8>)>;

/// Writes commits one after another; what they are called is their number.
#[derive(Default)]
struct Script {
    text: Vec<u8>,
    commits: Vec<Files>,
    format: Option<ObjectFormat>,
}

impl Script {
    fn commit(&mut self, branch: &str, parents: &[usize], person: usize, files: Files) -> usize {
        let n = self.commits.len();
        let (who, encoding) = PEOPLE[person % PEOPLE.len()];
        // Dates never fall, and often stay.
        let time = 1_700_000_000 + n / 3 * 60;
        self.add(format!("commit refs/heads/{branch}\nmark :{}\nauthor ", n + 1).as_bytes());
        self.add(who);
        self.add(format!(" {time} +0900\ncommitter C O Mitter <c@example.org> {time} -0330\n").as_bytes());
        if let Some(encoding) = encoding {
            self.add(format!("encoding {encoding}\n").as_bytes());
        }
        let message = format!("Commit number {n}\n\nWith {} files\n\nKey-{n}: value\n", files.len());
        self.data(message.as_bytes());
        for (nth, parent) in parents.iter().enumerate() {
            let word = if nth == 0 { "from" } else { "merge" };
            self.add(format!("{word} :{}\n", parent + 1).as_bytes());
        }
        self.add(b"deleteall\n");
        for (path, (mode, content)) in &files {
            let path = path.iter().fold(String::new(), |mut path, byte| {
                let _ = write!(path, "\\{byte:03o}");
                path
            });
            if *mode == 0o160_000 {
                let oid = "ab".repeat(self.format.unwrap_or(ObjectFormat::Sha1).oid_len());
                self.add(format!("M {mode:o} {oid} \"{path}\"\n").as_bytes());
            } else {
                self.add(format!("M {mode:o} inline \"{path}\"\n").as_bytes());
                self.data(content);
            }
        }
        self.add(b"\n");
        self.commits.push(files);
        n
    }

    fn add(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
    }

    fn data(&mut self, content: &[u8]) {
        self.add(format!("data {}\n", content.len()).as_bytes());
        self.add(content);
        self.add(b"\n");
    }

    fn tag(&mut self, name: &str, at: usize) {
        let tag = format!("tag {name}\nfrom :{}\ntagger Å <a@example.org> {} +0000\n", at + 1, 1_700_009_000);
        self.add(tag.as_bytes());
        self.data(b"a release\n");
    }

    fn point(&mut self, ref_name: &str, at: usize) {
        self.add(format!("reset {ref_name}\nfrom :{}\n\n", at + 1).as_bytes());
    }
}

/// Merges of every kind, octopuses among them, several roots, links, submodules and odd names.
pub(crate) fn wild(format: ObjectFormat, n: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut script = Script { format: Some(format), ..Script::default() };
    for at in 0..n {
        let wanted = match dice.roll(20) {
            0 => 0,
            1..=12 => 1,
            13..=18 => 2,
            _ => 4,
        };
        let mut parents: Vec<usize> = Vec::new();
        for _ in 0..wanted.min(at) {
            let parent = at - 1 - dice.roll(at.min(6));
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        let mut files = Files::new();
        for path in PATHS {
            if parents.is_empty() {
                break;
            }
            // Merges mostly keep one side.
            let from = if dice.roll(3) > 0 { parents.len() - 1 } else { dice.roll(parents.len()) };
            if let Some(file) = script.commits[parents[from]].get(path) {
                files.insert(path.to_vec(), file.clone());
            }
        }
        for _ in 0..dice.roll(4) {
            let path = PATHS[dice.roll(PATHS.len())].to_vec();
            let file = match dice.roll(9) {
                0 => {
                    files.remove(&path);
                    continue;
                }
                1 => (0o100_755, b"#!/bin/sh\n".to_vec()),
                2 => (0o120_000, b"target".to_vec()),
                3 => (0o160_000, Vec::new()),
                // The same content at times, so that changes are undone.
                4 => (0o100_644, b"often\n".to_vec()),
                5 => (0o100_644, b"bin\0ary\xff\n".repeat(20)),
                _ => (0o100_644, format!("{at}\nlines\nof text\nwithout end").into_bytes()),
            };
            files.insert(path, file);
        }
        let branch = if dice.roll(4) == 0 { format!("b/{at}") } else { "main".to_owned() };
        script.commit(&branch, &parents, dice.roll(9), files);
    }
    for at in (0..n).step_by(11) {
        script.tag(&format!("v{at}"), at);
        script.point(&format!("refs/tags/light-{at}"), at);
    }
    script.point("refs/heads/main", n - 1);
    script.text
}

/// Files that move and change at once, and change only in white space.
pub(crate) fn moving(n: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let names = ["a/x.c", "a/y.c", "b/x.c", "b/z.h", "c/README", "README", "d/e/f/y.c", "Makefile", "x.c"];
    let (mut script, mut files) = (Script::default(), Files::new());
    for at in 0..n {
        for _ in 0..=dice.roll(4) {
            let (from, to) = (names[dice.roll(names.len())], names[dice.roll(names.len())]);
            let fresh = |n: usize| (0..n).map(|line| format!("int line_{} = {from}_{at};\n", line * line));
            let file = files.remove(from.as_bytes());
            let text = file.map_or_else(|| fresh(40).collect(), |(_, text)| String::from_utf8(text).unwrap());
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for _ in 0..dice.roll(6) {
                let place = dice.roll(lines.len());
                match dice.roll(5) {
                    0 if lines.len() > 1 => drop(lines.remove(place)),
                    1 => lines.insert(place, format!("void f_{at}(void)\r")),
                    2 => lines[place] = lines[place].replace(' ', "  "),
                    3 => lines[place].push(' '),
                    _ => lines[place].push_str(" /* and more */"),
                }
            }
            files.insert(to.as_bytes().to_vec(), (0o100_644, (lines.join("\n") + "\n").into_bytes()));
        }
        let parents: Vec<usize> = at.checked_sub(1).into_iter().collect();
        script.commit("main", &parents, at, files.clone());
    }
    script.point("refs/heads/half", n / 2);
    script.text
}

/// Two branches that merge each other again and again: every pair has two merge bases.
pub(crate) fn criss_cross() -> Vec<u8> {
    let mut script = Script::default();
    let files = |n: usize| Files::from([(b"f".to_vec(), (0o100_644, format!("{n}\n").into_bytes()))]);
    let root = script.commit("main", &[], 0, files(0));
    let mut sides =
        [script.commit("main", &[root], 0, files(1)), script.commit("other", &[root], 0, files(2))];
    for n in 0..10 {
        let [one, other] = sides;
        sides = [
            script.commit("main", &[one, other], 0, files(10 + n)),
            script.commit("other", &[other, one], 1, files(20 + n)),
        ];
    }
    script.text
}

/// More entries, refs and commits than fit into one part.
pub(crate) fn wide(n: usize) -> Vec<u8> {
    let mut script = Script::default();
    let file = |n: usize| (format!("many/{n:05}").into_bytes(), (0o100_644, format!("{n}\n").into_bytes()));
    let files: Files = (0..n).map(file).collect();
    let mut at = script.commit("main", &[], 0, files);
    for n in 0..250 {
        let few = Files::from([file(n % 3), (b"log".to_vec(), (0o100_644, format!("{n}\n").into_bytes()))]);
        at = script.commit("main", &[at], 0, few);
    }
    for n in 0..n {
        script.point(&format!("refs/heads/topic/{n:04}"), n % at);
    }
    script.text
}
