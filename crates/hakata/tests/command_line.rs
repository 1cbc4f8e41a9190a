//! Commands without a server: configuration, accounts, exit codes, and what goes to which stream.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{Output, Sandbox, run, run_with_input};
use std::process::Command;

fn sandbox() -> Result<Sandbox> {
    Sandbox::new(env!("CARGO_BIN_EXE_hakata"))
}

/// Makes a key pair and returns the path of its public half.
fn new_key(sandbox: &Sandbox) -> Result<String> {
    let key = sandbox.work().join("key");
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "aiko", "-f"]).arg(&key))?
        .expect_success("ssh-keygen")?;
    Ok(key.with_extension("pub").display().to_string())
}

fn error(output: &Output) -> Result<serde_json::Value> {
    let object: serde_json::Value =
        serde_json::from_str(&output.stderr).context("standard error is one object")?;
    Ok(object["error"].clone())
}

#[test]
fn every_problem_of_a_configuration_is_told_with_its_line() -> Result<()> {
    let sandbox = sandbox()?;
    let file = sandbox.work().join("hakata.toml");
    std::fs::write(&file, "[http]\nadress = \"127.0.0.1:1\"\n\n[limits]\npack_size = \"much\"\n")?;
    let config = ["config", "check", "--config", file.to_str().context("the path is UTF-8")?];
    let checked = run(sandbox.hakata(&config).env("HAKATA_LOG__FORMAT", "xml"))?;
    assert_eq!(checked.status, Some(2), "a wrong configuration is a usage error");
    for wanted in [
        "the configuration has 3 problems",
        "hakata.toml:2: unknown key http.adress (did you mean http.address?)",
        "hakata.toml:5: limits.pack_size:",
        "environment HAKATA_LOG__FORMAT: log.format: \"xml\" is not one of text, json",
    ] {
        assert!(checked.stderr.contains(wanted), "{wanted:?} is missing from\n{}", checked.stderr);
    }
    let served = run(sandbox.hakata(&["serve", "--set", "log.format=xml"]).env("HAKATA_X__Y", "1"))?;
    assert_eq!(served.status, Some(2), "nothing starts on a wrong configuration: {}", served.stderr);
    assert!(!sandbox.data().exists(), "and nothing is made");
    Ok(())
}

#[test]
fn config_init_show_and_help_agree() -> Result<()> {
    let sandbox = sandbox()?;
    run(&mut sandbox.hakata(&["config", "init"]))?.expect_success("config init")?;
    assert_eq!(run(&mut sandbox.hakata(&["config", "init"]))?.status, Some(4), "a file is never overwritten");
    run(&mut sandbox.hakata(&["config", "check"]))?.expect_success("config check")?;
    let show = ["config", "show", "--origin", "--set", "server.drain=5s"];
    let shown = run(&mut sandbox.hakata(&show))?.expect_success("config show")?.stdout;
    let line = shown.lines().find(|line| line.starts_with("server.drain")).context("the key is shown")?;
    assert!(line.contains("\"5s\"") && line.ends_with("flag --set"), "{line}");
    let lines =
        run(&mut sandbox.hakata(&["config", "show", "--json"]))?.expect_success("config show")?.stdout;
    for line in lines.lines() {
        let object: serde_json::Value = serde_json::from_str(line).context("one object a line")?;
        ensure!(object["key"].is_string() && object["origin"].is_string(), "{line}");
    }
    let missing = run(&mut sandbox.hakata(&["config", "help", "http.adress"]))?;
    assert_eq!(missing.status, Some(3));
    assert!(missing.stderr.contains("hint: did you mean http.address?"), "{}", missing.stderr);
    Ok(())
}

#[test]
fn an_account_and_a_token_are_made_without_a_server() -> Result<()> {
    let sandbox = sandbox()?;
    let key = new_key(&sandbox)?;
    run(&mut sandbox.hakata(&["user", "add", "aiko", "--admin", "--key", &key]))?
        .expect_success("user add")?;
    let again = run(&mut sandbox.hakata(&["--json", "user", "add", "aiko"]))?;
    assert_eq!(again.status, Some(4), "a taken name is refused: {}", again.stderr);
    assert_eq!(error(&again)?["kind"], "conflict");
    assert_eq!(again.stdout, "", "failures go to standard error");
    let token = ["token", "new", "--user", "aiko", "--scope", "repo:read,repo:write", "--expires", "30d"];
    let made = run(&mut sandbox.hakata(&token))?.expect_success("token new")?;
    assert_eq!(made.stdout.lines().count(), 1, "the token stands alone: {:?}", made.stdout);
    assert!(made.stdout.starts_with("hkt_") && !made.stdout.trim_end().contains(char::is_whitespace));
    let listed = run(&mut sandbox.hakata(&["user", "list", "--json"]))?.expect_success("user list")?;
    let user: serde_json::Value =
        serde_json::from_str(listed.stdout.trim_end()).context("one user, one line")?;
    assert_eq!(user["name"], "aiko");
    let table = run(&mut sandbox.hakata(&["user", "list"]))?.expect_success("user list")?.stdout;
    assert!(table.contains("NAME") && table.contains("aiko") && !table.contains('\u{1b}'), "{table}");
    Ok(())
}

#[test]
fn a_password_comes_from_standard_input_only() -> Result<()> {
    let sandbox = sandbox()?;
    let add = ["user", "add", "aiko", "--password-stdin"];
    assert_eq!(run(&mut sandbox.hakata(&add))?.status, Some(2), "an empty password is a mistake");
    run_with_input(&mut sandbox.hakata(&add), b"correct horse battery\n")?.expect_success("user add")?;
    let asked = run(&mut sandbox.hakata(&["user", "password", "aiko"]))?;
    assert_eq!(asked.status, Some(2));
    assert!(asked.stderr.contains("--password-stdin"), "a script is told how: {}", asked.stderr);
    Ok(())
}

#[test]
fn exit_codes_tell_what_went_wrong() -> Result<()> {
    let sandbox = sandbox()?;
    for (line, code) in [
        (&["frobnicate"][..], 2),
        (&["user", "add", "no spaces"], 2),
        (&["repo", "list"], 3),
        (&["status"], 3),
        (&["version"], 0),
        (&["completion", "bash"], 0),
        (&["serve", "--fault", "no.such.point:1"], 2),
    ] {
        let done = run(&mut sandbox.hakata(line))?;
        assert_eq!(done.status, Some(code), "{line:?}: {}", done.stderr);
    }
    run(&mut sandbox.hakata(&["user", "add", "aiko"]))?.expect_success("user add")?;
    for (line, code) in [
        (&["user", "disable", "nobody"][..], 3),
        (&["repo", "path", "aiko/nothing"], 3),
        (&["key", "add", "aiko", "/dev/null"], 2),
        (&["serve", "--set", "git.binary=/bin/no-git"], 1),
        (&["user", "add", "admin"], 2),
    ] {
        let done = run(&mut sandbox.hakata(line))?;
        assert_eq!(done.status, Some(code), "{line:?}: {}", done.stderr);
        assert!(done.stderr.starts_with("hakata: "), "{line:?}: {}", done.stderr);
    }
    Ok(())
}
