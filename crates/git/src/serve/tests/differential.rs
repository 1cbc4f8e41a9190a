//! The same bytes to git and to us.

use hakata_names::{ObjectFormat, Oid};

use super::{V0, V2, ask, normalised, v2};
use crate::GitDir;
use crate::serve::{Mode, Protocol, ProtocolVersion, Service, advertise};
use crate::testing::{self, Bench};

const BOTH: [ObjectFormat; 2] = [ObjectFormat::Sha1, ObjectFormat::Sha256];

/// What git is told so that it offers what we offer.
const CONFIG: [&str; 12] = [
    "-c",
    "transfer.advertiseObjectInfo=true",
    "-c",
    "uploadpack.allowFilter=true",
    "-c",
    "uploadpack.allowAnySHA1InWant=true",
    "-c",
    "uploadpack.allowRefInWant=true",
    "-c",
    "uploadpack.allowSidebandAll=true",
    "-c",
    "receive.advertisePushOptions=true",
];

fn git_says(dir: &GitDir, version: u8, args: &[&str], input: &[u8]) -> Vec<u8> {
    let args = [&CONFIG[..], args, &["."]].concat();
    let mut command = testing::command(dir, &args);
    command.env("GIT_PROTOCOL", format!("version={version}"));
    testing::feed(command, input)
}

/// Repositories of every shape that an advertisement can take.
async fn shapes(bench: &Bench, format: ObjectFormat) -> Vec<(&'static str, GitDir)> {
    let full = bench.history(format).0;
    let (detached, [one, ..]) = bench.history(format);
    testing::git(&detached, &["update-ref", "--no-deref", "HEAD", &one.to_string()]);
    let unborn = bench.history(format).0;
    testing::git(&unborn, &["symbolic-ref", "HEAD", "refs/heads/not/yet"]);
    let (tag_first, [one, ..]) = bench.history(format);
    testing::git(&tag_first, &["symbolic-ref", "HEAD", "refs/heads/none"]);
    testing::git(&tag_first, &["update-ref", "refs/a", "refs/tags/v1"]);
    testing::git(&tag_first, &["update-ref", "refs/heads/topic/a.b", &one.to_string()]);
    let empty = bench.repository(format);
    vec![
        ("full", full),
        ("detached", detached),
        ("unborn", unborn),
        ("tag first", tag_first),
        ("empty", empty),
    ]
}

