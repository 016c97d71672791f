-- What the nodes of a commit have of what they could have, see lineage.quality; NULL for commits that were stored before.
ALTER TABLE lineages ADD COLUMN quality jsonb;
