-- name: lock_connection
-- Extractions of one connection store their nodes one after the other.
SELECT lineage_id FROM connections WHERE id = $1 FOR UPDATE;

-- name: commit
SELECT sha, branch FROM lineages WHERE id = $1;

-- Nodes are passed as their hashes, concatenated in one bytea: cheap to send for many thousands of nodes.

-- name: missing_nodes
-- The positions of hashes (in $2, each of $3 bytes) that no node has yet.
SELECT coalesce(array_agg(place), '{}')
FROM generate_series(0, length($2::bytea) / $3::integer - 1) AS place
LEFT JOIN nodes n ON n.connection_id = $1 AND n.hash = substr($2::bytea, place * $3::integer + 1, $3::integer)
WHERE n.id IS NULL;

-- name: hashes
SELECT string_agg(n.hash, '') FROM lineages l, unnest(l.node_ids) AS member (id) JOIN nodes n ON n.id = member.id WHERE l.id = $1;

-- name: difference
-- The differences between a lineage ($2) and a set of nodes (hashes in $3, each of $4 bytes): at most $5 of each kind, with the total.
-- A node that is in both has the same edges in both. Collation C sorts by code point.
WITH old AS (SELECT unnest(node_ids) AS id FROM lineages WHERE id = $2),
new AS (
  SELECT n.id FROM generate_series(0, length($3::bytea) / $4::integer - 1) AS place
  JOIN nodes n ON n.connection_id = $1 AND n.hash = substr($3::bytea, place * $4::integer + 1, $4::integer)
),
gone AS (SELECT n.unique_id, n.upstream FROM (TABLE old EXCEPT TABLE new) AS member JOIN nodes n USING (id)),
come AS (SELECT n.unique_id, n.upstream FROM (TABLE new EXCEPT TABLE old) AS member JOIN nodes n USING (id)),
changes (kind, upstream, unique_id) AS (
  SELECT 'nodes_added', '', unique_id FROM (SELECT unique_id FROM come EXCEPT SELECT unique_id FROM gone) AS node
  UNION ALL
  SELECT 'nodes_removed', '', unique_id FROM (SELECT unique_id FROM gone EXCEPT SELECT unique_id FROM come) AS node
  UNION ALL
  SELECT 'nodes_changed', '', unique_id FROM (SELECT unique_id FROM come INTERSECT SELECT unique_id FROM gone) AS node
  UNION ALL
  SELECT 'edges_added', upstream, unique_id
  FROM (SELECT unnest(upstream), unique_id FROM come EXCEPT SELECT unnest(upstream), unique_id FROM gone) AS edge (upstream, unique_id)
  UNION ALL
  SELECT 'edges_removed', upstream, unique_id
  FROM (SELECT unnest(upstream), unique_id FROM gone EXCEPT SELECT unnest(upstream), unique_id FROM come) AS edge (upstream, unique_id)
),
ranked AS (
  SELECT kind, upstream, unique_id, count(*) OVER (PARTITION BY kind) AS total,
         row_number() OVER (PARTITION BY kind ORDER BY upstream COLLATE "C", unique_id COLLATE "C") AS place
  FROM changes
)
SELECT kind, upstream, unique_id, total FROM ranked WHERE place <= $5 ORDER BY kind, place;

-- name: of_repository
-- The lineage of a commit that was pushed to the repository itself, however it came there.
SELECT id FROM lineages WHERE connection_id = $1 AND sha = $2 AND strpos(branch, ':') = 0;

-- name: lock_extraction
-- Whoever ends an extraction locks it before its lineage, so everybody does.
SELECT id FROM extractions WHERE id = $1 FOR NO KEY UPDATE;

-- name: save
INSERT INTO lineages
  (connection_id, extraction_id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, input, columns_state, trust,
   quality, quality_groups, quality_settings, node_ids)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $13, $14::jsonb, $15::jsonb, $16::jsonb, coalesce(array_agg(n.id ORDER BY place), '{}')
FROM generate_series(0, length($11::bytea) / $12::integer - 1) AS place
JOIN nodes n ON n.connection_id = $1 AND n.hash = substr($11::bytea, place * $12::integer + 1, $12::integer)
ON CONFLICT (connection_id, sha) DO UPDATE
SET extraction_id = excluded.extraction_id, project_name = excluded.project_name,
    dbt_version = excluded.dbt_version, adapter_type = excluded.adapter_type, manifest_schema = excluded.manifest_schema,
    node_ids = excluded.node_ids, input = excluded.input, trust = excluded.trust, extracted_at = now(),
    quality = excluded.quality, quality_groups = excluded.quality_groups, quality_findings = excluded.quality_findings,
    quality_settings = excluded.quality_settings,
    column_ids = excluded.column_ids, columns_state = excluded.columns_state, columns_reason = excluded.columns_reason,
    -- The connection's lineage stays one of the followed branch, whatever other branches begin at its commit.
    branch = CASE WHEN EXISTS (
      SELECT FROM connections c JOIN repositories r ON r.id = c.repository_id
      WHERE c.lineage_id = lineages.id AND lineages.branch = coalesce(c.branch, r.default_branch)
    ) THEN lineages.branch ELSE excluded.branch END
RETURNING id;

-- name: recently_used_images
SELECT e.result->>'image' AS image, l.adapter_type, greatest(extract(epoch FROM now() - l.extracted_at)::float8, 0) AS age_s
FROM lineages l JOIN extractions e ON e.id = l.extraction_id
WHERE e.result->>'image' IS NOT NULL ORDER BY l.id DESC LIMIT 200;

