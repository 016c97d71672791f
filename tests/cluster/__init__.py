"""The API of a Kubernetes cluster, recorded from a real one and replayed over real HTTP and WebSockets.

`recording` is the form of a record, `recorder` a proxy in front of a cluster that makes one, `replay` a server that answers from one,
`scenarios` what was recorded: `python -m tests.cluster` records all of them again, with the cluster of `deploy/test-cluster.sh`.
"""
