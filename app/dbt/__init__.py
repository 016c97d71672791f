"""dbt, run in Docker where it can do no harm: an edge that implements `ports.Runner`.

docker      DockerRunner, the port: two jobs (deps, parse) in terms of the files below
errands     one job in one container, a warm one if there is one, until what it leaves is written
pool        warm containers: started and warmed ahead of their jobs
demand      pure: how many of them, for what
states      what dbt may begin the next parse of a connection with
verdict     what became of a job: its result, or an error
container   one single-use container: created, attached, given a job, and deleted
lifetime    containers are created and, whatever happens, deleted
isolation   what a container is and may do
attached    its three standard streams over one connection
command     what goes in (lines of JSON, a tar archive) and what comes out (lines of JSON, bytes)
profile     stub profiles: the adapter's name and no secret
images      the runner image and what it holds
build       runner images are built from a checkout
probe       what the engine can and cannot do to keep containers in
engine      the connection to the Docker engine, and its errors in our words
runner/     the program inside the image; it never runs in this process
"""
