//! Playing a scenario: every verb, and what it needs to remember.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::{Case, Scenario, Step, Transport};
use crate::{Database, Output, Person, Sandbox, Server, ServerOptions, run};

/// Plays a scenario in one combination, against the given binary.
///
/// # Errors
/// With the line that failed, what the last command said, and the server's log.
pub fn play(scenario: &Scenario, case: Case, binary: &Path) -> Result<()> {
    let mut sandbox = Sandbox::new(binary)?;
    let mut stage = Stage::new(case)?;
    for step in &scenario.steps {
        if let Err(error) = stage.step(&sandbox, step) {
            sandbox.keep();
            let words = step.words.join(" ");
            let last = &stage.last;
            bail!(
                "line {}: {words}\n{error:#}\nlast command ended with {:?}\nstdout: {}\nstderr: {}\nserver: {}",
                step.line,
                last.status,
                last.stdout,
                last.stderr,
                sandbox.log()
            );
        }
    }
    Ok(())
}

/// What a scenario remembers between its lines.
struct Stage {
    case: Case,
    options: ServerOptions,
    people: BTreeMap<String, Person>,
    labels: BTreeMap<String, String>,
    last: Output,
    n_commits: u32,
    // Dropped in this order: the server before its database.
    server: Option<Server>,
    _database: Option<Database>,
}

impl Stage {
    fn new(case: Case) -> Result<Self> {
        let database = Database::create(case.engine)?;
        let mut options = ServerOptions::default();
        if let Some(database) = &database {
            options.settings.push(("database.url".to_owned(), database.url()));
        }
        let (people, labels, last) = (BTreeMap::new(), BTreeMap::new(), Output::default());
        Ok(Self { case, options, people, labels, last, n_commits: 0, server: None, _database: database })
    }

