-- name: trend
-- Of the newest $3 commits of a branch that were counted, newest first.
SELECT sha, extracted_at, quality FROM lineages
WHERE connection_id = $1 AND branch = $2 AND quality IS NOT NULL ORDER BY extracted_at DESC LIMIT $3;

-- name: of_connections
SELECT c.id, l.quality, l.quality_settings FROM connections c JOIN lineages l ON l.id = c.lineage_id
WHERE c.id = ANY($1::uuid[]) AND l.quality IS NOT NULL;

-- name: of_lineage
SELECT quality, quality_groups, quality_findings, quality_settings FROM lineages WHERE id = $1 AND extracted_at = $2;

-- name: save_findings
UPDATE lineages SET quality_findings = $3::jsonb WHERE id = $1 AND extracted_at = $2;
