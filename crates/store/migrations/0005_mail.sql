-- Who is told by mail, of what, and what became of it. Comments on columns: ../schema.sql.
CREATE TABLE watch (
    user_id BIGINT NOT NULL,
    repository_id BIGINT NOT NULL,
    level {text:16} NOT NULL,
    PRIMARY KEY (user_id, repository_id)
){clustered};

CREATE INDEX watch_by_repository ON watch (repository_id, level, user_id);

CREATE TABLE mail_preference (
    user_id {id} NOT NULL PRIMARY KEY,
    is_on SMALLINT NOT NULL,
    digest {text:16} NOT NULL,
    language {text:8} NOT NULL
){end};

CREATE TABLE notice (
    id {id} NOT NULL PRIMARY KEY,
    user_id BIGINT NOT NULL,
    kind {text:32} NOT NULL,
    reason {text:32} NOT NULL,
    source {text:100} NOT NULL,
    repository_id BIGINT NULL,
    actor_id BIGINT NULL,
    payload {long_text} NOT NULL,
    state {text:16} NOT NULL,
    batch BIGINT NULL,
    error {long_text} NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT NULL,
    UNIQUE (user_id, source)
){end};

CREATE INDEX notice_by_user ON notice (user_id, state, id);

CREATE INDEX notice_by_batch ON notice (batch);

CREATE INDEX notice_by_time ON notice (created_at);
