-- What dbt's own runs said of nodes, as their artifacts were sent: the last result of each node, and a short history of it.

CREATE TABLE node_results (
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  unique_id text NOT NULL,
  -- When dbt wrote the artifact of the last result.
  at timestamptz NOT NULL,
  -- dbt's word.
  status text NOT NULL,
  message text,
  -- Of a source: when its newest row was loaded.
  loaded_at timestamptz,
  -- The newest first, the last result among them, of limited length: [milliseconds since 1970, status, seconds, failures, bytes, slot_ms].
  history jsonb NOT NULL,
  PRIMARY KEY (connection_id, unique_id)
);
CREATE INDEX node_results_at ON node_results (at);

-- Artifacts that were taken, so that each counts once.
CREATE TABLE run_artifacts (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  kind text NOT NULL,
  invocation_id text NOT NULL,
  generated_at timestamptz NOT NULL,
  sent_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (connection_id, kind, invocation_id)
);
CREATE INDEX run_artifacts_newest ON run_artifacts (connection_id, id);
CREATE INDEX run_artifacts_sent ON run_artifacts (sent_at);
