-- The life of an extraction: every try of it, what is known of how it was run, and dbt's log.
ALTER TABLE extractions
  ADD COLUMN tries jsonb NOT NULL DEFAULT '[]',
  ADD COLUMN facts json NOT NULL DEFAULT '{}';

-- What is running was begun without a note of it.
UPDATE extractions SET tries = jsonb_build_array(jsonb_build_object('number', 1, 'began_at', started_at)) WHERE status = 'running';

-- Of very many tries (each restart of a service is one) the first ones are forgotten.
CREATE FUNCTION try_begun(tries jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN jsonb_array_length(tries) < 50 THEN tries ELSE tries - 0 END
      || jsonb_build_object('number', coalesce((tries->-1->>'number')::integer, 0) + 1, 'began_at', now())
$$;

-- `how`: `outcome`, and what there is to say of it.
CREATE FUNCTION try_ended(tries jsonb, how jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN jsonb_array_length(tries) = 0 THEN tries
              ELSE jsonb_set(tries, '{-1}', tries->-1 || jsonb_build_object('ended_at', now()) || jsonb_strip_nulls(how)) END
$$;

-- Of the last try that came to run dbt. Redacted before it came here, and compressed: PostgreSQL would try in vain.
CREATE TABLE logs (
  extraction_id uuid PRIMARY KEY REFERENCES extractions ON DELETE CASCADE,
  try integer NOT NULL,
  size_bytes integer NOT NULL,
  content bytea NOT NULL,
  written_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE logs ALTER COLUMN content SET STORAGE EXTERNAL;

-- Whoever runs an extraction stops when it is cancelled under it: its process hears of it, whichever that is.
CREATE FUNCTION extraction_cancelled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('freshet_cancels', NEW.id::text);
  RETURN NULL;
END $$;
CREATE TRIGGER extraction_cancelled AFTER UPDATE OF status ON extractions
  FOR EACH ROW WHEN (OLD.status = 'running' AND NEW.status = 'cancelled') EXECUTE FUNCTION extraction_cancelled();
