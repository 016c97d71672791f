-- name: record
-- In one order always, so that two processes do not wait for each other.
INSERT INTO deliveries (id, event) SELECT id, event FROM unnest($1::text[], $2::text[]) AS arrived (id, event) ORDER BY id
ON CONFLICT (id) DO NOTHING
RETURNING id;

-- name: claim_redelivery
-- No row if the delivery is known, or was requested often enough.
INSERT INTO redeliveries AS r (delivery_id)
SELECT $1 WHERE NOT EXISTS (SELECT FROM deliveries WHERE id = $1)
ON CONFLICT (delivery_id) DO UPDATE SET times = r.times + 1, asked_at = now() WHERE r.times < $2
RETURNING r.times;

-- name: purge
-- GitHub keeps deliveries for at most eight days: an older one cannot be delivered again.
DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE received_at < now() - interval '10 days' ORDER BY received_at LIMIT $1);

-- name: purge_redeliveries
DELETE FROM redeliveries WHERE asked_at < now() - interval '10 days';