#[tokio::test]
async fn advertisements_are_git_s() {
    let bench = Bench::new().await;
    for format in BOTH {
        for (shape, dir) in shapes(&bench, format).await {
            let snapshot = testing::snapshot(&dir, format);
            for (number, version) in
                [(0, ProtocolVersion::V0), (1, ProtocolVersion::V1), (2, ProtocolVersion::V2)]
            {
                for (service, program) in
                    [(Service::UploadPack, "upload-pack"), (Service::ReceivePack, "receive-pack")]
                {
                    let protocol = Protocol { version, mode: Mode::Stateless };
                    let ours = advertise(&snapshot, service, protocol, bench.git.capabilities()).concat();
                    let theirs = git_says(&dir, number, &[program, "--advertise-refs"], b"");
                    assert_eq!(
                        normalised(&ours),
                        normalised(&theirs),
                        "{format} {shape} v{number} {program}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn ls_refs_replies_are_git_s() {
    let bench = Bench::new().await;
    let requests: [&[&str]; 9] = [
        &[],
        &["peel", "symrefs", "unborn"],
        &["peel", "symrefs", "unborn", "ref-prefix HEAD", "ref-prefix refs/heads/", "ref-prefix refs/tags/"],
        &["symrefs", "ref-prefix refs/heads/main"],
        &["peel", "ref-prefix refs/tags/", "ref-prefix refs/tags/v", "ref-prefix refs/tags/v1"],
        &["peel", "ref-prefix "],
        &["symrefs", "ref-prefix HE"],
        &["unborn", "ref-prefix HEAD"],
        &["peel", "ref-prefix nothing", "ref-prefix refs/notes"],
    ];
    for format in BOTH {
        for (shape, dir) in shapes(&bench, format).await {
            for arguments in requests {
                let request = v2("ls-refs", format, arguments);
                let (served, ours) = ask(&bench, &dir, format, V2, &request).await;
                served.unwrap();
                let theirs = git_says(&dir, 2, &["upload-pack", "--stateless-rpc"], &request);
                assert_eq!(normalised(&ours), normalised(&theirs), "{format} {shape} {arguments:?}");
            }
        }
    }
}

/// Requests of version 2 and what they ask for.
fn fetches(oids: [Oid; 3]) -> Vec<Vec<String>> {
    let [one, two, three] = oids;
    let lines = |text: String| text.lines().map(str::to_owned).collect();
    vec![
        lines(format!("want {three}\ndone")),
        lines(format!("thin-pack\nofs-delta\nno-progress\ninclude-tag\nwant {three}\nhave {one}\ndone")),
        lines(format!("want {three}\nhave {one}")),
        lines(format!("wait-for-done\nwant {three}\nhave {one}")),
        lines(format!("no-progress\nwant {three}\ndeepen 1\ndone")),
        lines(format!("no-progress\nwant {three}\nshallow {two}\ndeepen 1\ndeepen-relative\ndone")),
        lines(format!("no-progress\nwant {three}\ndeepen-since 1600000000\ndone")),
        lines(format!("no-progress\nwant {three}\ndeepen-not refs/notes/x\ndone")),
        lines(format!("no-progress\nfilter blob:none\nwant {three}\ndone")),
        lines(format!("no-progress\nfilter combine:blob:none+tree:1\nwant {three}\ndone")),
        lines("no-progress\nwant-ref refs/heads/main\ndone".to_owned()),
        lines("no-progress\nsideband-all\nwant-ref HEAD\nwant-ref refs/notes/x\ndone".to_owned()),
        lines(format!("no-progress\nsideband-all\nwant {three}\nhave {two}\ndone")),
        lines(format!("wait-for-done\nhave {one}\nhave {two}")),
    ]
}

#[tokio::test]
async fn fetch_replies_are_git_s() {
    let bench = Bench::new().await;
    for format in BOTH {
        let (dir, oids) = bench.history(format);
        for lines in fetches(oids) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let request = v2("fetch", format, &lines);
            let (served, ours) = ask(&bench, &dir, format, V2, &request).await;
            served.unwrap();
            let theirs =
                git_says(&dir, 2, &["-c", "pack.threads=1", "upload-pack", "--stateless-rpc"], &request);
            assert_eq!(without_progress(&ours), without_progress(&theirs), "{format} {lines:?}");
        }
    }
}

#[tokio::test]
async fn replies_of_version_zero_are_git_s() {
    let bench = Bench::new().await;
    for format in BOTH {
        let (dir, [one, two, three]) = bench.history(format);
        let words = "multi_ack_detailed no-done side-band-64k thin-pack no-progress include-tag ofs-delta deepen-since \
                     deepen-not filter agent=git/2.47.3";
        let words = format!("{words} object-format={format}");
        let bodies = [
            vec![format!("want {three} {words}"), "0000".into(), "done".into()],
            vec![
                format!("want {three} {words}"),
                format!("want {one}"),
                "0000".into(),
                format!("have {two}"),
                "done".into(),
            ],
            vec![format!("want {three} {words}"), "0000".into(), format!("have {one}"), "0000".into()],
            vec![format!("want {three} {words}"), "deepen 1".into(), "0000".into(), "done".into()],
            vec![format!("want {three} {words}"), "filter blob:none".into(), "0000".into(), "done".into()],
            vec![
                format!("want {three} multi_ack ofs-delta object-format={format}"),
                "0000".into(),
                "done".into(),
            ],
        ];
        for body in bodies {
            let mut request = Vec::new();
            for line in &body {
                match line.as_str() {
                    "0000" => request.extend_from_slice(b"0000"),
                    line => hakata_pkt_line::encode(format!("{line}\n").as_bytes(), &mut request),
                }
            }
            let (served, ours) = ask(&bench, &dir, format, V0, &request).await;
            served.unwrap();
            let theirs =
                git_says(&dir, 0, &["-c", "pack.threads=1", "upload-pack", "--stateless-rpc"], &request);
            match body[0].contains("side-band") {
                true => assert_eq!(without_progress(&ours), without_progress(&theirs), "{format} {body:?}"),
                false => assert_eq!(ours, theirs, "{format} {body:?}"),
            }
        }
    }
}

#[tokio::test]
async fn object_info_replies_are_git_s() {
    let bench = Bench::new().await;
    for format in BOTH {
        let (dir, [one, ..]) = bench.history(format);
        let blob = testing::object(&dir, "blob", b"not committed");
        let absent = Oid::from_bytes(&vec![7; format.oid_len()]).unwrap();
        let line = |oid: &Oid| format!("oid {oid}");
        let (one, blob, absent) = (line(&one), line(&blob), line(&absent));
        for lines in [&["size", &one, &blob, &absent][..], &["size"], &[&one], &[]] {
            let request = v2("object-info", format, lines);
            let (served, ours) = ask(&bench, &dir, format, V2, &request).await;
            served.unwrap();
            let theirs = git_says(&dir, 2, &["upload-pack", "--stateless-rpc"], &request);
            assert_eq!(normalised(&ours), normalised(&theirs), "{format} {lines:?}");
        }
        let lost = testing::commit(&dir, "lost", &[]);
        let request = v2("object-info", format, &["size", &line(&lost)]);
        let (served, ours) = ask(&bench, &dir, format, V2, &request).await;
        served.unwrap();
        assert_eq!(
            normalised(&ours),
            ["size".to_owned(), format!("{lost} "), "Flush".to_owned()],
            "hidden is absent"
        );
    }
}

/// Drops band 2, whose timing differs from run to run, and joins band 1.
fn without_progress(wire: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
    use hakata_pkt_line::Packet;
    let mut buffer = bytes::BytesMut::from(wire);
    let (mut lines, mut pack) = (Vec::new(), Vec::new());
    while let Ok(Some(packet)) = hakata_pkt_line::decode(&mut buffer) {
        match packet {
            Packet::Data(line) if line.first() == Some(&2) => {}
            Packet::Data(line) if line.first() == Some(&1) => pack.extend_from_slice(&line[1..]),
            Packet::Data(line) => lines.push(line.to_vec()),
            special => lines.push(format!("{special:?}").into_bytes()),
        }
    }
    assert!(buffer.is_empty(), "whole packets only");
    (lines, pack)
}
