-- name: claim
-- The newest update first: those of lineages from before an upgrade wait for everybody else.
UPDATE search_updates SET lease_until = now() + $1::interval, attempts = attempts + 1
WHERE connection_id = (
  SELECT connection_id FROM search_updates WHERE due_at <= now() AND (lease_until IS NULL OR lease_until < now())
  ORDER BY due_at DESC LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING connection_id, due_at, attempts;

-- name: seconds_until_due
SELECT extract(epoch FROM min(greatest(due_at, coalesce(lease_until, due_at)) - now()))::float8 FROM search_updates;

-- name: finish
-- Unless the lineage changed since the claim.
DELETE FROM search_updates WHERE connection_id = $1 AND due_at = $2 RETURNING true;

-- name: release
UPDATE search_updates SET lease_until = NULL, attempts = 0 WHERE connection_id = $1;

-- name: postpone
UPDATE search_updates SET lease_until = NULL, due_at = CASE WHEN due_at = $2 THEN now() + $3::interval ELSE due_at END
WHERE connection_id = $1;

-- name: differences
-- How the words of a connection ($1) are behind its lineage, of which at most $2 nodes are searched. `columns`: rows of node_columns that
-- are not among the words yet. Until a lineage's columns are known, what is known of an unchanged node stays.
WITH head AS (
  SELECT l.node_ids[1:$2] AS node_ids, CASE WHEN l.columns_state = 'ready' THEN l.column_ids ELSE '{}' END AS column_ids,
         l.columns_state IS DISTINCT FROM 'pending' AS settled
  FROM connections c JOIN lineages l ON l.id = c.lineage_id WHERE c.id = $1
), members AS MATERIALIZED (SELECT unnest(node_ids) AS id FROM head),
known AS MATERIALIZED (SELECT node_id, columns_id FROM search_nodes WHERE connection_id = $1),
staying AS MATERIALIZED (SELECT node_id, columns_id FROM known WHERE node_id IN (SELECT id FROM members)),
columns AS MATERIALIZED (SELECT unnest(column_ids) AS id FROM head)
SELECT ARRAY(SELECT node_id FROM known EXCEPT SELECT id FROM members) AS gone,
       ARRAY(SELECT id FROM members EXCEPT SELECT node_id FROM known) AS come,
       ARRAY(SELECT node_id FROM staying WHERE columns_id IS NOT NULL AND (SELECT settled FROM head)
             AND columns_id NOT IN (SELECT id FROM columns)) AS stale,
       ARRAY(SELECT id FROM columns EXCEPT SELECT columns_id FROM staying) AS columns;

-- name: nodes_with_columns
-- The nodes of a connection's lineage ($1, the first $2) that rows of node_columns ($3) are of.
SELECT n.id, k.id AS columns_id
FROM node_columns k
JOIN connections c ON c.id = k.connection_id
JOIN lineages l ON l.id = c.lineage_id
JOIN nodes n ON n.id = ANY(l.node_ids[1:$2]) AND n.unique_id = k.unique_id
WHERE k.id = ANY($3::bigint[]) AND k.connection_id = $1;

-- name: contents
-- What nodes ($1) with their columns ($2, or NULL) are found by; longer contents than $3 bytes are left out.
SELECT n.id, n.unique_id, n.resource_type, n.name, n.package_name, k.id AS columns_id,
       CASE WHEN octet_length(n.content::text) <= $3 THEN n.content::text END AS content,
       CASE WHEN octet_length(k.content) <= $3 THEN k.content END AS columns
FROM unnest($1::bigint[], $2::bigint[]) AS wanted (id, columns_id)
JOIN nodes n ON n.id = wanted.id LEFT JOIN node_columns k ON k.id = wanted.columns_id;

-- name: lock_connection
-- Nobody else changes its words meanwhile, and it is not deleted.
SELECT id FROM connections WHERE id = $1 FOR NO KEY UPDATE;

-- name: replace
-- In the index of $1, forget the nodes $2, and add or replace those of $3 to $6 (ids, ids of columns, hits, words with spaces between them).
-- A list of hits changes only where a hit comes or goes.
WITH old AS MATERIALIZED (
  SELECT hit, words FROM search_nodes WHERE connection_id = $1 AND node_id = ANY($2::bigint[] || $3::bigint[])
), come AS MATERIALIZED (
  SELECT id, columns_id, hit, array_to_tsvector(string_to_array(words, ' ')) AS words
  FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) AS given (id, columns_id, hit, words)
), forgotten AS (
  DELETE FROM search_nodes WHERE connection_id = $1 AND node_id = ANY($2)
), saved AS (
  INSERT INTO search_nodes (connection_id, node_id, columns_id, hit, words) SELECT $1, id, columns_id, hit, words FROM come
  ON CONFLICT (connection_id, node_id) DO UPDATE SET columns_id = excluded.columns_id, hit = excluded.hit, words = excluded.words
), pairs AS (
  SELECT word, hit, bool_or(is_new) AS is_new, bool_or(NOT is_new) AS was_old FROM (
    SELECT unnest(tsvector_to_array(words)) AS word, hit, false AS is_new FROM old
    UNION ALL
    SELECT unnest(tsvector_to_array(words)), hit, true FROM come
  ) each GROUP BY word, hit
), changed AS MATERIALIZED (
  SELECT word, coalesce(array_agg(hit) FILTER (WHERE NOT is_new), '{}') AS gone, coalesce(array_agg(hit) FILTER (WHERE is_new), '{}') AS come
  FROM pairs WHERE NOT (is_new AND was_old) GROUP BY word
), updated AS (
  UPDATE search_words w SET hits = ARRAY((SELECT unnest(w.hits) EXCEPT SELECT unnest(c.gone)) UNION SELECT unnest(c.come) ORDER BY 1)
  FROM changed c WHERE w.connection_id = $1 AND w.word = c.word
  RETURNING w.word
)
INSERT INTO search_words (connection_id, word, hits)
SELECT $1, word, ARRAY(SELECT unnest(come) ORDER BY 1) FROM changed
WHERE come <> '{}' AND word NOT IN (SELECT word FROM updated);

-- name: forget_words
-- Words that no node has any more.
DELETE FROM search_words WHERE connection_id = $1 AND size = 0;
