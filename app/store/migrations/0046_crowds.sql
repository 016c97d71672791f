-- Many pushes at once: what each added extraction needs is done for all of a statement together.

-- GitHub asked us to wait with new check runs of the installation: those that are added meanwhile need not be tried.
ALTER TABLE installations ADD COLUMN check_runs_held_until timestamptz;

CREATE FUNCTION extractions_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  is_due boolean;
  one extractions;
BEGIN
  IF NOT EXISTS (SELECT FROM added) THEN
    RETURN NULL;
  END IF;
  -- Most are the only ones of their commit. OFFSET keeps the planner from reading all extractions while they are few.
  WITH made AS (
    INSERT INTO check_runs (extraction_id, installation_id, repository_id, number, rank, due_at)
    SELECT e.id, e.installation_id, c.repository_id, e.number, check_run_rank(e::extractions), greatest(now(), i.check_runs_held_until)
    FROM added e JOIN connections c ON c.id = e.connection_id JOIN installations i ON i.id = e.installation_id
    WHERE NOT e.background AND NOT EXISTS (
      SELECT FROM extractions o WHERE o.connection_id = e.connection_id AND o.sha = e.sha AND o.id <> e.id OFFSET 0)
    RETURNING due_at
  )
  SELECT bool_or(due_at <= now()) INTO is_due FROM made;
  FOR one IN
    SELECT * FROM added e WHERE NOT background AND NOT EXISTS (SELECT FROM check_runs k WHERE k.extraction_id = e.id OFFSET 0) ORDER BY number
  LOOP
    PERFORM add_check_run(one);
    is_due := true;
  END LOOP;
  IF is_due THEN
    PERFORM pg_notify('freshet_checks', '');
  END IF;
  PERFORM pg_notify('freshet_queue', '');
  RETURN NULL;
END $$;

DROP TRIGGER extraction_inserted ON extractions;
CREATE TRIGGER extractions_added AFTER INSERT ON extractions REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION extractions_added();

-- Nobody can wait for a change of an extraction before its id is known, so only updates are notified with it.
CREATE OR REPLACE FUNCTION extraction_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.background THEN
    NULL;
  ELSIF NEW.status <> OLD.status THEN
    UPDATE check_runs
       SET revision = revision + 1, rank = check_run_rank(NEW),
           due_at = CASE WHEN attempts > 0 THEN due_at
                         WHEN NEW.finished_at IS NOT NULL THEN now()
                         WHEN NEW.status = 'running' AND NEW.stage IS NULL AND sent > 0 THEN greatest(due_at, now() + interval '1 second')
                         ELSE due_at END
     WHERE extraction_id = NEW.id;
    IF NEW.status IN ('superseded', 'cancelled', 'failed') AND OLD.status <> NEW.status THEN
      PERFORM pass_check_run_on(NEW);
    END IF;
  ELSIF NEW.stage = 'parsing' THEN
    UPDATE check_runs SET rank = check_run_rank(NEW) WHERE extraction_id = NEW.id AND rank <> check_run_rank(NEW);
  END IF;
  PERFORM pg_notify('freshet_extractions', NEW.id::text);
  IF NEW.status = 'queued' THEN
    PERFORM pg_notify('freshet_queue', '');
  END IF;
  PERFORM pg_notify('freshet_checks', '');
  RETURN NULL;
END $$;
