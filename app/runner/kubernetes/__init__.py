"""The Kubernetes backend of the runner.

backend      KubernetesRunner, the port
pod          a container in a pod of its own: create, wait for its start, run the program
exec_stream  the program's standard streams over a WebSocket
manifests    the pod and the network policy that isolate and limit it (pure)
verdicts     what the cluster says of a pod, as our errors (pure)
probe        what an image has, and how the cluster isolates a pod, found out in a pod
cluster      the connection to the cluster, and its errors as ours
"""
