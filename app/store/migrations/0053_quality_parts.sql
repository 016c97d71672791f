-- The parts of a commit's quality, see lineage.quality: what was counted of packages, folders, groups and owners, what was found (once the
-- extraction has ended), and what the project sets (NULL: nothing). NULL for commits that were stored before.
ALTER TABLE lineages
  ADD COLUMN quality_groups jsonb,
  ADD COLUMN quality_findings jsonb,
  ADD COLUMN quality_settings jsonb;
