-- The schema of Hakata, as migrations make it on SQLite. A test fails when this page and the migrations differ.
--
-- Other engines get the same tables with their own types (src/dialect.rs): INTEGER and BIGINT ids are BIGINT, BLOB is
-- BYTEA or VARBINARY(n), TEXT is TEXT COLLATE "C" or VARCHAR(n) with a binary collation. So names compare as bytes and
-- case counts on every engine. Booleans are SMALLINT 0 or 1, times are milliseconds since 1970 in UTC, JSON is text.
--
-- Rules: a row of `ref`, `ref_log`, `repository_pack` is written only in a transaction that has raised
-- repository.version, one of `event` in one that has locked that row at least. The order of locks is repository, pack, owner.

-- What the runner of migrations has applied. Made by the runner itself, never by a migration.
CREATE TABLE migration (
    id INTEGER NOT NULL PRIMARY KEY,                 -- number of the migration, from 1
    name TEXT NOT NULL,
    checksum BLOB NOT NULL,                          -- SHA-256 of its text without comments; an edited migration is refused
    n_statements BIGINT NOT NULL,                    -- how many of its statements have run
    applied_at BIGINT NULL                           -- NULL: under way, or cut short (MySQL only)
);

-- Row ids are handed out by the database in blocks: a process takes the next 64 of a family in one short
-- transaction. Ids start at 1 and stay below 2^53.
CREATE TABLE id_block (
    family TEXT NOT NULL PRIMARY KEY,                -- the table that the ids are for
    next_id BIGINT NOT NULL                          -- first id that nobody has been given
) WITHOUT ROWID;

-- Settings that live with the rows (not in the configuration file), such as the name of the installation.
CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- A name in front of a repository: a user or a group. They share one namespace.
CREATE TABLE owner (
    id INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,                              -- as its owner writes it
    name_folded TEXT NOT NULL UNIQUE,                -- lower case; what look-ups compare
    kind TEXT NOT NULL,                              -- 'user' or 'group'
    display_name TEXT NOT NULL,
    quota_bytes BIGINT NULL,                         -- NULL: the default of the configuration
    size_bytes BIGINT NOT NULL,                      -- sum over its repositories
    state TEXT NOT NULL,                             -- 'active' or 'disabled'
    created_at BIGINT NOT NULL,                      -- all times: milliseconds since 1970, UTC
    quota_level SMALLINT NOT NULL DEFAULT 0          -- the percentage of the quota last told of: 0, 80, 90, 100
);

-- What only a user has: credentials and rank. One row per owner of kind user.
CREATE TABLE account (
    user_id INTEGER NOT NULL PRIMARY KEY REFERENCES owner (id),
    email TEXT NOT NULL,
    password_hash TEXT NULL,                         -- PHC string (argon2id); NULL: no password login
    is_admin SMALLINT NOT NULL,                      -- 0 or 1
    second_factor SMALLINT NOT NULL,                 -- 0 none, 1 one-time codes
    is_external SMALLINT NOT NULL,                   -- 1: signs in elsewhere, has no password here
    credentials_version BIGINT NOT NULL,             -- raised when password, second factor, tokens or state change (drops cached logins)
    last_seen_at BIGINT NULL                         -- rounded, for the list of users
);

CREATE INDEX account_by_email ON account (email);

-- Who belongs to a group, and with which role on all of its repositories.
CREATE TABLE group_member (
    group_id BIGINT NOT NULL REFERENCES owner (id),
    user_id BIGINT NOT NULL REFERENCES owner (id),
    role SMALLINT NOT NULL,                          -- 1 reporter, 2 developer, 3 maintainer, 4 owner
    PRIMARY KEY (group_id, user_id)
) WITHOUT ROWID;

CREATE INDEX group_member_by_user ON group_member (user_id);

