-- The commit that each extraction is compared with, and extractions of commits that are needed for that alone.

ALTER TABLE extractions
  -- See `core/models/comparisons.Base`; NULL: there is none, or it is not known yet.
  ADD COLUMN base jsonb,
  -- Others are compared with its commit, and nobody else asked for it: it waits behind everything else, and has no check run.
  ADD COLUMN background boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION extraction_of_installation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT r.installation_id, NEW.trigger = 'push' AND c.project_dir IS NULL AND NOT c.by_hand, NEW.trigger = 'base'
    INTO NEW.installation_id, NEW.probing, NEW.background
  FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = NEW.connection_id;
  RETURN NEW;
END $$;

DROP INDEX extractions_queued;
CREATE INDEX extractions_queued ON extractions (installation_id, background, probing, number) WHERE status = 'queued';

-- A push of a commit that is queued in the background has an extraction of its own: its check run and its place in the queue are others.
DROP INDEX extractions_active;
CREATE UNIQUE INDEX extractions_active ON extractions (connection_id, branch, sha)
  WHERE status IN ('queued', 'running') AND NOT background;
CREATE UNIQUE INDEX extractions_background ON extractions (connection_id, sha) WHERE status IN ('queued', 'running') AND background;

-- Impacts that are to be computed again: when the lineage of `sha` is there, which is being extracted while another commit stands in for it,
-- or (NULL) after it was looked again what to compare with. No foreign key to the connection: its check would lock a row that an extraction
-- may have locked before it comes here.
CREATE TABLE impact_waits (
  extraction_id uuid PRIMARY KEY REFERENCES extractions ON DELETE CASCADE,
  connection_id uuid NOT NULL,
  sha text,
  attempts integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz
);
CREATE INDEX impact_waits_commit ON impact_waits (connection_id, sha);
CREATE INDEX impact_waits_due ON impact_waits (due_at);

CREATE FUNCTION impact_waits_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('freshet_impacts', '');
  RETURN NULL;
END $$;
CREATE TRIGGER impact_waits_on AFTER INSERT OR UPDATE OF sha ON impact_waits FOR EACH ROW EXECUTE FUNCTION impact_waits_on();

-- However an extraction of the commit ends, and whoever asked for it.
CREATE FUNCTION impact_wait_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE impact_waits SET due_at = now() WHERE connection_id = NEW.connection_id AND sha = NEW.sha;
  IF FOUND THEN
    PERFORM pg_notify('freshet_impacts', '');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER impact_wait_ended AFTER UPDATE OF status ON extractions
  FOR EACH ROW WHEN (OLD.status <> NEW.status AND NEW.status IN ('succeeded', 'failed', 'cancelled', 'superseded'))
  EXECUTE FUNCTION impact_wait_ended();

-- Digests of the annotations that GitHub has of a check run: GitHub appends what it is sent again. NULL: an earlier release sent them.
ALTER TABLE check_runs ADD COLUMN annotations text[];
ALTER TABLE check_runs ALTER COLUMN annotations SET DEFAULT '{}';

CREATE OR REPLACE FUNCTION pass_check_run_on(e extractions) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  other extractions;
BEGIN
  SELECT o.* INTO other FROM extractions o
  WHERE o.connection_id = e.connection_id AND o.sha = e.sha AND o.id <> e.id AND o.status IN ('queued', 'running', 'succeeded')
    AND NOT o.background AND NOT EXISTS (SELECT FROM check_runs k WHERE k.extraction_id = o.id)
  ORDER BY o.number DESC LIMIT 1;
  IF other.id IS NOT NULL THEN
    PERFORM move_check_run(e.id, other);
  END IF;
END $$;

-- GitHub is asked for more than before, so it is sent less: that the extraction runs, that dbt does, and how it ended. Most commits are
-- fetched within a second, so the first of these waits for the second.
CREATE OR REPLACE FUNCTION extraction_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.background THEN
    NULL;
  ELSIF TG_OP = 'INSERT' THEN
    PERFORM add_check_run(NEW);
  ELSIF NEW.status <> OLD.status OR NEW.stage = 'parsing' THEN
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
  END IF;
  PERFORM pg_notify('freshet_extractions', NEW.id::text);
  IF NEW.status = 'queued' THEN
    PERFORM pg_notify('freshet_queue', '');
  END IF;
  PERFORM pg_notify('freshet_checks', '');
  RETURN NULL;
END $$;
