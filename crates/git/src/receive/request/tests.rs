use hakata_names::ObjectFormat;
use hakata_pkt_line::{FLUSH, encode};
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

use super::{PushLimits, PushRequest, ReadPushError, ReportStatus, read_request};

const A: &str = "8ab686eafeb1f44702738c8b0f24f2567c36da6d";
const ZERO: &str = "0000000000000000000000000000000000000000";

fn wire(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    lines.iter().for_each(|line| encode(line.as_bytes(), &mut out));
    out.extend_from_slice(FLUSH);
    out
}

async fn read(wire: &[u8]) -> Result<Option<PushRequest>, ReadPushError> {
    read_request(&mut &wire[..], ObjectFormat::Sha1, &PushLimits { n_updates: 3, ..PushLimits::default() })
        .await
}

#[tokio::test]
async fn a_push_is_read_as_far_as_its_pack() {
    let mut bytes = wire(&[
        &format!("shallow {A}"),
        &format!(
            "{ZERO} {A} refs/heads/main\0 report-status-v2 side-band-64k push-options agent=git/2 object-format=sha1"
        ),
        &format!("{A} {ZERO} refs/tags/t"),
    ]);
    bytes.extend(wire(&["topic=x", "ci.skip\n"]));
    bytes.extend_from_slice(b"PACK....");
    let mut input = &bytes[..];
    let request =
        read_request(&mut input, ObjectFormat::Sha1, &PushLimits::default()).await.unwrap().unwrap();
    assert_eq!(request.updates.len(), 2);
    assert_eq!(request.updates[0].old, None);
    assert_eq!(request.updates[1].new, None);
    assert_eq!(request.options, ["topic=x", "ci.skip"]);
    assert_eq!(request.shallow.len(), 1);
    assert_eq!(request.capabilities.report, ReportStatus::V2);
    assert_eq!(request.capabilities.agent.as_deref(), Some("git/2"));
    assert!(request.capabilities.side_band && !request.capabilities.atomic && request.has_pack());
    let mut rest = Vec::new();
    input.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"PACK....", "the pack is left for index-pack");
}

#[tokio::test]
async fn nothing_to_push_and_nothing_but_deletions() {
    assert_eq!(read(b"").await.unwrap(), None);
    assert_eq!(read(b"0000").await.unwrap(), None);
    let request = read(&wire(&[&format!("{A} {ZERO} refs/heads/x\0report-status")])).await.unwrap().unwrap();
    assert!(!request.has_pack(), "a deletion has no pack");
    assert_eq!(request.capabilities.report, ReportStatus::V1);
}

#[tokio::test]
async fn a_name_that_cannot_be_is_refused_alone() {
    let long = format!("refs/heads/{}", "a/".repeat(600));
    for name in ["refs/heads/a..b", "HEAD", "refs/heads/x.lock", "refs/heads/a\u{1b}[31m", &long] {
        let bytes =
            wire(&[&format!("{ZERO} {A} refs/heads/good\0report-status"), &format!("{ZERO} {A} {name}")]);
        let request = read(&bytes).await.unwrap().unwrap();
        assert_eq!((request.updates.len(), request.refused.len()), (1, 1), "{name}");
        assert!(request.refused[0].name.iter().all(|byte| !byte.is_ascii_control() && *byte != b' '));
    }
}

#[tokio::test]
async fn hostile_requests_are_refused() {
    let ok = format!("{ZERO} {A} refs/heads/m");
    let cases: [(&str, Vec<u8>, &str); 14] = [
        ("not a pkt-line", b"GET / HTTP/1.1".to_vec(), "protocol error"),
        ("cut within a line", b"00a0abc".to_vec(), "too early"),
        ("cut before the flush", wire(&[&ok])[..wire(&[&ok]).len() - 4].to_vec(), "too early"),
        ("delim", b"0001".to_vec(), "protocol error"),
        ("empty line", b"0004".to_vec(), "protocol error"),
        ("no name", wire(&[&format!("{ZERO} {A} ")]), "protocol error"),
        ("short id", wire(&["abc def refs/heads/m"]), "protocol error"),
        ("upper case id", wire(&[&format!("{ZERO} {} refs/heads/m", A.to_uppercase())]), "protocol error"),
        ("zero shallow", wire(&[&format!("shallow {ZERO}"), &ok]), "protocol error"),
        ("twice", wire(&[&ok, &ok]), "multiple updates"),
        ("signed", wire(&["push-cert\0report-status"]), "signed pushes"),
        ("other format", wire(&[&format!("{ok}\0object-format=sha256")]), "mismatched object format"),
        ("sha256 ids", wire(&[&format!("{z} {z} refs/heads/m", z = "a".repeat(64))]), "protocol error"),
        (
            "too many",
            wire(&["1", "2", "3", "4"].map(|n| format!("{ok}{n}")).each_ref().map(String::as_str)),
            "too many ref updates in one push (limit 3)",
        ),
    ];
    for (what, bytes, message) in cases {
        let refused = read(&bytes).await.expect_err(what).to_string();
        assert!(refused.contains(message), "{what}: {refused}");
    }
}

#[tokio::test]
async fn a_sha256_repository_wants_to_be_asked_for() {
    let (a, zero) = ("ab".repeat(32), ObjectFormat::Sha256.zero_hex());
    let line = |words: &str| wire(&[&format!("{zero} {a} refs/heads/m\0{words}")]);
    let limits = PushLimits::default();
    let read = read_request(&mut &line("object-format=sha256")[..], ObjectFormat::Sha256, &limits).await;
    assert_eq!(read.unwrap().unwrap().updates[0].new.unwrap().to_string(), a);
    let refused = read_request(&mut &line("report-status")[..], ObjectFormat::Sha256, &limits).await;
    assert!(matches!(refused, Err(ReadPushError::Format { .. })));
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(read(&bytes));
        let mut framed = Vec::new();
        encode(&bytes, &mut framed);
        framed.extend_from_slice(FLUSH);
        let _ = runtime.block_on(read(&framed));
    }
}
