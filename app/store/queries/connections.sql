-- name: lock_repository
-- Whoever makes connections of a repository does so one at a time.
SELECT id FROM repositories WHERE id = $1 FOR UPDATE;

-- name: of_repository
SELECT c.id, c.project_dir, c.branch, c.project_name, c.head_sha, c.created_at, c.lineage_id,
       l.sha AS lineage_sha, l.extracted_at, h.status AS head_status, h.title AS head_problem,
       r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
FROM connections c
JOIN repositories r ON r.id = c.repository_id
LEFT JOIN lineages l ON l.id = c.lineage_id
LEFT JOIN LATERAL (
  SELECT e.status, e.problem->>'title' AS title FROM extractions e
  WHERE e.connection_id = c.id AND e.sha = c.head_sha ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM c.head_sha
WHERE c.repository_id = $1 AND c.hidden_at IS NULL
ORDER BY c.created_at, c.id;

-- name: visible
SELECT c.id, c.project_dir, c.branch, c.project_name, c.head_sha, c.created_at, c.lineage_id,
       l.sha AS lineage_sha, l.extracted_at, h.status AS head_status, h.title AS head_problem,
       r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
FROM connections c
JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
LEFT JOIN lineages l ON l.id = c.lineage_id
LEFT JOIN LATERAL (
  SELECT e.status, e.problem->>'title' AS title FROM extractions e
  WHERE e.connection_id = c.id AND e.sha = c.head_sha ORDER BY e.number DESC LIMIT 1
) h ON l.sha IS DISTINCT FROM c.head_sha
WHERE c.hidden_at IS NULL AND ($1::uuid IS NULL OR c.id = $1)
  AND ($2::text IS NULL OR lower(split_part(r.full_name, '/', 1)) = lower($2))
  AND ($3::text IS NULL OR lower(r.full_name) = lower($3))
  AND ($4::text IS NULL OR strpos(lower(r.full_name || ' ' || coalesce(c.project_name, '') || ' ' || coalesce(c.project_dir, '')), lower($4)) > 0)
  AND ($5::text IS NULL OR (lower(r.full_name), c.id) > (lower($5), $6::uuid))
ORDER BY lower(r.full_name), c.id
LIMIT $7;

-- name: create
-- One that was hidden comes back with its history.
INSERT INTO connections AS c (repository_id, project_dir) VALUES ($1, $2)
ON CONFLICT (repository_id, coalesce(project_dir, ''), coalesce(branch, '')) DO UPDATE
SET hidden_at = NULL, project_dir = excluded.project_dir
RETURNING c.id;

-- name: hide
UPDATE connections SET hidden_at = now() WHERE id = $1 AND hidden_at IS NULL;

-- name: move
UPDATE connections SET project_dir = $2 WHERE id = $1;

-- name: move_head
UPDATE connections SET head_sha = $2 WHERE id = $1;

-- name: found_project
-- The first extraction of a connection made by a push finds out where the project is.
UPDATE connections SET project_dir = coalesce(project_dir, $2), project_name = coalesce($3, project_name) WHERE id = $1;
