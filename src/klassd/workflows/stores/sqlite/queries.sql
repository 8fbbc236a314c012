-- Every statement the store speaks, each with its name and one sentence. {run} and {execution} stand for the columns in
-- the order rows.py reads them. A test asks for the plan of each: none may scan runs, executions or log_chunks.

-- name: run_with_key
-- The run that has an idempotency key.
SELECT id FROM runs WHERE tenant = :tenant AND idempotency_key = :key;

-- name: insert_run
-- A new run; an id that exists is the same enqueue once more.
INSERT INTO runs ({run}, stage) VALUES ({run_values}, :stage) ON CONFLICT (id) DO NOTHING;

-- name: insert_tag
-- One row per tag of a run, so that untagged runs cost nothing.
INSERT INTO run_tags (tag, run_id) VALUES (:tag, :run_id) ON CONFLICT DO NOTHING;

-- name: insert_reference
-- One row per run whose artifacts a run was given, so that the others cost nothing.
INSERT INTO run_references (refers_to, run_id) VALUES (:refers_to, :run_id) ON CONFLICT DO NOTHING;

-- name: insert_definition
-- A snapshot is stored once, however many runs carry it.
INSERT INTO definitions (hash, data) VALUES (:hash, :data) ON CONFLICT DO NOTHING;

-- name: count_runs
-- What a group of changes adds to the number of runs of a name in a status.
INSERT INTO counters (name, status, number) VALUES (:name, :status, :number)
ON CONFLICT (name, status) DO UPDATE SET number = number + excluded.number;

-- name: count_definition_uses
-- What a group of changes adds to the number of runs that carry a snapshot.
INSERT INTO definition_uses (hash, number) VALUES (:hash, :number)
ON CONFLICT (hash) DO UPDATE SET number = number + excluded.number;

-- name: unused_definition
-- Whether no run carries the snapshot any more.
SELECT 1 FROM definition_uses WHERE hash = :hash AND number <= 0;

-- name: delete_definition
-- Snapshots go with the last run that carries them.
DELETE FROM definitions WHERE hash = :hash;

-- name: delete_definition_uses
-- See delete_definition.
DELETE FROM definition_uses WHERE hash = :hash;

-- name: run_state
-- What decides whether a change is accepted.
SELECT name, status, epoch FROM runs WHERE id = :id;

-- name: cancel_queued
-- Nobody has begun it, so it ends at once.
UPDATE runs SET status = 'cancelled', stage = 3, finished_at = :now, cancel_requested_at = :now WHERE id = :id;

-- name: request_cancel
-- The owner is asked; the first request counts.
UPDATE runs SET cancel_requested_at = coalesce(cancel_requested_at, :now) WHERE id = :id;

-- name: lease
-- An owner's lease.
SELECT lease_until, ttl FROM owners WHERE owner = :owner;

-- name: renew
-- Start or extend a lease.
INSERT INTO owners (owner, lease_until, ttl) VALUES (:owner, :until, :ttl)
ON CONFLICT (owner) DO UPDATE SET lease_until = excluded.lease_until, ttl = excluded.ttl;

-- name: forget_owners
-- Owners that have not come back for long; runs they still have are claimable without them.
DELETE FROM owners WHERE lease_until < :before;

-- name: delete_owner
-- A lease that is given up.
DELETE FROM owners WHERE owner = :owner;

-- name: release_runs
-- The runs of a lease that is given up. They stay among the owned ones: those are under way, the free ones never began.
UPDATE runs SET owner = NULL WHERE stage = 2 AND owner = :owner;

-- name: released_runs
-- Runs that somebody has given up, by priority, then age; of given queues only, where queues (a JSON array) is not null.
SELECT -priority, id FROM runs
WHERE stage = 2 AND owner IS NULL AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
ORDER BY priority DESC, id LIMIT :limit;

-- name: promote
-- Runs that have become due join those free to claim; each does so once.
UPDATE runs SET stage = 1 WHERE stage = 0 AND not_before <= :now;

-- name: next_due
-- When the next run becomes due.
SELECT min(not_before) FROM runs WHERE stage = 0 AND not_before > :now;

-- name: free_queues
-- The queues that have free runs, by jumping from one to the next in the index.
WITH RECURSIVE found (queue) AS (
    SELECT min(queue) FROM runs WHERE stage = 1
    UNION ALL
    SELECT (SELECT min(queue) FROM runs WHERE stage = 1 AND queue > found.queue) FROM found WHERE found.queue IS NOT NULL
)
SELECT queue FROM found WHERE queue IS NOT NULL;

