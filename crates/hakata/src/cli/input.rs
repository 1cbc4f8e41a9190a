//! What commands read besides their flags: passwords and files of public keys.

use crate::output::{Failure, is_interactive, note};
use hakata_names::OwnerName;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{self, BufRead, Read};
use std::path::Path;

/// The longest password, and the longest file of keys, that is read.
const MAX_INPUT: u64 = 1 << 20;

/// Reads a password as one line of standard input.
pub(crate) fn password_line() -> Result<String, Failure> {
    let mut line = String::new();
    let read = io::stdin().lock().take(MAX_INPUT).read_line(&mut line);
    read.map_err(|error| Failure::failed("reading the password", &error))?;
    let password = line.trim_end_matches(['\n', '\r']);
    match password.is_empty() {
        true => Err(Failure::usage("the password on standard input is empty")),
        false => Ok(password.to_owned()),
    }
}

/// Asks for a password twice on the terminal, without showing it.
pub(crate) fn ask_password(name: &OwnerName) -> Result<String, Failure> {
    if !is_interactive() {
        let failure = Failure::usage("there is no terminal to ask for the password on");
        return Err(failure.with_hint("give it as one line of standard input: --password-stdin"));
    }
    let silent = Silence::start().map_err(|error| Failure::failed("turning the echo off", &error))?;
    note(&format!("New password of {name}:"));
    let first = password_line()?;
    note("Again:");
    let second = password_line()?;
    drop(silent);
    match first == second {
        true => Ok(first),
        false => Err(Failure::usage("the two passwords differ")),
    }
}

/// Reads the lines of a file of public keys; `-` is standard input.
pub(crate) fn public_keys(file: &Path) -> Result<Vec<String>, Failure> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|open| open.take(MAX_INPUT).read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::failed(format!("reading {}", file.display()), &error))?;
    if text.contains("PRIVATE KEY-----") {
        let failure = Failure::usage(format!("{} is a private key", file.display()));
        return Err(failure.with_hint(format!("the public one is usually {}.pub", file.display())));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    match lines.is_empty() {
        true => Err(Failure::usage(format!("{} holds no public key", file.display()))),
        false => Ok(lines),
    }
}

/// A terminal whose echo is off until this is dropped.
struct Silence(rustix::termios::Termios);

impl Silence {
    fn start() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_files_are_read_by_line_and_private_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, "# mine\nssh-ed25519 AAAA a\n\n  ssh-rsa BBBB b\n").unwrap();
        assert_eq!(public_keys(&file).unwrap(), ["ssh-ed25519 AAAA a", "ssh-rsa BBBB b"]);
        std::fs::write(&file, "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
        assert!(public_keys(&file).unwrap_err().hint.unwrap().ends_with("keys.pub"));
        std::fs::write(&file, "\n").unwrap();
        assert!(public_keys(&file).is_err(), "an empty file is a mistake");
    }
}
