-- Undoes partition_history.sql: all extractions are in one table again, with its foreign keys. Stop every Freshet first: it takes as long as
-- copying all months does.
--
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 --single-transaction -f unpartition_history.sql

ALTER TABLE extractions DISABLE TRIGGER USER;

DO $$
DECLARE
  columns text := (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                   WHERE attrelid = 'extractions'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '');
  month regclass;
BEGIN
  FOR month IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'extractions'::regclass LOOP
    EXECUTE format('INSERT INTO extractions (%1$s) OVERRIDING SYSTEM VALUE SELECT %1$s FROM %2$s', columns, month);
    EXECUTE format('DROP TABLE %s', month);
  END LOOP;
END $$;

ALTER TABLE extractions ENABLE TRIGGER USER;
DROP TRIGGER extractions_deleted ON extractions;
DROP PROCEDURE move_history;
DROP FUNCTION move_extractions;
DROP FUNCTION extractions_deleted;
DROP FUNCTION extraction_month;

ALTER TABLE check_runs ADD CONSTRAINT check_runs_extraction_id_fkey FOREIGN KEY (extraction_id) REFERENCES extractions ON DELETE CASCADE;
ALTER TABLE logs ADD CONSTRAINT logs_extraction_id_fkey FOREIGN KEY (extraction_id) REFERENCES extractions ON DELETE CASCADE;
ALTER TABLE impact_waits ADD CONSTRAINT impact_waits_extraction_id_fkey FOREIGN KEY (extraction_id) REFERENCES extractions ON DELETE CASCADE;
ALTER TABLE lineages ADD CONSTRAINT lineages_extraction_id_fkey FOREIGN KEY (extraction_id) REFERENCES extractions ON DELETE SET NULL;
