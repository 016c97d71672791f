-- Of all processes, one at a time does a chore.
ALTER TABLE chores ADD COLUMN lease_until timestamptz, ADD COLUMN claims bigint NOT NULL DEFAULT 0;
