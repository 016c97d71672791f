-- A push takes six requests to GitHub at most, also if it is slow and its base is missing: that an extraction runs is said once. Many end
-- within a second, so it waits that long.
CREATE OR REPLACE FUNCTION extraction_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.background THEN
    NULL;
  ELSIF TG_OP = 'INSERT' THEN
    PERFORM add_check_run(NEW);
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
