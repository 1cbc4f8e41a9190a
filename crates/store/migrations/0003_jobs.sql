-- Jobs are claimed: one after the other in a lane, so many at once for a target, a repository and a kind.
ALTER TABLE job ADD COLUMN lane {text:200} NULL;

ALTER TABLE job ADD COLUMN sequence BIGINT NULL;

ALTER TABLE job ADD COLUMN target {text:255} NULL;

ALTER TABLE job ADD COLUMN held_until BIGINT NULL;

ALTER TABLE job ADD COLUMN published_at BIGINT NULL;

CREATE INDEX job_by_kind ON job (kind, state, priority, run_at, id);

CREATE INDEX job_by_lane ON job (lane, state, sequence);

CREATE INDEX job_by_end ON job (state, finished_at);

CREATE TABLE job_kind (
    kind {text:32} NOT NULL PRIMARY KEY,
    paused_at BIGINT NULL
){end};

-- What jobs find out.
ALTER TABLE repository ADD COLUMN quota_level SMALLINT NOT NULL DEFAULT 0;

ALTER TABLE owner ADD COLUMN quota_level SMALLINT NOT NULL DEFAULT 0;

CREATE TABLE repository_commit (
    repository_id BIGINT NOT NULL,
    oid {bytes:32} NOT NULL,
    event_id BIGINT NOT NULL,
    author_id BIGINT NULL,
    author_mail {text:255} NOT NULL,
    authored_at BIGINT NOT NULL,
    PRIMARY KEY (repository_id, oid)
){clustered};

CREATE INDEX repository_commit_by_author ON repository_commit (author_id, authored_at);

CREATE INDEX repository_commit_by_mail ON repository_commit (author_mail);

CREATE TABLE commit_mention (
    repository_id BIGINT NOT NULL,
    oid {bytes:32} NOT NULL,
    number BIGINT NOT NULL,
    keyword {text:16} NOT NULL,
    PRIMARY KEY (repository_id, oid, number)
){clustered};

CREATE INDEX commit_mention_by_number ON commit_mention (repository_id, number);
