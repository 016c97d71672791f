-- name: lock_connection
-- Two extractions of one connection store their nodes one after the other.
SELECT lineage_id FROM connections WHERE id = $1 FOR UPDATE;

-- name: known_nodes
SELECT hash, id FROM nodes WHERE connection_id = $1 AND hash = ANY($2::bytea[]);

-- name: save
INSERT INTO lineages
  (connection_id, extraction_id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, node_ids, input)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (connection_id, sha) DO UPDATE
SET extraction_id = excluded.extraction_id, branch = excluded.branch, project_name = excluded.project_name,
    dbt_version = excluded.dbt_version, adapter_type = excluded.adapter_type, manifest_schema = excluded.manifest_schema,
    node_ids = excluded.node_ids, input = excluded.input, extracted_at = now()
RETURNING id;

-- name: of_input
-- The newest commit with the same input, and what was said of it.
SELECT l.id, l.sha, e.result FROM lineages l JOIN extractions e ON e.id = l.extraction_id
WHERE l.connection_id = $1 AND l.input = $2 ORDER BY l.id DESC LIMIT 1;

-- name: carry
-- The lineage of one commit becomes that of another one too.
INSERT INTO lineages
  (connection_id, extraction_id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, node_ids, input)
SELECT connection_id, $2, $3, $4, project_name, dbt_version, adapter_type, manifest_schema, node_ids, input FROM lineages WHERE id = $1
ON CONFLICT (connection_id, sha) DO UPDATE
SET extraction_id = excluded.extraction_id, branch = excluded.branch, project_name = excluded.project_name,
    dbt_version = excluded.dbt_version, adapter_type = excluded.adapter_type, manifest_schema = excluded.manifest_schema,
    node_ids = excluded.node_ids, input = excluded.input, extracted_at = now()
RETURNING id;

-- name: switch
-- Only the followed branch moves the lineage: its head always, what is not known to be newer than the lineage never.
UPDATE connections c SET lineage_id = $2, lineage_number = greatest(c.lineage_number, e.position, CASE WHEN e.position IS NULL THEN e.number END)
FROM extractions e, repositories r
WHERE c.id = e.connection_id AND r.id = c.repository_id AND e.id = $1
  AND e.branch = coalesce(c.branch, r.default_branch, e.branch)
  AND (e.sha = c.head_sha
       OR (coalesce(e.position, e.number) > 0
           AND (c.lineage_id IS NULL
                OR (c.lineage_number <= coalesce(e.position, e.number)
                    AND (SELECT l.sha FROM lineages l WHERE l.id = c.lineage_id) IS DISTINCT FROM c.head_sha))));

-- name: fingerprints
SELECT n.unique_id, n.hash, n.upstream FROM lineages l, unnest(l.node_ids) AS member (id) JOIN nodes n ON n.id = member.id
WHERE l.id = $1;

-- name: current
SELECT l.id, l.sha, l.branch, l.project_name, l.dbt_version, l.adapter_type, l.manifest_schema, l.extracted_at
FROM connections c JOIN lineages l ON l.id = c.lineage_id
WHERE c.id = $1;

-- name: at_sha
SELECT id, sha, branch, project_name, dbt_version, adapter_type, manifest_schema, extracted_at
FROM lineages WHERE connection_id = $1 AND sha = $2;

-- name: nodes
SELECT n.unique_id, n.content, n.upstream
FROM lineages l, unnest(l.node_ids) WITH ORDINALITY AS member (id, position) JOIN nodes n ON n.id = member.id
WHERE l.id = $1
ORDER BY member.position;
