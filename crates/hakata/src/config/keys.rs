//! The one table of configuration keys: name, kind, default, and the sentence that every document is made from.

use crate::config::value::Kind;

/// One key: a row of the table.
#[derive(Debug)]
pub(crate) struct Key {
    /// `section.name`, in lower case.
    pub(crate) name: &'static str,
    /// What it may hold.
    pub(crate) kind: Kind,
    /// The default as written in the file or a variable.
    pub(crate) default: &'static str,
    /// What it does, in a sentence or two.
    pub(crate) doc: &'static str,
    /// Whether its value is hidden when shown, and may be read from a file named by `…_FILE`.
    pub(crate) secret: bool,
}

/// Section names with what each is about, in the order of the documents.
pub(crate) const SECTIONS: [(&str, &str); 24] = [
    ("server", "The process as a whole."),
    ("http", "The listener for Git over HTTP."),
    ("ssh", "The listener for Git over SSH."),
    ("admin", "The listener for metrics and health, meant for loopback or a private network."),
    ("connections", "What every listener asks of its peers."),
    ("database", "Where rows are kept: refs, accounts, the catalogue of packs."),
    ("storage", "Where packs are kept: in a directory, or in a bucket of S3 (see docs/storage.md)."),
    (
        "storage.s3",
        "The bucket of packs, at Amazon or any engine that speaks its protocol: see docs/storage.md.",
    ),
    ("git", "The git program, and what its processes may take of the machine."),
    ("cache", "The directories and snapshots that are made again from rows and packs whenever needed."),
    ("repositories", "New repositories, and the care of all of them."),
    ("limits", "Sizes and counts above which a request is refused with a sentence."),
    ("lfs", "Large files that Git LFS keeps beside repositories: see docs/lfs.md."),
    ("auth", "Passwords and sign-in."),
    ("jobs", "What is done after pushes, here or by `hakata worker`: see docs/jobs.md."),
    (
        "rabbitmq",
        "Telling workers of jobs, and other programs of events, through RabbitMQ: see docs/jobs.md and docs/events.md.",
    ),
    ("webhooks", "Telling others what happens: see docs/webhooks.md."),
    (
        "mirrors",
        "Repositories that follow those of other hosts, or are followed by them: see docs/mirrors.md.",
    ),
    ("mail", "Telling people by mail what happens: see docs/mail.md."),
    ("egress", "What may be reached by URLs that people give us: webhooks, mirrors, imports."),
    (
        "id",
        "The server of unique integers, alone (`hakata id`) or beside everything else: see docs/id-server.md.",
    ),
    (
        "rpc",
        "The repository service for other programs, alone (`hakata rpc`) or beside everything else: see docs/rpc.md.",
    ),
    (
        "rpc.client",
        "Whom this program asks about repositories that lie elsewhere, and over which protocol: see docs/rpc.md.",
    ),
    ("log", "What is written to standard error while serving."),
];

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc, secret: false }
}

const fn secret(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc, secret: true }
}

const COUNT: Kind = Kind::Count { least: 1, most: 1_000_000_000 };
const WORKER: Kind = Kind::AutoCount { least: 0, most: 1023 };
const AUTO: Kind = Kind::AutoCount { least: 1, most: 65_536 };

