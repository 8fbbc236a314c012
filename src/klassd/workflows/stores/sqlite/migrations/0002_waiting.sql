-- Why an execution that was launched does not run yet.
ALTER TABLE executions ADD COLUMN waiting TEXT;
