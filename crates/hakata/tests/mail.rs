//! Mail of the binary, taken by a mail server that other people wrote and read by Python's own parser.

use anyhow::{Context, Result, ensure};
use hakata_testkit::{MailServer, Output, Person, Sandbox, Server, ServerOptions, run, wait_until};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// What `hakata mail test` needs to know of a server, as variables.
fn settings(server: &MailServer, tls: &str, certificate: Option<&PathBuf>) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("HAKATA_MAIL__TRANSPORT", "smtp".to_owned()),
        ("HAKATA_MAIL__FROM", "\"Hakata, 博多\" <hakata@git.example.org>".to_owned()),
        ("HAKATA_MAIL__HOST", "localhost".to_owned()),
        ("HAKATA_MAIL__PORT", server.port.to_string()),
        ("HAKATA_MAIL__TLS", tls.to_owned()),
    ];
    settings.extend(certificate.map(|path| ("HAKATA_MAIL__CERTIFICATES", path.display().to_string())));
    settings
}

fn send_test(sandbox: &Sandbox, settings: &[(&'static str, String)]) -> Result<Output> {
    run(sandbox
        .hakata(&["mail", "test", "bob@example.org"])
        .envs(settings.iter().map(|(key, value)| (*key, value))))
}

/// A sandbox with a data directory, and a certificate of localhost: where it and its key are.
fn world() -> Result<(Sandbox, PathBuf, PathBuf)> {
    let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
    run(&mut sandbox.hakata(&["user", "add", "alice"]))?.expect_success("user add")?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (sandbox.path().join("mail.pem"), sandbox.path().join("mail.key"));
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((sandbox, certificate, key))
}

#[test]
fn a_test_letter_arrives_however_the_server_wants_it() -> Result<()> {
    let (sandbox, certificate, key) = world()?;
    for tls in ["starttls", "tls", "none"] {
        let options = json!({
            "tls": tls, "certificate": certificate, "key": key, "user": "hakata", "password": "sesame open",
        });
        let server = MailServer::start(&sandbox.path().join(tls), options)?;
        let mut settings = settings(&server, tls, Some(&certificate));
        settings.push(("HAKATA_MAIL__USER", "hakata".to_owned()));
        settings.push(("HAKATA_MAIL__PASSWORD", "sesame open".to_owned()));
        let sent = send_test(&sandbox, &settings)?.expect_success(tls)?;
        ensure!(sent.stdout.contains("250 2.0.0 kept"), "{}", sent.stdout);
        let letters = server.letters();
        let letter = letters.first().context("a letter")?;
        ensure!(letter["user"] == "hakata" && letter["is_encrypted"] == (tls != "none"), "{letter}");
        ensure!(
            letter["from"] == "hakata@git.example.org" && letter["to"] == json!(["bob@example.org"]),
            "{letter}"
        );
        ensure!(letter["sender"] == "Hakata, 博多", "{letter}");
        ensure!(letter["headers"]["subject"] == "Test of mail / メールのテスト", "{letter}");
        ensure!(letter["defects"] == json!([]) && letter["is_ascii"] == true, "{letter}");
        for part in ["text/plain", "text/html"] {
            let text = letter["parts"][part].as_str().context("a part")?;
            ensure!(text.contains("メールは届いています。"), "{part}: {text}");
        }
        settings.push(("HAKATA_MAIL__PASSWORD", "wrong".to_owned()));
        let refused = send_test(&sandbox, &settings)?;
        ensure!(
            refused.status == Some(1) && refused.stderr.contains("signing in: the mail server answered 535"),
            "{refused:?}"
        );
        ensure!(!refused.stderr.contains("wrong"), "{refused:?}");
    }
    Ok(())
}

#[test]
fn a_server_that_nobody_vouches_for_gets_nothing() -> Result<()> {
    let (sandbox, certificate, key) = world()?;
    for tls in ["starttls", "tls"] {
        let options = json!({ "tls": tls, "certificate": certificate, "key": key });
        let server = MailServer::start(&sandbox.path().join(tls), options)?;
        let refused = send_test(&sandbox, &settings(&server, tls, None))?;
        ensure!(
            refused.status == Some(1) && refused.stderr.contains("beginning TLS with the mail server"),
            "{refused:?}"
        );
        ensure!(server.letters().is_empty());
    }
    let server = MailServer::start(&sandbox.path().join("plain"), json!({}))?;
    let refused = send_test(&sandbox, &settings(&server, "starttls", Some(&certificate)))?;
    ensure!(refused.stderr.contains("the mail server offers no TLS"), "{refused:?}");
    ensure!(server.letters().is_empty());
    Ok(())
}

#[test]
fn a_folder_takes_letters_and_nobody_does_when_mail_is_off() -> Result<()> {
    let (sandbox, ..) = world()?;
    let off = send_test(&sandbox, &[])?;
    ensure!(off.status == Some(2) && off.stderr.contains("mail is off"), "{off:?}");
    let file = [
        ("HAKATA_MAIL__TRANSPORT", "file".to_owned()),
        ("HAKATA_MAIL__FROM", "h@git.example.org".to_owned()),
    ];
    send_test(&sandbox, &file)?.expect_success("mail test")?;
    let letters: Vec<_> = std::fs::read_dir(sandbox.data().join("mail/new"))?.collect::<Result<_, _>>()?;
    ensure!(letters.len() == 1);
    let letter = std::fs::read_to_string(letters[0].path())?;
    ensure!(letter.contains("To: bob@example.org\r\n"), "{letter}");
    let no_host = [("HAKATA_MAIL__TRANSPORT", "smtp".to_owned())];
    let refused = send_test(&sandbox, &no_host)?;
    ensure!(refused.stderr.contains("mail.from") && refused.stderr.contains("mail.host"), "{refused:?}");
    Ok(())
}

/// A server that sends mail, alice with a private repository, and bob who watches it.
struct World {
    server: Server,
    sandbox: Sandbox,
    options: ServerOptions,
    alice: Person,
    mail: MailServer,
}

impl World {
    fn start(mail: Value, fault: Option<&str>) -> Result<Self> {
        let sandbox = Sandbox::new(env!("CARGO_BIN_EXE_hakata"))?;
        let mail = MailServer::start(&sandbox.path().join("mail"), mail)?;
        let settings = [
            ("mail.transport", "smtp"),
            ("mail.from", "Hakata <hakata@git.example.org>"),
            ("mail.host", "127.0.0.1"),
            ("mail.port", &mail.port.to_string()),
            ("mail.tls", "none"),
            // Letters have links where people can reach us.
            ("http.public_url", "https://git.example.org"),
            // So that a job of a killed server does not wait for long.
            ("jobs.lease", "1s"),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let options = ServerOptions { settings, fault: fault.map(str::to_owned), ..ServerOptions::default() };
        let server = Server::start(&sandbox, &options)?;
        // Without an address, so that what is about her account is no letter.
        let alice = Person::with_account(&sandbox, "alice", &[], &options)?;
        let world = Self { sandbox, server, options, alice, mail };
        world.hakata(&["user", "add", "bob", "--email", "bob@example.org"])?;
        world.hakata(&["repo", "create", "alice/tools"])?;
        world.hakata(&["repo", "collaborator", "alice/tools", "bob", "--role", "reporter"])?;
        world.hakata(&["user", "watch", "bob", "alice/tools"])?;
        world.git(&["init", "-q", "t"])?;
        Ok(world)
    }

    fn hakata(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.sandbox.hakata(arguments);
        command.envs(self.options.environment());
        Ok(run(&mut command)?.expect_success(&arguments.join(" "))?.stdout)
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        Ok(run(&mut self.alice.git(2, arguments))?.expect_success(&arguments.join(" "))?.stdout)
    }

    fn push(&self, message: &str) -> Result<()> {
        self.git(&["-C", "t", "commit", "-q", "--allow-empty", "-m", message])?;
        let url = format!("http://{}/alice/tools", self.server.http);
        self.git(&["-C", "t", "push", "-q", &url, "HEAD:refs/heads/main"]).map(drop)
    }

    /// The notices, newest first.
    fn notices(&self) -> Result<Vec<Value>> {
        let listed = self.hakata(&["mail", "list", "--json"])?;
        listed.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    fn wait_for_letters(&self, n: usize) -> Result<Vec<Value>> {
        wait_until("the letters", LIMIT, || self.mail.letters().len() >= n)?;
        let letters = self.mail.letters();
        ensure!(letters.len() == n, "{n} letters, not {}", letters.len());
        Ok(letters)
    }

    fn wait_for_state(&self, state: &str) -> Result<()> {
        wait_until(state, LIMIT, || {
            self.notices().is_ok_and(|notices| notices.first().is_some_and(|notice| notice["state"] == state))
        })
    }

    /// Lets the job of mail that waits run at once.
    fn hurry(&self) -> Result<()> {
        let listed = self.hakata(&["queue", "list", "--kind", "mail", "--json"])?;
        let job: Value = serde_json::from_str(listed.lines().next().context("a job of mail")?)?;
        self.hakata(&["queue", "retry", job["id"].as_str().context("an id")?]).map(drop)
    }
}

fn header<'a>(letter: &'a Value, name: &str) -> &'a str {
    letter["headers"][name].as_str().unwrap_or_default()
}

#[test]
fn a_push_becomes_letters_that_pythons_parser_reads() -> Result<()> {
    let world = World::start(json!({}), None)?;
    world.hakata(&["user", "add", "carol", "--email", "carol@example.org"])?;
    world.hakata(&["repo", "collaborator", "alice/tools", "carol", "--role", "reporter"])?;
    world.hakata(&["user", "watch", "carol", "alice/tools"])?;
    world.hakata(&["user", "mail", "bob", "--language", "ja"])?;
    world.push("始まり")?;
    world.wait_for_letters(2)?;
    world.push("説明を直す <script>alert(1)</script> & more")?;
    let letters = world.wait_for_letters(4)?;
    for letter in &letters {
        ensure!(letter["defects"] == json!([]) && letter["is_ascii"] == true, "{letter}");
        ensure!(letter["longest_line"].as_u64().is_some_and(|n| n <= 998), "{letter}");
        ensure!(letter["from"] == "hakata@git.example.org" && letter["sender"] == "alice", "{letter}");
        ensure!(header(letter, "list-id") == "alice/tools <tools.alice.git.example.org>", "{letter}");
        ensure!(header(letter, "list-unsubscribe-post") == "List-Unsubscribe=One-Click", "{letter}");
        ensure!(
            header(letter, "auto-submitted") == "auto-generated" && header(letter, "precedence") == "list",
            "{letter}"
        );
        ensure!(header(letter, "x-hakata-reason") == "subscribed", "{letter}");
        ensure!(header(letter, "references") == header(&letters[0], "references"), "one thread: {letter}");
        ensure!(header(letter, "in-reply-to") == header(letter, "references"), "{letter}");
    }
    let of =
        |name: &str| letters[2..].iter().find(|letter| letter["to"] == json!([name])).context("a letter");
    let (bob, carol) = (of("bob@example.org")?, of("carol@example.org")?);
    ensure!(
        header(bob, "subject") == "[alice/tools] alice さんが main に 1 件のコミットをプッシュしました",
        "{bob}"
    );
    ensure!(header(carol, "subject") == "[alice/tools] alice pushed 1 commit to main", "{carol}");
    ensure!(header(bob, "message-id") != header(carol, "message-id"));
    let tip = world.git(&["-C", "t", "rev-parse", "HEAD"])?;
    let text = bob["parts"]["text/plain"].as_str().context("plain text")?;
    ensure!(
        text.contains(&format!("{} 説明を直す <script>alert(1)</script> & more (alice)", &tip[..10])),
        "{text}"
    );
    ensure!(text.contains("alice/tools をウォッチしているため"), "{text}");
    let html = bob["parts"]["text/html"].as_str().context("HTML")?;
    ensure!(html.contains("説明を直す &lt;script&gt;alert(1)&lt;/script&gt; &amp; more"), "{html}");
    ensure!(html.contains("<html lang=\"ja\">") && !html.contains("<script"), "{html}");
    Ok(())
}

#[test]
fn one_click_mutes_a_repository_and_looking_does_not() -> Result<()> {
    let world = World::start(json!({}), None)?;
    world.push("one")?;
    let letters = world.wait_for_letters(1)?;
    let link = header(&letters[0], "list-unsubscribe").trim_matches(['<', '>']).to_owned();
    let path = link.split_once("/-/").context("a link of ours")?.1;
    let link = format!("http://{}/-/{path}", world.server.http);
    let curl = |arguments: &[&str]| -> Result<String> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "%{http_code} %{content_type}"]).args(arguments).arg(&link);
        Ok(run(&mut curl)?.expect_success("curl")?.stdout)
    };
    let page = curl(&[])?;
    ensure!(
        page.contains("<form method=\"post\">") && page.ends_with("200 text/html; charset=utf-8"),
        "{page}"
    );
    ensure!(curl(&["-X", "PUT"])?.ends_with("405 text/plain; charset=utf-8"));
    world.push("two")?;
    world.wait_for_letters(2)?;
    // As mail programs do. Source: RFC 8058, section 3.2.
    for body in [["-d", "List-Unsubscribe=One-Click"], ["-F", "List-Unsubscribe=One-Click"]] {
        ensure!(curl(&body)?.ends_with("200 text/html; charset=utf-8"));
    }
    ensure!(world.hakata(&["user", "watches", "bob"])?.contains("ignoring"));
    let long = "x".repeat(5_000);
    ensure!(curl(&["-d", &long])?.ends_with("413 text/html; charset=utf-8"));
    let forged =
        run(Command::new("curl").args(["-sS", "-X", "POST", "-w", "%{http_code}"]).arg(format!("{link}x")))?;
    ensure!(forged.stdout.ends_with("404"), "{forged:?}");
    let token = path.rsplit('/').next().context("a token")?;
    ensure!(!world.sandbox.log().contains(token), "the log hides the token");
    Ok(())
}

