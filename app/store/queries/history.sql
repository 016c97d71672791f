-- name: next_connections
-- $1 the last one of before, $2 how many, $3 age, $4 how many extractions each keeps. `old`: the oldest that could go is of that age.
SELECT c.id, c.lineages_removed > 0 AS removed, coalesce((
    SELECT e.finished_at < now() - $3::interval FROM extractions e
    WHERE e.connection_id = c.id
      AND e.number < (SELECT n.number FROM extractions n WHERE n.connection_id = c.id ORDER BY n.number DESC OFFSET $4::integer - 1 LIMIT 1)
      AND e.id IS DISTINCT FROM (SELECT l.extraction_id FROM lineages l WHERE l.id = c.lineage_id)
      AND e.id IS DISTINCT FROM (
        SELECT h.id FROM extractions h WHERE h.connection_id = c.id AND h.sha = c.head_sha ORDER BY h.number DESC LIMIT 1)
    ORDER BY e.number LIMIT 1
  ), false) AS old
FROM (SELECT * FROM connections WHERE id > $1 ORDER BY id LIMIT $2) c;

-- name: lock_connection
-- Whoever stores a lineage has it locked: nothing is stored, or switched to, while something is deleted.
SELECT id FROM connections WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED;

-- name: forget
-- At most $4 of the oldest. Kept are the newest $3, the one that the connection's lineage is of, the newest of its head, those that have
-- not ended, and those of which GitHub has not heard all (of a suspended installation it may yet).
WITH kept AS (
  SELECT l.extraction_id AS id FROM connections c JOIN lineages l ON l.id = c.lineage_id WHERE c.id = $1 AND l.extraction_id IS NOT NULL
  UNION ALL
  (SELECT h.id FROM connections c JOIN extractions h ON h.connection_id = c.id AND h.sha = c.head_sha
   WHERE c.id = $1 ORDER BY h.number DESC LIMIT 1)
), oldest AS (
  SELECT e.id, e.finished_at FROM extractions e
  WHERE e.connection_id = $1
    AND e.number < (SELECT number FROM extractions WHERE connection_id = $1 ORDER BY number DESC OFFSET $3::integer - 1 LIMIT 1)
  ORDER BY e.number LIMIT $4
), old AS MATERIALIZED (
  SELECT o.id FROM oldest o LEFT JOIN check_runs k ON k.extraction_id = o.id
  WHERE o.finished_at < now() - $2::interval AND o.id NOT IN (SELECT id FROM kept)
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

-- name: worth_sweeping
-- To go through what all its lineages refer to is worth it once every tenth of them is gone: so each lineage pays for ten at most.
SELECT lineages_removed * 10 >= (SELECT count(*) FROM lineages WHERE connection_id = $1) FROM connections WHERE id = $1;

-- name: nodes_of
-- All nodes, and from which transaction on lineages may refer to others than we are going to see.
SELECT ARRAY(SELECT n.id FROM nodes n WHERE n.connection_id = $1) AS ids, c.lineages_removed AS removed,
       pg_snapshot_xmin(pg_current_snapshot())::xid::text AS since
FROM connections c WHERE c.id = $1;

-- name: used_by
-- What the next $3 lineages behind $2 refer to.
WITH step AS MATERIALIZED (
  SELECT sha, node_ids FROM lineages WHERE connection_id = $1 AND sha > $2 ORDER BY sha LIMIT $3
)
SELECT (SELECT max(sha) FROM step) AS last, ARRAY(SELECT DISTINCT unnest(node_ids) FROM step) AS ids;

-- name: sweep
-- Lineages that were stored since ($3) may refer to them again: xmin is the transaction that wrote a row.
-- https://www.postgresql.org/docs/current/ddl-system-columns.html
WITH used AS MATERIALIZED (
  SELECT DISTINCT unnest(l.node_ids) AS id FROM lineages l WHERE l.connection_id = $1 AND age(l.xmin) <= age($3::text::xid)
)
DELETE FROM nodes n WHERE n.id = ANY($2::bigint[]) AND NOT EXISTS (SELECT FROM used WHERE used.id = n.id);

-- name: swept
UPDATE connections SET lineages_removed = lineages_removed - $2 WHERE id = $1;

-- name: gone_connections
-- $1 grace, $2 the last one of before, $3 how many.
SELECT id FROM (
  SELECT c.id FROM connections c WHERE c.hidden_at < now() - $1::interval
  UNION
  SELECT c.id FROM repositories r JOIN connections c ON c.repository_id = r.id WHERE r.removed_at < now() - $1::interval
  UNION
  SELECT c.id FROM installations i JOIN repositories r ON r.installation_id = i.id JOIN connections c ON c.repository_id = r.id
  WHERE i.deleted_at < now() - $1::interval
) gone WHERE id > $2 ORDER BY id LIMIT $3;

-- name: lock_gone
-- It may have come back meanwhile.
SELECT c.id FROM connections c JOIN repositories r ON r.id = c.repository_id JOIN installations i ON i.id = r.installation_id
WHERE c.id = $1 AND least(c.hidden_at, r.removed_at, i.deleted_at) < now() - $2::interval FOR UPDATE OF c SKIP LOCKED;

-- name: purge_lineages
DELETE FROM lineages WHERE id IN (SELECT id FROM lineages WHERE connection_id = $1 LIMIT $2);

-- name: purge_extractions
DELETE FROM extractions WHERE id IN (SELECT id FROM extractions WHERE connection_id = $1 LIMIT $2);

-- name: purge_nodes
DELETE FROM nodes WHERE id IN (SELECT id FROM nodes WHERE connection_id = $1 LIMIT $2);

-- name: purge_connection
DELETE FROM connections WHERE id = $1;
