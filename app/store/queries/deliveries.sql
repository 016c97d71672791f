-- name: record
INSERT INTO deliveries (id, event) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING;

-- name: ask_again
-- Nothing is returned when we have it already, or have asked for it often enough.
INSERT INTO redeliveries AS r (delivery_id)
SELECT $1 WHERE NOT EXISTS (SELECT FROM deliveries WHERE id = $1)
ON CONFLICT (delivery_id) DO UPDATE SET times = r.times + 1, asked_at = now() WHERE r.times < $2
RETURNING r.times;
