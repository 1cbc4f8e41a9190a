//! From an accepted connection to its end: deadlines, login, idleness, drain.

use crate::algorithms;
use crate::carried::LfsTransfer;
use crate::host_keys::HostKeys;
use crate::live::Live;
use crate::metrics::{CONNECTIONS, ENDS, End};
use crate::realm::Realm;
use crate::session::{ClientSession, SessionError};
use crate::settings::Settings;
use crate::wire::Wire;
use hakata_forge::Forge;
use hakata_runtime::tasks::Tasks;
use hakata_service::listener::Connection;
use hakata_service::stream::{Peer, Stream};
use russh::server::{Config, RunningSession};
use russh::{Disconnect, MethodKind, SshId};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Largest packet of data that clients may send on a channel, as OpenSSH's own server has it.
pub(crate) const MAX_PACKET: u32 = 32 * 1024;

/// Bytes that a client may send on a channel ahead of us.
const WINDOW: u32 = 2 * 1024 * 1024;

/// Messages of a channel that wait for the task that reads it.
const CHANNEL_QUEUE: usize = 8;

/// Messages of all commands that wait for the session: one megabyte of data.
const SESSION_QUEUE: usize = 32;

/// How long a client that has been sent away may take to close its side.
const GOODBYE_TIME: Duration = Duration::from_secs(5);

/// How long a client may take to leave by itself after its last command: OpenSSH's client that is sent away drops what
/// it has received and not yet written.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// Speaks SSH on connections that a listener accepts; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all connections share.
pub(crate) struct Shared {
    /// Who decides.
    pub(crate) realm: Realm,
    /// The limits.
    pub(crate) settings: Settings,
    /// Who speaks LFS over SSH, if anybody does.
    pub(crate) lfs_transfer: Option<LfsTransfer>,
    config: Arc<Config>,
}

impl Server {
    /// Puts a server together.
    pub fn new(forge: Forge, host_keys: &HostKeys, settings: Settings) -> Self {
        Self::with_realm(Realm::Forge(forge), host_keys, settings, None)
    }

    /// Puts a server together that hands `git-lfs-transfer` to another face.
    pub fn with_lfs(forge: Forge, host_keys: &HostKeys, settings: Settings, lfs: LfsTransfer) -> Self {
        Self::with_realm(Realm::Forge(forge), host_keys, settings, Some(lfs))
    }

    /// Puts a server together over whatever decides.
    pub(crate) fn with_realm(
        realm: Realm,
        host_keys: &HostKeys,
        settings: Settings,
        lfs_transfer: Option<LfsTransfer>,
    ) -> Self {
        let config = Arc::new(config(host_keys, &settings));
        Self { shared: Arc::new(Shared { realm, settings, lfs_transfer, config }) }
    }

    #[cfg(test)]
    pub(crate) fn realm(&self) -> &Realm {
        &self.shared.realm
    }

    /// Serves one connection to its end.
    ///
    /// `tasks` owns the commands that the client runs. When it drains, no channel is opened any more, running
    /// commands finish, and the client is told. Dropping the future cuts the connection and ends its commands.
    pub async fn serve(self, connection: Connection, tasks: Tasks) {
        let Connection { stream, peer, slot, .. } = connection;
        let on_login = || slot.authenticated();
        serve_stream(&self.shared, stream, peer, &tasks, rearm_quick_ack, on_login).await;
    }
}

/// Serves one stream; `after_read` runs after each read before login.
pub(crate) async fn serve_stream<S>(
    shared: &Arc<Shared>,
    stream: S,
    peer: Peer,
    tasks: &Tasks,
    after_read: fn(&S),
    on_login: impl FnOnce(),
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let _counted = CONNECTIONS.track();
    let started = Instant::now();
    let live = Arc::new(Live::new(peer, tasks.child()));
    let _cut = live.cut.clone().drop_guard();
    let _ended = live.ended.clone().drop_guard();
    let wire =
        Wire::new(stream, live.cut.clone(), live.logged_in.clone(), after_read, shared.settings.patience);
    let end = run(shared, &live, wire, tasks, on_login).await;
    live.ended.cancel();
    live.tasks.cut().await;
    ENDS.get(end).inc();
    tracing::info!(
        client.address = %peer,
        ssh.end = hakata_runtime::metrics::Label::value(end),
        ssh.commands = live.n_commands(),
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "ssh connection ended"
    );
}

