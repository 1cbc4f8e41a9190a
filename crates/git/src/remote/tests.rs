//! What is handed to git, and how its complaints are understood.

use std::ffi::OsStr;
use std::path::Path;

use super::{FetchError, Login, Remote};
use crate::command::Subcommand;
use crate::{GitDir, Settings};

#[test]
fn a_login_is_in_the_environment_and_nowhere_else() {
    let login = Login { user: "bot".to_owned(), password: "s3cret".to_owned().into() };
    let remote = Remote {
        resolved: Some((
            "git.example.org".to_owned(),
            443,
            vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        )),
        login: Some(login),
        ..Remote::new("https://git.example.org/x")
    };
    let command = remote.command(Subcommand::Fetch, &GitDir::new("/srv/x.git"));
    assert!(!format!("{remote:?} {command:?}").contains("s3cret"));
    let encoded = "Ym90OnMzY3JldA==";
    assert!(!format!("{command:?}").contains(encoded), "nor in what is logged of a command");
    let built = command.build_for(Path::new("git"), &Settings::new("/tmp/x"));
    let args: Vec<String> = built.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    assert!(args.iter().all(|arg| !arg.contains(encoded) && !arg.contains("s3cret")), "{args:?}");
    assert!(args.contains(&"http.curloptResolve=git.example.org:443:192.0.2.1,[2001:db8::1]".to_owned()));
    assert!(args.contains(&"http.followRedirects=false".to_owned()));
    let value = |name: &str| {
        built
            .get_envs()
            .find(|(it, _)| *it == OsStr::new(name))
            .and_then(|(_, value)| value)
            .map(OsStr::to_owned)
    };
    assert_eq!(value("GIT_CONFIG_KEY_0").unwrap(), "http.extraHeader");
    assert_eq!(
        value("GIT_CONFIG_VALUE_0").unwrap().to_string_lossy(),
        format!("Authorization: Basic {encoded}")
    );
}

#[test]
fn complaints_about_logins_and_formats_are_told_apart() {
    let refused = |text: &str| FetchError::refused(text.to_owned());
    let login = "fatal: could not read Username for 'http://x': terminal prompts disabled";
    assert!(matches!(refused(login), FetchError::Login));
    assert!(matches!(
        refused("fatal: mismatched algorithms: client sha1; server sha256"),
        FetchError::Format
    ));
    assert!(matches!(refused("fatal: repository not found"), FetchError::Refused(_)));
}
