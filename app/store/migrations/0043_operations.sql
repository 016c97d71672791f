-- What ended lately, over all connections.
CREATE INDEX extractions_finished ON extractions (finished_at) WHERE finished_at IS NOT NULL;
