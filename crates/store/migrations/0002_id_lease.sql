-- Worker ids of the id server: who holds each, and below which time its holder may issue.
CREATE TABLE id_lease (
    worker_id {id} NOT NULL PRIMARY KEY,
    token {text:100} NOT NULL,
    expires_at BIGINT NOT NULL,
    fence_at BIGINT NOT NULL,
    found_at BIGINT NOT NULL
){end};