-- A repository. Its row is also the lock of the commit protocol: a push raises `version` first.
CREATE TABLE repository (
    id INTEGER NOT NULL PRIMARY KEY,
    owner_id BIGINT NOT NULL REFERENCES owner (id),
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL,                       -- lower case; a deleted one gets '~id' at its end, which frees the name
    object_format TEXT NOT NULL,                     -- 'sha1' or 'sha256'
    default_ref BLOB NOT NULL,                       -- what HEAD points to; may not exist yet
    version BIGINT NOT NULL,                         -- raised by every ref change; caches compare it
    prune_epoch BIGINT NOT NULL,                     -- raised when objects are dropped: pushes prove connectivity again
    policy_version BIGINT NOT NULL,                  -- raised when protections, roles, visibility or state change (pushes are judged again)
    state TEXT NOT NULL,                             -- 'creating', 'active', 'archived' or 'deleted'
    visibility TEXT NOT NULL,                        -- 'private' or 'public'
    quota_bytes BIGINT NULL,                         -- NULL: only the owner's
    size_bytes BIGINT NOT NULL,                      -- packs and LFS objects, as linked; shared ones count for each
    description TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    pushed_at BIGINT NULL,
    deleted_at BIGINT NULL,                          -- 0: its rows are being erased, so it cannot be restored any more
    quota_level SMALLINT NOT NULL DEFAULT 0,         -- as owner.quota_level
    is_mirror SMALLINT NOT NULL DEFAULT 0,           -- 1: it follows another and takes no pushes; its mirror row says whom
    UNIQUE (owner_id, name_folded)
);

CREATE INDEX repository_by_state ON repository (state, id);

-- Users who were invited to one repository.
CREATE TABLE repository_collaborator (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    user_id BIGINT NOT NULL REFERENCES owner (id),
    role SMALLINT NOT NULL,                          -- 1 reporter, 2 developer, 3 maintainer, 4 owner
    PRIMARY KEY (repository_id, user_id)
) WITHOUT ROWID;

CREATE INDEX repository_collaborator_by_user ON repository_collaborator (user_id);

-- Where every ref points now. Written only in a transaction that has raised repository.version, so it needs no
-- foreign key (which would cost a look-up per row of a push). HEAD is repository.default_ref, not a row.
CREATE TABLE ref (
    repository_id BIGINT NOT NULL,
    name BLOB NOT NULL,                              -- full ref name, as bytes: refs/heads/main
    oid BLOB NOT NULL,
    peeled BLOB NULL,                                -- the object behind an annotated tag
    PRIMARY KEY (repository_id, name)
) WITHOUT ROWID;

-- Every ref move, ever (until pruned). Caches catch up from it; fetches that race a forced push are served by it.
CREATE TABLE ref_log (
    repository_id BIGINT NOT NULL,
    version BIGINT NOT NULL,                         -- repository.version that this move made
    name BLOB NOT NULL,
    old_oid BLOB NULL,                               -- NULL: the ref did not exist
    new_oid BLOB NULL,                               -- NULL: the ref was deleted
    new_peeled BLOB NULL,                            -- the object behind new_oid if that is an annotated tag
    actor_id BIGINT NULL,                            -- the user; NULL: the system or a deploy key
    reason TEXT NOT NULL,                            -- 'push', 'import', 'merge', …
    at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, version, name)
) WITHOUT ROWID;

CREATE INDEX ref_log_by_time ON ref_log (repository_id, at);

-- A pack: an immutable blob named by this id. `staged` before its bytes are written, `live` once a repository
-- links it, `dead` when nothing does; bytes go only after the row.
CREATE TABLE pack (
    id INTEGER NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,                             -- 'staged', 'live' or 'dead'
    node TEXT NOT NULL,                              -- which node wrote it
    checksum BLOB NOT NULL,                          -- git's own trailer; not unique, never a key
    size_bytes BIGINT NOT NULL,
    n_objects BIGINT NOT NULL,
    kind TEXT NOT NULL,                              -- 'push', 'import', 'merge', 'compact', …
    inline_bytes BLOB NULL,                          -- the pack itself, if small
    created_at BIGINT NOT NULL,
    delete_after BIGINT NULL                         -- when a dead pack may lose its bytes
);

CREATE INDEX pack_by_state ON pack (state, created_at);

