use super::quote::{quote, unquote};
use super::{
    Command, GitService, KeyCommand, MAX_COMMAND_LINE, ParseCommandError, PeopleCommand, RepoCommand,
    TokenCommand,
};
use hakata_forge::lfs::Operation;
use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

fn git(service: GitService, path: &str) -> Command {
    Command::Git { service, path: path.parse().unwrap() }
}

fn lfs(operation: Operation) -> Command {
    Command::LfsAuthenticate { path: "alice/tools".parse().unwrap(), operation }
}

fn lfs_transfer(operation: Operation) -> Command {
    Command::LfsTransfer { path: "alice/tools".parse().unwrap(), operation }
}

fn people(command: PeopleCommand) -> Command {
    Command::People(command)
}

#[test]
fn the_lines_that_git_writes_parse() {
    use GitService::{ReceivePack, UploadArchive, UploadPack};
    for (line, service) in [
        ("git-upload-pack '/alice/tools.git'", UploadPack),
        ("git-upload-pack 'alice/tools.git'", UploadPack),
        ("git-upload-pack 'alice/tools'", UploadPack),
        ("git-upload-pack '/alice/tools/'", UploadPack),
        ("git-upload-pack '/alice/tools.git/'", UploadPack),
        ("git upload-pack '/alice/tools.git'", UploadPack),
        ("git-receive-pack '/alice/tools.git'", ReceivePack),
        ("git receive-pack 'alice/tools'", ReceivePack),
        ("git-upload-archive '/alice/tools.git'", UploadArchive),
        ("git upload-archive '/alice/tools'", UploadArchive),
    ] {
        assert_eq!(Command::parse(line.as_bytes()), Ok(git(service, "alice/tools")), "{line}");
    }
}

#[test]
fn the_lines_that_people_write_parse() {
    let tools = || "alice/tools".parse().unwrap();
    let repo = |command| people(PeopleCommand::Repo(command));
    let key = |command| people(PeopleCommand::Key(command));
    let token = |command| people(PeopleCommand::Token(command));
    for (line, command) in [
        ("help", people(PeopleCommand::Help)),
        ("help repo", people(PeopleCommand::Help)),
        ("--help", people(PeopleCommand::Help)),
        ("whoami", people(PeopleCommand::Whoami)),
        ("whoami ", people(PeopleCommand::Whoami)),
        ("repo list", repo(RepoCommand::List { owner: None })),
        ("repo  list   alice", repo(RepoCommand::List { owner: Some("alice".parse().unwrap()) })),
        ("repo create alice/tools", repo(RepoCommand::Create { path: tools(), is_public: false })),
        ("repo create alice/tools --private", repo(RepoCommand::Create { path: tools(), is_public: false })),
        ("repo create --public 'alice/tools'", repo(RepoCommand::Create { path: tools(), is_public: true })),
        ("repo info alice/tools.git", repo(RepoCommand::Info { path: tools() })),
        ("key list", key(KeyCommand::List)),
        ("key add", key(KeyCommand::Add { title: None })),
        ("key add my laptop", key(KeyCommand::Add { title: Some("my laptop".to_owned()) })),
        ("key add 'it'\\''s mine'", key(KeyCommand::Add { title: Some("it's mine".to_owned()) })),
        ("token list", token(TokenCommand::List)),
        ("token new ci", token(TokenCommand::New { name: "ci".to_owned(), scopes: vec![] })),
        (
            "token new ci repo:read",
            token(TokenCommand::New { name: "ci".to_owned(), scopes: vec!["repo:read".to_owned()] }),
        ),
        ("git-lfs-authenticate '/alice/tools.git' download", lfs(Operation::Download)),
        ("git-lfs-authenticate /alice/tools.git upload", lfs(Operation::Upload)),
        ("git-lfs-authenticate alice/tools upload 4d7a2146", lfs(Operation::Upload)),
        ("git-lfs-transfer '/alice/tools.git' upload", lfs_transfer(Operation::Upload)),
        ("git-lfs-transfer alice/tools download", lfs_transfer(Operation::Download)),
    ] {
        assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
    }
}

