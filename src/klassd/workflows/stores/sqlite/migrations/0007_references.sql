-- Whose artifacts a run was given: those runs are kept as long as it is.
ALTER TABLE runs ADD COLUMN refers_to BLOB;

CREATE TABLE run_references (
    refers_to TEXT NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (refers_to, run_id)
) WITHOUT ROWID;