-- Which packs make up a repository. Many to many, so that forks can share.
CREATE TABLE repository_pack (
    repository_id BIGINT NOT NULL,
    pack_id BIGINT NOT NULL,
    version BIGINT NOT NULL,                         -- repository.version that linked it
    PRIMARY KEY (repository_id, pack_id)
) WITHOUT ROWID;

CREATE INDEX repository_pack_by_pack ON repository_pack (pack_id);

-- What happened, written in the transaction that made it happen.
CREATE TABLE event (
    id INTEGER NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    version BIGINT NOT NULL,                         -- repository.version that caused it
    kind TEXT NOT NULL,
    actor_id BIGINT NULL,
    at BIGINT NOT NULL,
    payload TEXT NOT NULL,                           -- JSON
    relay_at BIGINT NULL                             -- when a relay tells the broker of it, by the database's clock; none does
);

CREATE INDEX event_by_repository ON event (repository_id, version, id);

CREATE INDEX event_by_relay ON event (relay_at);

-- Work to be done after a transaction, written in that transaction (an outbox).
CREATE TABLE job (
    id INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,                             -- 'waiting', 'claimed', 'done' or 'buried'
    repository_id BIGINT NULL,
    event_id BIGINT NULL,
    dedupe TEXT NULL UNIQUE,                         -- at most one waiting job has it; emptied by the claim
    payload TEXT NOT NULL,                           -- JSON
    priority SMALLINT NOT NULL,                      -- lower goes first
    run_at BIGINT NOT NULL,                          -- not before
    attempts BIGINT NOT NULL,
    claimed_by TEXT NULL,                            -- node and worker
    claimed_until BIGINT NULL,                       -- after this the claim is void
    created_at BIGINT NOT NULL,
    finished_at BIGINT NULL,
    last_error TEXT NULL,
    lane TEXT NULL,                                  -- what runs in the order of sequence, one at a time
    sequence BIGINT NULL,                            -- the place in the lane
    target TEXT NULL,                                -- what few jobs at once may ask, such as a host
    held_until BIGINT NULL,                          -- after a failure: the lane waits no longer
    published_at BIGINT NULL,                        -- read by nobody any more; a later release drops it
    relay_at BIGINT NOT NULL DEFAULT 0               -- waiting: when a relay names it to the broker; the greatest number:
                                                     -- its message came when it could not be claimed
);

CREATE INDEX job_by_turn ON job (state, priority, run_at, id);

CREATE INDEX job_by_claim ON job (state, claimed_until);

CREATE INDEX job_by_kind ON job (kind, state, priority, run_at, id);

CREATE INDEX job_by_lane ON job (lane, state, sequence);

CREATE INDEX job_by_end ON job (state, finished_at);

CREATE INDEX job_by_relay ON job (state, relay_at, kind);

-- The kinds of jobs. Whoever claims jobs of a kind locks its row, so that limits hold over all nodes.
CREATE TABLE job_kind (
    kind TEXT NOT NULL PRIMARY KEY,
    paused_at BIGINT NULL                            -- since when none is claimed
);

-- The commits that pushes brought, each once a repository.
CREATE TABLE repository_commit (
    repository_id BIGINT NOT NULL,
    oid BLOB NOT NULL,
    event_id BIGINT NOT NULL,                        -- the push
    author_id BIGINT NULL,                           -- the user whose mail the author's was
    author_mail TEXT NOT NULL,                       -- in lower case
    authored_at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, oid)
) WITHOUT ROWID;

CREATE INDEX repository_commit_by_author ON repository_commit (author_id, authored_at);

CREATE INDEX repository_commit_by_mail ON repository_commit (author_mail);

-- What commits say about numbered things: `fixes #12`.
CREATE TABLE commit_mention (
    repository_id BIGINT NOT NULL,
    oid BLOB NOT NULL,
    number BIGINT NOT NULL,
    keyword TEXT NOT NULL,                           -- 'closes' or 'mentions'
    PRIMARY KEY (repository_id, oid, number)
) WITHOUT ROWID;

CREATE INDEX commit_mention_by_number ON commit_mention (repository_id, number);

