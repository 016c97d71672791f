-- The delivery that led to an extraction, when it arrived (NULL if the extraction follows from another one of that delivery), and its trace.
ALTER TABLE extractions ADD COLUMN delivery_id text, ADD COLUMN delivered_at timestamptz, ADD COLUMN traceparent text;

-- The extraction whose conclusion GitHub has.
ALTER TABLE check_runs ADD COLUMN concluded_for uuid;
