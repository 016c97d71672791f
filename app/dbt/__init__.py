"""dbt, run in Docker where it can do no harm: an edge that implements `ports.Runner`.

docker      DockerRunner, the port: two jobs (deps, parse) in terms of the files below
container   one single-use container, run to its end and judged
lifetime    containers are created and, whatever happens, deleted
isolation   what a container is and may do
attached    its three standard streams over one connection
command     what goes in (a tar archive) and what comes out (a line of JSON, then bytes)
packages    installed packages on their way from one container to the next
profile     stub profiles: the adapter's name and no secret
images      the runner image and what it holds
engine      the connection to the Docker engine, and its errors in our words
runner/     the program inside the image; it never runs in this process
"""
