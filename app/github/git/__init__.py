"""git, with its own environment.

process         runs git, and leaves no process behind
directories     directories of bare repositories
mirror          a bare repository that caches fetched commits of one repository
partial_clone   fetches commits without files, and files by their ids
commit_facts    who wrote a commit, when, and why
commit_tree     one commit: its files, their contents, the tar entries for a container
source          fetches exactly one commit from GitHub (`pipeline.ports.Sources`)
submodules      adds the submodules that dbt reads to a commit
packages        fetches the git packages of `packages.yml` (`pipeline.ports.PackageSources`)
pinned_host     git that connects to one checked IP address only
revision        finds the commit of a branch, a tag or a sha
local           a directory or any git URL, for the command line
work_tree       a directory as it is now, with what is not committed
"""
