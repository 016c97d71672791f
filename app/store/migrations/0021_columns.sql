-- Column lineage comes after the lineage that it belongs to, in a transaction of its own.

-- Content-addressed like nodes: the columns of a node and its compiled code, once per content.
CREATE TABLE node_columns (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  hash bytea NOT NULL,
  unique_id text NOT NULL,
  status text NOT NULL,
  -- A JSON object and a text in UTF-8. Not json and text: both are only handed on as they are.
  content bytea NOT NULL,
  compiled_code bytea,
  UNIQUE (connection_id, hash)
);

ALTER TABLE lineages
  ADD COLUMN column_ids bigint[] NOT NULL DEFAULT '{}',
  -- `pending`, `ready` or `failed`; NULL: nobody asked for columns, as in earlier releases. A lineage has an `input`, by which other commits
  -- find it, once this is settled: what failed for a reason of ours is tried again with the next commit.
  ADD COLUMN columns_state text CHECK (columns_state IN ('pending', 'ready', 'failed')),
  -- Why they failed.
  ADD COLUMN columns_reason text;

-- When the lineage was stored, before the extraction has ended.
ALTER TABLE extractions ADD COLUMN lineage_at timestamptz;

-- However an extraction ends, nobody waits for its columns any more.
CREATE FUNCTION columns_given_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE lineages SET columns_state = 'failed', columns_reason = CASE NEW.status
      WHEN 'cancelled' THEN 'The extraction was cancelled before the columns were known.'
      WHEN 'superseded' THEN 'A newer commit was pushed before the columns were known.'
      ELSE 'The extraction ended before the columns were known.' END
  WHERE extraction_id = NEW.id AND columns_state = 'pending';
  RETURN NULL;
END $$;
CREATE TRIGGER columns_given_up AFTER UPDATE OF status ON extractions
  FOR EACH ROW WHEN (OLD.status <> NEW.status AND NEW.status IN ('succeeded', 'failed', 'cancelled', 'superseded'))
  EXECUTE FUNCTION columns_given_up();