#[test]
fn what_is_refused_for_now_is_sent_later_and_what_is_refused_for_ever_is_buried() -> Result<()> {
    let world = World::start(json!({ "rcpt": ["450 4.2.1 <bob@example.org> come again"] }), None)?;
    world.push("one")?;
    wait_until("the first try", LIMIT, || {
        world.notices().is_ok_and(|notices| notices.first().is_some_and(|notice| notice["error"].is_string()))
    })?;
    let notices = world.notices()?;
    ensure!(notices[0]["state"] == "waiting", "{}", notices[0]);
    world.hurry()?;
    world.wait_for_letters(1)?;
    world.wait_for_state("sent")?;
    let refusing = World::start(json!({ "rcpt": ["550 5.1.1 <bob@example.org>: nobody"] }), None)?;
    refusing.push("one")?;
    refusing.wait_for_state("failed")?;
    ensure!(
        refusing.notices()?[0]["error"]
            .as_str()
            .is_some_and(|error| error.contains("5.1.1 <bob@example.org>: nobody"))
    );
    wait_until("the grave", LIMIT, || {
        refusing
            .hakata(&["queue", "list", "--state", "buried", "--json"])
            .is_ok_and(|buried| buried.contains("naming the recipient: the mail server answered 550 5.1.1"))
    })?;
    ensure!(!refusing.sandbox.log().contains("bob@example.org"), "no address in the log");
    // The operator has mended it.
    refusing.hurry()?;
    refusing.wait_for_letters(1)?;
    refusing.wait_for_state("sent")
}

