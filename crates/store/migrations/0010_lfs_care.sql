-- LFS objects that nothing points to, bytes that are read again now and then, and objects that were removed for good.
-- Comments on columns: ../schema.sql.
ALTER TABLE repository_lfs_object ADD COLUMN quarantined_at BIGINT NULL;

ALTER TABLE lfs_object ADD COLUMN checked_at BIGINT NOT NULL DEFAULT 0;

ALTER TABLE lfs_object ADD COLUMN bad_at BIGINT NULL;

CREATE INDEX lfs_object_by_check ON lfs_object (state, checked_at);

CREATE TABLE lfs_removal (
    repository_id BIGINT NOT NULL,
    oid {bytes:32} NOT NULL,
    removed_at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, oid)
){clustered};

CREATE TABLE lfs_sweep (
    repository_id BIGINT NOT NULL PRIMARY KEY,
    next_at BIGINT NOT NULL
){clustered};
