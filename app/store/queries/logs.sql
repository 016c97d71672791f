-- name: keep
-- Of the last try that came to run dbt.
INSERT INTO logs (extraction_id, try, size_bytes, content) VALUES ($1, $2, $3, $4)
ON CONFLICT (extraction_id) DO UPDATE
SET try = excluded.try, size_bytes = excluded.size_bytes, content = excluded.content, written_at = now();

-- name: of_extraction
SELECT try, size_bytes, content FROM logs WHERE extraction_id = $1;
