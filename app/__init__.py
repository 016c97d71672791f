"""Freshet: a GitHub App that keeps the lineage of dbt projects current. The walk, a room a line; each room's `__init__` goes on from here.

core            what every room may use: errors, logs, records, HTTP to strangers' addresses
lineage         pure: dbt's manifest to nodes, edges and formats; the differences between two lineages
project         pure: what a commit holds, and how dbt is to read it
reports         pure: what people read on GitHub and on pages
store           PostgreSQL: the queue, the check runs that are due, the lineages
pipeline        the story: GitHub's delivery to an extraction to a check run; begin with `webhooks`, `worker` and `refresh`
notifications   who is notified when a lineage breaks, falls behind or recovers
packages        what `dbt deps` would do, without running anything
github          GitHub and git
runner          dbt where it can do no harm
web             HTTP: the API, the pages, who may call
service         the only place where the rooms meet: configuration, the service, the command line

What may import what is a table in `tests/unit/test_imports.py`. `docs/internals/path.md` follows one push from end to end.
"""
