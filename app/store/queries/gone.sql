-- name: repositories
SELECT id FROM unnest($1::bigint[]) AS kept (id) WHERE NOT EXISTS (SELECT FROM repositories r WHERE r.id = kept.id);

-- name: installations
SELECT id FROM unnest($1::bigint[]) AS kept (id) WHERE NOT EXISTS (SELECT FROM installations i WHERE i.id = kept.id);
