"""What follows from the files of a commit: which dbt projects it holds, and all that running dbt on one of them needs to know. Pure.

`names` (what directory names say) and `specs` (which packages are asked for) → `discovery` (the projects) and `evidence` (what names an
adapter) → `warehouse` and `versions` (what to parse for, and with which dbt) → `project` (which files go into the container).
"""