-- name: find_by_input
-- The newest commit with the same input whose lineage was made by one of $3, and the result of its extraction.
SELECT l.id, l.sha, e.result
FROM unnest($3::text[]) AS one (trust)
CROSS JOIN LATERAL (
  SELECT id, sha, extraction_id FROM lineages
  WHERE connection_id = $1 AND input = $2 AND trust = one.trust AND extraction_id IS NOT NULL ORDER BY id DESC LIMIT 1
) l
JOIN extractions e ON e.id = l.extraction_id
ORDER BY l.id DESC LIMIT 1;

-- name: forget_input
UPDATE lineages SET input = NULL WHERE connection_id = $1 AND input = $2;

-- name: carry_forward
-- Copy the lineage of one commit to another commit.
INSERT INTO lineages
  (connection_id, extraction_id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, node_ids, input, trust,
   quality, quality_groups, quality_findings, quality_settings, column_ids, columns_state, columns_reason)
SELECT connection_id, $2, $3, $4, project_name, dbt_version, adapter_type, manifest_schema, node_ids, input, trust,
       quality, quality_groups, quality_findings, quality_settings, column_ids, columns_state, columns_reason
FROM lineages WHERE id = $1
ON CONFLICT (connection_id, sha) DO UPDATE
SET extraction_id = excluded.extraction_id, project_name = excluded.project_name,
    dbt_version = excluded.dbt_version, adapter_type = excluded.adapter_type, manifest_schema = excluded.manifest_schema,
    node_ids = excluded.node_ids, input = excluded.input, trust = excluded.trust, extracted_at = now(),
    quality = excluded.quality, quality_groups = excluded.quality_groups, quality_findings = excluded.quality_findings,
    quality_settings = excluded.quality_settings,
    column_ids = excluded.column_ids, columns_state = excluded.columns_state, columns_reason = excluded.columns_reason,
    branch = CASE WHEN EXISTS (
      SELECT FROM connections c JOIN repositories r ON r.id = c.repository_id
      WHERE c.lineage_id = lineages.id AND lineages.branch = coalesce(c.branch, r.default_branch)
    ) THEN lineages.branch ELSE excluded.branch END
RETURNING id;

-- name: switch
-- Only the followed branch changes the connection's lineage: its head always, other commits only if known to be newer than the lineage.
UPDATE connections c SET lineage_id = $2, lineage_number = greatest(c.lineage_number, e.position, CASE WHEN e.position IS NULL THEN e.number END)
FROM extractions e, repositories r
WHERE c.id = e.connection_id AND r.id = c.repository_id AND e.id = $1 AND NOT e.background
  AND e.branch = coalesce(c.branch, r.default_branch, e.branch)
  -- The branch may have become the followed one while its extraction ran, from a state of before.
  AND EXISTS (SELECT FROM lineages l WHERE l.id = $2 AND (l.trust = 'anyone' OR starts_with(l.trust, 'followed ' || e.branch || ' ')))
  AND (e.sha = c.head_sha
       OR (coalesce(e.position, e.number) > 0
           AND (c.lineage_id IS NULL
                OR (c.lineage_number <= coalesce(e.position, e.number)
                    AND (SELECT l.sha FROM lineages l WHERE l.id = c.lineage_id) IS DISTINCT FROM c.head_sha))));

-- name: current
SELECT l.id, l.sha, l.branch, l.project_name, l.dbt_version, l.adapter_type, l.manifest_schema, l.extracted_at,
       l.columns_state, l.columns_reason
FROM connections c JOIN lineages l ON l.id = c.lineage_id
WHERE c.id = $1;

-- name: of_branch
-- The newest successfully extracted commit of a branch. Its extraction may still wait for the columns, or have been cancelled then.
SELECT l.id, l.sha, l.branch, l.project_name, l.dbt_version, l.adapter_type, l.manifest_schema, l.extracted_at,
       l.columns_state, l.columns_reason
FROM extractions e JOIN lineages l ON l.connection_id = e.connection_id AND l.sha = e.sha
WHERE e.connection_id = $1 AND e.branch = $2 AND (e.status = 'succeeded' OR l.extraction_id = e.id) AND NOT e.background
ORDER BY coalesce(e.position, e.number) DESC LIMIT 1;

-- name: beginning_with
-- At most $4 commits whose ids begin with $2; $3 is the first text after all of those.
SELECT id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, extracted_at, columns_state, columns_reason
FROM lineages WHERE connection_id = $1 AND sha COLLATE "C" >= $2 AND sha COLLATE "C" < $3 ORDER BY sha LIMIT $4;

-- name: node
-- All versions of the node are read, instead of all nodes of the lineage.
SELECT n.content, n.definition FROM lineages l
JOIN nodes n ON n.connection_id = l.connection_id AND left(n.unique_id, 200) = left($3, 200) AND n.unique_id = $3
WHERE l.id = $1 AND l.extracted_at = $2 AND n.id = ANY(l.node_ids);

-- name: definitions
-- Of the nodes $3, as far as they have at most $4 bytes.
SELECT n.unique_id, n.definition FROM lineages l JOIN nodes n ON n.id = ANY(l.node_ids)
WHERE l.id = $1 AND l.extracted_at = $2 AND n.unique_id = ANY($3::text[]) AND length(n.definition) <= $4;

-- name: recent_commits
SELECT sha FROM lineages WHERE connection_id = $1 ORDER BY extracted_at DESC LIMIT $2;

-- name: at_sha
SELECT id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, extracted_at, columns_state, columns_reason
FROM lineages WHERE connection_id = $1 AND sha = $2;
