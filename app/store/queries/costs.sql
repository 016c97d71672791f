-- name: of_connection
-- The newest $2 months.
SELECT month, extractions, cpu_seconds FROM extraction_costs WHERE connection_id = $1 ORDER BY month DESC LIMIT $2;

-- name: owners
-- Of a month ($1): the accounts ($2: one of them) that cost most, at most $3.
SELECT i.account AS owner, sum(c.extractions)::bigint AS extractions, sum(c.cpu_seconds) AS cpu_seconds
FROM extraction_costs c JOIN connections n ON n.id = c.connection_id JOIN repositories r ON r.id = n.repository_id
JOIN installations i ON i.id = r.installation_id
WHERE c.month = $1 AND ($2::text IS NULL OR lower(i.account) = lower($2))
GROUP BY i.id ORDER BY sum(c.cpu_seconds) DESC, i.id LIMIT $3;

-- name: connections
-- The same by connection.
SELECT c.connection_id, i.account AS owner, r.full_name, n.project_dir, c.extractions, c.cpu_seconds
FROM extraction_costs c JOIN connections n ON n.id = c.connection_id JOIN repositories r ON r.id = n.repository_id
JOIN installations i ON i.id = r.installation_id
WHERE c.month = $1 AND ($2::text IS NULL OR lower(i.account) = lower($2))
ORDER BY c.cpu_seconds DESC, c.connection_id LIMIT $3;

-- name: models
-- The $2 nodes, without tests, that cost most in the runs of their history: by bytes, then slots, then time.
SELECT unique_id, jsonb_array_length(history) AS runs, (history->-1->>0)::bigint AS since_ms, seconds, bytes, slot_ms FROM node_results
WHERE connection_id = $1 AND split_part(unique_id, '.', 1) NOT IN ('test', 'unit_test', 'source')
ORDER BY bytes DESC NULLS LAST, slot_ms DESC NULLS LAST, seconds DESC NULLS LAST, unique_id LIMIT $2;
