//! The SSH session of one connection: who logs in and what its channels are asked for.

use crate::channel;
use crate::command::Command;
use crate::environment::protocol_of;
use crate::live::Live;
use crate::login::{Login, OfferedKey};
use crate::metrics::{LOGINS, LoginOutcome};
use crate::run::Job;
use crate::server::{MAX_PACKET, Shared};
use futures_util::FutureExt;
use hakata_forge::hosting::ProtocolVersion;
use hakata_forge::{Actor, Error, Kind};
use hakata_runtime::tasks::Task;
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Sig};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a key may take to look up; the session answers nothing else meanwhile.
const LOOKUP_TIME: Duration = Duration::from_secs(10);

/// What each refusal after the second adds to the answer's delay.
const REFUSAL_PAUSE: Duration = Duration::from_millis(100);

/// Most channels over the life of a connection: the library keeps some bytes of each that we close first.
const MAX_OPENED: usize = 10_000;

/// What the library calls for each message of one client.
pub(crate) struct ClientSession {
    shared: Arc<Shared>,
    live: Arc<Live>,
    login: Login,
    /// Set by a verified signature and by nothing else.
    actor: Option<Actor>,
    channels: HashMap<ChannelId, State>,
    n_opened: usize,
}

/// A channel that we have confirmed; ids that are not among these are refused whatever the library thinks of them.
enum State {
    /// Open, and nothing asked for yet.
    Waiting { channel: Channel<Msg>, version: ProtocolVersion },
    /// Running its one command, or done with it.
    Started { stop: CancellationToken, task: Task<()> },
}

/// Why a session ends at once.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The library says so.
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    /// The client does what no client does.
    #[error("the client broke the protocol: {0}")]
    Protocol(&'static str),
}

impl ClientSession {
    /// Starts before the first byte.
    pub(crate) fn new(shared: Arc<Shared>, live: Arc<Live>) -> Self {
        Self { shared, live, login: Login::default(), actor: None, channels: HashMap::new(), n_opened: 0 }
    }

    fn begin_login(&mut self, user: &str) -> Result<(), SessionError> {
        self.actor = None;
        if self.login.begin(user) { Ok(()) } else { Err(SessionError::Protocol("too many login requests")) }
    }

    /// Judges the kind of a key; the answer if it is refused.
    fn judge(&mut self, key: &OfferedKey, algorithm: &russh::keys::Algorithm) -> Option<Auth> {
        let reason = key.judge(algorithm).err()?;
        LOGINS.get(LoginOutcome::Kind).inc();
        tracing::debug!(client.address = %self.live.peer, key.fingerprint = key.fingerprint, %reason, "ssh key refused");
        Some(self.login.refuse_key(key, Some(reason)))
    }

    fn refuse_unknown(&mut self, key: &OfferedKey) -> Auth {
        LOGINS.get(LoginOutcome::Unknown).inc();
        tracing::debug!(client.address = %self.live.peer, key.fingerprint = key.fingerprint, "ssh key is unknown");
        self.login.refuse_key(key, None)
    }

    fn refuse_failed(&mut self, error: Option<&Error>) -> Auth {
        LOGINS.get(LoginOutcome::Failed).inc();
        let cause = error.map_or_else(|| "no answer in time".to_owned(), Error::chain);
        tracing::error!(client.address = %self.live.peer, cause, "looking up an ssh key");
        self.login.refuse()
    }

    /// Ends every refusal: slower each time, and with the limit a sentence and the door.
    async fn refused(&mut self, auth: Auth) -> Result<Auth, SessionError> {
        let n_refused = self.login.n_refused();
        if n_refused >= self.shared.settings.login_attempts {
            let hint = self.login.hint(&self.shared.settings.key_hint);
            self.live.refuse_login(hint).await;
        }
        let steps = u32::try_from(n_refused.saturating_sub(2)).unwrap_or(u32::MAX);
        tokio::time::sleep(REFUSAL_PAUSE.saturating_mul(steps)).await;
        Ok(auth)
    }

