-- Extractions of pull requests from forks: of commits that strangers wrote.

-- No branch of a repository can have a colon in its name, so `owner:branch` is one of a fork.
ALTER TABLE extractions ADD COLUMN of_fork boolean NOT NULL GENERATED ALWAYS AS (strpos(branch, ':') > 0) STORED;

-- They wait behind everything that was pushed to the repositories of their installation.
DROP INDEX extractions_queued;
CREATE INDEX extractions_queued ON extractions (installation_id, background, of_fork, probing, number) WHERE status = 'queued';

-- And their check runs are sent after those of what was pushed.
CREATE OR REPLACE FUNCTION check_run_rank(e extractions) RETURNS smallint LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN e.status = 'superseded' THEN 2
              WHEN e.of_fork OR (e.probing AND e.status <> 'succeeded' AND coalesce(e.stage, 'cloning') = 'cloning') THEN 1
              ELSE 0 END::smallint
$$;
