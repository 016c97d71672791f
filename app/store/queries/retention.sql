-- name: next_connections
-- $1 the last id of the previous batch, $2 batch size, $3 age, $4 extractions that each connection keeps. `old`: whether the oldest
-- extraction that may be deleted has that age.
SELECT c.id, c.lineages_removed > 0 AS removed, coalesce((
    SELECT e.finished_at < now() - $3::interval FROM extractions e
    WHERE e.connection_id = c.id
      AND e.number < (SELECT n.number FROM extractions n WHERE n.connection_id = c.id ORDER BY n.number DESC OFFSET $4::integer - 1 LIMIT 1)
      AND e.id IS DISTINCT FROM (SELECT l.extraction_id FROM lineages l WHERE l.id = c.lineage_id)
      AND e.id IS DISTINCT FROM (
        SELECT h.id FROM extractions h WHERE h.connection_id = c.id AND h.sha = c.head_sha AND NOT h.background ORDER BY h.number DESC LIMIT 1)
    ORDER BY e.number LIMIT 1
  ), false) AS old
FROM (SELECT * FROM connections WHERE id > $1 ORDER BY id LIMIT $2) c;

-- name: lock_connection
-- Storing a lineage takes the same lock: nothing is stored or switched to during a deletion.
SELECT id FROM connections WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED;

-- name: delete_history
-- Delete at most $4 of the oldest extractions. Not deleted are the newest $3, the one of the connection's lineage, the newest one of its
-- head, those that have not ended, and those whose check run has still to be sent (perhaps once the installation is resumed).
WITH protected AS (
  SELECT l.extraction_id AS id FROM connections c JOIN lineages l ON l.id = c.lineage_id WHERE c.id = $1 AND l.extraction_id IS NOT NULL
  UNION ALL
  (SELECT h.id FROM connections c JOIN extractions h ON h.connection_id = c.id AND h.sha = c.head_sha
   WHERE c.id = $1 AND NOT h.background ORDER BY h.number DESC LIMIT 1)
), oldest AS (
  SELECT e.id, e.finished_at FROM extractions e
  WHERE e.connection_id = $1
    AND e.number < (SELECT number FROM extractions WHERE connection_id = $1 ORDER BY number DESC OFFSET $3::integer - 1 LIMIT 1)
  ORDER BY e.number LIMIT $4
), old AS MATERIALIZED (
  SELECT o.id FROM oldest o LEFT JOIN check_runs k ON k.extraction_id = o.id
  WHERE o.finished_at < now() - $2::interval AND o.id NOT IN (SELECT id FROM protected)
    AND (k.extraction_id IS NULL OR k.sent >= k.revision OR k.abandoned <> 'suspended')
), unlined AS (
  DELETE FROM lineages WHERE extraction_id IN (SELECT id FROM old) RETURNING id
), counted AS (
  UPDATE connections SET lineages_removed = lineages_removed + (SELECT count(*) FROM unlined)
  WHERE id = $1 AND EXISTS (SELECT FROM unlined)
), gone AS (
  DELETE FROM extractions WHERE id IN (SELECT id FROM old) RETURNING id
)
SELECT count(*) FROM gone;

-- name: delete_unused_manifests
DELETE FROM manifests m WHERE m.connection_id = $1 AND NOT EXISTS (SELECT FROM lineage_manifests c WHERE c.manifest_id = m.id);

-- name: is_worth_sweeping
-- Finding unreferenced nodes reads all lineages, so it waits until a tenth of them is gone: at most ten are read for each one deleted.
SELECT lineages_removed * 10 >= (SELECT count(*) FROM lineages WHERE connection_id = $1) FROM connections WHERE id = $1;

-- name: all_nodes
-- All nodes. Lineages written by `since` or a later transaction may not be visible to the queries that follow.
SELECT ARRAY(SELECT n.id FROM nodes n WHERE n.connection_id = $1) AS ids, c.lineages_removed AS removed,
       pg_snapshot_xmin(pg_current_snapshot())::xid::text AS since
FROM connections c WHERE c.id = $1;

-- name: referenced_nodes
-- The nodes to which the next $3 lineages after $2 refer.
WITH step AS MATERIALIZED (
  SELECT sha, node_ids FROM lineages WHERE connection_id = $1 AND sha > $2 ORDER BY sha LIMIT $3
)
SELECT (SELECT max(sha) FROM step) AS last, ARRAY(SELECT DISTINCT unnest(node_ids) FROM step) AS ids;

