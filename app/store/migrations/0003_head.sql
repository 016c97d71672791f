-- How the newest commit of a connection's branch stands is looked up with the connection.
CREATE INDEX extractions_of_commit ON extractions (connection_id, sha, number DESC);
