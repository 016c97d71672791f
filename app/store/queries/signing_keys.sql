-- name: create
INSERT INTO keys (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING;

-- name: get
SELECT value FROM keys WHERE name = $1;
