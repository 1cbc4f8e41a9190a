-- LFS: objects, which repositories have them, room that uploads were promised, locks. Comments on columns: ../schema.sql.
CREATE TABLE lfs_object (
    id {id} NOT NULL PRIMARY KEY,
    oid {bytes:32} NOT NULL,
    live_oid {bytes:32} NULL UNIQUE,
    size_bytes BIGINT NOT NULL,
    state {text:16} NOT NULL,
    node {text:100} NOT NULL,
    created_at BIGINT NOT NULL,
    delete_after BIGINT NULL
){end};

CREATE INDEX lfs_object_by_state ON lfs_object (state, created_at);

CREATE TABLE repository_lfs_object (
    repository_id BIGINT NOT NULL,
    object_id BIGINT NOT NULL,
    linked_at BIGINT NOT NULL,
    promised_at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, object_id)
){clustered};

CREATE INDEX repository_lfs_object_by_object ON repository_lfs_object (object_id);

CREATE TABLE lfs_reservation (
    repository_id BIGINT NOT NULL,
    oid {bytes:32} NOT NULL,
    size_bytes BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, oid)
){clustered};

CREATE INDEX lfs_reservation_by_end ON lfs_reservation (expires_at);

CREATE TABLE lfs_lock (
    id {id} NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    path_digest {bytes:32} NOT NULL,
    path {bytes:4096} NOT NULL,
    user_id BIGINT NOT NULL,
    locked_at BIGINT NOT NULL,
    UNIQUE (repository_id, path_digest)
){end};

CREATE INDEX lfs_lock_by_time ON lfs_lock (repository_id, locked_at, id);
