-- name: settings
-- Until the end of the transaction: plans do not depend on how often a word occurs, and end in time.
SELECT set_config('statement_timeout', $1::text, true), set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
       set_config('plan_cache_mode', 'force_generic_plan', true);

-- name: visible
-- At most $2 connections that may be seen by somebody whose private repositories are $1.
(SELECT c.id FROM unnest($1::bigint[]) AS listed (id)
 JOIN repositories r ON r.id = listed.id AND r.private AND r.removed_at IS NULL
 JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
 JOIN connections c ON c.repository_id = r.id AND c.hidden_at IS NULL AND c.lineage_id IS NOT NULL
 LIMIT $2)
UNION ALL
(SELECT c.id FROM repositories r
 JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
 JOIN connections c ON c.repository_id = r.id AND c.hidden_at IS NULL AND c.lineage_id IS NOT NULL
 WHERE NOT r.private AND r.removed_at IS NULL
 LIMIT $2)
LIMIT $2;

-- name: count_all
-- About how many nodes have words of each range ($1 to $2), in all connections: at most $3 words are looked at.
SELECT coalesce((
  SELECT sum(size) FROM (SELECT size FROM search_words w WHERE w.word >= range.low AND w.word < range.high LIMIT $3) counted
), 0)::bigint AS nodes
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS range (low, high, place) ORDER BY place;

-- name: count_of
-- The same in some connections ($4).
SELECT coalesce((
  SELECT sum(size) FROM (
    SELECT size FROM unnest($4::uuid[]) AS seen (id), LATERAL (
      SELECT size FROM search_words w WHERE w.connection_id = seen.id AND w.word >= range.low AND w.word < range.high LIMIT $3
    ) one LIMIT $3
  ) counted
), 0)::bigint AS nodes
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS range (low, high, place) ORDER BY place;

-- name: find_all
-- Nodes that have words of the ranges ($1 to $2) and match $3, with hits after $4, the best first, at most $5. $6: private repositories of
-- those who search, NULL: all. At most $7 words of each range are looked at, $8 of them with the best nodes are read, and $9 of their nodes.
-- What is found is complete up to `last` (NULL: to the end). `cut`: words were left out.
WITH visible AS MATERIALIZED (
  SELECT c.id FROM connections c
  JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
  JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
  WHERE c.hidden_at IS NULL AND c.lineage_id IS NOT NULL
    AND CASE WHEN $6::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($6) END
), entries AS MATERIALIZED (
  SELECT w.connection_id, w.word, w.best, w.size
  FROM unnest($1::text[], $2::text[]) AS range (low, high), LATERAL (
    SELECT connection_id, word, best, size FROM search_words WHERE word >= range.low AND word < range.high ORDER BY word, connection_id LIMIT $7
  ) w
), chosen AS MATERIALIZED (
  SELECT connection_id, word, best FROM entries WHERE (best > $4 OR size > 1) AND connection_id IN (SELECT id FROM visible)
  ORDER BY best, word, connection_id LIMIT $8 + 1
), bound AS MATERIALIZED (
  SELECT CASE WHEN count(*) > $8 THEN max(best) END AS hit FROM chosen
), candidates AS MATERIALIZED (
  SELECT w.connection_id, one.hit FROM chosen JOIN search_words w USING (connection_id, word), unnest(w.hits) AS one (hit)
  WHERE one.hit > $4 AND one.hit <= coalesce((SELECT hit FROM bound), one.hit) ORDER BY one.hit LIMIT $9
)
SELECT ARRAY(
         SELECT k.hit FROM (SELECT DISTINCT hit, connection_id FROM candidates ORDER BY hit OFFSET 0) k
         WHERE (SELECT n.words @@ (SELECT $3::text::tsquery) FROM search_nodes n
                WHERE n.connection_id = k.connection_id AND n.node_id = k.hit & 281474976710655)
         LIMIT $5
       ) AS hits,
       coalesce((SELECT max(hit) FROM candidates HAVING count(*) >= $9), (SELECT hit FROM bound)) AS last,
       (SELECT count(*) FROM entries) >= $7 AS cut;

