-- Jobs and events are named to a message broker. What is there before is named at once if it is a job, never if an event.
ALTER TABLE job ADD COLUMN relay_at BIGINT NOT NULL DEFAULT 0;

CREATE INDEX job_by_relay ON job (state, relay_at, kind);

ALTER TABLE event ADD COLUMN relay_at BIGINT NULL;

CREATE INDEX event_by_relay ON event (relay_at);
