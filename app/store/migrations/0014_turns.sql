-- Turns that are fair, and fences that a process which slept past its lease cannot pass.

-- When an extraction of the installation was last started: the one that waited longest is next.
ALTER TABLE installations ADD COLUMN served_at timestamptz;

ALTER TABLE repositories
  -- When GitHub last listed the repository with its name, branch and visibility; NULL: what we know may be out of date.
  ADD COLUMN listed_at timestamptz,
  -- When a push was last answered that the repository has no dbt project: that is said once.
  ADD COLUMN missing_project_at timestamptz;

-- A push to a repository that is not known to have a dbt project: it waits behind those that are.
ALTER TABLE extractions ADD COLUMN probing boolean NOT NULL DEFAULT false;

CREATE OR REPLACE FUNCTION extraction_of_installation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT r.installation_id, NEW.trigger = 'push' AND c.project_dir IS NULL AND NOT c.by_hand INTO NEW.installation_id, NEW.probing
  FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = NEW.connection_id;
  RETURN NEW;
END $$;

DROP INDEX extractions_queued;
CREATE INDEX extractions_queued ON extractions (installation_id, probing, number) WHERE status = 'queued';

-- One check run per connection and commit: a row moves to another extraction of the commit when that one has more to say.
ALTER TABLE check_runs
  ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY,
  -- Counts the claims: what a process does under an earlier one has no effect.
  ADD COLUMN claims integer NOT NULL DEFAULT 0,
  ADD COLUMN installation_id bigint,
  ADD COLUMN repository_id bigint,
  ADD COLUMN number bigint,
  -- 0: current, 1: of a repository that may have no project, 2: superseded. In this order they are sent.
  ADD COLUMN rank smallint NOT NULL DEFAULT 0,
  -- The `external_id` of the request that created it, by which it is found if the answer was lost.
  ADD COLUMN created_as uuid,
  -- GitHub shows it as completed, and a completed check run cannot be reopened.
  ADD COLUMN completed boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX check_runs_id ON check_runs (id);
CREATE INDEX check_runs_turns ON check_runs (rank, installation_id, repository_id, number DESC) WHERE sent < revision AND abandoned IS NULL;

CREATE FUNCTION check_run_rank(e extractions) RETURNS smallint LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN e.status = 'superseded' THEN 2
              WHEN e.probing AND e.status <> 'succeeded' AND coalesce(e.stage, 'cloning') = 'cloning' THEN 1
              ELSE 0 END::smallint
$$;

UPDATE check_runs k
SET installation_id = r.installation_id, repository_id = r.id, number = e.number, rank = check_run_rank(e), created_as = k.extraction_id
FROM extractions e JOIN connections c ON c.id = e.connection_id JOIN repositories r ON r.id = c.repository_id
WHERE e.id = k.extraction_id AND k.sent < k.revision;

CREATE FUNCTION move_check_run(of_extraction uuid, e extractions) RETURNS void LANGUAGE sql AS $$
  UPDATE check_runs k
  SET completed = k.completed OR (o.finished_at IS NOT NULL AND (k.github_id IS NOT NULL OR k.in_doubt)),
      created_as = coalesce(k.created_as, k.extraction_id), extraction_id = e.id, number = e.number, rank = check_run_rank(e),
      installation_id = r.installation_id, repository_id = r.id,
      revision = k.revision + 1, attempts = 0, abandoned = NULL, due_at = now()
  FROM extractions o, connections c JOIN repositories r ON r.id = c.repository_id
  WHERE k.extraction_id = of_extraction AND o.id = of_extraction AND c.id = e.connection_id
$$;

-- An extraction that nobody requested shares the check run of its commit, if there is one: it stays with an extraction that has not ended
-- or succeeded, and moves away from any other.
CREATE FUNCTION add_check_run(e extractions) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  shown extractions;
BEGIN
  IF NOT e.forced THEN
    SELECT o.* INTO shown FROM extractions o JOIN check_runs k ON k.extraction_id = o.id
    WHERE o.connection_id = e.connection_id AND o.sha = e.sha ORDER BY o.number DESC LIMIT 1;
  END IF;
  IF shown.id IS NULL THEN
    INSERT INTO check_runs (extraction_id, installation_id, repository_id, number, rank)
    SELECT e.id, r.installation_id, r.id, e.number, check_run_rank(e)
    FROM connections c JOIN repositories r ON r.id = c.repository_id WHERE c.id = e.connection_id;
  ELSIF shown.status NOT IN ('queued', 'running', 'succeeded') THEN
    PERFORM move_check_run(shown.id, e);
  END IF;
END $$;

CREATE FUNCTION pass_check_run_on(e extractions) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  other extractions;
BEGIN
  SELECT o.* INTO other FROM extractions o
  WHERE o.connection_id = e.connection_id AND o.sha = e.sha AND o.id <> e.id AND o.status IN ('queued', 'running', 'succeeded')
    AND NOT EXISTS (SELECT FROM check_runs k WHERE k.extraction_id = o.id)
  ORDER BY o.number DESC LIMIT 1;
  IF other.id IS NOT NULL THEN
    PERFORM move_check_run(e.id, other);
  END IF;
END $$;

CREATE OR REPLACE FUNCTION extraction_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    PERFORM add_check_run(NEW);
  ELSIF NEW.stage IS DISTINCT FROM 'storing' THEN
    UPDATE check_runs
       SET revision = revision + 1, rank = check_run_rank(NEW),
           due_at = CASE WHEN NEW.finished_at IS NOT NULL AND attempts = 0 THEN now() ELSE due_at END
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

CREATE OR REPLACE FUNCTION repository_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE extractions e SET installation_id = NEW.installation_id
  FROM connections c WHERE c.repository_id = NEW.id AND e.connection_id = c.id AND e.status IN ('queued', 'running');
  UPDATE check_runs SET installation_id = NEW.installation_id
  WHERE repository_id = NEW.id AND sent < revision AND abandoned IS NULL;
  RETURN NULL;
END $$;
