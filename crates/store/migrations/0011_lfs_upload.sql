-- LFS: uploads that go over several requests. Comments on columns: ../schema.sql.
CREATE TABLE lfs_upload (
    repository_id BIGINT NOT NULL,
    oid {bytes:32} NOT NULL,
    uploader {text:40} NOT NULL,
    object_id BIGINT NOT NULL,
    upload {text:1024} NOT NULL,
    size_bytes BIGINT NOT NULL,
    part_bytes BIGINT NOT NULL,
    offset_bytes BIGINT NOT NULL,
    digest {blob} NOT NULL,
    writer {text:40} NULL,
    node {text:100} NOT NULL,
    writer_until BIGINT NOT NULL,
    is_contested SMALLINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, oid, uploader)
){clustered};

CREATE INDEX lfs_upload_by_age ON lfs_upload (created_at);
