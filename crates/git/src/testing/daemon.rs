//! A `git://` server over our own code, so that git's client can talk to it from beginning to end.

use hakata_names::{ObjectFormat, Oid};
use hakata_pkt_line::Packet;
use hakata_runtime::tasks::Tasks;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};

use super::{Bench, command};
use crate::packets::Packets;
use crate::quarantine::{PackLimits, Quarantine};
use crate::receive::{Progress, PushLimits, PushRequest, RefReport, Report, encode_report, read_request};
use crate::serve::{
    FetchLimits, FetchStats, Mode, Output, Protocol, ProtocolVersion, Service, UploadArchive, UploadPack,
    advertise, upload_archive, upload_pack,
};
use crate::{Git, GitDir};

/// A server of one repository. Pushes are accepted if their objects are.
pub(crate) struct Daemon {
    pub(crate) url: String,
    tasks: Tasks,
}

impl Daemon {
    pub(crate) async fn start(bench: &Bench, dir: &GitDir, format: ObjectFormat) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("git://{}/x", listener.local_addr().unwrap());
        let tasks = Tasks::new();
        let served = Served { git: bench.git.clone(), dir: dir.clone(), format };
        let owner = tasks.clone();
        tasks.spawn("accept", async move {
            while let Ok((stream, _)) = listener.accept().await {
                owner.spawn("connection", served.clone().converse(stream));
            }
        });
        Self { url, tasks }
    }

    /// Runs a client that must succeed; returns what it says.
    pub(crate) async fn client(&self, bench: &Bench, args: &[&str]) -> String {
        let output = self.run(bench, args).await;
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a client that must fail; returns its complaints.
    pub(crate) async fn failing_client(&self, bench: &Bench, args: &[&str]) -> String {
        let output = self.run(bench, args).await;
        assert!(!output.status.success(), "git {args:?} succeeds");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs a client and returns all it says to the person.
    pub(crate) async fn run(&self, bench: &Bench, args: &[&str]) -> std::process::Output {
        let root = GitDir::new(bench.root.path());
        tokio::process::Command::from(command(&root, args)).output().await.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

#[derive(Clone)]
struct Served {
    git: Git,
    dir: GitDir,
    format: ObjectFormat,
}

impl Served {
    async fn converse(self, stream: TcpStream) {
        let (input, output) = stream.into_split();
        let mut input = BufReader::new(input);
        let mut output = Output::writer(output);
        let Ok(Some(Packet::Data(line))) = Packets::new(&mut input, 4_096).next().await else { return };
        let version = line.windows(9).find(|word| word.starts_with(b"version="));
        let version = ProtocolVersion::parse(version.unwrap_or_default());
        let protocol = Protocol { version, mode: Mode::Stateful };
        let snapshot = super::snapshot(&self.dir, self.format);
        if line.starts_with(b"git-upload-pack ") {
            let limits = FetchLimits::default();
            let conversation =
                UploadPack { git: &self.git, snapshot: &snapshot, source: &self.dir, protocol, limits };
            let _ = upload_pack(conversation, &mut input, &mut output, &mut FetchStats::default()).await;
        } else if line.starts_with(b"git-upload-archive ") {
            let request = UploadArchive { git: &self.git, source: &self.dir };
            let _ = upload_archive(request, &mut input, &mut output, &mut FetchStats::default()).await;
        } else {
            let lines = advertise(&snapshot, Service::ReceivePack, protocol, self.git.capabilities());
            output.send_all(lines).await.unwrap();
            output.flush().await.unwrap();
            match read_request(&mut input, self.format, &PushLimits::default()).await {
                Ok(Some(request)) => self.receive(request, &mut input, &mut output).await,
                Ok(None) => {}
                Err(error) => output.send(crate::serve::encode_error(&error.to_string())).await.unwrap(),
            }
        }
        let _ = output.flush().await;
    }

    async fn receive(
        &self,
        request: PushRequest,
        input: &mut (impl tokio::io::AsyncRead + Unpin),
        output: &mut Output<'_>,
    ) {
        let parent = self.git.settings().scratch.clone();
        let quarantine = Quarantine::create(&parent, Some(&self.dir), self.format).unwrap();
        let mut pack = None;
        if request.has_pack() {
            let limits = PackLimits { shallow: request.shallow.clone(), ..PackLimits::default() };
            match quarantine.index_pack(&self.git, input, &limits).await {
                Ok(indexed) => pack = Some(indexed),
                Err(error) => {
                    let report = Report::unpack_failed(&request, error.unpack_line());
                    output.send(encode_report(&report, &request.capabilities)).await.unwrap();
                    return;
                }
            }
        }
        Progress::new(output, &request.capabilities).line("hello from hakata").await.unwrap();
        let snapshot = super::snapshot(&self.dir, self.format);
        let disconnected = quarantine
            .check_push(&self.git, &snapshot, pack.as_ref(), &request.new_tips(), &request.shallow)
            .await
            .unwrap();
        for entry in std::fs::read_dir(quarantine.dir().objects().join("pack")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::hard_link(&path, self.dir.objects().join("pack").join(path.file_name().unwrap()))
                .unwrap();
        }
        let refs = request.updates.iter().map(|update| {
            if let Some(bad) = disconnected.iter().find(|bad| Some(bad.tip) == update.new) {
                return RefReport::refused(&update.name, bad.why.to_string());
            }
            let name = update.name.to_string();
            let wire = |oid| Oid::wire_hex(oid, self.format);
            super::git(&self.dir, &["update-ref", &name, &wire(update.new), &wire(update.old)]);
            RefReport::ok(&update.name)
        });
        let report = Report { unpack: Ok(()), refs: refs.collect() }.with_refused(&request);
        output.send(encode_report(&report, &request.capabilities)).await.unwrap();
    }
}