    fn step(&mut self, sandbox: &Sandbox, step: &Step) -> Result<()> {
        let words: Vec<String> = step.words.iter().map(|word| self.replace(sandbox, word)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (verb, rest) = words.split_first().context("a step has a verb")?;
        match *verb {
            "server" | "stop" | "kill" | "restart" => return self.serve(sandbox, verb, rest),
            "user" => return self.user(sandbox, rest),
            "commit" | "amend" => return self.commit(sandbox, verb, rest),
            "tip" | "oid" => return self.compare(verb, rest),
            "stdout" | "stderr" | "status" => return self.expect(step.negated, verb, rest),
            _ => {}
        }
        let mut command = self.command(sandbox, verb, rest)?;
        self.last = run(&mut command)?;
        ensure!(self.last.success() != step.negated, "ended with {:?}", self.last.status);
        Ok(())
    }

    /// The command of a verb that runs one program.
    fn command(&mut self, sandbox: &Sandbox, verb: &str, rest: &[&str]) -> Result<Command> {
        match verb {
            "hakata" => return Ok(self.hakata(sandbox, rest)),
            "repo" => {
                let format: &[&str] = if self.case.sha256 { &["--object-format", "sha256"] } else { &[] };
                return Ok(self.hakata(sandbox, &[&["repo", "create"], rest, format].concat()));
            }
            "intact" => return self.fsck(sandbox, rest),
            _ => {}
        }
        let (name, arguments) = rest.split_first().context("who does it?")?;
        let version = self.case.version;
        let server = self.server.as_ref().context("no server runs")?;
        let person = match self.people.get(*name) {
            Some(person) => person,
            None if *name == "-" => {
                let stranger = Person::without_account(sandbox, name)?;
                self.people.entry((*name).to_owned()).or_insert(stranger)
            }
            None => bail!("nobody is called {name}"),
        };
        Ok(match verb {
            "git" => person.git(version, arguments),
            "ssh" => person.ssh(server, arguments),
            "curl" => with_arguments(person.command("curl"), &curl_options(person), arguments),
            "sh" => with_arguments(person.command("sh"), &["-euc".to_owned()], arguments),
            _ => bail!("no verb {verb}"),
        })
    }

    fn serve(&mut self, sandbox: &Sandbox, verb: &str, rest: &[&str]) -> Result<()> {
        if verb == "server" {
            for setting in rest {
                let (key, value) = setting.split_once('=').context("settings are written KEY=VALUE")?;
                self.options.settings.push((key.to_owned(), value.to_owned()));
            }
            self.server = Some(Server::start(sandbox, &self.options)?);
            return Ok(());
        }
        let server = self.server.as_mut().context("no server runs")?;
        match verb {
            "kill" => server.kill(),
            "stop" => server.stop(),
            _ => {
                if !server.has_ended() {
                    server.stop()?;
                }
                let again = server.start_again(sandbox, &self.options)?;
                self.server = Some(again);
                Ok(())
            }
        }
    }

    fn user(&mut self, sandbox: &Sandbox, rest: &[&str]) -> Result<()> {
        let (name, options) = rest.split_first().context("what is the user's name?")?;
        let person = Person::with_account(sandbox, name, options, &self.options)?;
        self.people.insert((*name).to_owned(), person);
        Ok(())
    }

    /// `hakata` with the settings that the server has, so that it finds the same database.
    fn hakata(&self, sandbox: &Sandbox, arguments: &[&str]) -> Command {
        let mut command = sandbox.hakata(arguments);
        command.envs(self.options.environment());
        command
    }

    fn commit(&mut self, sandbox: &Sandbox, verb: &str, rest: &[&str]) -> Result<()> {
        let [clone, label] = rest else { bail!("say {verb} CLONE LABEL") };
        let person =
            self.people.values().find(|person| person.token.is_some()).context("nobody can commit")?;
        let path = sandbox.work().join(clone).join(format!("{label}.txt"));
        std::fs::write(&path, format!("{label}\n")).with_context(|| format!("writing {}", path.display()))?;
        run(&mut person.git(2, &["-C", clone, "add", "--all"]))?.expect_success("git add")?;
        self.n_commits += 1;
        let date = format!("{} +0000", 1_700_000_000 + self.n_commits);
        let amend: &[&str] = if verb == "amend" { &["--amend"] } else { &[] };
        let mut commit =
            person.git(2, &[&["-C", clone, "commit", "--quiet", "--message", label], amend].concat());
        commit.env("GIT_AUTHOR_DATE", &date).env("GIT_COMMITTER_DATE", &date);
        run(&mut commit)?.expect_success("git commit")?;
        let head =
            run(&mut person.git(2, &["-C", clone, "rev-parse", "HEAD"]))?.expect_success("git rev-parse")?;
        self.labels.insert((*label).to_owned(), head.stdout.trim().to_owned());
        Ok(())
    }

    fn compare(&mut self, verb: &str, rest: &[&str]) -> Result<()> {
        let [place, name, "==", label] = rest else { bail!("say {verb} PLACE NAME == LABEL") };
        let found = if verb == "tip" { self.tip(place, name)? } else { self.oid(place, name)? };
        let expected = match self.labels.get(*label) {
            Some(oid) => oid.as_str(),
            None if *label == "absent" => "absent",
            None => label,
        };
        ensure!(found == expected, "{name} of {place} is {found}, not {expected}");
        Ok(())
    }

    /// Asks the server, through git, where a ref points.
    fn tip(&mut self, repository: &str, name: &str) -> Result<String> {
        let server = self.server.as_ref().context("no server runs")?;
        let owner = repository.split('/').next().unwrap_or_default();
        let known =
            self.people.get(owner).or_else(|| self.people.values().find(|person| person.token.is_some()));
        let person = known.context("nobody can look")?;
        let url = format!("http://{}/{repository}", server.http);
        let listing = run(&mut person.git(2, &["ls-remote", &url]))?.expect_success("git ls-remote")?;
        let names = [name.to_owned(), format!("refs/heads/{name}"), format!("refs/tags/{name}")];
        let line = |line: &&str| {
            line.split_once('\t').is_some_and(|(_, found)| names.iter().any(|name| name == found))
        };
        let oid = listing
            .stdout
            .lines()
            .find(line)
            .and_then(|line| line.split_once('\t'))
            .map_or("absent", |(oid, _)| oid);
        Ok(oid.to_owned())
    }

    fn oid(&mut self, clone: &str, revision: &str) -> Result<String> {
        let person = self.people.values().next().context("nobody can look")?;
        let output = run(&mut person.git(2, &["-C", clone, "rev-parse", "--verify", "--quiet", revision]))?;
        Ok(if output.success() { output.stdout.trim().to_owned() } else { "absent".to_owned() })
    }

    fn fsck(&mut self, sandbox: &Sandbox, rest: &[&str]) -> Result<Command> {
        let [place] = rest else { bail!("say intact PLACE") };
        let mut path = sandbox.work().join(place);
        if !path.exists() {
            let asked = run(&mut self.hakata(sandbox, &["repo", "path", place]))?
                .expect_success("hakata repo path")?;
            path = PathBuf::from(asked.stdout.trim());
        }
        let person = self.people.values().next().context("nobody can look")?;
        let place = path.to_str().context("a sandbox's path is UTF-8")?;
        Ok(person.git(2, &["-C", place, "fsck", "--full", "--strict", "--no-dangling"]))
    }

    fn expect(&self, negated: bool, verb: &str, rest: &[&str]) -> Result<()> {
        let [expected] = rest else { bail!("say {verb} 'WHAT'") };
        let holds = match verb {
            "status" => self.last.status.map(|status| status.to_string()).as_deref() == Some(expected),
            "stdout" => self.last.stdout.contains(expected),
            _ => self.last.stderr.contains(expected),
        };
        ensure!(holds != negated, "not what was expected");
        Ok(())
    }

    /// Replaces `$NAME`.
    fn replace(&self, sandbox: &Sandbox, word: &str) -> String {
        let program = sandbox.bare_hakata().get_program().display().to_string();
        let mut variables: Vec<(&str, String)> =
            vec![("DATA", sandbox.data().display().to_string()), ("HAKATA", program)];
        if let Some(server) = &self.server {
            let (http, ssh) = (format!("http://{}", server.http), format!("ssh://git@{}", server.ssh));
            variables.push((
                "URL",
                if self.case.transport == Transport::Http { http.clone() } else { ssh.clone() },
            ));
            variables.extend([("HTTP", http), ("SSH", ssh), ("ADMIN", format!("http://{}", server.admin))]);
        }
        variables.extend(self.labels.iter().map(|(label, oid)| (label.as_str(), oid.clone())));
        variables.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let mut word = word.to_owned();
        for (name, value) in variables {
            word = word.replace(&format!("${name}"), &value);
        }
        word
    }
}

fn curl_options(person: &Person) -> Vec<String> {
    let credentials = |token: &String| vec!["--user".to_owned(), format!("{}:{token}", person.name)];
    person.token.as_ref().map(credentials).unwrap_or_default()
}

fn with_arguments(mut command: Command, first: &[String], rest: &[&str]) -> Command {
    command.args(first).args(rest);
    command
}