/// Lines that name nothing that exists, or name it in a way that no client of git or person would.
const REFUSED: &[(&str, ParseCommandError)] = {
    use ParseCommandError::{Arguments, NotText, Quoting, Unknown};
    &[
        ("", Unknown),
        (" ", Unknown),
        ("  git-upload-pack '/a/b'", Unknown),
        ("sh", Unknown),
        ("sh -c 'git-upload-pack /a/b'", Unknown),
        ("/usr/bin/git-upload-pack '/a/b'", Unknown),
        ("./git-upload-pack '/a/b'", Unknown),
        ("GIT-UPLOAD-PACK '/a/b'", Unknown),
        ("git-upload-pack2 '/a/b'", Unknown),
        ("git-shell -c 'git-upload-pack /a/b'", Unknown),
        ("git-http-backend", Unknown),
        ("git-daemon '/a/b'", Unknown),
        ("git", Unknown),
        ("git --version", Unknown),
        ("git  upload-pack '/a/b'", Unknown),
        ("git -c core.pager=x upload-pack '/a/b'", Unknown),
        ("git --exec-path=/tmp upload-pack '/a/b'", Unknown),
        ("git git-upload-pack '/a/b'", Unknown),
        ("git config 'x'", Unknown),
        ("git-lfs-authenticatex '/a/b' download", Unknown),
        ("git-lfs", Unknown),
        ("git-lfs-authenticate '/a/b'", Arguments),
        ("git-lfs-transfer", Arguments),
        ("git-lfs-transfer '/a/b'", Arguments),
        ("git-lfs-transfer '/a/b' erase", Arguments),
        ("git-lfs-transfer '/a/b' upload; id", Quoting),
        ("git-lfs-transfer '/a/b' upload x y", Arguments),
        ("git-lfs-authenticate '/a/b' delete", Arguments),
        ("git-lfs-authenticate '/a/b' 'up load'", Arguments),
        ("git-lfs-authenticate '/a/b' upload x y", Arguments),
        ("git-lfs-authenticate '/a/b;id' upload; id", Quoting),
        ("git-lfs-authenticate $(id) upload", Quoting),
        ("scp -t /tmp", Unknown),
        ("rsync --server .", Unknown),
        ("cvs server", Unknown),
        ("exit", Unknown),
        ("repo delete alice/tools", Unknown),
        ("repos list", Unknown),
        ("key remove 1", Unknown),
        ("token revoke 1", Unknown),
        ("git-upload-pack", Arguments),
        ("git-upload-pack ", Arguments),
        ("git upload-pack", Arguments),
        ("whoami root", Arguments),
        ("repo", Arguments),
        ("repo list a b", Arguments),
        ("repo list -x", Arguments),
        ("repo create", Arguments),
        ("repo create a/b --public --private", Arguments),
        ("repo create a/b --exec=x", Arguments),
        ("repo info", Arguments),
        ("key", Arguments),
        ("key list all", Arguments),
        ("key add --read-write", Arguments),
        ("token", Arguments),
        ("token new", Arguments),
        ("token new ci --admin", Arguments),
        ("git-upload-pack /alice/tools.git", Quoting),
        ("git-upload-pack \"/alice/tools.git\"", Quoting),
        ("git-upload-pack '/alice/tools.git", Quoting),
        ("git-upload-pack /alice/tools.git'", Quoting),
        ("git-upload-pack  '/alice/tools.git'", Quoting),
        ("git-upload-pack '/alice/tools.git' ", Quoting),
        ("git-upload-pack '/alice/tools.git' '/x/y'", Quoting),
        ("git-upload-pack '/alice/tools.git'; id", Quoting),
        ("git-upload-pack '/alice/tools.git' && id", Quoting),
        ("git-upload-pack '/alice/tools.git'$(id)", Quoting),
        ("git-upload-pack '/alice/tools.git'`id`", Quoting),
        ("git-upload-pack '/alice'\\\"'/tools.git'", Quoting),
        ("git-upload-pack '/alice'\\$'/tools.git'", Quoting),
        ("git-upload-pack ''\\''", Quoting),
        ("git-upload-pack --strict '/alice/tools.git'", Quoting),
        ("git-upload-pack --help", Quoting),
        ("git-receive-pack --upload-pack=id '/a/b'", Quoting),
        ("repo list $(id)", Quoting),
        ("repo list `id`", Quoting),
        ("repo list alice;id", Quoting),
        ("repo list a|b", Quoting),
        ("repo list 'alice", Quoting),
        ("key add ${HOME}", Quoting),
        ("key add *", Quoting),
        ("git-upload-pack '/a/b'\n", NotText),
        ("git-upload-pack '/a/b\0'", NotText),
        ("git-upload-pack '/a/\u{1b}[2Jb'", NotText),
        ("git-upload-pack\t'/a/b'", NotText),
        ("whoami\r", NotText),
    ]
};

