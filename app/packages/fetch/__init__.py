"""Fetches packages as data, from the hub and elsewhere; none of their code runs. Implements `pipeline.ports.Installer`.

installer   the port: resolves, fetches and caches the packages of a project
resolver    dbt's own resolution of versions and dependencies
registry    the package hub's API
sources     the files of one package, from the hub, a git repository or a URL
tarball     reads untrusted archives as streams, with limits on everything
archive     the archive that a container unpacks
cache       files kept between extractions, with checksums, never shared between installations
http        HTTP to addresses that somebody untrusted wrote
parallel    concurrent calls with the results in order
"""
