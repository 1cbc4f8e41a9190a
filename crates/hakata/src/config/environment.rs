//! The only place that reads environment variables.

use std::ffi::OsString;
use std::path::PathBuf;

/// Lists all variables that are valid UTF-8; ours are picked out by name later.
pub(crate) fn variables() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The configuration file named by `HAKATA_CONFIG`.
pub(crate) fn config_file() -> Option<PathBuf> {
    path("HAKATA_CONFIG")
}

/// The data directory named by `HAKATA_SERVER__DATA`.
pub(crate) fn data_directory() -> Option<PathBuf> {
    path("HAKATA_SERVER__DATA")
}

/// The person's home directory.
pub(crate) fn home() -> Option<PathBuf> {
    path("HOME")
}

/// What Amazon's own tools read to find credentials; empty variables are none.
#[derive(Debug, Default)]
pub(crate) struct Aws {
    pub(crate) access_key: Option<String>,
    pub(crate) secret_key: Option<String>,
    pub(crate) session_token: Option<String>,
    pub(crate) web_identity_token_file: Option<PathBuf>,
    pub(crate) role_arn: Option<String>,
    pub(crate) sts_endpoint: Option<String>,
    pub(crate) container_url: Option<String>,
    pub(crate) container_authorization: Option<String>,
    pub(crate) container_authorization_file: Option<PathBuf>,
    pub(crate) metadata_endpoint: Option<String>,
}

/// Reads what Amazon's own tools read.
pub(crate) fn aws() -> Aws {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let relative = text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    Aws {
        access_key: text("AWS_ACCESS_KEY_ID"),
        secret_key: text("AWS_SECRET_ACCESS_KEY"),
        session_token: text("AWS_SESSION_TOKEN"),
        web_identity_token_file: path("AWS_WEB_IDENTITY_TOKEN_FILE"),
        role_arn: text("AWS_ROLE_ARN"),
        sts_endpoint: text("AWS_ENDPOINT_URL_STS"),
        // The address of the container agent. Source: Amazon ECS developer guide, task IAM roles.
        container_url: relative
            .map(|path| format!("http://169.254.170.2{path}"))
            .or_else(|| text("AWS_CONTAINER_CREDENTIALS_FULL_URI")),
        container_authorization: text("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        container_authorization_file: path("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        metadata_endpoint: text("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
    }
}

/// What git itself reads to find its configuration, for repositories that are the operator's own.
pub(crate) fn of_git() -> Vec<(&'static str, OsString)> {
    ["HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "TZ"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .collect()
}

/// A directory for files that a reboot may take.
pub(crate) fn temporary_directory() -> PathBuf {
    std::env::temp_dir()
}

/// The person's login name.
pub(crate) fn login_name() -> Option<String> {
    ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty())
}

/// A private directory for sockets, if the machine offers one.
pub(crate) fn runtime_directory() -> Option<PathBuf> {
    path("XDG_RUNTIME_DIR")
}

/// What a service manager says about sockets that it hands over: `LISTEN_PID`, `LISTEN_FDS`, `LISTEN_FDNAMES`.
pub(crate) fn activation() -> [Option<String>; 3] {
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(|name| std::env::var(name).ok())
}

fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