-- A public key: of a user (user_id) or a deploy key of one repository (repository_id), never both.
-- A fingerprint belongs to one of them only, so that a key says who is there.
CREATE TABLE ssh_key (
    id INTEGER NOT NULL PRIMARY KEY,
    user_id BIGINT NULL REFERENCES owner (id),
    repository_id BIGINT NULL REFERENCES repository (id),
    can_write SMALLINT NOT NULL,                     -- deploy keys: may push
    algorithm TEXT NOT NULL,
    fingerprint TEXT NOT NULL UNIQUE,                -- SHA256:… as ssh-keygen -l shows it
    public_key BLOB NOT NULL,                        -- the blob of the key, SSH wire format
    title TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NULL,
    expires_at BIGINT NULL,
    CHECK ((user_id IS NULL AND repository_id IS NOT NULL) OR (user_id IS NOT NULL AND repository_id IS NULL))
);

CREATE INDEX ssh_key_by_user ON ssh_key (user_id, id);

CREATE INDEX ssh_key_by_repository ON ssh_key (repository_id, id);

-- A token for HTTP. Only its SHA-256 is here; the token itself was shown once.
CREATE TABLE access_token (
    id INTEGER NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES owner (id),
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,                     -- SHA-256 of the token
    hint TEXT NOT NULL,                              -- its first letters, to tell tokens apart
    scopes TEXT NOT NULL,                            -- space-separated
    created_at BIGINT NOT NULL,
    expires_at BIGINT NULL,
    last_used_at BIGINT NULL,
    revoked_at BIGINT NULL
);

CREATE INDEX access_token_by_user ON access_token (user_id, id);

-- A rule on the refs of one repository whose names match a pattern.
CREATE TABLE protection (
    id INTEGER NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    kind TEXT NOT NULL,                              -- 'branch' or 'tag'
    pattern BLOB NOT NULL,                           -- glob over the name below refs/heads/ or refs/tags/
    push_role SMALLINT NOT NULL,                     -- least role that may push; 5: nobody
    merge_role SMALLINT NOT NULL,                    -- least role that may merge; 5: nobody
    may_force SMALLINT NOT NULL,                     -- forced pushes allowed
    may_delete SMALLINT NOT NULL,                    -- deletion allowed
    allowed_users TEXT NOT NULL,                     -- JSON array of user ids who may push whatever their role
    created_at BIGINT NOT NULL,
    UNIQUE (repository_id, kind, pattern)
);

-- Who did what to the rules of the house. Written with the change, never updated.
CREATE TABLE audit (
    id INTEGER NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor_id BIGINT NULL,
    actor_name TEXT NOT NULL,                        -- as it was then
    address TEXT NOT NULL,                           -- the peer's
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL                             -- JSON
);

CREATE INDEX audit_by_time ON audit (at, id);

CREATE INDEX audit_by_actor ON audit (actor_id, at, id);

CREATE INDEX audit_by_subject ON audit (subject, at, id);

-- Answers to commits whose caller named a key, so that a retry gets the first answer.
CREATE TABLE idempotency (
    repository_id BIGINT NOT NULL,
    client_key TEXT NOT NULL,                        -- the caller's
    result TEXT NOT NULL,                            -- JSON
    at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, client_key)
) WITHOUT ROWID;

CREATE INDEX idempotency_by_time ON idempotency (at);

-- Worker ids of the id server that were ever held. A row outlives its holder, since its fence must.
CREATE TABLE id_lease (
    worker_id INTEGER NOT NULL PRIMARY KEY,
    token TEXT NOT NULL,                             -- the holder's proof, another one after each renewal; '': nobody
    expires_at BIGINT NOT NULL,                      -- end of the lease, by this database's clock
    fence_at BIGINT NOT NULL,                        -- its holder may issue ids before this time of its own clock
    found_at BIGINT NOT NULL                         -- fence_at when the lease was acquired: ids begin here
);

