"""Export formats of a lineage or a selection of it, one module each. Pure.

Names are untrusted: each module says how it treats characters that its format cannot represent.

heading             which lineage it is
labels              names as visible text
relation_names      database, schema and identifier
xml_text            escapes text for XML
chunks              groups output into chunks of similar size
json_document, dot, mermaid, graphml, edges_csv, openlineage    the formats
columns_json, columns_csv                                       formats of columns
column_facets       columns in OpenLineage's events
openlineage_names   how these events name datasets and jobs
"""