/// Every key, by section.
#[rustfmt::skip] // One row a key, as a table is read.
static KEYS: &[Key] = &[
    key("server.data", Kind::Path, "./hakata-data", "Directory of everything Hakata keeps; one process owns it."),
    key("server.node", Kind::Text, "local", "The name of this process in rows that say who wrote something; give each its own when several share a database."),
    key("server.drain", Kind::Span, "60s", "How long running transfers may go on after SIGTERM before they are cut."),
    key("server.threads", AUTO, "auto", "Threads that serve; auto is one a core."),
    key("server.blocking_threads", AUTO, "auto", "Threads for reading objects and checking passwords; auto is four a core, at least eight."),
    key("http.address", Kind::Address, "127.0.0.1:3000", "Where Git over HTTP listens; port 0 takes a free one."),
    key("http.public_url", Kind::Text, "", "The URL people use, when it differs from the listener's."),
    key("http.tls_certificate", Kind::Path, "", "A chain of certificates in PEM; with it and its key, HTTP is HTTPS."),
    key("http.tls_key", Kind::Path, "", "The key of http.tls_certificate in PEM; both are read again when they change and on SIGHUP."),
    key("http.trusted_proxies", Kind::List, "", "Addresses or networks whose X-Forwarded-For is believed; they are free of the bounds for one address."),
    key("http.header_timeout", Kind::Span, "30s", "How long a client may take to send a request's header."),
    key("http.half_closed", Kind::Span, "1s", "After a client closed its sending side: how long its answer may move no byte before it is dropped."),
    key("http.body_grace", Kind::Span, "30s", "How long a client may keep us waiting for a body, before its bytes earn it more."),
    key("http.body_rate", Kind::Size, "512B", "Bytes of a body that earn another second of waiting."),
    key("http.body_stall", Kind::Span, "2m", "How long a client may keep us waiting for a body at once, whatever its bytes have earned."),
    key("http.head", Kind::Size, "64KiB", "The largest head of a request."),
    key("http.body", Kind::Size, "16GiB", "The largest body of a request; limits.pack_size is usually met first."),
    key("http.streams", COUNT, "64", "Concurrent requests on one HTTP/2 connection."),
    key("http.fetch_request", Kind::Size, "10MiB", "The largest request of a fetch, inflated."),
    key("http.inflate_ratio", COUNT, "100", "How many times its size a compressed body may inflate to, after its first MiB."),
    key("http.discard", Kind::Size, "64MiB", "How much of a refused request is read to its end, so that its client sees the answer."),
    key("http.discard_time", Kind::Span, "4s", "How long that reading may take."),
    key("ssh.address", Kind::Address, "127.0.0.1:2222", "Where Git over SSH listens; port 0 takes a free one."),
    key("ssh.public_url", Kind::Text, "", "The ssh:// URL people use, when it differs from the listener's."),
    key("ssh.login_timeout", Kind::Span, "30s", "How long banner, key exchange and login may take together."),
    key("ssh.login_attempts", COUNT, "6", "Keys a client may offer before it is sent away."),
    key("ssh.channels", COUNT, "10", "Channels that one connection may have open at once."),
    key("ssh.idle_timeout", Kind::Span, "10m", "How long a connection may be silent."),
    key("ssh.keepalive", Kind::Span, "30s", "Silence after which a client is asked whether it is still there."),
    key("ssh.keepalive_tries", COUNT, "3", "Unanswered questions after which it is not."),
    key("admin.address", Kind::Address, "127.0.0.1:9090", "Where /metrics and /health listen. If nobody chose it and it is taken, a free port is."),
    key("connections.total", COUNT, "4096", "Connections at once, over all listeners."),
    key("connections.per_address", COUNT, "64", "Connections at once from one address that have not signed in or sent a request."),
    key("connections.per_address_total", COUNT, "1024", "Connections at once from one address."),
    key("connections.backlog", COUNT, "4096", "Connections that the kernel keeps until they are accepted."),
    key("connections.keepalive", Kind::Span, "60s", "Silence after which the kernel asks whether the peer is still there."),
    key("connections.idle_timeout", Kind::Span, "60s", "How long an HTTP connection may be silent between requests."),
    key("connections.write_stall", Kind::Span, "60s", "How long a peer may take nothing of what it asked for."),
    key("connections.write_rate", Kind::Size, "1KiB", "Bytes a second that a peer must take of what it asked for; 0B is no limit. Time in which git computes does not count."),
    key("connections.write_window", Kind::Span, "5m", "Over how much waiting for a peer connections.write_rate is judged."),
    secret("database.url", Kind::Text, "", "postgres://, mysql:// or sqlite:// URL; empty is SQLite in the data directory."),
    key("database.connections", COUNT, "16", "Connections of this process to the database."),
    key("database.acquire_timeout", Kind::Span, "10s", "How long a question waits for a free connection."),
    key("database.lock_timeout", Kind::Span, "10s", "How long a statement waits for rows that another transaction holds."),
    key("storage.blobs", Kind::Path, "blobs", "Directory of packs, unless storage.s3.bucket names a bucket; within the data directory unless the path is absolute. Processes that share a database share it too, and nobody else does."),
    key("storage.moving", Kind::Choice(&["no", "to_bucket", "to_directory"]), "no", "Whether one of storage.blobs and storage.s3.bucket takes the place of the other: both are read, and one is written. `hakata lfs migrate-storage` copies what is only in the other."),
    key("storage.s3.bucket", Kind::Text, "", "The bucket that packs are kept in; empty keeps them in storage.blobs. Processes that share a database share it too."),
    key("storage.s3.prefix", Kind::Text, "", "What every key in the bucket begins with, such as hakata/packs; no other installation may use it."),
    key("storage.s3.endpoint", Kind::Text, "", "The engine's URL, such as https://minio.example.org:9000; empty is Amazon's of the region."),
    key("storage.s3.public_endpoint", Kind::Text, "", "The engine's URL as clients reach it, for signed URLs; empty is storage.s3.endpoint."),
    key("storage.s3.region", Kind::Text, "us-east-1", "The region that the bucket is in; engines without regions take any."),
    key("storage.s3.style", Kind::Choice(&["auto", "path", "host"]), "auto", "Whether the bucket's name is in the path or the host of URLs; auto is the host at Amazon, and the path elsewhere."),
    key("storage.s3.access_key", Kind::Text, "", "The id of the access key. Without one the environment is asked (AWS_ACCESS_KEY_ID, a web identity, a container's URL), then the machine's metadata service."),
    secret("storage.s3.secret_key", Kind::Text, "", "The secret of storage.s3.access_key."),
    key("storage.s3.certificates", Kind::Path, "", "Authorities in PEM to believe beside the machine's, for an engine with certificates of its own."),
    key("storage.s3.part_size", Kind::Size, "8MiB", "The size of the parts that larger packs are sent in, from 5MiB to 1GiB; a pack has up to 10,000."),
    key("storage.s3.parts", Kind::Count { least: 1, most: 1_000 }, "4", "Parts of one upload in memory: with storage.s3.part_size all that an upload takes."),
    key("storage.s3.upload_memory", Kind::Size, "256MiB", "Memory for parts of all uploads together, half of it for packs; more of them wait."),
    key("storage.s3.connections", COUNT, "64", "Requests to the bucket at once; more of them wait for storage.s3.timeout."),
    key("storage.s3.downloads", COUNT, "256", "Reads of LFS objects from the bucket at once, beside storage.s3.connections: a slow client holds one for long; more of them wait for storage.s3.timeout."),
    key("storage.s3.connect_timeout", Kind::Span, "5s", "How long connecting to the engine may take."),
    key("storage.s3.timeout", Kind::Span, "30s", "How long the engine may be silent, beside the time that a body takes at 64KiB a second."),
    key("storage.s3.retry_for", Kind::Span, "1m", "How long a request that fails is made again, with growing pauses."),
    key("storage.s3.complete_timeout", Kind::Span, "5m", "How long putting the parts of an upload together may take, up to 30m; meanwhile the engine may be silent for storage.s3.timeout."),
    key("storage.s3.presign", Kind::Choice(&["off", "get", "all"]), "off", "Whether clients get signed URLs of large files to read from the bucket themselves, or also to write; the latter only where the engine refuses a wrong checksum."),
    key("git.binary", Kind::Path, "git", "The git to run, 2.41 or newer: a path, or a name that is looked up in the usual directories."),
    key("git.children", AUTO, "auto", "Git processes at once; auto is eight a core, at least 32."),
    key("git.children_per_repository", AUTO, "auto", "Git processes at once for one repository; auto is four a core, at least 16."),
    key("git.queue", COUNT, "1024", "Operations that may wait for a git process before others are refused."),
    key("git.wait", Kind::Span, "30s", "How long an operation waits for a git process."),
    key("git.fetch_memory", Kind::Size, "4GiB", "Private memory of a process that serves a fetch; 0B is no limit."),
    key("git.fetch_cpu", Kind::Span, "1h", "Processor time of a process that serves a fetch; 0s is no limit."),
    key("git.fetch_time", Kind::Span, "6h", "Time that a fetch may take; 0s is no limit."),
    key("git.index_memory", Kind::Size, "2GiB", "Private memory of a process that indexes a pushed pack; 0B is no limit."),
    key("git.index_cpu", Kind::Span, "1h", "Processor time of a process that indexes a pushed pack; 0s is no limit."),
    key("git.index_time", Kind::Span, "6h", "Time that indexing a pushed pack may take; 0s is no limit."),
    key("git.question_memory", Kind::Size, "2GiB", "Private memory of a process that answers a short question; 0B is no limit."),
    key("git.question_cpu", Kind::Span, "10m", "Processor time of a process that answers a short question; 0s is no limit."),
    key("git.question_time", Kind::Span, "30m", "Time that a short question may take; 0s is no limit."),
    key("git.pack_threads", AUTO, "auto", "Threads of one process that packs; auto is half the cores."),
    key("git.pack_window_memory", Kind::Size, "256MiB", "Memory of the search for deltas, for each thread that packs."),
    key("git.big_file", Kind::Size, "64MiB", "Files from this size on are streamed and never searched for deltas."),
    key("git.open_repositories", COUNT, "256", "Object databases that stay open for reading in process."),
    key("git.merging", AUTO, "auto", "Processes that merge, those that wait for the next merge included; auto is two a core, at least four. They count among git.children."),
    key("git.merging_idle", Kind::Span, "30s", "How long a process that merges waits for the next merge of its repository."),
    key("git.kept_merges", Kind::Size, "16MiB", "Memory for what came of merges: whether a head merges into a base is then answered without git."),
    key("git.object_cache", Kind::Size, "64MiB", "Memory for decoded objects of all open repositories together."),
    key("git.in_process_file", Kind::Size, "2MiB", "Files up to this size are held in memory whole; larger ones are read piece by piece."),
    key("git.in_process_renames", COUNT, "400", "Pairs of files whose contents are compared in process to find renames; git searches among more."),
    key("git.diff_threads", AUTO, "auto", "Threads that compare the files of one large difference; auto is one for each core, up to 4."),
    key("cache.snapshots", Kind::Size, "256MiB", "Memory for lists of refs; the least recently used go first."),
    key("cache.directories", Kind::Size, "0B", "Disk for bare directories; 0B keeps all, as a single node should."),
    key("cache.directory_idle", Kind::Span, "7d", "Directories that nobody used for so long may go, if there is a limit."),
    key("cache.loose_refs", COUNT, "200", "Loose refs in a directory before they are packed."),
    key("cache.derive_after", Kind::Span, "10s", "Quiet time after a push before commit-graph, multi-pack-index and bitmaps are written."),
    key("cache.derive_rest", Kind::Count { least: 0, most: 10_000 }, "20", "Rest before a directory's are written again, as a multiple of the time that writing them took."),
    key("cache.derivations", COUNT, "1", "Directories whose derived files are written at once."),
    key("repositories.default_branch", Kind::Text, "main", "The branch that HEAD of a new repository names."),
    key("repositories.object_format", Kind::Choice(&["sha1", "sha256"]), "sha1", "How the objects of a new repository are named."),
    key("repositories.push_to_create", Kind::Flag, "true", "Whether a push to an absent repository of one's own creates it."),
    key("repositories.import_root", Kind::Path, "", "The directory whose bare repositories may be imported; empty is any that the server can read."),
    key("repositories.import_time", Kind::Span, "6h", "How long one attempt at an import from another host may take, at least 1s."),
    key("repositories.imports_kept", Kind::Span, "30d", "How long what became of imports is kept to be looked at."),
    key("repositories.inline_pack", Kind::Size, "64KiB", "Packs up to this size are kept in their row and need no file."),
    key("repositories.staged_age", Kind::Span, "1d", "Age from which packs that no push took into use are swept, at least 1s; a push that takes longer to be stored is refused."),
    key("repositories.sweep_every", Kind::Span, "1h", "Time between two sweeps, at least 1s."),
    key("repositories.dead_age", Kind::Span, "1d", "How long packs that nothing uses any more keep their bytes, at least 1s: longer than the longest clone that may still read them."),
    key("repositories.restore_for", Kind::Span, "30d", "How long a deleted repository can be brought back by `hakata repo restore`, at least 1s; then the next sweep erases it, and what no fork shares with it goes repositories.dead_age later."),
    key("repositories.compact_packs", Kind::Count { least: 2, most: 10_000 }, "16", "Small packs of a repository that are made one; fewer are left alone."),
    key("repositories.recent_tips", Kind::Span, "10m", "How long what a forced push took away can still be fetched, for clones that were under way."),
    key("limits.pack_size", Kind::Size, "2GiB", "The largest pack that a push may send."),
    key("limits.object_size", Kind::Size, "100MiB", "The largest object that a push may contain."),
    key("limits.repository_size", Kind::Size, "10GiB", "How much a repository may hold, unless it has a quota of its own."),
    key("limits.push_refs", COUNT, "10000", "Refs that one push may change."),
    key("limits.repository_refs", COUNT, "1000000", "Refs that one repository may have."),
    key("limits.pushes", COUNT, "64", "Pushes received at once."),
    key("limits.repository_pushes", COUNT, "16", "Pushes received at once in one repository."),
    key("limits.client_transfers", COUNT, "8", "Fetches, pushes and archives at once of one person or, without an account, of one address."),
    key("limits.push_time", Kind::Span, "1h", "How long one push may take, from its first byte to its report."),
    key("limits.quarantines", COUNT, "64", "Pushes, imports and the like that may have unaccepted objects on disk at once."),
    key("lfs.object_size", Kind::Size, "10GiB", "The largest LFS object; at most http.body."),
    key("lfs.action_time", Kind::Span, "1h", "How long after its batch a transfer may begin, and how long room is kept for it."),
    key("lfs.transfers", COUNT, "256", "LFS objects moved at once."),
    key("lfs.client_transfers", COUNT, "16", "LFS objects moved at once for one person or, without an account, for one address."),
    key("lfs.resumable", COUNT, "16", "Resumable uploads of LFS written at once; each takes the memory of one part: 8 MiB, or storage.s3.part_size."),
    key("lfs.transfer_wait", Kind::Span, "10s", "How long a transfer waits for its turn before its client is told to come again; clients give up after 30s of silence."),
    key("lfs.locks", COUNT, "10000", "Locks that one repository may have."),
    key("lfs.batch_objects", COUNT, "1000", "Objects that one batch may ask for."),
    key("lfs.request", Kind::Size, "1MiB", "The largest request about objects or locks, their bytes aside."),
    key("lfs.idle_timeout", Kind::Span, "5m", "How long a connection may be silent after a request of LFS, if that is longer than connections.idle_timeout."),
    key("lfs.discard", Kind::Size, "64MiB", "How much of a refused upload is read to its end, so that its client sees the answer."),
    key("lfs.discard_time", Kind::Span, "4s", "How long that reading may take."),
    key("lfs.staged_age", Kind::Span, "1d", "Age from which uploads that never ended are swept, at least 1s; one that takes longer is refused."),
    key("lfs.dead_age", Kind::Span, "1d", "How long objects that no repository has any more keep their bytes, at least 1s: longer than the longest download."),
    key("lfs.sweep_every", Kind::Span, "1h", "Time between two sweeps, at least 1s."),
    key("lfs.gc", Kind::Flag, "true", "Whether objects that no commit points to are collected by themselves; `hakata lfs gc` does it in any case."),
    key("lfs.gc_every", Kind::Span, "7d", "Time between two searches of a repository for such objects, at least 1s."),
    key("lfs.gc_grace", Kind::Span, "14d", "How long an object is left alone after it came, or a client was told that it need not send it, at least 2h."),
    key("lfs.gc_quarantine", Kind::Span, "14d", "How long such an object is served as before until it is taken away; whoever asks for it keeps it."),
    key("lfs.gc_time", Kind::Span, "1h", "How long one search of a history may take; a longer one is given up, and nothing is collected."),
    key("lfs.scrub", Kind::Flag, "true", "Whether objects are read again by themselves to find bad ones; `hakata lfs scrub` does it in any case."),
    key("lfs.scrub_every", Kind::Span, "30d", "How long ago an object must have been read last, at least 1s."),
    key("lfs.scrub_rate", Kind::Size, "16MiB", "How many bytes are read for that in a second, at least 1KiB."),
    key("auth.password_tries", COUNT, "10", "Wrong passwords a minute, for each account and each address."),
    key("auth.passwords_at_once", COUNT, "2", "Passwords checked at once; each takes 19 MiB and a core."),
    key("auth.login_cache", Kind::Span, "1m", "How long a checked password is believed without checking it again."),
    key("jobs.run", Kind::Flag, "true", "Whether `hakata serve` works at jobs too; `hakata worker` always does."),
    key("jobs.commits", COUNT, "4", "Jobs at once, over all nodes, that register the commits of pushes."),
    key("jobs.disk_usage", COUNT, "1", "Jobs at once, over all nodes, that add up what repositories and owners use."),
    key("jobs.maintain", COUNT, "1", "Repositories at once, over all nodes, whose small packs are made one."),
    key("jobs.lfs_sweep", COUNT, "1", "Repositories at once, over all nodes, in which LFS objects are looked for that no commit points to."),
    key("jobs.lfs_scrub", COUNT, "1", "Jobs at once, over all nodes, that read LFS objects again; a second one waits for the first."),
    key("jobs.fan_out", COUNT, "4", "Jobs at once, over all nodes, that find out which webhooks are to be told."),
    key("jobs.webhook", COUNT, "16", "Deliveries of webhooks at once, over all nodes; four of them to one receiver."),
    key("jobs.mail", COUNT, "4", "Letters sent at once, over all nodes; at most four of them to one domain."),
    key("jobs.mirror", COUNT, "4", "Syncs of mirrors at once, over all nodes; at most four of them with one host."),
    key("jobs.import", COUNT, "2", "Imports from other hosts at once, over all nodes."),
    key("jobs.lease", Kind::Span, "60s", "How long a job stays with a worker that gives no sign of life, at least 1s."),
    secret("jobs.redis", Kind::Text, "", "redis://USER:PASSWORD@HOST:PORT/DB, or rediss://: where the processes that share a database tell each other of jobs. If empty, PostgreSQL tells them, and MariaDB and MySQL tell nobody."),
    key("jobs.redis_channel", Kind::Text, "hakata:jobs", "The channel of jobs.redis; give each database its own."),
    key("jobs.poll", Kind::Span, "200ms", "How often the database is asked for jobs of other processes where nobody tells of them, at least 10ms."),
    key("jobs.keep", Kind::Span, "1d", "How long finished jobs are kept to be looked at."),
    secret("rabbitmq.url", Kind::Text, "", "amqp:// or amqps:// URL of the broker that names jobs to workers; empty: workers look for them in the database."),
    key("rabbitmq.authority", Kind::Path, "", "Authorities in PEM that may vouch for the broker, beside those of the system."),
    key("rabbitmq.prefix", Kind::Text, "hakata", "What the names of exchanges and queues begin with; everything that shares a database has the same."),
    key("rabbitmq.connect_timeout", Kind::Span, "10s", "How long connecting and declaring may take."),
    key("rabbitmq.heartbeat", Kind::Span, "10s", "How often both ends say that they are there, in whole seconds."),
    key("rabbitmq.confirm_timeout", Kind::Span, "10s", "How long the broker may take to confirm a message before the connection is given up."),
    key("rabbitmq.unconfirmed", Kind::Count { least: 1, most: 65_536 }, "256", "Messages that may wait for their confirmation."),
    key("rabbitmq.rename_after", Kind::Span, "10m", "After how long a job is named again that no worker has claimed, at least 1s."),
    key("rabbitmq.events_for", Kind::Span, "1d", "Events that the broker did not take for so long are not told to other programs any more."),
    key("rabbitmq.longest_pause", Kind::Span, "15s", "The longest pause between two tries to connect."),
    key("rabbitmq.queue_length", COUNT, "100000", "Messages that a queue holds before further ones wait in the database. To change it, delete the queues, which loses no job."),
    key("rabbitmq.deliveries", Kind::Count { least: 1, most: 10_000 }, "20", "Deliveries of one message after which it goes to the dead letters. To change it, delete the queues, which loses no job."),
    secret("webhooks.seal", Kind::Text, "", "What secrets of webhooks, and logins of mirrors and imports, are sealed with in the database, the same on all nodes; empty takes a random key that is kept in the database too. Secrets that were sealed with another one cannot be used."),
    key("webhooks.retry_for", Kind::Span, "3d", "How long a delivery that fails is tried again."),
    key("webhooks.pause_after", Kind::Span, "3d", "How long every delivery of a webhook must have failed before it is paused."),
    key("webhooks.keep", Kind::Span, "30d", "How long deliveries are kept, also those that a pause holds back."),
    key("webhooks.per_place", COUNT, "50", "Webhooks of one repository, of one owner, and of everywhere."),
    key("webhooks.refs_per_push", COUNT, "1000", "Refs of one push that webhooks are told of."),
    key("webhooks.commits_per_push", COUNT, "100", "Commits of one push that are listed."),
    key("webhooks.paths_per_push", COUNT, "3000", "Paths that the listed commits of one push name together."),
    key("webhooks.answer", Kind::Size, "64KiB", "How much of a receiver's answer is kept."),
    key("mirrors.every", Kind::Span, "1h", "Time between two syncs of a mirror that says nothing else, give or take a tenth."),
    key("mirrors.least_every", Kind::Span, "5m", "The least time between two syncs that a mirror may ask for."),
    key("mirrors.time", Kind::Span, "2h", "How long one sync may take, at least 1s."),
    key("mirrors.per_repository", COUNT, "10", "Mirrors of one repository."),
    key("mail.transport", Kind::Choice(&["off", "log", "file", "smtp"]), "off", "Who takes mail: nobody, the log, a maildir, or a mail server. Say the same on all nodes."),
    key("mail.from", Kind::Text, "", "The sender: hakata@git.example.org, or Hakata <hakata@git.example.org>. Names of lists and ids of letters end with its domain."),
    key("mail.host", Kind::Text, "", "The name of the mail server."),
    key("mail.port", Kind::AutoCount { least: 1, most: 65_535 }, "auto", "Its port; auto is 587 with starttls, 465 with tls, 25 with none."),
    key("mail.tls", Kind::Choice(&["starttls", "tls", "none"]), "starttls", "How the conversation is encrypted: after STARTTLS, from the first byte, or not at all. The server's certificate is always verified."),
    key("mail.user", Kind::Text, "", "The name to sign in with; empty signs in nowhere."),
    secret("mail.password", Kind::Text, "", "The password of mail.user."),
    key("mail.certificates", Kind::Path, "", "Authorities in PEM that are trusted beside those of the machine."),
    key("mail.timeout", Kind::Span, "60s", "How long sending one letter may take, from connecting to the server's last word; at most 9m."),
    key("mail.connections", COUNT, "4", "Connections of this process to the mail server at once."),
    key("mail.idle", Kind::Span, "30s", "How long a connection may be silent and still be used for the next letter."),
    key("mail.per_connection", COUNT, "100", "Letters that are sent over one connection."),
    key("mail.folder", Kind::Path, "mail", "The maildir of the transport file, within the data directory unless the path is absolute."),
    key("mail.language", Kind::Choice(&["en", "ja"]), "en", "The language of letters to people who chose none."),
    key("mail.retry_for", Kind::Span, "2d", "How long a letter is tried again that the mail server cannot take now."),
    key("mail.keep", Kind::Span, "30d", "How long notices are kept, whatever became of them."),
    key("mail.hourly", Kind::Span, "1h", "How long an hourly digest waits for more after the first thing it tells of."),
    key("mail.daily", Kind::Span, "1d", "How long a daily digest waits for more after the first thing it tells of."),
    key("mail.refs_per_push", COUNT, "20", "Branches and tags of one push that a letter tells of."),
    key("mail.commits_per_push", COUNT, "20", "Commits that a letter lists of each."),
    key("egress.allow", Kind::List, "", "Networks (10.0.0.0/8), addresses and names (hooks.internal, *.internal) that may be reached although they are not on the public internet."),
    key("egress.ports", Kind::List, "80,443,1024-65535", "Ports that may be connected to."),
    key("egress.resolve", Kind::Span, "5s", "How long resolving a name may take."),
    key("egress.connect", Kind::Span, "5s", "How long connecting may take."),
    key("egress.tls", Kind::Span, "5s", "How long a TLS handshake may take."),
    key("egress.total", Kind::Span, "10s", "How long a request may take, all of these and the answer included."),
    key("egress.certificates", Kind::Path, "", "Authorities in PEM that are trusted beside those of the machine."),
    key("id.address", Kind::Address, "off", "Where ids are served by the memcached protocol; `hakata id` takes 127.0.0.1:11212 if neither this nor id.socket is set."),
    key("id.socket", Kind::Path, "", "A Unix socket where ids are served by the memcached protocol too."),
    key("id.socket_mode", Kind::Choice(&["0600", "0660", "0666"]), "0600", "Who may connect to id.socket: its owner, its group, everybody."),
    key("id.http", Kind::Address, "off", "Where ids are served over HTTP."),
    key("id.grpc", Kind::Address, "off", "Where ids are served over gRPC, without TLS."),
    key("id.layout", Kind::Choice(&["standard", "js-safe"]), "standard", "Where the parts of an id lie; js-safe ids are exact in JavaScript, with 64 worker ids and 25,600 ids a second each."),
    key("id.worker_id", WORKER, "auto", "The worker id of this process and no other; auto leases a free one in id.redis or in a shared database, and is 1 without these."),
    secret("id.redis", Kind::Text, "", "redis://USER:PASSWORD@HOST:PORT/DB?ns=NAMESPACE, or rediss://: where worker ids are leased."),
    key("id.min_worker_id", Kind::Count { least: 0, most: 1023 }, "1", "The first worker id that may be leased."),
    key("id.max_worker_id", WORKER, "auto", "The last worker id that may be leased; auto is the greatest of the layout."),
    key("id.fence_ahead", Kind::Span, "3s", "How long issuing goes on when the lease cannot be renewed, and how long the next holder waits after a crash."),
    key("id.lease_ttl", Kind::Span, "60s", "How long a worker id stays taken when its holder is gone without giving it back."),
    key("id.lease_renew", Kind::Span, "1s", "Time between two renewals of the lease."),
    key("id.lease_patience", Kind::Span, "2s", "How long Redis may take to answer."),
    key("id.idle_timeout", Kind::Span, "10m", "How long a memcached client may complete no request, or take nothing of its replies, before it is cut; 0s is for ever."),
    key("id.max_connections", COUNT, "4096", "Memcached connections at once; one more is told so and closed."),
    key("id.max_connections_per_address", COUNT, "1024", "Memcached connections at once from one address."),
    key("id.borrow", Kind::Span, "0s", "How far ahead of time ids may be issued when more are asked for than the moment has; 0s waits instead. At most id.fence_ahead less twice id.lease_renew."),
    key("id.max_wait", Kind::Span, "1s", "How long a request waits for ids when those of the moment are used up or the clock is behind."),
    key("id.max_keys_per_get", COUNT, "100000", "Keys in one get."),
    key("id.max_line", Kind::Size, "1MiB", "The longest line of a get."),
    key("id.max_unsent", Kind::Size, "1MiB", "Replies that a client may leave unread before no more of its requests are."),
    key("rpc.grpc", Kind::Address, "off", "Where repository operations are served over gRPC."),
    key("rpc.msgpack", Kind::Address, "off", "Where repository operations are served over MessagePack-RPC."),
    secret("rpc.tokens", Kind::Text, "", "The token that callers show, of at least 16 characters; two with a comma between while one replaces the other."),
    key("rpc.tls_certificate", Kind::Path, "", "A chain of certificates in PEM; with it and its key both ports speak TLS."),
    key("rpc.tls_key", Kind::Path, "", "The key of rpc.tls_certificate in PEM; all certificates are read again when they change and on SIGHUP."),
    key("rpc.tls_client_authority", Kind::Path, "", "Authorities in PEM: whoever shows no certificate signed by one of them is turned away."),
    key("rpc.tls_client_names", Kind::List, "", "Names in the certificates of callers that need no token; everybody else shows one."),
    key("rpc.require_tls", Kind::Flag, "true", "Whether ports that can be reached from other machines, and servers on other machines, must speak TLS."),
    key("rpc.request", Kind::Size, "16MiB", "The largest request."),
    key("rpc.answer", Kind::Size, "16MiB", "The largest answer that does not stream, and the largest page over MessagePack-RPC."),
    key("rpc.call_time", Kind::Span, "2m", "How long a call may take; a shorter deadline of the caller counts."),
    key("rpc.in_flight", COUNT, "128", "Requests of one MessagePack-RPC connection that are worked on at once; further ones wait in the socket."),
    key("rpc.login_timeout", Kind::Span, "10s", "How long a MessagePack-RPC connection may take to show its token."),
    key("rpc.idle_timeout", Kind::Span, "10m", "How long a MessagePack-RPC connection may be silent."),
    key("rpc.kept_answers", COUNT, "16", "Answers that wait on one MessagePack-RPC connection for their next page: so many with a cursor, and so many without; and so many requests that wait for their next part."),
    key("rpc.kept_time", Kind::Span, "60s", "How long they wait."),
    key("rpc.changes", COUNT, "10000", "Changes of files, or suggestions, that one commit is made of."),
    key("rpc.suggested_file", Kind::Size, "16MiB", "The largest file that suggestions are applied to."),
    key("rpc.commits", COUNT, "1000", "Commits that one call rebases, picks or reverts."),
    key("rpc.refs", COUNT, "50000", "Refs that one call moves."),
    key("rpc.pairs", COUNT, "10000", "Pairs of commits that one call compares."),
    key("rpc.objects", COUNT, "100000", "Objects that one call asks for by their names."),
    key("rpc.names", COUNT, "10000", "Refs and revisions that one bundle is asked for by name."),
    key("rpc.found_files", COUNT, "1000", "Paths that one search finds."),
    key("rpc.found_lines", COUNT, "1000", "Lines that one search finds."),
    key("rpc.found_lines_per_file", COUNT, "100", "Lines that one search finds in one file."),
    key("rpc.followed", COUNT, "10000", "Commits that one file is followed through."),
    key("rpc.made_size", Kind::Size, "128MiB", "The content of all objects that one call makes, directories included."),
    key("rpc.made_objects", COUNT, "100000", "The objects that one call makes."),
    key("rpc.upload_size", Kind::Size, "1GiB", "The contents of files that one call brings beside its request, together."),
    key("rpc.uploads", Kind::Size, "4GiB", "Room for such contents of all calls under way, which wait in `quarantine/` of the data directory."),
    key("rpc.last_commits", Kind::Size, "32MiB", "Memory for which commits changed the entries of directories last; 0 keeps none."),
    key("rpc.tips", Kind::Size, "16MiB", "Memory for what the tips of refs say; 0 keeps none."),
    key("rpc.import_from", Kind::Text, "", "Addresses that callers may import repositories from, with commas between: `https://git.example.org/`, and all below. Empty is off."),
    key("rpc.import_size", Kind::Size, "10GiB", "The largest pack of an import."),
    key("rpc.long_call_time", Kind::Span, "1h", "How long a call may take that is about a whole repository (archives, bundles, checks, forks, imports) or brings contents of files."),
    key("rpc.spool", Kind::Size, "4GiB", "Room for long answers over MessagePack-RPC, which wait in `spool/` of the data directory, all together."),
    key("rpc.spooled_answers", COUNT, "64", "Such answers that wait at one time."),
    key("rpc.spool_time", Kind::Span, "10m", "How long one waits for its next page to be asked for."),
    key("rpc.client.default", Kind::Choice(&["local", "grpc", "msgpack"]), "local", "Who answers operations that no table below names: the repositories of this data directory, or a server over gRPC or MessagePack-RPC."),
    key("rpc.client.routes", Kind::Routes, "", "Who answers an operation or all of a service instead."),
    key("rpc.client.shadow", Kind::Routes, "", "Who answers too, to be compared and counted; for operations that only read."),
    key("rpc.client.canary", Kind::Canaries, "", "Who answers a share of the calls."),
    key("rpc.client.fallback", Kind::Routes, "", "Who answers while the connection to the other is broken; for operations that only read."),
    key("rpc.client.grpc", Kind::Text, "", "HOST:PORT of the gRPC server; that of rpc.grpc if empty."),
    key("rpc.client.msgpack", Kind::Text, "", "HOST:PORT of the MessagePack-RPC server; that of rpc.msgpack if empty."),
    secret("rpc.client.token", Kind::Text, "", "The token to show; the first of rpc.tokens if empty."),
    key("rpc.client.tls_authority", Kind::Path, "", "Authorities in PEM whose servers are trusted, and no others; with it connections speak TLS."),
    key("rpc.client.tls_certificate", Kind::Path, "", "The chain to show to a server that asks who calls, in PEM."),
    key("rpc.client.tls_key", Kind::Path, "", "The key of rpc.client.tls_certificate in PEM."),
    key("rpc.client.tls_name", Kind::Text, "", "The name in the servers' certificates, if it is not that of their addresses."),
    key("rpc.client.connections", Kind::Count { least: 1, most: 1024 }, "2", "Connections to each server, over which calls are spread."),
    key("rpc.client.connect_timeout", Kind::Span, "5s", "How long a connection may take to stand."),
    key("rpc.client.keepalive", Kind::Span, "30s", "After this silence a server is asked whether it is still there."),
    key("rpc.client.call_time", Kind::Span, "2m", "How long a call may take whose caller sets no deadline."),
    key("rpc.client.tries", Kind::Count { least: 1, most: 100 }, "3", "How often a call is asked when connections break; a change under one idempotency key."),
    key("rpc.client.pause", Kind::Span, "20ms", "The pause before the second try; each further one is twice as long."),
    key("rpc.client.failures", COUNT, "3", "Broken calls in a row after which only rpc.client.fallback is asked."),
    key("rpc.client.rest", Kind::Span, "5s", "How long until a call tries the broken route again."),
    key("rpc.client.answer", Kind::Size, "64MiB", "The largest answer, or part of one, that is read."),
    key("log.format", Kind::Choice(&["text", "json"]), "text", "How log lines are written."),
    key("log.level", Kind::Text, "info", "What is logged: error, warn, info, debug, trace, or a list such as info,hakata_git=debug."),
    key("log.buffer", Kind::Size, "8MiB", "Log lines that wait while nobody takes the log; more are dropped and counted."),
];

/// Lists every key in the order of the documents.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter()
}

/// Finds a key by its full name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Lists the section names.
pub(crate) fn sections() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().map(|(name, _)| *name)
}

impl Key {
    /// Tells the section's name.
    pub(crate) fn section(&self) -> &'static str {
        self.name.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Tells the name within its section.
    pub(crate) fn short_name(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, name)| name)
    }

    /// Tells the environment variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("HAKATA_{}", self.name.replace('.', "__")).to_ascii_uppercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_its_defaults_are_valid() {
        let order: Vec<&str> = sections().collect();
        let place = |key: &Key| order.iter().position(|section| *section == key.section());
        let places: Vec<Option<usize>> = all().map(place).collect();
        assert!(places.iter().all(Option::is_some), "every key belongs to a listed section");
        assert!(places.is_sorted(), "keys stand in the order of the sections");
        for key in all() {
            assert!(key.kind.parse(key.default).is_ok(), "the default of {} is valid", key.name);
            assert!(key.doc.ends_with('.'), "{} is explained in sentences", key.name);
            assert_eq!(
                all().filter(|other| other.name == key.name).count(),
                1,
                "{} is listed once",
                key.name
            );
        }
    }
}