    /// Looks up an offered key: that it is known proves nothing yet.
    async fn answer_offer(&mut self, offer: PublicKeyOffer<'_>) -> Result<Auth, SessionError> {
        let key =
            OfferedKey::of(offer.public_key).ok_or(SessionError::Protocol("a key that cannot be encoded"))?;
        if let Some(auth) = self.judge(&key, offer.algorithm) {
            return self.refused(auth).await;
        }
        let known = tokio::time::timeout(LOOKUP_TIME, self.shared.realm.is_key_known(&key.blob)).await;
        let auth = match known {
            Ok(Ok(true)) => return Ok(Auth::Accept),
            Ok(Ok(false)) => self.refuse_unknown(&key),
            Ok(Err(error)) => self.refuse_failed(Some(&error)),
            Err(_) => self.refuse_failed(None),
        };
        self.refused(auth).await
    }

    /// Signs in by a key whose signature the library has just verified.
    async fn sign_in(&mut self, proven: VerifiedPublicKey<'_>) -> Result<Auth, SessionError> {
        let key = OfferedKey::of(proven.public_key)
            .ok_or(SessionError::Protocol("a key that cannot be encoded"))?;
        if let Some(auth) = self.judge(&key, proven.algorithm) {
            return self.refused(auth).await;
        }
        let sign_in = self.shared.realm.sign_in(&key.blob, self.live.peer.ip());
        let auth = match tokio::time::timeout(LOOKUP_TIME, sign_in).await {
            Ok(Ok(actor)) => {
                LOGINS.get(LoginOutcome::Accepted).inc();
                tracing::debug!(
                    client.address = %self.live.peer, user = actor.name(), key.fingerprint = key.fingerprint,
                    "ssh login"
                );
                self.actor = Some(actor);
                return Ok(Auth::Accept);
            }
            Ok(Err(error)) if error.kind() == Kind::Unauthenticated => self.refuse_unknown(&key),
            Ok(Err(error)) => self.refuse_failed(Some(&error)),
            Err(_) => self.refuse_failed(None),
        };
        self.refused(auth).await
    }

    /// Tells why a channel may not be opened now.
    fn judge_channel(&mut self) -> Result<(), ChannelOpenFailure> {
        let is_done = |state: &State| matches!(state, State::Started { task, .. } if task.is_finished());
        self.channels.retain(|_, state| !is_done(state));
        if self.actor.is_none() || self.live.is_draining() {
            return Err(ChannelOpenFailure::AdministrativelyProhibited);
        }
        let is_full = self.channels.len() >= self.shared.settings.channels || self.n_opened >= MAX_OPENED;
        if is_full { Err(ChannelOpenFailure::ResourceShortage) } else { Ok(()) }
    }

    /// Starts the one job of a channel.
    fn start(&mut self, id: ChannelId, session: &mut Session, job: Job) -> Result<(), SessionError> {
        let (Some(actor), true) = (self.actor.clone(), self.is_waiting(id)) else {
            return Ok(session.channel_failure(id)?);
        };
        self.drop_queued(id);
        let Some(State::Waiting { channel, .. }) = self.channels.remove(&id) else { return Ok(()) };
        session.channel_success(id)?;
        let stop = self.live.ended.child_token();
        let serve = channel::serve(self.shared.clone(), self.live.clone(), actor, job, channel, stop.clone());
        let task = self.live.tasks.spawn("ssh_command", serve);
        self.channels.insert(id, State::Started { stop, task });
        Ok(())
    }

    fn is_waiting(&self, id: ChannelId) -> bool {
        matches!(self.channels.get(&id), Some(State::Waiting { .. }))
    }

    /// Empties the queue of a channel that nobody reads yet: the library waits when it is full, and with it the
    /// whole connection. All that can be in it has been or is being answered by a callback.
    fn drop_queued(&mut self, id: ChannelId) {
        if let Some(State::Waiting { channel, .. }) = self.channels.get_mut(&id) {
            while let Some(Some(_)) = channel.wait().now_or_never() {}
        }
    }

    /// Refuses a request on a channel.
    fn refuse_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), SessionError> {
        self.drop_queued(id);
        Ok(session.channel_failure(id)?)
    }

    /// Closes a channel that gets data before a command.
    fn close_waiting(&mut self, id: ChannelId, session: &mut Session) -> Result<(), SessionError> {
        if self.is_waiting(id) {
            self.channels.remove(&id);
            session.close(id)?;
        }
        Ok(())
    }
}

impl Drop for ClientSession {
    fn drop(&mut self) {
        self.live.ended.cancel();
    }
}

impl Handler for ClientSession {
    type Error = SessionError;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, SessionError> {
        self.begin_login(user)?;
        Ok(self.login.name_methods())
    }