-- Whom to tell what happens: in one repository, in those of one owner, or (neither is set) everywhere.
CREATE TABLE webhook (
    id INTEGER NOT NULL PRIMARY KEY,
    repository_id BIGINT NULL REFERENCES repository (id),
    owner_id BIGINT NULL REFERENCES owner (id),
    url TEXT NOT NULL,
    secret BLOB NULL,                                -- sealed; NULL: nothing is signed
    format TEXT NOT NULL,                            -- 'gitea', 'github', 'backlog' or 'slack'
    content_type TEXT NOT NULL,                      -- 'json' or 'form'
    events TEXT NOT NULL,                            -- words with a space between: 'push create delete'
    branches TEXT NOT NULL,                          -- glob over the name below refs/heads/; '': all
    is_active SMALLINT NOT NULL,                     -- 0: nothing is recorded for it
    paused_at BIGINT NULL,                           -- since when deliveries are held
    pause_reason TEXT NULL,                          -- 'operator', 'gone' or 'failing'
    failing_since BIGINT NULL,                       -- first failure behind the last success
    created_at BIGINT NOT NULL
);

CREATE INDEX webhook_by_repository ON webhook (repository_id, id);

CREATE INDEX webhook_by_owner ON webhook (owner_id, id);

-- What a webhook was told, or is to be told, once.
CREATE TABLE webhook_delivery (
    id INTEGER NOT NULL PRIMARY KEY,
    guid TEXT NOT NULL,                              -- what receivers see, the same in each attempt
    webhook_id BIGINT NOT NULL,
    event_id BIGINT NULL,                            -- NULL: a test
    kind TEXT NOT NULL,                              -- 'push', 'create', 'delete', 'ping'
    repository_id BIGINT NULL,
    ref_name BLOB NULL,
    old_oid BLOB NULL,
    new_oid BLOB NULL,
    actor_id BIGINT NULL,
    at BIGINT NOT NULL,                              -- of the event
    lane TEXT NOT NULL,                              -- deliveries of one webhook about one ref
    sequence BIGINT NOT NULL,                        -- rises within the lane
    state TEXT NOT NULL,                             -- 'waiting', 'held', 'delivered' or 'failed'
    attempts BIGINT NOT NULL,
    give_up_at BIGINT NULL,                          -- no retry behind it; NULL: not tried yet
    body BLOB NULL,                                  -- of the request, made at the first attempt
    created_at BIGINT NOT NULL,
    finished_at BIGINT NULL
);

CREATE INDEX webhook_delivery_by_webhook ON webhook_delivery (webhook_id, state, id);

CREATE INDEX webhook_delivery_by_time ON webhook_delivery (created_at);

-- One try of a delivery.
CREATE TABLE webhook_attempt (
    delivery_id BIGINT NOT NULL,
    number BIGINT NOT NULL,                          -- from 1
    at BIGINT NOT NULL,
    url TEXT NOT NULL,
    request_headers TEXT NOT NULL,                   -- lines, without what is derived from the secret
    status BIGINT NULL,                              -- NULL: no answer
    response_headers TEXT NULL,
    response_body BLOB NULL,                         -- its beginning
    error TEXT NULL,                                 -- why there was no answer, or why the body is cut
    timings TEXT NOT NULL,                           -- JSON: resolve_ms, connect_ms, tls_ms, first_byte_ms, total_ms
    PRIMARY KEY (delivery_id, number)
) WITHOUT ROWID;

