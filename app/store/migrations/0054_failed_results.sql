-- What is marked where nodes are drawn.
CREATE INDEX node_results_failed ON node_results (connection_id) INCLUDE (unique_id, status)
  WHERE status IN ('error', 'fail', 'partial success', 'runtime error', 'warn');
