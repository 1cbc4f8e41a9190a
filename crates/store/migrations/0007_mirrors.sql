-- Repositories that follow others or are followed, and imports that run as jobs. Comments on columns: ../schema.sql.
ALTER TABLE repository ADD COLUMN is_mirror SMALLINT NOT NULL DEFAULT 0;

CREATE TABLE mirror (
    id {id} NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES repository (id),
    direction {text:8} NOT NULL,
    url {text:2048} NOT NULL,
    login {blob} NULL,
    branches {text:1024} NOT NULL,
    has_tags SMALLINT NOT NULL,
    is_forced SMALLINT NOT NULL,
    accepts_warnings SMALLINT NOT NULL,
    interval_ms BIGINT NOT NULL,
    next_at BIGINT NULL,
    paused_at BIGINT NULL,
    tried_at BIGINT NULL,
    synced_at BIGINT NULL,
    failing_since BIGINT NULL,
    last_error {long_text} NULL,
    created_at BIGINT NOT NULL
){end};

CREATE INDEX mirror_by_repository ON mirror (repository_id, id);

CREATE INDEX mirror_by_time ON mirror (next_at);

CREATE TABLE repository_import (
    id {id} NOT NULL PRIMARY KEY,
    repository_id BIGINT NOT NULL,
    path {text:255} NOT NULL,
    url {text:2048} NOT NULL,
    login {blob} NULL,
    accepts_warnings SMALLINT NOT NULL,
    actor_id BIGINT NULL,
    job_id BIGINT NOT NULL,
    state {text:16} NOT NULL,
    phase {text:16} NULL,
    size_bytes BIGINT NOT NULL,
    error {long_text} NULL,
    created_at BIGINT NOT NULL,
    started_at BIGINT NULL,
    finished_at BIGINT NULL
){end};

CREATE INDEX repository_import_by_repository ON repository_import (repository_id, id);

CREATE INDEX repository_import_by_state ON repository_import (state, id);
