//! Conversations with mail servers that do what real ones do on bad days.
#![allow(clippy::unwrap_used, reason = "the lints know tests only by their attribute")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hakata_mail::{Class, Letter, Login, Mailer, SendError, Settings, Smtp, Stage, TlsMode, Transport};
use hakata_runtime::secret::Secret;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server does at a command.
enum Does {
    Says(&'static str),
    Hangs,
    Leaves,
}

/// A server on a port of its own.
struct Server {
    port: u16,
    n_connections: Arc<AtomicUsize>,
    letters: Arc<Mutex<Vec<String>>>,
}

/// Says what a server without whims does.
fn usual(line: &str) -> Does {
    match line.split([' ', ':']).next().unwrap_or_default() {
        "EHLO" => Does::Says("250-fake\r\n250 AUTH PLAIN\r\n"),
        "AUTH" => Does::Says("235 2.7.0 welcome\r\n"),
        "DATA" => Does::Says("354 go on\r\n"),
        "QUIT" => Does::Says("221 bye\r\n"),
        _ => Does::Says("250 2.0.0 fine\r\n"),
    }
}

impl Server {
    /// Starts a server that asks `whim` at each line (`.` is the end of a letter, nothing is the greeting) with the number of
    /// the connection, and does as usual where it has none.
    async fn start(whim: impl Fn(usize, &str) -> Option<Does> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (n_connections, letters) = (Arc::new(AtomicUsize::new(0)), Arc::<Mutex<Vec<String>>>::default());
        let (counter, kept, whim) = (n_connections.clone(), letters.clone(), Arc::new(whim));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let n = counter.fetch_add(1, Ordering::SeqCst);
                let (whim, kept) = (whim.clone(), kept.clone());
                tokio::spawn(async move {
                    converse(stream, |line| whim(n, line), &kept).await;
                });
            }
        });
        Self { port, n_connections, letters }
    }

    fn mailer(&self, change: impl FnOnce(&mut Smtp)) -> Mailer {
        let mut smtp = Smtp {
            host: "localhost".to_owned(),
            port: self.port,
            tls: TlsMode::None,
            login: None,
            timeout: Duration::from_secs(20),
            connections: 2,
            idle: Duration::from_secs(60),
            letters_per_connection: 100,
            certificates: None,
        };
        smtp.host = "127.0.0.1".to_owned();
        change(&mut smtp);
        let from = "Hakata <hakata@git.example.org>".parse().unwrap();
        Mailer::new(Settings { from, transport: Transport::Smtp(smtp) })
    }

    fn n_letters(&self) -> usize {
        self.letters.lock().unwrap().len()
    }

    fn n_connections(&self) -> usize {
        self.n_connections.load(Ordering::SeqCst)
    }
}

async fn converse(stream: TcpStream, whim: impl Fn(&str) -> Option<Does>, kept: &Mutex<Vec<String>>) {
    let mut stream = BufReader::new(stream);
    let (mut letter, mut line) = (String::new(), String::new());
    let mut does = whim("").unwrap_or(Does::Says("220 fake\r\n"));
    loop {
        let is_letter = match does {
            Does::Says(words) => {
                if stream.get_mut().write_all(words.as_bytes()).await.is_err() {
                    return;
                }
                if words.starts_with("250") && !letter.is_empty() {
                    kept.lock().unwrap().push(std::mem::take(&mut letter));
                }
                letter.clear();
                words.starts_with("354")
            }
            Does::Hangs => return std::future::pending().await,
            Does::Leaves => return,
        };
        loop {
            line.clear();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if !is_letter || line == ".\r\n" {
                break;
            }
            letter.push_str(&line);
        }
        does = whim(line.trim_end()).unwrap_or_else(|| usual(line.trim_end()));
    }
}

fn letter(n: usize) -> Letter {
    let to = "bob@example.org".parse().unwrap();
    Letter::new(format!("{n}@git.example.org"), to, "題", ".\nwith dots\n..\n", "<p>.</p>")
}

#[tokio::test]
async fn letters_share_a_connection_up_to_its_limit() {
    let server = Server::start(|_, _| None).await;
    let login = Login { user: "hakata".to_owned(), password: Secret::new("sesame".to_owned()) };
    let mailer = server.mailer(|smtp| {
        smtp.letters_per_connection = 3;
        smtp.login = Some(login);
    });
    for n in 0..5 {
        assert_eq!(mailer.send(&letter(n)).await.unwrap().answer, "250 2.0.0 fine");
    }
    assert_eq!((server.n_letters(), server.n_connections()), (5, 2));
    let stuffed = server.letters.lock().unwrap()[0].lines().any(|line| line == "..");
    assert!(stuffed, "a line of one dot does not end a letter");
}

#[tokio::test]
async fn what_is_refused_leaves_the_connection_whole() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let server = Server::start(|_, line| match line.split(':').next() {
        Some("RCPT TO") => match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Some(Does::Says("450 4.2.1 come again\r\n")),
            1 => Some(Does::Says("550-5.1.1 <bob@example.org>:\r\n550 5.1.1 nobody here\r\n")),
            _ => None,
        },
        _ => None,
    })
    .await;
    let mailer = server.mailer(|_| ());
    let later = mailer.send(&letter(1)).await.unwrap_err();
    assert_eq!(later.class(), Class::Temporary);
    assert_eq!(later.to_string(), "naming the recipient: the mail server answered 450 4.2.1");
    let never = mailer.send(&letter(1)).await.unwrap_err();
    assert_eq!(never.class(), Class::Refused);
    assert!(!never.to_string().contains("bob") && never.detail().contains("nobody here"), "{never:?}");
    mailer.send(&letter(1)).await.unwrap();
    assert_eq!((server.n_letters(), server.n_connections()), (1, 1));
}

