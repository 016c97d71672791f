-- One node by its unique_id: its versions, and itself in a lineage without reading all others. A stranger's unique_id may be too long for
-- an index, so it has the beginning.
CREATE INDEX nodes_unique_id ON nodes (connection_id, left(unique_id, 200));
CREATE INDEX node_columns_unique_id ON node_columns (connection_id, left(unique_id, 200));
