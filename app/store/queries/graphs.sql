-- name: size
SELECT cardinality(node_ids) FROM lineages WHERE id = $1 AND extracted_at = $2;

-- name: nodes
-- The nodes from one position to another. None are found once the commit has been extracted anew.
SELECT n.unique_id, n.resource_type, n.name, n.package_name, convert_to(n.content::text, 'UTF8') AS content, n.upstream
FROM lineages l, unnest(l.node_ids[$3:$4]) WITH ORDINALITY AS member (id, position) JOIN nodes n ON n.id = member.id
WHERE l.id = $1 AND l.extracted_at = $2
ORDER BY member.position;
