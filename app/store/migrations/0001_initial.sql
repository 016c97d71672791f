-- Ids of GitHub's things are GitHub's own numbers; ours are random UUIDs, so that an address cannot be guessed.

CREATE TABLE installations (
  id bigint PRIMARY KEY,
  account text NOT NULL,
  account_type text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);

CREATE TABLE repositories (
  id bigint PRIMARY KEY,
  installation_id bigint NOT NULL REFERENCES installations,
  full_name text NOT NULL,
  default_branch text,
  private boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  removed_at timestamptz,
  -- When GitHub is to be asked what stands in it; NULL when there is no need to.
  look_at timestamptz,
  look_attempts integer NOT NULL DEFAULT 0
);
CREATE INDEX repositories_installation ON repositories (installation_id);
CREATE INDEX repositories_look ON repositories (look_at) WHERE look_at IS NOT NULL;

CREATE TABLE deliveries (
  id text PRIMARY KEY,
  event text NOT NULL,
  received_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE connections (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  repository_id bigint NOT NULL REFERENCES repositories,
  project_dir text,
  branch text,
  project_name text,
  head_sha text,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX connections_project ON connections (repository_id, coalesce(project_dir, ''), coalesce(branch, ''));

CREATE TABLE extractions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  -- Rises with every commit that is told of: the newest of a branch is the one with the highest number.
  number bigint GENERATED ALWAYS AS IDENTITY,
  branch text NOT NULL,
  sha text NOT NULL,
  status text NOT NULL DEFAULT 'queued'
    CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'superseded')),
  stage text,
  stages json NOT NULL DEFAULT '[]',
  trigger text NOT NULL,
  attempt integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  due_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  worker text,
  lease_until timestamptz,
  problem json,
  result json NOT NULL DEFAULT '{}'
);
CREATE INDEX extractions_queued ON extractions (due_at) WHERE status = 'queued';
CREATE INDEX extractions_running ON extractions (connection_id, lease_until) WHERE status = 'running';
CREATE INDEX extractions_of_connection ON extractions (connection_id, number DESC);
-- Never two extractions of one commit of one branch at a time.
CREATE UNIQUE INDEX extractions_active ON extractions (connection_id, branch, sha) WHERE status IN ('queued', 'running');

-- The outbox: GitHub's check run is to become what the extraction is. `revision` counts what there is to tell, `sent` what was told.
CREATE TABLE check_runs (
  extraction_id uuid PRIMARY KEY REFERENCES extractions ON DELETE CASCADE,
  github_id bigint,
  revision integer NOT NULL DEFAULT 1,
  sent integer NOT NULL DEFAULT 0,
  -- True while a creation is under way whose answer we do not have: look for it on GitHub before making another.
  in_doubt boolean NOT NULL DEFAULT false,
  attempts integer NOT NULL DEFAULT 0,
  due_at timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz,
  -- Why GitHub will never hear of it: the installation or the repository is gone.
  abandoned text
);
CREATE INDEX check_runs_due ON check_runs (due_at) WHERE sent < revision AND abandoned IS NULL;

-- Content-addressed: a node that did not change is one row, whatever number of commits has it.
CREATE TABLE nodes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  hash bytea NOT NULL,
  unique_id text NOT NULL,
  resource_type text NOT NULL,
  name text NOT NULL,
  package_name text NOT NULL,
  upstream text[] NOT NULL,
  -- json, not jsonb: it is only ever handed on, as it is.
  content json NOT NULL,
  UNIQUE (connection_id, hash)
);

CREATE TABLE lineages (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  extraction_id uuid REFERENCES extractions ON DELETE SET NULL,
  sha text NOT NULL,
  branch text NOT NULL,
  project_name text,
  dbt_version text NOT NULL,
  adapter_type text,
  manifest_schema text NOT NULL,
  extracted_at timestamptz NOT NULL DEFAULT now(),
  node_ids bigint[] NOT NULL,
  UNIQUE (connection_id, sha)
);

-- The lineage of a connection, and the extraction number that put it there: an older one never replaces a newer.
ALTER TABLE connections
  ADD COLUMN lineage_id bigint REFERENCES lineages ON DELETE SET NULL,
  ADD COLUMN lineage_number bigint;

-- No change of an extraction can be forgotten by the outbox or by those who watch: the database itself tells.
CREATE FUNCTION extraction_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO check_runs (extraction_id) VALUES (NEW.id);
  ELSE
    -- How it ended is told at once; what changes on the way may wait to be told together.
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

CREATE TRIGGER extraction_inserted AFTER INSERT ON extractions FOR EACH ROW EXECUTE FUNCTION extraction_changed();
CREATE TRIGGER extraction_updated AFTER UPDATE OF status, stage ON extractions FOR EACH ROW EXECUTE FUNCTION extraction_changed();

CREATE FUNCTION repository_to_look_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('freshet_looks', '');
  RETURN NULL;
END $$;

CREATE TRIGGER repository_look AFTER INSERT OR UPDATE OF look_at ON repositories
  FOR EACH ROW WHEN (NEW.look_at IS NOT NULL) EXECUTE FUNCTION repository_to_look_at();