-- name: find_of
-- The same in some connections ($6).
WITH entries AS MATERIALIZED (
  SELECT w.connection_id, w.word, w.best, w.size
  FROM unnest($1::text[], $2::text[]) AS range (low, high), unnest($6::uuid[]) AS seen (id), LATERAL (
    SELECT connection_id, word, best, size FROM search_words
    WHERE connection_id = seen.id AND word >= range.low AND word < range.high ORDER BY word LIMIT $7
  ) w
  LIMIT $7
), chosen AS MATERIALIZED (
  SELECT connection_id, word, best FROM entries WHERE best > $4 OR size > 1
  ORDER BY best, word, connection_id LIMIT $8 + 1
), bound AS MATERIALIZED (
  SELECT CASE WHEN count(*) > $8 THEN max(best) END AS hit FROM chosen
), candidates AS MATERIALIZED (
  SELECT w.connection_id, one.hit FROM chosen JOIN search_words w USING (connection_id, word), unnest(w.hits) AS one (hit)
  WHERE one.hit > $4 AND one.hit <= coalesce((SELECT hit FROM bound), one.hit) ORDER BY one.hit LIMIT $9
)
SELECT ARRAY(
         SELECT k.hit FROM (SELECT DISTINCT hit, connection_id FROM candidates ORDER BY hit OFFSET 0) k
         WHERE (SELECT n.words @@ (SELECT $3::text::tsquery) FROM search_nodes n
                WHERE n.connection_id = k.connection_id AND n.node_id = k.hit & 281474976710655)
         LIMIT $5
       ) AS hits,
       coalesce((SELECT max(hit) FROM candidates HAVING count(*) >= $9), (SELECT hit FROM bound)) AS last,
       (SELECT count(*) FROM entries) >= $7 AS cut;

-- name: match_all
-- The same by the index of nodes, for words that are common, but seldom together: of all nodes that match $1, with hits after $2, the best
-- $3 of those that may be seen ($4), from at most $5.
WITH visible AS MATERIALIZED (
  SELECT c.id FROM connections c
  JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
  JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
  WHERE c.hidden_at IS NULL AND c.lineage_id IS NOT NULL
    AND CASE WHEN $4::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($4) END
), matching AS MATERIALIZED (
  SELECT n.hit, n.connection_id FROM search_nodes n WHERE n.words @@ $1::text::tsquery LIMIT $5
)
SELECT ARRAY(SELECT hit FROM matching WHERE hit > $2 AND connection_id IN (SELECT id FROM visible) ORDER BY hit LIMIT $3) AS hits,
       (SELECT count(*) FROM matching) >= $5 AS cut;

-- name: rank_all
-- The nodes of several tiers at once: of those that match $1, the ones that may be seen ($2), each with the one of the tiers $3 whose
-- condition ($4) it matches, the best first. `cut`: $5 or more match $1, so some are left out.
WITH visible AS MATERIALIZED (
  SELECT c.id FROM connections c
  JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
  JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
  WHERE c.hidden_at IS NULL AND c.lineage_id IS NOT NULL
    AND CASE WHEN $2::bigint[] IS NULL THEN true ELSE NOT r.private OR r.id = ANY($2) END
), matching AS MATERIALIZED (
  SELECT n.hit, n.connection_id, n.words FROM search_nodes n WHERE n.words @@ $1::text::tsquery LIMIT $5
), conditions AS MATERIALIZED (
  SELECT number, condition::tsquery AS condition FROM unnest($3::integer[], $4::text[]) AS given (number, condition)
)
SELECT coalesce(array_agg(c.number ORDER BY c.number, m.hit), '{}') AS tiers,
       coalesce(array_agg(m.hit ORDER BY c.number, m.hit), '{}') AS hits,
       (SELECT count(*) FROM matching) >= $5 AS cut
FROM matching m JOIN conditions c ON m.words @@ c.condition
WHERE m.connection_id IN (SELECT id FROM visible);

-- name: nodes
-- The nodes $1 as they are shown, without those that are not in their connection's lineage any more. Contents only if they have at most $2
-- bytes.
WITH wanted AS MATERIALIZED (
  SELECT n.id, n.connection_id, n.unique_id, n.resource_type, n.name, n.package_name, wanted.place,
         CASE WHEN octet_length(n.content::text) <= $2 THEN n.content::text END AS content
  FROM unnest($1::bigint[]) WITH ORDINALITY AS wanted (id, place) JOIN nodes n ON n.id = wanted.id
)
SELECT n.*, CASE WHEN octet_length(k.content) <= $2 THEN k.content END AS columns, c.project_dir, c.project_name, l.sha,
       r.id AS repository_id, r.full_name, r.installation_id, r.default_branch, r.private
FROM wanted n
JOIN search_nodes s ON s.connection_id = n.connection_id AND s.node_id = n.id
JOIN connections c ON c.id = n.connection_id AND c.hidden_at IS NULL
JOIN repositories r ON r.id = c.repository_id AND r.removed_at IS NULL
JOIN installations i ON i.id = r.installation_id AND i.deleted_at IS NULL
JOIN lineages l ON l.id = c.lineage_id AND n.id = ANY(l.node_ids)
LEFT JOIN node_columns k ON k.id = s.columns_id
ORDER BY n.place;
