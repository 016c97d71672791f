-- Results carry the trust of what made them: dbt may start from the state of an earlier parse, and that state from a branch that anybody can
-- push to.

ALTER TABLE extractions
  -- The commit is, or was, the head of the branch: only then may it leave a parse state for the branch.
  ADD COLUMN was_head boolean NOT NULL DEFAULT false,
  -- Its push created the branch. A branch of the same name that was deleted before was another branch.
  ADD COLUMN created_branch boolean NOT NULL DEFAULT false;
UPDATE extractions SET was_head = true WHERE status IN ('queued', 'running') AND trigger IN ('push', 'reconcile', 'discovery');
CREATE INDEX extractions_created_branch ON extractions (connection_id, branch, number) WHERE created_branch;

-- `anyone`: dbt read everything, so the input alone made the lineage. Otherwise the branch whose parse state had a part in it. What is not
-- known of older rows is nobody's.
ALTER TABLE lineages ADD COLUMN trust text NOT NULL DEFAULT 'unknown';
DROP INDEX lineages_input;
CREATE INDEX lineages_input ON lineages (connection_id, input, trust, id);
