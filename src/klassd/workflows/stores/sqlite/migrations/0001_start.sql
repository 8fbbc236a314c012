-- Keys are chosen so that what is written together lies together: bytes written per task are the product's budget.
-- WITHOUT ROWID: the row lies in the key's own tree, one page touched instead of two.

-- stage says which of the small indexes below holds the run: 0 due later, 1 free to claim, 2 owned, 3 final.
CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    definition TEXT NOT NULL,
    params BLOB,
    status TEXT NOT NULL,
    tenant TEXT NOT NULL,
    tags BLOB,
    queue TEXT NOT NULL,
    priority INTEGER NOT NULL,
    idempotency_key TEXT,
    rerun_of TEXT,
    created_at REAL NOT NULL,
    not_before REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    cancel_requested_at REAL,
    output BLOB,
    error TEXT,
    owner TEXT,
    epoch INTEGER NOT NULL,
    stage INTEGER NOT NULL
) WITHOUT ROWID;

CREATE UNIQUE INDEX runs_by_key ON runs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_later ON runs (not_before) WHERE stage = 0;
CREATE INDEX runs_free ON runs (queue, priority DESC, id) WHERE stage = 1;
CREATE INDEX runs_owned ON runs (owner, priority DESC, id) WHERE stage = 2;
CREATE INDEX runs_to_cancel ON runs (owner, id) WHERE stage = 2 AND cancel_requested_at IS NOT NULL;
CREATE INDEX runs_finished ON runs (finished_at, id) WHERE stage = 3;
CREATE INDEX runs_by_name ON runs (name, status, id);
CREATE INDEX runs_by_tenant ON runs (tenant, id) WHERE tenant <> '';

CREATE TABLE run_tags (
    tag TEXT NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (tag, run_id)
) WITHOUT ROWID;

CREATE TABLE counters (
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (name, status)
) WITHOUT ROWID;

CREATE TABLE definitions (
    hash TEXT NOT NULL PRIMARY KEY,
    data BLOB NOT NULL
) WITHOUT ROWID;

-- Apart from the definition itself, which is large and never changes.
CREATE TABLE definition_uses (
    hash TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE owners (
    owner TEXT NOT NULL PRIMARY KEY,
    lease_until REAL NOT NULL,
    ttl REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE nodes (
    run_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    items BLOB,
    error TEXT,
    finished_at REAL,
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;

-- An execution's id is run_id-ordinal-item-attempt, so it is not stored besides.
CREATE TABLE executions (
    run_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    item INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    node TEXT NOT NULL,
    job TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at REAL NOT NULL,
    not_before REAL NOT NULL,
    launched_at REAL,
    started_at REAL,
    finished_at REAL,
    place TEXT,
    cause TEXT,
    error TEXT,
    detail TEXT,
    exit_code INTEGER,
    output BLOB,
    outputs BLOB,
    warnings BLOB,
    progress BLOB,
    log_lines INTEGER NOT NULL,
    PRIMARY KEY (run_id, ordinal, item, attempt)
) WITHOUT ROWID;

CREATE TABLE log_chunks (
    run_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    item INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    first_line INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    lines INTEGER NOT NULL,
    next_seq INTEGER NOT NULL,
    cursor TEXT NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (run_id, ordinal, item, attempt, first_line, first_seq)
) WITHOUT ROWID;
