-- Who may claim the start of an execution, and who did.
ALTER TABLE executions ADD COLUMN token_hashes TEXT;
ALTER TABLE executions ADD COLUMN started_by TEXT;