    async fn auth_password(&mut self, user: &str, _password: &str) -> Result<Auth, SessionError> {
        self.begin_login(user)?;
        let auth = self.login.refuse();
        self.refused(auth).await
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, SessionError> {
        self.begin_login(user)?;
        let hint = self.login.take_hint(&self.shared.settings.key_hint);
        if let (Some(hint), true) = (hint, response.is_none()) {
            let instructions = format!("Hakata: {hint}").into();
            return Ok(Auth::Partial { name: "".into(), instructions, prompts: Vec::new().into() });
        }
        let auth = self.login.refuse();
        self.refused(auth).await
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, SessionError> {
        self.begin_login(user)?;
        self.answer_offer(offer).await
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, SessionError> {
        self.begin_login(user)?;
        self.sign_in(key).await
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        _certificate: &russh::keys::Certificate,
    ) -> Result<Auth, SessionError> {
        self.begin_login(user)?;
        let auth = self.login.refuse();
        self.refused(auth).await
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), SessionError> {
        if self.actor.is_none() {
            return Err(SessionError::Protocol("a login without a proven key"));
        }
        self.live.logged_in.cancel();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), SessionError> {
        match self.judge_channel() {
            Ok(()) => {
                self.n_opened += 1;
                let version = ProtocolVersion::default();
                self.channels.insert(channel.id(), State::Waiting { channel, version });
                reply.accept().await;
            }
            Err(failure) => reply.reject(failure).await,
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), SessionError> {
        if let Some(State::Started { stop, .. }) = self.channels.get(&id) {
            stop.cancel();
        } else {
            self.channels.remove(&id);
        }
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, session: &mut Session) -> Result<(), SessionError> {
        self.close_waiting(id, session)
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), SessionError> {
        if data.len() > MAX_PACKET as usize {
            return Err(SessionError::Protocol("a packet larger than was agreed"));
        }
        self.close_waiting(id, session)
    }

    async fn extended_data(
        &mut self,
        _id: ChannelId,
        _code: u32,
        _data: &[u8],
        _session: &mut Session,
    ) -> Result<(), SessionError> {
        Err(SessionError::Protocol("extended data from a client"))
    }

    async fn window_adjusted(
        &mut self,
        id: ChannelId,
        _new_size: u32,
        _session: &mut Session,
    ) -> Result<(), SessionError> {
        self.drop_queued(id);
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), SessionError> {
        self.drop_queued(id);
        match (self.channels.get_mut(&id), protocol_of(name, value)) {
            (Some(State::Waiting { version, .. }), Some(asked)) => {
                *version = asked;
                Ok(session.channel_success(id)?)
            }
            _ => Ok(session.channel_failure(id)?),
        }
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), SessionError> {
        let version = match self.channels.get(&id) {
            Some(State::Waiting { version, .. }) => *version,
            _ => return self.refuse_request(id, session),
        };
        let job = match Command::parse(line) {
            Ok(command) => Job::Command(command, version),
            Err(error) => Job::Refused(format!("{error}; try: help")),
        };
        self.start(id, session, job)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), SessionError> {
        self.start(id, session, Job::Greeting)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), SessionError> {
        // A failure would end OpenSSH's client before it shows a word.
        self.start(
            id,
            session,
            Job::Refused("only git is served here, no sftp and no other subsystem".to_owned()),
        )
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        _col_width: u32,
        _row_height: u32,
        _pix_width: u32,
        _pix_height: u32,
        _modes: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), SessionError> {
        self.refuse_request(id, session)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), SessionError> {
        self.refuse_request(id, session)
    }

    async fn agent_request(&mut self, id: ChannelId, _session: &mut Session) -> Result<bool, SessionError> {
        self.drop_queued(id);
        Ok(false)
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        _col_width: u32,
        _row_height: u32,
        _pix_width: u32,
        _pix_height: u32,
        _session: &mut Session,
    ) -> Result<(), SessionError> {
        self.drop_queued(id);
        Ok(())
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        _session: &mut Session,
    ) -> Result<(), SessionError> {
        self.drop_queued(id);
        let ends = matches!(signal, Sig::TERM | Sig::INT | Sig::KILL | Sig::HUP);
        if let (Some(State::Started { stop, .. }), true) = (self.channels.get(&id), ends) {
            stop.cancel();
        }
        Ok(())
    }
}
