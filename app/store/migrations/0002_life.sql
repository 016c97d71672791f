-- The whole life of an installation: suspended, permissions changed, looked at again, gone for good after a grace period.
ALTER TABLE installations
  ADD COLUMN repository_selection text NOT NULL DEFAULT 'selected',
  ADD COLUMN suspended_at timestamptz,
  -- When GitHub is to be asked which repositories it has; NULL when there is no need to.
  ADD COLUMN survey_at timestamptz DEFAULT now();

ALTER TABLE repositories
  ADD COLUMN archived boolean NOT NULL DEFAULT false,
  ADD COLUMN pushed_at timestamptz,
  ADD COLUMN looked_at timestamptz,
  -- GitHub's ETag of the default branch's head: asking again costs nothing while it holds.
  ADD COLUMN head_etag text;

-- A dbt project that is no longer in its repository: hidden at once, its history stays until the grace period ends.
ALTER TABLE connections
  ADD COLUMN hidden_at timestamptz;
CREATE INDEX connections_repository ON connections (repository_id);

-- Stands for all that dbt reads of a commit, and for the runner image: the same input has the same lineage.
ALTER TABLE lineages
  ADD COLUMN input bytea;
CREATE INDEX lineages_input ON lineages (connection_id, input);

-- Somebody asked for it: it runs, whatever is known of the commit.
ALTER TABLE extractions
  ADD COLUMN forced boolean NOT NULL DEFAULT false,
  -- Where its commit stands among the pushes of the branch, when that is not where its own number stands:
  -- an old commit that is extracted again does not become the newest.
  ADD COLUMN position bigint;

-- The storing takes milliseconds: GitHub need not hear of it.
CREATE OR REPLACE FUNCTION extraction_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO check_runs (extraction_id) VALUES (NEW.id);
  ELSIF NEW.stage IS DISTINCT FROM 'storing' THEN
    UPDATE check_runs
       SET revision = revision + 1,
           due_at = CASE WHEN NEW.finished_at IS NOT NULL AND attempts = 0 THEN now() ELSE due_at END
     WHERE extraction_id = NEW.id;
  END IF;
  PERFORM pg_notify('freshet_extractions', NEW.id::text);
  IF NEW.status = 'queued' THEN
    PERFORM pg_notify('freshet_queue', '');
  END IF;
  PERFORM pg_notify('freshet_checks', '');
  RETURN NULL;
END $$;

-- What is done now and then, by one process of all that share the database.
CREATE TABLE chores (
  name text PRIMARY KEY,
  due_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO chores (name) VALUES ('installations'), ('deliveries'), ('purge');

-- How often GitHub was asked for a delivery again: one that can never be taken must not be asked for for ever.
CREATE TABLE redeliveries (
  delivery_id text PRIMARY KEY,
  times integer NOT NULL DEFAULT 1,
  asked_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION installation_to_survey() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('freshet_surveys', '');
  RETURN NULL;
END $$;

CREATE TRIGGER installation_survey AFTER INSERT OR UPDATE OF survey_at ON installations
  FOR EACH ROW WHEN (NEW.survey_at IS NOT NULL) EXECUTE FUNCTION installation_to_survey();
