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
