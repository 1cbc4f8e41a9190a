//! The server's side of the socket.

use crate::admin_socket::{MAX_REQUEST, Reply, Request};
use crate::output::{Answer, Exit, Failure, Step};
use hakata_runtime::tasks::Tasks;
use std::fs::Permissions;
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

/// Conversations at once; more wait in the socket's backlog.
const MAX_CONVERSATIONS: usize = 8;
/// How long a client may take to state its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Steps that may wait for a slow reader; further ones are dropped, each being whole in itself.
const MAX_STEPS: usize = 16;
/// How long accepting rests after the machine refused a descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where work reports its steps.
pub(crate) type Steps = mpsc::Sender<Step>;

/// Binds the socket, for its owner alone.
///
/// # Errors
/// The file system's.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers requests until the tasks are told to drain; `run` carries a request out.
pub(crate) async fn serve<R, F>(listener: UnixListener, tasks: Tasks, run: R)
where
    R: Fn(Request, Steps) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Answer, Failure>> + Send + 'static,
{
    let run = Arc::new(run);
    let slots = Arc::new(Semaphore::new(MAX_CONVERSATIONS));
    let draining = tasks.cancel_token();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = draining.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let run = run.clone();
                tasks.spawn("admin_socket", async move {
                    converse(stream, run.as_ref()).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting on the admin socket");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Holds one conversation; when the client leaves, its work is dropped.
async fn converse<R, F>(stream: UnixStream, run: &R)
where
    R: Fn(Request, Steps) -> F,
    F: Future<Output = Result<Answer, Failure>>,
{
    let allowed = stream.peer_cred().is_ok_and(|peer| is_allowed(peer.uid()));
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let request = match allowed {
        true => read_request(&mut reader).await,
        false => Err(Failure::refused("only the user that runs the server may administer it")),
    };
    let reply = match request {
        Err(failure) => Reply::Failure(failure),
        Ok(request) => {
            let (steps, mut reports) = mpsc::channel(MAX_STEPS);
            let work = run(request, steps);
            tokio::pin!(work);
            loop {
                let left = tokio::select! {
                    biased;
                    Some(step) = reports.recv() => write(&mut writer, &Reply::Step(step)).await.is_err(),
                    done = &mut work => break done.map_or_else(Reply::Failure, Reply::Answer),
                    () = gone(&mut reader) => true,
                };
                if left {
                    tracing::info!("an administrative command was cut because its client left");
                    return;
                }
            }
        }
    };
    let _ = write(&mut writer, &reply).await;
}

async fn read_request(reader: &mut BufReader<OwnedReadHalf>) -> Result<Request, Failure> {
    let invalid = |message: String| Failure::new(Exit::Usage, "invalid", message);
    let mut line = Vec::new();
    let mut bounded = reader.take(MAX_REQUEST);
    match tokio::time::timeout(REQUEST_TIMEOUT, bounded.read_until(b'\n', &mut line)).await {
        Err(_) => return Err(invalid("the request did not come in time".to_owned())),
        Ok(Err(error)) => return Err(Failure::failed("reading the request", &error)),
        Ok(Ok(_)) => {}
    }
    serde_json::from_slice(&line).map_err(|error| {
        invalid(format!("the server does not understand the request: {error}"))
            .with_hint("are the command and the server of the same version?")
    })
}

async fn write(writer: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    writer.write_all(&line).await
}

/// Ends when the client closes; what it sends after its request is thrown away.
async fn gone(reader: &mut BufReader<OwnedReadHalf>) {
    while let Ok(bytes) = reader.fill_buf().await {
        let n_bytes = bytes.len();
        if n_bytes == 0 {
            return;
        }
        reader.consume(n_bytes);
    }
}

/// Whether a user may administer this process.
fn is_allowed(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin_socket::client;
    use crate::output::Progress;
    use serde_json::json;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_command_sees_steps_then_the_answer_and_failures_arrive_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let listener = bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let tasks = Tasks::new();
        let child = tasks.child();
        tasks.spawn(
            "admin_socket",
            serve(listener, child, |request, steps| async move {
                match request {
                    Request::Status => {
                        let _ = steps.send(Step::items("looking", 1, Some(2))).await;
                        Ok(Answer::Text("well".to_owned(), json!({"status": "well"})))
                    }
                    Request::Run { .. } => Err(Failure::refused("no")),
                }
            }),
        );
        let asked = tokio::task::spawn_blocking(move || {
            let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
            let answer = client::ask(stream, &Request::Status, &mut Progress::silent()).unwrap();
            let Answer::Text(text, _) = answer else { panic!("the answer comes as it was given") };
            let stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
            std::io::Write::write_all(&mut &stream, b"{\"request\":\"frob\"}\n").unwrap();
            let mut reply = String::new();
            std::io::Read::read_to_string(&mut &stream, &mut reply).unwrap();
            (text, reply)
        });
        let (text, reply) = asked.await.unwrap();
        assert_eq!(text, "well");
        assert!(reply.starts_with("{\"failure\":{\"exit\":\"usage\""), "{reply}");
        assert_eq!(tasks.drain(Duration::from_secs(10)).await.cut, 0, "an idle socket drains at once");
    }
}