#[test]
fn everything_else_is_refused_without_a_shell() {
    for (line, error) in REFUSED {
        assert_eq!(Command::parse(line.as_bytes()), Err(*error), "{line:?}");
    }
    assert_eq!(Command::parse(b"git-upload-pack '/a/\xff'"), Err(ParseCommandError::NotText));
}

#[test]
fn a_path_that_is_no_repository_is_refused() {
    for path in [
        "",
        "/",
        "alice",
        "alice/",
        "//alice/tools",
        "/srv/git/alice/tools",
        "~/tools",
        "/~alice/tools",
        "~alice/tools",
        "../alice/tools",
        "alice/../tools",
        "alice/..",
        "./alice/tools",
        "-alice/tools",
        "alice/-tools",
        "--help",
        "alice/tools.git.git",
        "alice/tools.lock",
        "alice/.git",
        "alice\\tools",
        "alice/to ols",
        "alice/tools!",
        "alice/tool's",
        "alice/%2e%2e",
        "C:/alice",
        "ssh://host/alice/tools",
    ] {
        let line = format!("git-upload-pack {}", quote(path));
        let parsed = Command::parse(line.as_bytes());
        assert!(matches!(parsed, Err(ParseCommandError::Path(_))), "{line}: {parsed:?}");
    }
}

#[test]
fn a_line_is_refused_above_its_limit_and_words_above_theirs() {
    let long = format!("git-upload-pack '{}'", "a".repeat(MAX_COMMAND_LINE));
    assert_eq!(Command::parse(long.as_bytes()), Err(ParseCommandError::TooLong));
    let words = format!("key add{}", " a".repeat(100));
    assert_eq!(Command::parse(words.as_bytes()), Err(ParseCommandError::Arguments));
}

#[test]
fn quoting_is_undone_as_git_does_it() {
    for (text, argument) in [
        ("''", Some("")),
        ("'a b'", Some("a b")),
        ("'it'\\''s'", Some("it's")),
        ("'wow'\\!''", Some("wow!")),
        ("'\\n'", Some("\\n")),
        ("'$(id)'", Some("$(id)")),
        ("'", None),
        ("'a'b", None),
        ("'a'\\'", None),
        ("'a'\\x'b'", None),
        ("'a'\\é'b'", None),
        ("'a'\\", None),
        ("a", None),
        ("", None),
    ] {
        assert_eq!(unquote(text).as_deref(), argument, "{text}");
    }
}

proptest! {
    #[test]
    fn any_argument_survives_its_quoting(argument in "\\PC{0,64}") {
        prop_assert_eq!(unquote(&quote(&argument)), Some(argument));
    }

    #[test]
    fn any_bytes_parse_or_are_refused(line in prop::collection::vec(prop::num::u8::ANY, 0..300)) {
        let _ = Command::parse(&line);
    }

    #[test]
    fn what_parses_for_git_names_a_typed_path(tail in "[ -~]{0,40}") {
        let line = format!("git-upload-pack {tail}");
        if let Ok(Command::Git { path, .. }) = Command::parse(line.as_bytes()) {
            let text = path.to_string();
            prop_assert!(!text.starts_with('-') && !text.contains("..") && text.matches('/').count() == 1);
        }
    }
}
