-- Connections that people make, set and remove, beside those that pushes make.

ALTER TABLE connections
  -- Somebody made it, or said where its project is: what a commit holds neither moves nor hides it.
  ADD COLUMN by_hand boolean NOT NULL DEFAULT false,
  -- GitHub's ETag of the head of `branch`: of the default branch it stands in `repositories`.
  ADD COLUMN head_etag text,
  -- Since when the lineage is not of the newest commit that is known.
  ADD COLUMN stale_since timestamptz,
  -- Rises with every removal: what was signed before it is worth nothing after it.
  ADD COLUMN signed_series integer NOT NULL DEFAULT 0;

-- The default branch moved since GitHub was asked for its head: it may have gone back to where it was, which its ETag would not tell.
ALTER TABLE repositories
  ADD COLUMN head_moved boolean NOT NULL DEFAULT false;

-- What is hidden stands in nobody's way: settings can become those of a connection that is gone.
DROP INDEX connections_project;
CREATE UNIQUE INDEX connections_project ON connections (repository_id, coalesce(project_dir, ''), coalesce(branch, '')) WHERE hidden_at IS NULL;

-- What somebody took away, so that it does not come back by itself; it outlives its connection. `branch` is empty for the default one.
CREATE TABLE removals (
  repository_id bigint NOT NULL REFERENCES repositories ON DELETE CASCADE,
  branch text NOT NULL,
  project_dir text NOT NULL,
  removed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (repository_id, branch, project_dir)
);

-- Repositories are asked for by name, too. GitHub's names are ASCII.
CREATE INDEX repositories_name ON repositories (lower(full_name COLLATE "C")) WHERE removed_at IS NULL;

-- Random keys of the service, made when they are first needed: what one process signs, every other one knows.
CREATE TABLE keys (
  name text PRIMARY KEY,
  value bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Whatever moves the head or the lineage, the database itself tells since when the two differ.
CREATE FUNCTION connection_freshness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.stale_since := CASE
    WHEN NEW.head_sha IS NULL OR NEW.head_sha = (SELECT sha FROM lineages WHERE id = NEW.lineage_id) THEN NULL
    ELSE coalesce(NEW.stale_since, now()) END;
  RETURN NEW;
END $$;

UPDATE connections c
SET stale_since = coalesce((SELECT e.created_at FROM extractions e
                            WHERE e.connection_id = c.id AND e.sha = c.head_sha ORDER BY e.number LIMIT 1), now())
WHERE c.head_sha IS NOT NULL AND c.head_sha IS DISTINCT FROM (SELECT l.sha FROM lineages l WHERE l.id = c.lineage_id);

CREATE TRIGGER connection_fresh BEFORE INSERT OR UPDATE OF head_sha, lineage_id ON connections
  FOR EACH ROW EXECUTE FUNCTION connection_freshness();
