-- What memory an execution asks for or had, where an out-of-memory kill made that known.
ALTER TABLE executions ADD COLUMN memory TEXT;