#[tokio::test]
async fn a_server_that_does_not_want_us_is_an_operators_matter() {
    for (verb, words, stage) in [
        ("", "554 5.7.1 go away\r\n", Stage::Connecting),
        ("AUTH", "535 5.7.8 who?\r\n", Stage::Login),
        ("MAIL FROM", "550 5.7.1 not you\r\n", Stage::Sender),
    ] {
        let whim = move |_, line: &str| {
            (line.split([':', ' ']).next() == verb.split(' ').next()).then_some(Does::Says(words))
        };
        let server = Server::start(whim).await;
        let login = Login { user: "hakata".to_owned(), password: Secret::new("sesame".to_owned()) };
        let failed = server.mailer(|smtp| smtp.login = Some(login)).send(&letter(1)).await.unwrap_err();
        assert_eq!(failed.class(), Class::Configuration, "{failed:?}");
        assert!(matches!(failed, SendError::Answered { stage: at, .. } if at == stage), "{failed:?}");
        assert!(!format!("{failed:?}").contains("sesame"));
    }
}

#[tokio::test]
async fn a_server_that_hangs_or_leaves_is_told_by_stage() {
    for (verb, stage) in [("", Stage::Connecting), ("RCPT", Stage::Recipient), (".", Stage::Content)] {
        let whim = move |_, line: &str| (line.split([':', ' ']).next() == Some(verb)).then_some(Does::Hangs);
        let server = Server::start(whim).await;
        let late =
            server.mailer(|smtp| smtp.timeout = Duration::from_secs(1)).send(&letter(1)).await.unwrap_err();
        assert!(matches!(late, SendError::Late { stage: at, limit_s: 1 } if at == stage), "{late:?}");
        assert_eq!(late.class(), Class::Unreachable);
    }
    let server = Server::start(|_, line| (line == ".").then_some(Does::Leaves)).await;
    let broken = server.mailer(|_| ()).send(&letter(1)).await.unwrap_err();
    assert!(matches!(broken, SendError::Broken { stage: Stage::Content, .. }), "{broken:?}");
    assert_eq!(broken.class(), Class::Unreachable);
}

/// The answer to what was cut must not become the answer to what comes next.
#[tokio::test]
async fn a_conversation_that_was_cut_is_not_gone_on_with() {
    let (asked, heard) = tokio::sync::watch::channel(false);
    let server = Server::start(move |n, line| {
        if n == 0 && line == "DATA" {
            asked.send_replace(true);
            return Some(Does::Hangs);
        }
        None
    })
    .await;
    let mailer = server.mailer(|_| ());
    let mut heard = heard;
    let first = letter(1);
    tokio::select! {
        sent = mailer.send(&first) => panic!("{sent:?}"),
        _ = heard.wait_for(|asked| *asked) => {}
    }
    mailer.send(&letter(2)).await.unwrap();
    assert_eq!((server.n_letters(), server.n_connections()), (1, 2));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_not_used() {
    // The first connection ends behind its first letter: the question whether it is alive goes unanswered.
    let server = Server::start(|n, line| (n == 0 && line == "NOOP").then_some(Does::Leaves)).await;
    let mailer = server.mailer(|_| ());
    mailer.send(&letter(1)).await.unwrap();
    mailer.send(&letter(2)).await.unwrap();
    assert_eq!((server.n_letters(), server.n_connections()), (2, 2));
}

/// Without encryption there is no letter, and no name or password either.
#[tokio::test]
async fn tls_that_is_asked_for_is_not_done_without() {
    let no_offer =
        Server::start(|_, line| (line.starts_with("EHLO")).then_some(Does::Says("250 fake\r\n"))).await;
    let failed = no_offer.mailer(|smtp| smtp.tls = TlsMode::StartTls).send(&letter(1)).await.unwrap_err();
    assert!(matches!(failed, SendError::NoTls), "{failed:?}");
    // Somebody in between adds an answer that would be read as the first one behind TLS.
    let injected = Server::start(|_, line| match line.split(' ').next() {
        Some("EHLO") => Some(Does::Says("250-fake\r\n250 STARTTLS\r\n")),
        Some("STARTTLS") => Some(Does::Says("220 go on\r\n250 AUTH PLAIN\r\n")),
        _ => None,
    })
    .await;
    let failed = injected.mailer(|smtp| smtp.tls = TlsMode::StartTls).send(&letter(1)).await.unwrap_err();
    assert!(failed.detail().contains("follows the consent to TLS"), "{failed:?}");
    assert_eq!(no_offer.n_letters() + injected.n_letters(), 0);
}

#[tokio::test]
async fn an_address_beyond_ascii_needs_a_server_that_takes_it() {
    let server = Server::start(|_, _| None).await;
    let mut beyond = letter(1);
    beyond.to = "太郎@example.org".parse().unwrap();
    let failed = server.mailer(|_| ()).send(&beyond).await.unwrap_err();
    assert_eq!((failed.class(), server.n_letters()), (Class::Refused, 0));
}
