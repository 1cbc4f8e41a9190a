-- Webhooks, what they were told, and how far each repository has been told of. Comments on columns: ../schema.sql.
CREATE TABLE webhook (
    id {id} NOT NULL PRIMARY KEY,
    repository_id BIGINT NULL REFERENCES repository (id),
    owner_id BIGINT NULL REFERENCES owner (id),
    url {text:2048} NOT NULL,
    secret {blob} NULL,
    format {text:16} NOT NULL,
    content_type {text:16} NOT NULL,
    events {text:255} NOT NULL,
    branches {text:1024} NOT NULL,
    is_active SMALLINT NOT NULL,
    paused_at BIGINT NULL,
    pause_reason {text:16} NULL,
    failing_since BIGINT NULL,
    created_at BIGINT NOT NULL
){end};

CREATE INDEX webhook_by_repository ON webhook (repository_id, id);

CREATE INDEX webhook_by_owner ON webhook (owner_id, id);

CREATE TABLE webhook_delivery (
    id {id} NOT NULL PRIMARY KEY,
    guid {text:36} NOT NULL,
    webhook_id BIGINT NOT NULL,
    event_id BIGINT NULL,
    kind {text:32} NOT NULL,
    repository_id BIGINT NULL,
    ref_name {bytes:1024} NULL,
    old_oid {bytes:32} NULL,
    new_oid {bytes:32} NULL,
    actor_id BIGINT NULL,
    at BIGINT NOT NULL,
    lane {text:100} NOT NULL,
    sequence BIGINT NOT NULL,
    state {text:16} NOT NULL,
    attempts BIGINT NOT NULL,
    give_up_at BIGINT NULL,
    body {blob} NULL,
    created_at BIGINT NOT NULL,
    finished_at BIGINT NULL
){end};

CREATE INDEX webhook_delivery_by_webhook ON webhook_delivery (webhook_id, state, id);

CREATE INDEX webhook_delivery_by_time ON webhook_delivery (created_at);

CREATE TABLE webhook_attempt (
    delivery_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    url {text:2048} NOT NULL,
    request_headers {long_text} NOT NULL,
    status BIGINT NULL,
    response_headers {long_text} NULL,
    response_body {blob} NULL,
    error {long_text} NULL,
    timings {long_text} NOT NULL,
    PRIMARY KEY (delivery_id, number)
){clustered};

CREATE TABLE webhook_cursor (
    repository_id {id} NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
){end};

-- What happened before there were webhooks is nobody's news.
INSERT INTO webhook_cursor (repository_id, version) SELECT id, version FROM repository;
