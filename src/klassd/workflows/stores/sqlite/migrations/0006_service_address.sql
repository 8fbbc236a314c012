-- Where a service that is ready can be reached.
ALTER TABLE nodes ADD COLUMN address TEXT;
