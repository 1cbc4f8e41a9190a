//! Running programs with a deadline.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long one program may run before it counts as hung.
const LIMIT: Duration = Duration::from_secs(300);

/// What a program said and how it ended.
#[derive(Clone, Debug, Default)]
pub struct Output {
    /// Exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// Whether the program ended with status 0.
    pub fn success(&self) -> bool {
        self.status == Some(0)
    }

    /// Returns the output of a program that must have succeeded.
    ///
    /// # Errors
    /// With everything that the program said, if it failed.
    pub fn expect_success(self, what: &str) -> Result<Self> {
        if !self.success() {
            bail!("{what} ended with {:?}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr);
        }
        Ok(self)
    }
}

/// Runs a program to its end with empty standard input.
///
/// # Errors
/// If it does not start, or is not finished after five minutes (it is killed then).
pub fn run(command: &mut Command) -> Result<Output> {
    run_with_input(command, b"")
}

/// Runs a program to its end, with `input` as its standard input.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Result<Output> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let stdout = drain(child.stdout.take().context("standard output is piped")?);
    let stderr = drain(child.stderr.take().context("standard error is piped")?);
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    // The program may end without reading its input; that is no error of ours.
    let _ = stdin.write_all(input);
    drop(stdin);
    let status = wait(&mut child).with_context(|| format!("waiting for {command:?}"))?;
    Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
}

/// Waits for a condition, looking every few milliseconds.
///
/// # Errors
/// If it does not hold within `limit`; the error names `what`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() > deadline {
            bail!("{what} did not happen within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn drain(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

fn text(bytes: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.join().unwrap_or_default()).into_owned()
}

fn wait(child: &mut Child) -> Result<Option<i32>> {
    let mut status = None;
    let ended = wait_until("its end", LIMIT, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    ended?;
    Ok(status.and_then(|status| status.code()))
}
