"""From a webhook delivery to an extraction to a check run: the core of the service.

events/             GitHub's payloads as small typed events (pure)
webhooks/           from an event to queued extractions, in one transaction
triggers            extractions requested through the API or a page
connections         creates, changes and deletes connections, on request or to match the projects of a commit
connection_rules    which connections a repository needs, and which of them extract a push (pure)
queue_rules         whether a commit is the newest, and whether it still needs an extraction (pure)
worker              claims extractions, runs them and stores the results
verification        checks a share of partial parses against full ones, while nothing waits
refresh             the path of one extraction, stage by stage
storing             stores the lineage and then its columns
bases               finds the commit that an extraction is compared with
base_rules          which commit that is, and what stands in for it (pure)
impacts             what a commit does, compared with its base: ends the extraction, and corrects it when a better base is there
quality             what a commit does to the quality of its project, when its extraction ends
search_updates      keeps search in step with the lineages
manifests           keeps dbt's own manifests
outages             writes over a short outage of the database
other_projects      looks up the other projects that a commit names
progress            what a running extraction records
decoding/           reads manifests in separate processes
check_runs          updates check runs on GitHub until they match the extractions
reconciler          compares GitHub with the database, and queues what is behind
forgotten_checks    check runs on GitHub that the database does not know after a restore
loop                the work loop of all background work
leases              every lease, delay and number of attempts of the background work
branch_heads        asks GitHub for the current head of a branch
ports               what the pipeline needs from the outside, as Protocols
"""
