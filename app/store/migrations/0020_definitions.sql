-- What dbt's manifest says of a node beyond the lineage: a JSON object. NULL: an earlier release stored the node.
ALTER TABLE nodes ADD COLUMN definition bytea;
