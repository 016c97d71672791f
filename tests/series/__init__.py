"""Series of edits: each result of the runner's program with the state of earlier jobs is compared with a full parse of the same files.

containers  jobs in forks of one warm container, over the protocol of the service
comparing   what has to be equal, and how a difference is shown
project     a dbt project with everything that dbt reads, as texts and as entries of YAML
edits       random edits of it, by kind: models, entries, others
running     one series: steps, states as the service keeps them, counts
shrinking   the shortest series and the smallest edit that still differ
public      commits of public projects, and random edits of them
"""
