-- dbt's own manifests, as dbt wrote them, compressed: what a CI job compares with.

CREATE TABLE manifests (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  -- Of the manifest before compression.
  hash bytea NOT NULL,
  size_bytes bigint NOT NULL,
  -- Length of `content`, so that sums do not read it.
  stored_bytes integer NOT NULL,
  -- gzip; NULL: too big to be kept.
  content bytea,
  UNIQUE (connection_id, hash)
);
-- It is compressed already, and read in pieces: https://www.postgresql.org/docs/current/storage-toast.html
ALTER TABLE manifests ALTER COLUMN content SET STORAGE EXTERNAL;

-- The commits that have one. Not a column of `lineages`: deleting manifests must not write lineages.
CREATE TABLE lineage_manifests (
  lineage_id bigint PRIMARY KEY REFERENCES lineages ON DELETE CASCADE,
  manifest_id bigint NOT NULL REFERENCES manifests ON DELETE CASCADE,
  -- False once its branch was deleted: it is kept like those of older commits, because a merged commit may carry it.
  branch_open boolean NOT NULL DEFAULT true
);
CREATE INDEX lineage_manifests_manifest ON lineage_manifests (manifest_id);