/// Runs the three parts of a connection: handshake, commands, good-bye.
async fn run<S>(
    shared: &Arc<Shared>,
    live: &Arc<Live>,
    wire: Wire<S>,
    tasks: &Tasks,
    on_login: impl FnOnce(),
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let drain = tasks.cancel_token();
    let deadline = Instant::now() + shared.settings.handshake;
    let session = ClientSession::new(shared.clone(), live.clone());
    let banners = russh::server::run_stream(shared.config.clone(), wire, session);
    let mut session = tokio::select! {
        banners = tokio::time::timeout_at(deadline, banners) => match banners {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => return failed(live, &error),
            Err(_) => return End::Handshake,
        },
        () = drain.cancelled() => return End::Drained,
    };
    live.set_handle(session.handle());
    let end = tokio::select! {
        biased;
        ended = &mut session => return outcome(live, ended),
        () = live.logged_in.cancelled() => None,
        () = tokio::time::sleep_until(deadline) => Some(End::Handshake),
        () = drain.cancelled() => Some(End::Drained),
    };
    if let Some(end) = end {
        live.cut.cancel();
        wait_for(live, &mut session).await;
        return end;
    }
    on_login();
    let end = tokio::select! {
        biased;
        ended = &mut session => return outcome(live, ended),
        () = live.idle_for(shared.settings.idle) => End::Idle,
        () = drained(live, &drain) => End::Drained,
    };
    if let (End::Drained, Some(last)) = (end, live.last_end())
        && tokio::time::timeout_at(last + LEAVE_TIME, &mut session).await.is_ok()
    {
        return end;
    }
    let farewell =
        if matches!(end, End::Idle) { "nothing to do for too long" } else { "the server is stopping" };
    live.disconnect(Disconnect::ByApplication, farewell.to_owned()).await;
    wait_for(live, &mut session).await;
    end
}

/// Waits until the server drains and the last running command is over.
async fn drained(live: &Live, drain: &tokio_util::sync::CancellationToken) {
    drain.cancelled().await;
    live.drain();
    live.no_command().await;
}

/// Waits for a session that was told to end, and cuts it when it does not.
async fn wait_for(live: &Live, session: &mut RunningSession<ClientSession>) {
    if tokio::time::timeout(GOODBYE_TIME, &mut *session).await.is_ok() {
        return;
    }
    live.cut.cancel();
    live.ended.cancel();
    let _ = tokio::time::timeout(GOODBYE_TIME, session).await;
}

fn outcome(live: &Live, ended: Result<(), SessionError>) -> End {
    match ended {
        _ if live.is_refused() => End::Refused,
        Ok(()) => End::Closed,
        Err(error) => failed(live, &error),
    }
}

/// Tells an ordinary end from a failure; clients that vanish are both daily and harmless.
fn failed(live: &Live, error: &SessionError) -> End {
    if let SessionError::Ssh(russh::Error::Disconnect | russh::Error::HUP) = error {
        return End::Closed;
    }
    tracing::debug!(client.address = %live.peer, %error, "ssh session failed");
    End::Failed
}

/// Asks the kernel to acknowledge at once; it forgets that after each read.
fn rearm_quick_ack(stream: &Stream) {
    if let Stream::Tcp(stream) = stream {
        // Only speed is lost when the socket does not take it.
        let _ = socket2::SockRef::from(stream).set_tcp_quickack(true);
    }
}

fn config(host_keys: &HostKeys, settings: &Settings) -> Config {
    Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Hakata")),
        methods: [MethodKind::PublicKey].as_slice().into(),
        // Refusals wait in the session, which knows how many there were.
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: host_keys.private_keys(),
        certificates: Vec::new(),
        limits: russh::Limits::default(),
        window_size: WINDOW,
        maximum_packet_size: MAX_PACKET,
        channel_buffer_size: CHANNEL_QUEUE,
        event_buffer_size: SESSION_QUEUE,
        preferred: algorithms::preferred(),
        // The session counts by itself and leaves the harmless first request out; this is the net below it.
        max_auth_attempts: settings.login_attempts.saturating_add(2),
        // Answers to keepalives count as activity here, so that idleness is ours to watch.
        inactivity_timeout: Some(settings.idle.max(settings.handshake).saturating_mul(2)),
        keepalive_interval: Some(settings.keepalive),
        keepalive_max: settings.keepalive_max,
        nodelay: false,
    }
}