-- name: all_node_columns
-- Like `all_nodes`. Lineages are counted with their nodes.
SELECT ARRAY(SELECT n.id FROM node_columns n WHERE n.connection_id = $1) AS ids, 0 AS removed,
       pg_snapshot_xmin(pg_current_snapshot())::xid::text AS since;

-- name: referenced_node_columns
WITH step AS MATERIALIZED (
  SELECT sha, column_ids FROM lineages WHERE connection_id = $1 AND sha > $2 ORDER BY sha LIMIT $3
)
SELECT (SELECT max(sha) FROM step) AS last, ARRAY(SELECT DISTINCT unnest(column_ids) FROM step) AS ids;

-- name: delete_node_columns
WITH used AS MATERIALIZED (
  SELECT DISTINCT unnest(l.column_ids) AS id FROM lineages l WHERE l.connection_id = $1 AND age(l.xmin) <= age($3::text::xid)
)
DELETE FROM node_columns n WHERE n.id = ANY($2::bigint[]) AND NOT EXISTS (SELECT FROM used WHERE used.id = n.id);

-- name: delete_nodes
-- Lineages stored since $3 may refer to these nodes again: xmin is the transaction that wrote a row.
-- https://www.postgresql.org/docs/current/ddl-system-columns.html
WITH used AS MATERIALIZED (
  SELECT DISTINCT unnest(l.node_ids) AS id FROM lineages l WHERE l.connection_id = $1 AND age(l.xmin) <= age($3::text::xid)
)
DELETE FROM nodes n WHERE n.id = ANY($2::bigint[]) AND NOT EXISTS (SELECT FROM used WHERE used.id = n.id);

-- name: count_swept_lineages
UPDATE connections SET lineages_removed = lineages_removed - $2 WHERE id = $1;

-- name: expired_connections
-- $1 grace period, $2 the last id of the previous batch, $3 batch size.
SELECT id FROM (
  SELECT c.id FROM connections c WHERE c.hidden_at < now() - $1::interval
  UNION
  SELECT c.id FROM repositories r JOIN connections c ON c.repository_id = r.id WHERE r.removed_at < now() - $1::interval
  UNION
  SELECT c.id FROM installations i JOIN repositories r ON r.installation_id = i.id JOIN connections c ON c.repository_id = r.id
  WHERE i.deleted_at < now() - $1::interval
) gone WHERE id > $2 ORDER BY id LIMIT $3;

-- name: lock_expired
-- The connection may have come back in the meantime.
SELECT c.id FROM connections c JOIN repositories r ON r.id = c.repository_id JOIN installations i ON i.id = r.installation_id
WHERE c.id = $1 AND least(c.hidden_at, r.removed_at, i.deleted_at) < now() - $2::interval FOR UPDATE OF c SKIP LOCKED;

-- name: purge_search_words
DELETE FROM search_words WHERE connection_id = $1 AND word IN (SELECT word FROM search_words WHERE connection_id = $1 LIMIT $2);

-- name: purge_search_nodes
DELETE FROM search_nodes WHERE connection_id = $1 AND node_id IN (SELECT node_id FROM search_nodes WHERE connection_id = $1 LIMIT $2);

-- name: purge_lineages
DELETE FROM lineages WHERE id IN (SELECT id FROM lineages WHERE connection_id = $1 LIMIT $2);

-- name: purge_manifests
DELETE FROM manifests WHERE id IN (SELECT id FROM manifests WHERE connection_id = $1 LIMIT $2);

-- name: purge_extractions
DELETE FROM extractions WHERE id IN (SELECT id FROM extractions WHERE connection_id = $1 LIMIT $2);

-- name: purge_nodes
DELETE FROM nodes WHERE id IN (SELECT id FROM nodes WHERE connection_id = $1 LIMIT $2);

-- name: purge_node_columns
DELETE FROM node_columns WHERE id IN (SELECT id FROM node_columns WHERE connection_id = $1 LIMIT $2);

-- name: purge_node_results
DELETE FROM node_results WHERE connection_id = $1 AND unique_id IN (SELECT unique_id FROM node_results WHERE connection_id = $1 LIMIT $2);

-- name: purge_connection
DELETE FROM connections WHERE id = $1;

-- name: missing_repositories
SELECT id FROM unnest($1::bigint[]) AS given (id) WHERE NOT EXISTS (SELECT FROM repositories r WHERE r.id = given.id);

-- name: missing_installations
SELECT id FROM unnest($1::bigint[]) AS given (id) WHERE NOT EXISTS (SELECT FROM installations i WHERE i.id = given.id);