-- Up to which version the events of a repository were turned into deliveries; no row: none.
CREATE TABLE webhook_cursor (
    repository_id INTEGER NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

-- How much a user wants to hear of a repository; no row: 'participating'.
CREATE TABLE watch (
    user_id BIGINT NOT NULL,
    repository_id BIGINT NOT NULL,
    level TEXT NOT NULL,                             -- 'ignoring', 'participating' or 'watching'
    PRIMARY KEY (user_id, repository_id)
) WITHOUT ROWID;

CREATE INDEX watch_by_repository ON watch (repository_id, level, user_id);

-- What a user wants of mail; no row: every notice at once, in the installation's language.
CREATE TABLE mail_preference (
    user_id INTEGER NOT NULL PRIMARY KEY,
    is_on SMALLINT NOT NULL,                         -- 0: only what is about the account's security
    digest TEXT NOT NULL,                            -- 'off', 'hourly' or 'daily'
    language TEXT NOT NULL                           -- 'en', 'ja'; '': the installation's
);

-- What one user is told by mail, once.
CREATE TABLE notice (
    id INTEGER NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL,
    kind TEXT NOT NULL,                              -- 'push', 'quota', 'webhook', 'repository', 'account'
    reason TEXT NOT NULL,                            -- why this user: 'subscribed', 'owner', 'security'
    source TEXT NOT NULL,                            -- what happened; a user is told of it once
    repository_id BIGINT NULL,
    actor_id BIGINT NULL,
    payload TEXT NOT NULL,                           -- JSON, by kind
    state TEXT NOT NULL,                             -- 'waiting', 'held' (for a digest), 'sent', 'failed' or 'dropped'
    batch BIGINT NULL,                               -- the job of the digest that it went into
    error TEXT NULL,                                 -- what the mail server said last, or why it was dropped
    created_at BIGINT NOT NULL,
    finished_at BIGINT NULL,
    UNIQUE (user_id, source)
);

CREATE INDEX notice_by_user ON notice (user_id, state, id);

CREATE INDEX notice_by_batch ON notice (batch);

CREATE INDEX notice_by_time ON notice (created_at);

-- A repository that follows another host's, or is followed by one.
CREATE TABLE mirror (
    id INTEGER NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    direction TEXT NOT NULL,                         -- 'pull': ours follows, at most one a repository; 'push': theirs does
    url TEXT NOT NULL,                               -- without a login
    login BLOB NULL,                                 -- user and password, sealed
    branches TEXT NOT NULL,                          -- patterns with a space between; empty: all branches
    has_tags SMALLINT NOT NULL,                      -- whether tags and notes are mirrored
    is_forced SMALLINT NOT NULL,                     -- whether what is pushed may lose commits there
    accepts_warnings SMALLINT NOT NULL,              -- whether objects are taken that git's checks warn about
    interval_ms BIGINT NOT NULL,                     -- 0: only when asked, or after pushes
    next_at BIGINT NULL,                             -- when it is tried next by itself; NULL: never
    paused_at BIGINT NULL,                           -- NULL: as usual
    tried_at BIGINT NULL,                            -- the last try
    synced_at BIGINT NULL,                           -- the last that worked
    failing_since BIGINT NULL,                       -- the first failure behind it
    last_error TEXT NULL,                            -- what the last try said
    created_at BIGINT NOT NULL,
    may_overwrite SMALLINT NOT NULL DEFAULT 1        -- push: 0 until the other side was found empty
);

CREATE INDEX mirror_by_repository ON mirror (repository_id, id);

CREATE INDEX mirror_by_time ON mirror (next_at);

-- An import that runs as a job. Outlives the repository, to say why there is none.
CREATE TABLE repository_import (
    id INTEGER NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL,                   -- 'creating' meanwhile; gone after a failure
    path TEXT NOT NULL,                              -- 'owner/name' when it began
    url TEXT NOT NULL,
    login BLOB NULL,                                 -- user and password, sealed; NULL at the end
    accepts_warnings SMALLINT NOT NULL,              -- as mirror.accepts_warnings
    actor_id BIGINT NULL,
    job_id BIGINT NOT NULL,
    state TEXT NOT NULL,                             -- 'waiting', 'running', 'done' or 'failed'
    phase TEXT NULL,                                 -- what it does just now
    size_bytes BIGINT NOT NULL,                      -- of the pack so far
    error TEXT NULL,                                 -- why it failed, or what the last attempt said
    created_at BIGINT NOT NULL,
    started_at BIGINT NULL,
    finished_at BIGINT NULL
);

CREATE INDEX repository_import_by_repository ON repository_import (repository_id, id);

CREATE INDEX repository_import_by_state ON repository_import (state, id);

-- An LFS object: immutable bytes named by this id. Its life is that of a pack: `staged` before its bytes are written,
-- `live` once a repository has it, `dead` when none does; bytes go only after the row.
CREATE TABLE lfs_object (
    id INTEGER NOT NULL PRIMARY KEY,
    oid BLOB NOT NULL,                               -- SHA-256 of the bytes; of a staged one only what its client says
    live_oid BLOB NULL UNIQUE,                       -- oid while it is live: then there is one of each
    size_bytes BIGINT NOT NULL,
    state TEXT NOT NULL,                             -- 'staged', 'live' or 'dead'
    node TEXT NOT NULL,                              -- which node wrote it
    created_at BIGINT NOT NULL,
    delete_after BIGINT NULL,                        -- when a dead object may lose its bytes
    checked_at BIGINT NOT NULL DEFAULT 0,            -- when its bytes were last hashed
    bad_at BIGINT NULL                               -- since when they are known to be others, or gone: to be sent again
);

CREATE INDEX lfs_object_by_state ON lfs_object (state, created_at);

CREATE INDEX lfs_object_by_check ON lfs_object (state, checked_at);

-- Which LFS objects a repository has. Who may read the repository may read them, and nobody else may.
CREATE TABLE repository_lfs_object (
    repository_id BIGINT NOT NULL,
    object_id BIGINT NOT NULL,
    linked_at BIGINT NOT NULL,
    promised_at BIGINT NOT NULL,                     -- when a client was last told that it need not send it, rounded
    quarantined_at BIGINT NULL,                      -- since when no commit points to it; asked for, it is NULL again
    PRIMARY KEY (repository_id, object_id)
) WITHOUT ROWID;

CREATE INDEX repository_lfs_object_by_object ON repository_lfs_object (object_id);

-- Room within quotas that was promised to an upload.
CREATE TABLE lfs_reservation (
    repository_id BIGINT NOT NULL,
    oid BLOB NOT NULL,
    size_bytes BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, oid)
) WITHOUT ROWID;

