-- GitHub limits requests per installation, and each extraction makes some: strangers must not use them up.

ALTER TABLE installations
  -- When an extraction of a fork was last started.
  ADD COLUMN fork_at timestamptz;

-- 2: those that can wait longer than others, and leave half of what GitHub allows to them.
CREATE OR REPLACE FUNCTION check_run_rank(e extractions) RETURNS smallint LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN e.status = 'superseded' OR e.of_fork THEN 2
              WHEN e.probing AND e.status <> 'succeeded' AND coalesce(e.stage, 'cloning') = 'cloning' THEN 1
              ELSE 0 END::smallint
$$;
