//! The listening socket itself.

use super::{Address, Inherited, Settings};
use crate::stream::{Peer, Stream};
use futures_util::FutureExt;
use socket2::{Domain, Protocol, SockAddr, Socket as Raw, TcpKeepalive, Type};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokio::net::{TcpListener, UnixListener};

/// The longest path of a socket file, the kernel's 108 bytes less the closing zero. Source: unix(7).
const MAX_UNIX_PATH: usize = 107;

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kernel refuses.
    #[error("binding {address}")]
    Bind {
        /// What was to be bound.
        address: Address,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// A server already answers on this socket file.
    #[error("another server answers on {0}")]
    Answered(Address),
    /// The path is something else than a socket and stays.
    #[error("{0} exists and is no socket")]
    NotASocket(Address),
    /// The path of a socket file is too long for the kernel.
    #[error("the path in {0} is longer than {MAX_UNIX_PATH} bytes")]
    PathTooLong(Address),
}

/// A bound socket, and a descriptor kept back for bad times.
#[derive(Debug)]
pub(super) struct Socket {
    kind: Kind,
    address: Address,
    _file: Option<OwnFile>,
    /// Given up for a moment when descriptors run out, so that a waiting client can be taken and closed.
    reserve: Mutex<Option<File>>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The socket file we made; removed with us if it is still ours.
#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    inode: u64,
}

impl Socket {
    pub(super) fn bind(address: &Address, settings: &Settings) -> Result<Self, BindError> {
        let refuse = |source| BindError::Bind { address: address.clone(), source };
        let (kind, bound, file) = match address {
            Address::Tcp(at) => {
                let listener = bind_tcp(*at, settings).map_err(refuse)?;
                let bound = listener.local_addr().map_err(refuse)?;
                (Kind::Tcp(listener), Address::Tcp(bound), None)
            }
            Address::Unix(path) => {
                make_way(path, address)?;
                let (listener, file) = bind_unix(path, settings).map_err(refuse)?;
                (Kind::Unix(listener), address.clone(), Some(file))
            }
        };
        Ok(Self { kind, address: bound, _file: file, reserve: Mutex::new(reserve()) })
    }

    /// Listens on a socket that was bound for us.
    pub(super) fn adopt(inherited: Inherited, settings: &Settings) -> Result<Self, BindError> {
        let address = inherited.address().clone();
        let adopt = || -> io::Result<Kind> {
            let socket = inherited.socket;
            socket.set_nonblocking(true)?;
            Ok(match address {
                Address::Tcp(_) => {
                    protect(&socket, settings)?;
                    Kind::Tcp(TcpListener::from_std(socket.into())?)
                }
                Address::Unix(_) => Kind::Unix(UnixListener::from_std(socket.into())?),
            })
        };
        let kind = adopt().map_err(|source| BindError::Bind { address: address.clone(), source })?;
        Ok(Self { kind, address, _file: None, reserve: Mutex::new(reserve()) })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Stream::Tcp(stream), Peer::tcp(address)))
            }
            Kind::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let cred = stream.peer_cred()?;
                Ok((Stream::Unix(stream), Peer::Unix { uid: cred.uid(), pid: cred.pid() }))
            }
        }
    }

    /// Takes one waiting client and closes it, with the descriptor kept for this: it learns at once what a full queue
    /// would tell it after minutes.
    pub(super) fn shed(&self) {
        let mut kept = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        drop(kept.take());
        drop(self.accept().now_or_never());
        *kept = reserve();
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

fn bind_tcp(at: SocketAddr, settings: &Settings) -> io::Result<TcpListener> {
    let new = |at| Raw::new(Domain::for_address(at), Type::STREAM.nonblocking(), Some(Protocol::TCP));
    let (at, socket) = match new(at) {
        // "Everywhere" is everything there is on a machine without IPv6.
        Err(_) if at == SocketAddr::from((Ipv6Addr::UNSPECIFIED, at.port())) => {
            let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, at.port()));
            (at, new(at)?)
        }
        socket => (at, socket?),
    };
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        // `[::]` means everywhere; where the machine has no IPv4 this is refused and does not matter.
        let _ = socket.set_only_v6(!at.ip().is_unspecified());
    }
    protect(&socket, settings)?;
    socket.bind(&at.into())?;
    socket.listen(settings.backlog)?;
    TcpListener::from_std(socket.into())
}

/// Bytes that may wait in the kernel unsent, beside those on their way.
///
/// The kernel tells of room for more only when a third of its buffer is free, hundreds of kilobytes for a connection
/// that was fast once: a peer that takes 5 KiB a second looked stalled for a minute. With this it tells after 30 to
/// 50 KiB, so that a peer at the least rate that [`Patience`](crate::stream::Patience) allows is seen to take something
/// in time. Less would leave a fast connection dry whenever we are late by a fraction of a millisecond.
const UNSENT_BYTES: u32 = 64 << 10;

/// Sets what ends connections of vanished peers, sends small answers at once and shows slow readers. Accepted sockets
/// inherit all of it.
fn protect(socket: &Raw, settings: &Settings) -> io::Result<()> {
    let probe = settings.keepalive.max(std::time::Duration::from_secs(3));
    let keepalive = TcpKeepalive::new().with_time(probe).with_interval(probe / 3).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(settings.user_timeout))?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.set_tcp_nodelay(true)
}

/// Removes a socket file that nobody answers.
fn make_way(path: &Path, address: &Address) -> Result<(), BindError> {
    if path.as_os_str().len() > MAX_UNIX_PATH {
        return Err(BindError::PathTooLong(address.clone()));
    }
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket(address.clone()));
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(BindError::Answered(address.clone())),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| BindError::Bind { address: address.clone(), source })
        }
        Err(source) => Err(BindError::Bind { address: address.clone(), source }),
    }
}

/// Binds, sets the mode, then listens: before that nobody can connect, so the mode holds from the start.
fn bind_unix(path: &Path, settings: &Settings) -> io::Result<(UnixListener, OwnFile)> {
    let socket = Raw::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(settings.unix_mode))?;
    let file = OwnFile { path: path.to_owned(), inode: path.symlink_metadata()?.ino() };
    socket.listen(settings.backlog)?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if self.path.symlink_metadata().is_ok_and(|found| found.ino() == self.inode) {
            // Another server's probe replaces what stays behind.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
