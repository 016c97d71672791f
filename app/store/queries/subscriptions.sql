-- name: create
-- No row if the installation does not exist (any more), or the address has a subscription already. The connection is known to exist.
INSERT INTO subscriptions (connection_id, installation_id, kind, address, events, secret)
SELECT $1, $2, $3, $4, $5, $6
WHERE $2::bigint IS NULL OR EXISTS (SELECT FROM installations WHERE id = $2 AND deleted_at IS NULL)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: installation_exists
SELECT id FROM installations WHERE id = $1 AND deleted_at IS NULL;

-- name: watch
-- Evaluate connections that are behind, so that existing problems are known and their recovery is reported; and those whose problems the
-- subscription $3 has reported, which may be over.
INSERT INTO watches (connection_id)
SELECT c.id FROM connections c
JOIN repositories r ON r.id = c.repository_id
LEFT JOIN lineages l ON l.id = c.lineage_id
WHERE ((c.id = $1 OR r.installation_id = $2) AND c.hidden_at IS NULL AND c.head_sha IS NOT NULL AND l.sha IS DISTINCT FROM c.head_sha)
   OR c.id IN (SELECT connection_id FROM told WHERE subscription_id = $3)
ORDER BY c.id
ON CONFLICT (connection_id) DO UPDATE SET due_at = least(watches.due_at, excluded.due_at);

-- name: by_id
SELECT s.id, s.connection_id, s.installation_id, s.kind, s.address, s.events, s.paused, s.created_at,
       s.last_event, s.last_outcome, s.last_detail, s.last_at
FROM subscriptions s LEFT JOIN installations i ON i.id = s.installation_id
WHERE s.id = $1 AND i.deleted_at IS NULL;

-- name: for_scope
-- A connection or an installation has only a few.
SELECT s.id, s.connection_id, s.installation_id, s.kind, s.address, s.events, s.paused, s.created_at,
       s.last_event, s.last_outcome, s.last_detail, s.last_at
FROM subscriptions s WHERE s.connection_id = $1 OR s.installation_id = $2
ORDER BY s.created_at, s.id;

-- name: update
-- NULL leaves a column unchanged. After a pause, problems that began during it are not reported.
UPDATE subscriptions
SET events = coalesce($2, events), paused = coalesce($3, paused), secret = CASE WHEN kind = 'webhook' THEN coalesce($4, secret) END,
    since = CASE WHEN (paused AND NOT coalesce($3, paused)) OR NOT (events @> coalesce($2, events)) THEN now() ELSE since END
WHERE id = $1;

-- name: drop_notices
-- For a paused subscription. Test messages are still sent.
DELETE FROM notices n USING subscriptions s WHERE s.id = n.subscription_id AND s.id = $1 AND s.paused AND n.event <> 'test';

-- name: delete
DELETE FROM subscriptions WHERE id = $1;

-- name: test
-- At most once a minute.
UPDATE subscriptions SET tested_at = now() WHERE id = $1 AND (tested_at IS NULL OR tested_at < now() - interval '1 minute')
RETURNING connection_id;

-- name: send_test
INSERT INTO notices (subscription_id, connection_id, event) VALUES ($1, $2, 'test') RETURNING id;
