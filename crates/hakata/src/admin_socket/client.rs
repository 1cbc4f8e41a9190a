//! The command's side of the socket. It is a plain blocking conversation: nothing else runs in the command's process.

use crate::admin_socket::{MAX_REPLY, Reply, Request};
use crate::output::{Answer, Exit, Failure, Progress};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// Asks a server and waits for its answer, showing progress.
///
/// # Errors
/// The server's failure, or that the conversation broke.
pub(crate) fn ask(
    mut stream: UnixStream,
    request: &Request,
    progress: &mut Progress,
) -> Result<Answer, Failure> {
    let broken = |error: &dyn std::error::Error| Failure::failed("talking to the running server", error);
    let mut line = serde_json::to_vec(request).map_err(|error| broken(&error))?;
    line.push(b'\n');
    stream.write_all(&line).map_err(|error| broken(&error))?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        lines.by_ref().take(MAX_REPLY).read_until(b'\n', &mut line).map_err(|error| broken(&error))?;
        if line.last() != Some(&b'\n') {
            let message = "the server stopped before it answered";
            return Err(Failure::new(Exit::Failed, "unavailable", message)
                .with_hint("look at the server's log; the command may or may not have been carried out"));
        }
        match serde_json::from_slice(&line).map_err(|error| broken(&error))? {
            Reply::Step(step) => progress.show(&step),
            Reply::Answer(answer) => return Ok(answer),
            Reply::Failure(failure) => return Err(failure),
        }
    }
}
