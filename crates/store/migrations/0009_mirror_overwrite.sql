-- Push mirrors ask before they overwrite. Those that are there were made without being asked. Comments on columns: ../schema.sql.
ALTER TABLE mirror ADD COLUMN may_overwrite SMALLINT NOT NULL DEFAULT 1;
