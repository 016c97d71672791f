-- Keeps ended extractions in one table for each month, beside a small table of those that are queued, running or recent. Optional, and
-- for databases with tens of millions of extractions: docs/scaling.md says from when it pays, and how to use and undo it.
--
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction -f partition_history.sql
--
-- Run it again after each upgrade of Freshet: month tables then get indexes that are new. It may be repeated at any time.
--
-- The months inherit from `extractions`, so every statement of the service reads and deletes in them as before. They are no declarative
-- partitions, because those need their key in each unique index, and none of ours has a time: the primary key that other tables refer to,
-- and the index that keeps a commit from being queued twice. A CHECK of the status keeps statements about the queue out of the months.

CREATE OR REPLACE FUNCTION extraction_month(month date) RETURNS regclass LANGUAGE plpgsql AS $$
DECLARE
  name text := 'extractions_' || to_char(month, 'YYYY_MM');
BEGIN
  IF to_regclass(name) IS NULL THEN
    EXECUTE format('CREATE TABLE %I (LIKE extractions INCLUDING CONSTRAINTS INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING INDEXES)', name);
    EXECUTE format('ALTER TABLE %I INHERIT extractions, '
      'ADD CONSTRAINT ended CHECK (status IN (''succeeded'', ''failed'', ''cancelled'', ''superseded'')), '
      'ADD FOREIGN KEY (connection_id) REFERENCES connections ON DELETE CASCADE', name);
    EXECUTE format('CREATE TRIGGER extractions_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS gone '
      'FOR EACH STATEMENT EXECUTE FUNCTION extractions_deleted()', name);
  END IF;
  RETURN name::regclass;
END $$;

-- In place of the foreign keys to `extractions`, which would look for a row in that table alone. A row that was moved is still there.
CREATE OR REPLACE FUNCTION extractions_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  ids uuid[] := ARRAY(SELECT g.id FROM gone g WHERE NOT EXISTS (SELECT FROM extractions e WHERE e.id = g.id));
BEGIN
  IF ids <> '{}' THEN
    DELETE FROM check_runs WHERE extraction_id = ANY (ids);
    DELETE FROM logs WHERE extraction_id = ANY (ids);
    DELETE FROM impact_waits WHERE extraction_id = ANY (ids);
    UPDATE lineages SET extraction_id = NULL WHERE extraction_id = ANY (ids);
  END IF;
  RETURN NULL;
END $$;

-- Moves up to `batch` extractions that ended more than `age` ago to their months, and returns how many.
CREATE OR REPLACE FUNCTION move_extractions(age interval, batch integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                   WHERE attrelid = 'extractions'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
  month date;
  moved integer;
BEGIN
  SELECT date_trunc('month', min(finished_at))::date INTO month FROM ONLY extractions WHERE finished_at < now() - age;
  IF month IS NULL THEN
    RETURN 0;
  END IF;
  -- What somebody is working on stays until the next time.
  EXECUTE format('WITH old AS (
      SELECT id FROM ONLY extractions
      WHERE finished_at < least(now() - $1, $2 + interval ''1 month'') AND finished_at >= $2 AND status NOT IN (''queued'', ''running'')
      LIMIT $3 FOR UPDATE SKIP LOCKED
    ), gone AS (DELETE FROM ONLY extractions WHERE id IN (SELECT id FROM old) RETURNING %1$s)
    INSERT INTO %2$s (%1$s) SELECT %1$s FROM gone', columns, extraction_month(month)) USING age, month::timestamptz, batch;
  GET DIAGNOSTICS moved = ROW_COUNT;
  RETURN moved;
END $$;

-- For cron: `psql "$DATABASE_URL" -c 'CALL move_history()'` once a day. Each batch is a transaction of its own.
CREATE OR REPLACE PROCEDURE move_history(age interval DEFAULT '2 days', batch integer DEFAULT 10000) LANGUAGE plpgsql AS $$
BEGIN
  WHILE move_extractions(age, batch) > 0 LOOP
    COMMIT;
  END LOOP;
END $$;

DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT conrelid::regclass::text AS name, conname, confdeltype FROM pg_constraint WHERE confrelid = 'extractions'::regclass AND contype = 'f'
  LOOP
    IF (found.name, found.confdeltype) NOT IN (('check_runs', 'c'), ('logs', 'c'), ('impact_waits', 'c'), ('lineages', 'n')) THEN
      RAISE EXCEPTION 'This script does not know the table %, which refers to extractions: take the script of your release of Freshet', found.name;
    END IF;
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', found.name, found.conname);
  END LOOP;
  IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'extractions'::regclass AND tgname = 'extractions_deleted') THEN
    CREATE TRIGGER extractions_deleted AFTER DELETE ON extractions REFERENCING OLD TABLE AS gone
      FOR EACH STATEMENT EXECUTE FUNCTION extractions_deleted();
  END IF;
  -- Indexes of `extractions` that a month lacks. Two indexes are the same if only their names and tables differ.
  FOR found IN
    SELECT m.inhrelid::regclass AS month, regexp_replace(x.indexdef, '^(CREATE (UNIQUE )?INDEX ).* ON \S+ ', '\1ON ' || m.inhrelid::regclass || ' ') AS make
    FROM pg_inherits m CROSS JOIN pg_indexes x
    WHERE m.inhparent = 'extractions'::regclass AND x.tablename = 'extractions' AND x.schemaname = current_schema() AND NOT EXISTS (
      SELECT FROM pg_indexes y WHERE y.tablename = m.inhrelid::regclass::text AND y.schemaname = x.schemaname
        AND regexp_replace(y.indexdef, ' INDEX .* ON \S+ ', '') = regexp_replace(x.indexdef, ' INDEX .* ON \S+ ', ''))
  LOOP
    EXECUTE found.make;
  END LOOP;
END $$;
