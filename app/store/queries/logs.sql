-- name: save
-- Only the last attempt that ran dbt is stored.
INSERT INTO logs (extraction_id, try, size_bytes, content) VALUES ($1, $2, $3, $4)
ON CONFLICT (extraction_id) DO UPDATE
SET try = excluded.try, size_bytes = excluded.size_bytes, content = excluded.content, written_at = now();

-- name: get
SELECT try, size_bytes, content FROM logs WHERE extraction_id = $1;
