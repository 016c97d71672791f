"""The lineages of several projects as one graph: see `docs/organisation.md`. Pure.

projects    a project with its lineage, and the ids of its nodes in the graph
joins       a join between two of them
join_rules  which node of one project is, or makes, which node of another, why, and whether that is certain
joining     begin here: all joins between some projects
composing   one graph of them
walking     which nodes of which projects a node is connected with
"""
