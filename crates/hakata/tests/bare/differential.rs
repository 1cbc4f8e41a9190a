//! The same requests to git's own server and to ours: status, header fields in order, body.

use std::collections::BTreeMap;

use crate::backend;
use crate::folder::Place;
use crate::request::{Line, Verdict};
use crate::server::{Reply, Server};

/// The requests; see `request.rs`.
const TABLE: &str = include_str!("requests.txt");

/// What a server adds to what git says.
const ADDED: [&str; 5] = ["date", "transfer-encoding", "connection", "x-request-id", "content-length"];

/// The name and password that lines of the table use.
const PEOPLE: &str = "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

/// What must agree: fields without those that a server adds, and of several alike the first. Dates that move with the
/// clock are hidden, and what git says twice with one value is said once.
fn essence(reply: &Reply) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for (name, value) in &reply.fields {
        let value = match name.as_str() {
            "expires" if !value.contains("1980") => "later".to_owned(),
            _ => value.clone(),
        };
        let field = (name.clone(), value);
        if !ADDED.contains(&name.as_str()) && !fields.contains(&field) {
            fields.push(field);
        }
    }
    fields
}

fn length(reply: &Reply) -> Option<&str> {
    let (_, value) = reply.fields.iter().find(|(name, _)| name == "content-length")?;
    Some(value)
}

/// Joins side-band packets of one band that follow each other: where git cuts what its children say is chance.
fn joined(body: &[u8]) -> Vec<u8> {
    let (mut out, mut rest, mut band) = (Vec::new(), body, None);
    while let Some((length, tail)) = rest.split_at_checked(4) {
        let length = std::str::from_utf8(length).ok().and_then(|it| usize::from_str_radix(it, 16).ok());
        let Some((line, tail)) = length.and_then(|length| tail.split_at_checked(length.max(4) - 4)) else {
            break;
        };
        match line.first() {
            Some(first @ (1 | 2)) if band == Some(*first) => out.extend_from_slice(&line[1..]),
            first => {
                out.extend_from_slice(b"|");
                out.extend_from_slice(if line.is_empty() { &rest[..4] } else { line });
                band = first.copied();
            }
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out
}

/// Compares two answers; says what differs.
fn compare(line: &Line, ours: &Reply, gits: &Reply) -> Result<(), String> {
    if let Verdict::Apart(our_status, gits_status) = line.verdict {
        let statuses = (ours.status, gits.status);
        return if statuses == (our_status, gits_status) { Ok(()) } else { Err(format!("{statuses:?}")) };
    }
    if ours.status != gits.status {
        return Err(format!(
            "ours {} {:?}, git's {}",
            ours.status,
            String::from_utf8_lossy(&ours.body),
            gits.status
        ));
    }
    if essence(ours) != essence(gits) {
        return Err(format!("fields: ours {:?}, git's {:?}", essence(ours), essence(gits)));
    }
    if let Some(gits) = length(gits).filter(|it| length(ours) != Some(it)) {
        return Err(format!("length: ours {:?}, git's {gits}", length(ours)));
    }
    // A web server drops the body of an answer to HEAD.
    if line.request.method != "HEAD" && joined(&ours.body) != joined(&gits.body) {
        let shown =
            [ours, gits].map(|it| String::from_utf8_lossy(&it.body).chars().take(800).collect::<String>());
        return Err(format!("body: ours {:?}, git's {:?}", shown[0], shown[1]));
    }
    Ok(())
}

/// Runs the table against a server with these flags; every line is asked `n` times in a row.
fn run(flags: &[&str], n: usize) {
    let mut place = Place::new();
    place.fill();
    let (gits_root, our_root) = (place.copy_root("gits"), place.copy_root("ours"));
    std::fs::write(place.path("home/htpasswd"), PEOPLE).unwrap();
    let people = place.path("home/htpasswd").display().to_string();
    // Without people nobody is asked for a name, as git's own server never asks.
    let anonymous = Server::start(&our_root, &place.home(), flags);
    let second_home = place.path("outside");
    let known = Server::start(&our_root, &second_home, &[flags, &["--htpasswd", &people]].concat());
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<Line> = lines.map(|line| Line::parse(line, &place.names)).collect();
    assert!(lines.len() >= 150, "{} requests", lines.len());
    let mut wrong = Vec::new();
    for line in &lines {
        for _ in 0..n {
            let gits = backend::ask(&gits_root, &place.home(), &line.request);
            let server = if line.request.is_known { &known } else { &anonymous };
            let ours = server.send(&line.request.wire());
            if let Err(difference) = compare(line, &ours, &gits) {
                wrong.push(format!("{}\n    {difference}", line.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), lines.len(), wrong.join("\n"));
    assert_eq!(refs(&place, "ours"), refs(&place, "gits"), "the same pushes leave the same refs");
    let kept = anonymous.metric("hakata_bare_listings_total{from=\"memory\"}");
    assert!((kept > 10.0) == (n > 1), "{kept} answers came from memory");
}

/// All refs of all repositories of a copy, and who moved `refs/heads/gz`.
fn refs(place: &Place, copy: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(place.path(copy)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".git") && !["future.git", "odd.git"].contains(&name.as_str()) {
            let refs = place.git(&format!("{copy}/{name}"), &["for-each-ref"]);
            all.insert(name, refs);
        }
    }
    let log = std::fs::read_to_string(place.path(copy).join("push.git/logs/refs/heads/gz")).unwrap();
    all.insert("who".to_owned(), log.split(' ').skip(2).take(2).collect());
    all
}

#[test]
fn every_answer_is_gits() {
    run(&[], 2);
}

#[test]
fn every_answer_is_gits_without_answers_that_are_kept() {
    run(&["--native", "refs=off"], 1);
}
