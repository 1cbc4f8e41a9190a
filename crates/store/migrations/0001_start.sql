-- The first schema. Comments on what each column means are in ../schema.sql, the reviewer's snapshot.
-- {id} {bytes:N} {blob} {text:N} {long_text} {end} {clustered} are type macros; see src/dialect.rs.

CREATE TABLE id_block (
    family {text:32} NOT NULL PRIMARY KEY,
    next_id BIGINT NOT NULL
){clustered};

CREATE TABLE setting (
    name {text:100} NOT NULL PRIMARY KEY,
    value {long_text} NOT NULL
){clustered};

CREATE TABLE owner (
    id {id} NOT NULL PRIMARY KEY,
    name {text:100} NOT NULL,
    name_folded {text:200} NOT NULL UNIQUE,
    kind {text:16} NOT NULL,
    display_name {text:255} NOT NULL,
    quota_bytes BIGINT NULL,
    size_bytes BIGINT NOT NULL,
    state {text:16} NOT NULL,
    created_at BIGINT NOT NULL
){end};

CREATE TABLE account (
    user_id {id} NOT NULL PRIMARY KEY REFERENCES owner (id),
    email {text:255} NOT NULL,
    password_hash {text:255} NULL,
    is_admin SMALLINT NOT NULL,
    second_factor SMALLINT NOT NULL,
    is_external SMALLINT NOT NULL,
    credentials_version BIGINT NOT NULL,
    last_seen_at BIGINT NULL
){end};

CREATE INDEX account_by_email ON account (email);

CREATE TABLE group_member (
    group_id BIGINT NOT NULL REFERENCES owner (id),
    user_id BIGINT NOT NULL REFERENCES owner (id),
    role SMALLINT NOT NULL,
    PRIMARY KEY (group_id, user_id)
){clustered};

CREATE INDEX group_member_by_user ON group_member (user_id);

CREATE TABLE repository (
    id {id} NOT NULL PRIMARY KEY,
    owner_id BIGINT NOT NULL REFERENCES owner (id),
    name {text:100} NOT NULL,
    name_folded {text:200} NOT NULL,
    object_format {text:16} NOT NULL,
    default_ref {bytes:1024} NOT NULL,
    version BIGINT NOT NULL,
    prune_epoch BIGINT NOT NULL,
    policy_version BIGINT NOT NULL,
    state {text:16} NOT NULL,
    visibility {text:16} NOT NULL,
    quota_bytes BIGINT NULL,
    size_bytes BIGINT NOT NULL,
    description {text:1000} NOT NULL,
    created_at BIGINT NOT NULL,
    pushed_at BIGINT NULL,
    deleted_at BIGINT NULL,
    UNIQUE (owner_id, name_folded)
){end};

CREATE INDEX repository_by_state ON repository (state, id);

CREATE TABLE repository_collaborator (
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    user_id BIGINT NOT NULL REFERENCES owner (id),
    role SMALLINT NOT NULL,
    PRIMARY KEY (repository_id, user_id)
){clustered};

CREATE INDEX repository_collaborator_by_user ON repository_collaborator (user_id);

CREATE TABLE ref (
    repository_id BIGINT NOT NULL,
    name {bytes:1024} NOT NULL,
    oid {bytes:32} NOT NULL,
    peeled {bytes:32} NULL,
    PRIMARY KEY (repository_id, name)
){clustered};

CREATE TABLE ref_log (
    repository_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    name {bytes:1024} NOT NULL,
    old_oid {bytes:32} NULL,
    new_oid {bytes:32} NULL,
    new_peeled {bytes:32} NULL,
    actor_id BIGINT NULL,
    reason {text:100} NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, version, name)
){clustered};

CREATE INDEX ref_log_by_time ON ref_log (repository_id, at);

