//! What each line is answered with.

use std::io::Write;

use super::super::decimal::parse;
use super::super::{Event, MAX_KEY_BYTES, Next, Settings, Source, VERSION};
use super::Outcome;
use super::fields::{Arguments, Fields};
use super::get::{Cas, Get};
use super::{http, meta, store};
use crate::issue::Refusal;

/// The reply to a command that is not known, or lacks arguments.
pub(super) const ERROR: &[u8] = b"ERROR\r\n";

/// The reply to a known command with impossible arguments. Source: memcached.
pub(super) const BAD_LINE: &[u8] = b"CLIENT_ERROR bad command line format\r\n";

/// Longest verb.
const MAX_VERB_BYTES: usize = b"flush_all".len();

/// The verbs of `stats` that list what a store has; here all of them are empty.
const EMPTY_STATS: [&[u8]; 5] = [b"settings", b"items", b"slabs", b"sizes", b"conns"];

/// Answers one line, which comes without its line feed.
pub(super) fn answer<S: Source>(
    line: &[u8],
    out: &mut Vec<u8>,
    source: &mut S,
    settings: &Settings,
) -> Outcome {
    let mut fields = Fields::new(line);
    let Some(verb) = fields.next() else {
        return say(ERROR, out, source);
    };
    let keys_at = fields.position();
    if http::is_request(verb, &line[keys_at..]) {
        source.count(Event::Foreign);
        http::write_answer(settings, out);
        return Outcome::Pause(Next::Close);
    }
    let mut lower = [0; MAX_VERB_BYTES];
    match lower_case(verb, &mut lower) {
        b"get" | b"gets" => {
            // Clients of katsubushi say GETS and want the fields of `get`.
            let cas = if verb == b"gets" { Cas::Id } else { Cas::Absent };
            match Get::parse(&line[keys_at..], cas, settings) {
                Ok(get) => Outcome::Get { keys_at, get },
                Err(reply) => say(reply, out, source),
            }
        }
        b"mg" => meta::get(fields, out, source),
        b"mn" => say(b"MN\r\n", out, source),
        b"me" => meta::debug(fields, out, source),
        b"md" | b"ma" => meta::miss(fields, out, source),
        b"ms" => meta::store(fields, out, source),
        b"quit" if fields.clone().next().is_none() => Outcome::Pause(Next::Close),
        b"version" => {
            write_all(&[b"VERSION ", VERSION.as_bytes(), b"\r\n"], out);
            Outcome::Answered
        }
        b"stats" => stats(fields, out, source),
        verb @ (b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas") => {
            store::answer(verb, Arguments::new(fields), out, source)
        }
        verb @ (b"incr" | b"decr" | b"touch" | b"delete" | b"flush_all" | b"verbosity") => {
            match Arguments::new(fields) {
                Some(arguments) => small(verb, &arguments, out, source),
                None => say(ERROR, out, source),
            }
        }
        _ => say(ERROR, out, source),
    }
}

/// Answers commands of a line with a reply of a line. Where nothing but `noreply` is said, that may be the key: it is
/// answered.
fn small<S: Source>(verb: &[u8], arguments: &Arguments<'_>, out: &mut Vec<u8>, source: &mut S) -> Outcome {
    let reply: &[u8] = match (verb, arguments.as_slice()) {
        (b"incr" | b"decr" | b"touch" | b"delete", [key, ..]) if key.len() > MAX_KEY_BYTES => BAD_LINE,
        (b"incr" | b"decr", [_, delta]) if parse(delta).is_some() => b"NOT_FOUND\r\n",
        (b"incr" | b"decr", [_, _]) => b"CLIENT_ERROR invalid numeric delta argument\r\n",
        (b"touch", [_, _]) | (b"delete", [_] | [_, b"0"]) => b"NOT_FOUND\r\n",
        (b"delete", [_, _]) => BAD_LINE,
        (b"flush_all", [] | [_]) => b"OK\r\n",
        (b"verbosity", [level]) if parse(level).is_some() => b"OK\r\n",
        _ => ERROR,
    };
    let has_key = !matches!(verb, b"flush_all" | b"verbosity");
    if arguments.noreply && !(has_key && arguments.as_slice().is_empty()) {
        return Outcome::Answered;
    }
    say(reply, out, source)
}

fn stats<S: Source>(mut fields: Fields<'_>, out: &mut Vec<u8>, source: &mut S) -> Outcome {
    match (fields.next(), fields.next()) {
        (None, _) => {
            for (name, value) in source.stats() {
                write_all(&[b"STAT ", name.as_bytes(), b" ", value.as_bytes(), b"\r\n"], out);
            }
            say(b"END\r\n", out, source)
        }
        (Some(what), None) if EMPTY_STATS.contains(&what) => say(b"END\r\n", out, source),
        _ => say(ERROR, out, source),
    }
}

/// Appends a reply, and counts it if it blames the client.
pub(super) fn say<S: Source>(reply: &[u8], out: &mut Vec<u8>, source: &mut S) -> Outcome {
    if reply == ERROR || reply.starts_with(b"CLIENT_ERROR") {
        source.count(Event::Malformed);
    }
    out.extend_from_slice(reply);
    Outcome::Answered
}

/// Appends why there is no id.
pub(super) fn write_refusal(refusal: Refusal, out: &mut Vec<u8>) {
    // Writing into a vector does not fail.
    let _ = write!(out, "SERVER_ERROR {refusal}\r\n");
}

pub(super) fn write_all(parts: &[&[u8]], out: &mut Vec<u8>) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Puts a verb into lower case; one that is longer than any known is returned as it is.
fn lower_case<'a>(verb: &'a [u8], room: &'a mut [u8; MAX_VERB_BYTES]) -> &'a [u8] {
    let Some(lower) = room.get_mut(..verb.len()) else {
        return verb;
    };
    lower.copy_from_slice(verb);
    lower.make_ascii_lowercase();
    lower
}