-- name: free_runs
-- Free runs of a queue, by priority, then age.
SELECT -priority, id FROM runs
WHERE stage = 1 AND queue = :queue AND not_before <= :now ORDER BY priority DESC, id LIMIT :limit;

-- name: run_owners
-- Everybody who owns runs, by jumping from one to the next in the index.
WITH RECURSIVE found (owner) AS (
    SELECT min(owner) FROM runs WHERE stage = 2
    UNION ALL
    SELECT (SELECT min(owner) FROM runs WHERE stage = 2 AND owner > found.owner) FROM found WHERE found.owner IS NOT NULL
)
SELECT owner FROM found WHERE owner IS NOT NULL;

-- name: owned_runs
-- The runs of an owner, by priority, then age; of given queues only, where queues (a JSON array) is not null.
SELECT -priority, id FROM runs
WHERE stage = 2 AND owner = :owner AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
ORDER BY priority DESC, id LIMIT :limit;

-- name: claim_candidate
-- One run, if it may be claimed as far as the run itself knows.
SELECT -priority, id, owner, queue, epoch FROM runs WHERE id = :id AND stage IN (0, 1, 2) AND not_before <= :now;

-- name: claim
-- A new owner, a new epoch; a queued run begins.
UPDATE runs SET
    owner = :owner, epoch = epoch + 1, stage = 2,
    status = CASE status WHEN 'queued' THEN 'running' ELSE status END,
    started_at = CASE status WHEN 'queued' THEN :now ELSE started_at END
WHERE id = :id;

-- name: to_cancel
-- Runs of an owner that somebody asked to cancel.
SELECT id FROM runs WHERE stage = 2 AND cancel_requested_at IS NOT NULL AND owner = :owner ORDER BY id;

-- name: patch_run
-- What a decision changes of a run; null leaves as it is.
UPDATE runs SET
    status = coalesce(:status, status), stage = CASE WHEN :final THEN 3 ELSE stage END,
    finished_at = coalesce(:finished_at, finished_at), output = coalesce(:output, output), error = coalesce(:error, error)
WHERE id = :id;

-- name: put_node
-- A node's state; the items of a fan-out and the address of a service stay once stored.
INSERT INTO nodes (run_id, name, status, items, error, finished_at, address)
VALUES (:run_id, :name, :status, :items, :error, :finished_at, :address)
ON CONFLICT (run_id, name) DO UPDATE SET
    status = excluded.status, items = coalesce(excluded.items, items), error = excluded.error,
    finished_at = excluded.finished_at, address = coalesce(excluded.address, address);

-- name: insert_execution
-- A new attempt; one that exists stays as it is.
INSERT INTO executions (ordinal, {execution}) VALUES (:ordinal, {execution_values}) ON CONFLICT DO NOTHING;

-- name: patch_execution
-- What a decision changes of an execution; a final one never changes.
UPDATE executions SET {assignments}
WHERE run_id = :run_id AND ordinal = :ordinal AND item = :index AND attempt = :attempt
AND status NOT IN ('succeeded', 'failed', 'stopped');

-- name: set_started_by
-- The one that starts an execution, once it was found that it may.
UPDATE executions SET started_by = :started_by
WHERE run_id = :run_id AND ordinal = :ordinal AND item = :item AND attempt = :attempt;

-- name: insert_chunk
-- A piece of console; one that exists is not repeated.
INSERT INTO log_chunks (run_id, ordinal, item, attempt, first_line, first_seq, lines, next_seq, cursor, data)
VALUES (:run_id, :ordinal, :item, :attempt, :first_line, :first_seq, :lines, :next_seq, :cursor, :data)
ON CONFLICT DO NOTHING;

-- name: finished_runs
-- Runs that finished before and that nobody refers to, the oldest first.
SELECT {run} FROM runs WHERE stage = 3 AND finished_at < :before
AND NOT EXISTS (SELECT 1 FROM run_references WHERE run_references.refers_to = runs.id) ORDER BY finished_at, id LIMIT :limit;

-- name: delete_run
-- A run that is pruned; then what hangs on it.
DELETE FROM runs WHERE id = :id;

-- name: delete_tag
-- See delete_run.
DELETE FROM run_tags WHERE tag = :tag AND run_id = :id;

