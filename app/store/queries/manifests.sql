-- name: save
-- A content that is stored already keeps its row.
WITH stored AS (
  INSERT INTO manifests (connection_id, hash, size_bytes, stored_bytes, content) VALUES ($1, $3, $4, coalesce(length($5::bytea), 0), $5)
  ON CONFLICT (connection_id, hash) DO UPDATE SET size_bytes = excluded.size_bytes
  RETURNING id
)
INSERT INTO lineage_manifests (lineage_id, manifest_id)
SELECT l.id, stored.id FROM lineages l, stored WHERE l.connection_id = $1 AND l.sha = $2
ON CONFLICT (lineage_id) DO UPDATE SET manifest_id = excluded.manifest_id, branch_open = true;

-- name: carry
-- Give the lineage of a commit ($2) the manifest of the lineage that it carries ($3), unless that is being deleted.
INSERT INTO lineage_manifests (lineage_id, manifest_id)
SELECT l.id, m.id FROM lineages l, lineage_manifests earlier JOIN manifests m ON m.id = earlier.manifest_id
WHERE l.connection_id = $1 AND l.sha = $2 AND earlier.lineage_id = $3
FOR KEY SHARE OF m
ON CONFLICT (lineage_id) DO UPDATE SET manifest_id = excluded.manifest_id, branch_open = true;

-- name: of_lineage
SELECT m.id, m.hash, m.size_bytes, m.stored_bytes, m.content IS NOT NULL AS kept
FROM lineage_manifests c JOIN manifests m ON m.id = c.manifest_id WHERE c.lineage_id = $1;

-- name: piece
SELECT substr(content, $2, $3) FROM manifests WHERE id = $1;

-- name: commits
-- The newest commits whose manifest is kept.
SELECT l.sha FROM lineages l JOIN lineage_manifests c ON c.lineage_id = l.id JOIN manifests m ON m.id = c.manifest_id
WHERE l.connection_id = $1 AND m.content IS NOT NULL ORDER BY l.extracted_at DESC LIMIT $2;

-- name: delete_old
-- Kept are, as long as they fit: the connection's own, then those of the newest commits of open branches within $3 bytes, then all others
-- within $2 bytes; each time the last used first. Those of no commit are deleted.
WITH uses AS (
  SELECT m.id, m.stored_bytes, l.id AS lineage_id, l.sha, l.extracted_at, l.extraction_id, u.branch_open, l.id = c.lineage_id AS current
  FROM manifests m JOIN connections c ON c.id = m.connection_id
  LEFT JOIN lineage_manifests u ON u.manifest_id = m.id LEFT JOIN lineages l ON l.id = u.lineage_id
  WHERE m.connection_id = $1
), newest AS (
  SELECT DISTINCT ON (e.branch) u.id, u.branch_open
  FROM uses u JOIN extractions e
    ON e.connection_id = $1 AND e.sha = u.sha AND (e.status = 'succeeded' OR u.extraction_id = e.id) AND NOT e.background
  ORDER BY e.branch, coalesce(e.position, e.number) DESC
), contents AS (
  SELECT id, stored_bytes, coalesce(bool_or(current), false) AS current, id IN (SELECT id FROM newest WHERE branch_open) AS newest,
         max(extracted_at) AS used_at, count(lineage_id) AS commits
  FROM uses GROUP BY id, stored_bytes
), ranked AS (
  SELECT *, sum(stored_bytes) OVER (ORDER BY current DESC, newest DESC, used_at DESC NULLS LAST, id DESC) AS total FROM contents
)
DELETE FROM manifests WHERE id IN (
  SELECT id FROM ranked WHERE commits = 0 OR (NOT current AND total > CASE WHEN newest THEN $3::bigint ELSE $2::bigint END)
);

-- name: close_branch
-- A branch was deleted at the commit $3; it may exist again by now.
UPDATE lineage_manifests u SET branch_open = false
FROM lineages l, connections n, repositories r
WHERE u.lineage_id = l.id AND n.id = l.connection_id AND r.id = n.repository_id AND r.id = $1 AND l.branch = $2
  AND l.branch IS DISTINCT FROM coalesce(n.branch, r.default_branch)
  AND NOT EXISTS (
    SELECT FROM extractions e WHERE e.connection_id = n.id AND e.branch = $2 AND NOT e.background AND e.number > (
      SELECT max(b.number) FROM extractions b WHERE b.connection_id = n.id AND b.branch = $2 AND b.sha = $3));
