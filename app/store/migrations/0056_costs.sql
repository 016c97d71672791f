-- What extractions cost, by month: it stays when the extractions are deleted because of their age.
CREATE TABLE extraction_costs (
  connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
  -- Its first day, in UTC.
  month date NOT NULL,
  extractions bigint NOT NULL,
  cpu_seconds double precision NOT NULL,
  PRIMARY KEY (connection_id, month)
);
CREATE INDEX extraction_costs_month ON extraction_costs (month);

INSERT INTO extraction_costs (connection_id, month, extractions, cpu_seconds)
SELECT connection_id, date_trunc('month', finished_at AT TIME ZONE 'UTC')::date, count(*), sum((facts->'usage'->>'cpu_seconds')::float8)
FROM extractions WHERE finished_at IS NOT NULL AND facts->'usage'->>'cpu_seconds' IS NOT NULL GROUP BY 1, 2;

-- Sums over the history of a node.
ALTER TABLE node_results
  ADD COLUMN seconds double precision, ADD COLUMN bytes double precision, ADD COLUMN slot_ms double precision;
