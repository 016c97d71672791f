"""Packages, from the hub and from anywhere else on the network, without running anything of them: an edge, `ports.Installer`.

installer   Installer, the port: what a project asks for, resolved, fetched and kept
resolver    the waves of dbt's own resolution: each package with all who ask for it, and what it asks for in turn
registry    the package hub's API
trees       the files of one package, from the hub, a git repository or a URL
tarball     archives of strangers, read as streams, everything bounded
layout      the archive that a container unpacks
cache       what is kept between extractions: by content, checked, never shared between installations
guard       HTTP to addresses that strangers wrote
parallel    several things at once

What is asked for and which version that means is decided in `app.deps.packages`, `app.deps.pins` and `app.deps.ranges`.
"""