-- name: delete_reference
-- See delete_run.
DELETE FROM run_references WHERE refers_to = :refers_to AND run_id = :id;

-- name: delete_nodes
-- See delete_run.
DELETE FROM nodes WHERE run_id = :id;

-- name: delete_executions
-- See delete_run.
DELETE FROM executions WHERE run_id = :id;

-- name: delete_chunks
-- See delete_run.
DELETE FROM log_chunks WHERE run_id = :id;

-- name: run
-- One run.
SELECT {run} FROM runs WHERE id = :id;

-- name: newest_runs
-- Runs before a place in the list, newest first.
SELECT {run} FROM runs WHERE id < :after ORDER BY id DESC;

-- name: newest_of_name
-- The same, of one name in one status.
SELECT {run} FROM runs WHERE name = :name AND status = :status AND id < :after ORDER BY id DESC;

-- name: newest_of_tenant
-- The same, of one tenant that is not the default one.
SELECT {run} FROM runs WHERE tenant = :tenant AND tenant <> '' AND id < :after ORDER BY id DESC;

-- name: newest_of_tag
-- The ids of the same, of one tag.
SELECT run_id FROM run_tags WHERE tag = :tag AND run_id < :after ORDER BY run_id DESC;

-- name: ids_between
-- Ids in a range, newest first: those that begin with a text.
SELECT id FROM runs WHERE id >= :first AND id < :end ORDER BY id DESC LIMIT :limit;

-- name: ids_ending
-- Ids that end with a text, among the newest so many.
SELECT id FROM (SELECT id FROM runs WHERE id < :end ORDER BY id DESC LIMIT :depth)
WHERE substr(id, -length(:text)) = :text LIMIT :limit;

-- name: counts
-- The number of runs by name and status.
SELECT name, status, number FROM counters WHERE number <> 0;

-- name: definition
-- A snapshot.
SELECT data FROM definitions WHERE hash = :hash;

-- name: nodes
-- The nodes of a run that have a state of their own.
SELECT name, status, items, error, finished_at, address FROM nodes WHERE run_id = :run_id ORDER BY name;

-- name: node_ordinals
-- The nodes of a run that have executions, by jumping from one to the next in the key.
WITH RECURSIVE found (ordinal) AS (
    SELECT min(ordinal) FROM executions WHERE run_id = :run_id
    UNION ALL
    SELECT (SELECT min(ordinal) FROM executions WHERE run_id = :run_id AND ordinal > found.ordinal)
    FROM found WHERE found.ordinal IS NOT NULL
)
SELECT ordinal, (SELECT node FROM executions WHERE run_id = :run_id AND ordinal = found.ordinal LIMIT 1)
FROM found WHERE ordinal IS NOT NULL;

-- name: execution
-- One execution.
SELECT ordinal, {execution} FROM executions
WHERE run_id = :run_id AND ordinal = :ordinal AND item = :item AND attempt = :attempt;

-- name: executions
-- Executions of a run after a place in the list, by node, item, attempt.
SELECT ordinal, {execution} FROM executions
WHERE run_id = :run_id AND (ordinal, item, attempt) > (:ordinal, :item, :attempt) ORDER BY ordinal, item, attempt;

-- name: executions_of_node
-- The same, of one node.
SELECT ordinal, {execution} FROM executions
WHERE run_id = :run_id AND ordinal = :ordinal AND (item, attempt) > (:item, :attempt) ORDER BY item, attempt;

-- name: last_chunk
-- The end of a console as it is stored.
SELECT first_seq, first_line, lines, data, cursor, next_seq FROM log_chunks
WHERE run_id = :run_id AND ordinal = :ordinal AND item = :item AND attempt = :attempt
ORDER BY first_line DESC, first_seq DESC LIMIT 1;

-- name: chunk_before
-- The piece of console in which a line begins, unless it begins one.
SELECT first_line, first_seq FROM log_chunks
WHERE run_id = :run_id AND ordinal = :ordinal AND item = :item AND attempt = :attempt AND first_line < :line
ORDER BY first_line DESC, first_seq DESC LIMIT 1;

-- name: chunks_from
-- The pieces of a console from one on.
SELECT data FROM log_chunks
WHERE run_id = :run_id AND ordinal = :ordinal AND item = :item AND attempt = :attempt
AND (first_line, first_seq) >= (:first_line, :first_seq) ORDER BY first_line, first_seq;
