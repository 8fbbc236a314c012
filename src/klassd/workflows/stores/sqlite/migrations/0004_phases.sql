-- Where an execution is, and when it came how far.
ALTER TABLE executions ADD COLUMN located BLOB;
ALTER TABLE executions ADD COLUMN phases BLOB;