#[test]
fn a_connection_that_breaks_behind_the_letter_costs_another_try_under_the_same_id() -> Result<()> {
    let world = World::start(json!({ "data": ["drop"] }), None)?;
    world.push("one")?;
    wait_until("the first try", LIMIT, || {
        world.notices().is_ok_and(|notices| {
            notices.first().is_some_and(|notice| {
                notice["error"].as_str().is_some_and(|error| error.starts_with("sending the letter"))
            })
        })
    })?;
    let first = world.mail.offered().context("a letter that was offered")?;
    world.hurry()?;
    let letters = world.wait_for_letters(1)?;
    ensure!(header(&letters[0], "message-id") == header(&first, "message-id"), "{first}");
    Ok(())
}

/// Between the mail server's last word and ours lies a moment in which a crash costs a second letter, and no more.
#[test]
fn a_crash_behind_the_mail_servers_word_costs_one_letter_under_the_same_id() -> Result<()> {
    let mut world = World::start(json!({}), Some("mail.taken:1"))?;
    world.push("one")?;
    world.server.wait()?;
    ensure!(world.mail.letters().len() == 1);
    world.options.fault = None;
    world.server = world.server.start_again(&world.sandbox, &world.options)?;
    let letters = world.wait_for_letters(2)?;
    ensure!(header(&letters[0], "message-id") == header(&letters[1], "message-id"));
    world.wait_for_state("sent")?;
    world.push("two")?;
    world.wait_for_letters(3)?;
    Ok(())
}

#[test]
fn a_mail_server_that_is_away_delays_letters_and_no_push() -> Result<()> {
    let mut world = World::start(json!({}), None)?;
    world.mail.kill()?;
    world.push("one")?;
    wait_until("the first try", LIMIT, || {
        world.notices().is_ok_and(|notices| notices.first().is_some_and(|notice| notice["error"].is_string()))
    })?;
    world.mail.start_again(&world.sandbox.path().join("again"))?;
    world.hurry()?;
    world.wait_for_letters(1)?;
    world.wait_for_state("sent")
}