CREATE TABLE pack (
    id {id} NOT NULL PRIMARY KEY,
    state {text:16} NOT NULL,
    node {text:100} NOT NULL,
    checksum {bytes:32} NOT NULL,
    size_bytes BIGINT NOT NULL,
    n_objects BIGINT NOT NULL,
    kind {text:16} NOT NULL,
    inline_bytes {blob} NULL,
    created_at BIGINT NOT NULL,
    delete_after BIGINT NULL
){end};

CREATE INDEX pack_by_state ON pack (state, created_at);

CREATE TABLE repository_pack (
    repository_id BIGINT NOT NULL,
    pack_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (repository_id, pack_id)
){clustered};

CREATE INDEX repository_pack_by_pack ON repository_pack (pack_id);

CREATE TABLE event (
    id {id} NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    version BIGINT NOT NULL,
    kind {text:32} NOT NULL,
    actor_id BIGINT NULL,
    at BIGINT NOT NULL,
    payload {long_text} NOT NULL
){end};

CREATE INDEX event_by_repository ON event (repository_id, version, id);

CREATE TABLE job (
    id {id} NOT NULL PRIMARY KEY,
    kind {text:32} NOT NULL,
    state {text:16} NOT NULL,
    repository_id BIGINT NULL,
    event_id BIGINT NULL,
    dedupe {text:200} NULL UNIQUE,
    payload {long_text} NOT NULL,
    priority SMALLINT NOT NULL,
    run_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    claimed_by {text:100} NULL,
    claimed_until BIGINT NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT NULL,
    last_error {long_text} NULL
){end};

CREATE INDEX job_by_turn ON job (state, priority, run_at, id);

CREATE INDEX job_by_claim ON job (state, claimed_until);

CREATE TABLE ssh_key (
    id {id} NOT NULL PRIMARY KEY,
    user_id BIGINT NULL REFERENCES owner (id),
    repository_id BIGINT NULL REFERENCES repository (id),
    can_write SMALLINT NOT NULL,
    algorithm {text:64} NOT NULL,
    fingerprint {text:100} NOT NULL UNIQUE,
    public_key {blob} NOT NULL,
    title {text:255} NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NULL,
    expires_at BIGINT NULL,
    CHECK ((user_id IS NULL AND repository_id IS NOT NULL) OR (user_id IS NOT NULL AND repository_id IS NULL))
){end};

CREATE INDEX ssh_key_by_user ON ssh_key (user_id, id);

CREATE INDEX ssh_key_by_repository ON ssh_key (repository_id, id);

CREATE TABLE access_token (
    id {id} NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES owner (id),
    name {text:255} NOT NULL,
    digest {bytes:32} NOT NULL UNIQUE,
    hint {text:32} NOT NULL,
    scopes {text:1000} NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NULL,
    last_used_at BIGINT NULL,
    revoked_at BIGINT NULL
){end};

CREATE INDEX access_token_by_user ON access_token (user_id, id);

CREATE TABLE protection (
    id {id} NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    kind {text:16} NOT NULL,
    pattern {bytes:1024} NOT NULL,
    push_role SMALLINT NOT NULL,
    merge_role SMALLINT NOT NULL,
    may_force SMALLINT NOT NULL,
    may_delete SMALLINT NOT NULL,
    allowed_users {long_text} NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (repository_id, kind, pattern)
){end};

CREATE TABLE audit (
    id {id} NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor_id BIGINT NULL,
    actor_name {text:100} NOT NULL,
    address {text:64} NOT NULL,
    action {text:64} NOT NULL,
    subject {text:255} NOT NULL,
    detail {long_text} NOT NULL
){end};

CREATE INDEX audit_by_time ON audit (at, id);

CREATE INDEX audit_by_actor ON audit (actor_id, at, id);

CREATE INDEX audit_by_subject ON audit (subject, at, id);

CREATE TABLE idempotency (
    repository_id BIGINT NOT NULL,
    client_key {text:200} NOT NULL,
    result {long_text} NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, client_key)
){clustered};

CREATE INDEX idempotency_by_time ON idempotency (at);
