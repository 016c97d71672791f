-- name: of_lineage
-- The nodes between two positions.
SELECT n.unique_id, n.status, n.content
FROM lineages l, unnest(l.column_ids[$2:$3]) WITH ORDINALITY AS member (id, position) JOIN node_columns n ON n.id = member.id
WHERE l.id = $1
ORDER BY member.position;

-- name: one
SELECT n.unique_id, n.status, n.content, n.compiled_code
FROM lineages l
JOIN node_columns n ON n.connection_id = l.connection_id AND left(n.unique_id, 200) = left($2, 200) AND n.unique_id = $2
WHERE l.id = $1 AND n.id = ANY(l.column_ids);

-- name: compiled
-- The compiled code of some nodes ($2), of at most $3 bytes. Not where anything is left out of it, or may be other than what dbt would run.
WITH member AS MATERIALIZED (SELECT unnest(column_ids) AS id FROM lineages WHERE id = $1)
SELECT n.unique_id, n.compiled_code
FROM lineages l
CROSS JOIN unnest($2::text[]) AS wanted (unique_id)
JOIN node_columns n ON n.connection_id = l.connection_id AND left(n.unique_id, 200) = left(wanted.unique_id, 200)
  AND n.unique_id = wanted.unique_id
CROSS JOIN LATERAL (SELECT convert_from(n.content, 'UTF8')::jsonb AS content) AS said
WHERE l.id = $1 AND n.id IN (SELECT id FROM member) AND octet_length(n.compiled_code) <= $3
  AND n.status = 'exact' AND said.content ->> 'compiled_reason' IS NULL AND coalesce(said.content ->> 'rendered', 'full') = 'full';

-- name: lock_connection
-- Extractions of one connection store their columns one after the other, and nothing is deleted meanwhile.
SELECT id FROM connections WHERE id = $1 FOR UPDATE;

-- name: missing
-- The positions of hashes (in $2, each of $3 bytes) that no row has yet.
SELECT coalesce(array_agg(place), '{}')
FROM generate_series(0, length($2::bytea) / $3::integer - 1) AS place
LEFT JOIN node_columns n ON n.connection_id = $1 AND n.hash = substr($2::bytea, place * $3::integer + 1, $3::integer)
WHERE n.id IS NULL;

-- name: lock_extraction
-- Whoever ends an extraction locks it before its lineage, so everybody does.
SELECT id FROM extractions WHERE id = $1 FOR NO KEY UPDATE;

-- name: save
-- $1 the extraction, $2 its connection, $3 the hashes, each of $4 bytes, $5 the input. No row: another extraction has replaced the lineage.
UPDATE lineages l SET columns_state = 'ready', columns_reason = NULL, input = $5, column_ids = (
  SELECT coalesce(array_agg(n.id ORDER BY place), '{}')
  FROM generate_series(0, length($3::bytea) / $4::integer - 1) AS place
  JOIN node_columns n ON n.connection_id = $2 AND n.hash = substr($3::bytea, place * $4::integer + 1, $4::integer))
WHERE l.extraction_id = $1 AND l.columns_state = 'pending';

-- name: fail
-- $3: the input, NULL if other commits with the same input should try again.
UPDATE lineages SET columns_state = 'failed', columns_reason = $2, column_ids = '{}', input = $3
WHERE extraction_id = $1 AND columns_state = 'pending';