CREATE INDEX lfs_reservation_by_end ON lfs_reservation (expires_at);

-- An LFS upload that goes over several requests. Its bytes are parts of the blob of object_id, which is staged.
CREATE TABLE lfs_upload (
    repository_id BIGINT NOT NULL,
    oid BLOB NOT NULL,
    uploader TEXT NOT NULL,                          -- 'user:ID' or 'key:ID': nobody goes on with another's
    object_id BIGINT NOT NULL,
    upload TEXT NOT NULL,                            -- what the store of blobs calls it
    size_bytes BIGINT NOT NULL,
    part_bytes BIGINT NOT NULL,                      -- length of each part but the last
    offset_bytes BIGINT NOT NULL,                    -- bytes that are synced
    digest BLOB NOT NULL,                            -- state of SHA-256 over them
    writer TEXT NULL,                                -- the request that writes now
    node TEXT NOT NULL,                              -- and its node
    writer_until BIGINT NOT NULL,                    -- until when no other node may
    is_contested SMALLINT NOT NULL,                  -- 1: a writer was replaced that may have written since
    created_at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, oid, uploader)
) WITHOUT ROWID;

CREATE INDEX lfs_upload_by_age ON lfs_upload (created_at);

-- Locks on paths: who has one is the only one to change the file. They hold on every branch.
CREATE TABLE lfs_lock (
    id INTEGER NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    path_digest BLOB NOT NULL,                       -- SHA-256 of path, which is too long for an index
    path BLOB NOT NULL,
    user_id BIGINT NOT NULL,
    locked_at BIGINT NOT NULL,
    UNIQUE (repository_id, path_digest)
);

CREATE INDEX lfs_lock_by_time ON lfs_lock (repository_id, locked_at, id);

-- LFS objects that an owner removed from a repository, which takes them no more.
CREATE TABLE lfs_removal (
    repository_id BIGINT NOT NULL,
    oid BLOB NOT NULL,
    removed_at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, oid)
) WITHOUT ROWID;

-- When objects are next looked for in a repository that no commit points to.
CREATE TABLE lfs_sweep (
    repository_id BIGINT NOT NULL PRIMARY KEY,
    next_at BIGINT NOT NULL
) WITHOUT ROWID;
