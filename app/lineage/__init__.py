"""From dbt's manifest to the lineage graph. Pure.

resource_types   the resource types in the graph, one row each
manifest         decodes `manifest.json` into resources
manifest_comparison  whether two manifests of one input say the same
relations        the names of tables, with where they come from
owners           who owns a node
code_owners/     who owns a file by CODEOWNERS
column_tests     the tests of each column
definitions      what dbt says of one node beyond the lineage
nodes            turns resources into nodes and edges, with hashes that show what changed
column_document  what a container found out about columns
column_digests   what digests of the SQL of two commits say about each other
column_placeholders  takes placeholders out of that
column_overview  what a check run says of that
column_graph     the columns of a stored lineage in memory, with the edges between them
column_merge     builds it, with what YAML files say of columns
column_reach     follows its edges, and finds columns by name
column_selectors  what `--select` means where columns are shown
copy_format      rows in PostgreSQL's binary COPY format
graph            a stored lineage in memory, and its filters
node_selectors   dbt's way to name nodes: `+orders`, `tag:finance`
nearest          the nodes around a focus by distance, and the shortest ways between two
diff             the differences between two lineages
run_results      what dbt's own runs say of nodes
quality/         how well nodes are described, tested and owned, and what could be built better
node_history     what happened to one node, commit by commit
impact/          what a change does, what it reaches, and what it breaks
organisation/    the lineages of several projects as one graph
layout/          where nodes are drawn
search/          what a node is found by, and what somebody searches for
formats/         JSON, DOT, Mermaid, GraphML, CSV, OpenLineage
"""
