"""Freshet: a GitHub App that keeps the lineage of dbt projects current. This is the walk through it, file by file.

One push, from end to end::

    GitHub ── POST /api/webhooks/github ──▶ github/webhook   bytes → HMAC over the raw bytes → a signed delivery
                                            events           pure: payload → a small typed event
                                            handlers         delivery + queued extractions, one transaction → 202
                                            store            PostgreSQL: the queue, the outbox, the lineages
                                            worker           claims: fair between installations, lease + heartbeat
                                            refresh          the whole path in one short function, stage by stage:
                                              github/source    fetch exactly the pushed sha into a bare mirror
                                              settings         pure: `.github/freshet.yml`, if there is one
                                              inference        pure: which projects, which files dbt reads, which warehouse, which dbt;
                                                               nothing of it changed: the lineage is carried forward, else
                                              images           pure: which runner image fits
                                              hub              packages as data: resolved (deps, pure), fetched, verified, cached
                                              dbt/docker       a warm container without a network: dbt parse → manifest.json
                                              decoding         a process of its own:
                                                manifest         pure: bytes → resources
                                                column_tests     pure: which tests stand at which columns
                                                lineage          pure: resources → nodes, edges, hashes; copy_format makes rows
                                            worker           COPY what is new, switch the lineage, end: one transaction
                                            wording          pure: result or error → title, summary, annotations
                                            outbox           the check run on GitHub becomes what the extraction is
                                            notices          pure: who is told, from how it stands and what was told
                                            notifier         mails and webhooks for those who asked: notify
    people, programs ── GET ──────────────▶ web              JSON, server-sent events, pages, metrics
                                              store/graphs     a stored lineage, kept in memory while there is room
                                              graph            pure: which part of it was asked for
                                              formats          pure: how it is written: JSON, DOT, OpenLineage …
                                              diff             pure: what is other at one commit than at another

What else there is: `reconcile` compares what GitHub has with what we have, at the start and every few minutes, and queues what is behind.
`connecting` is what people want of connections: made, set, removed; `heads` asks GitHub for the head of a branch now. `following` decides
which connections there are to be. `jobs` holds the records that all of the above pass around, `records` what the database hands over,
`remarks` what is said of a place in a repository; `ledger` stands between an extraction on its way and the store. `texts` and `yaml_schema`
read YAML as people (and attackers) write it, `resolve` looks names up for those who may go to public addresses only, and `outward` connects
to them. `ports`, `callers` and `storage` say what is needed of the outside worlds, and the folders `github`, `dbt`, `hub`, `decoding`,
`notify`, `store` and `web` each are one of those worlds.

How the GitHub App comes to be: `app.yml` says what it may do, `github_app` makes GitHub's form of it (pure), `web/setup` is the page with
the button, `web/door` decides who may press it, `github/setup` takes the credentials and `github/identity` keeps them; `checkup` judges
what GitHub says of the App (pure), and `credentials` decides at the start which App we are.

The API is a table of operations: `web/operations` says what one is, each module of `web/api` has those of its noun, `web/models` their
JSON, and `web/openapi` describes them to programs and people.

Who may call: `web/guard` reads the token, `web/tokens` knows the operator's, `github/viewers` those that GitHub knows: what they may do is
asked there (`github/questions`), and decided from its words (`github/grants`, pure). `tokens` (pure) says what is kept of a token.

`config` alone reads the environment, `parts` makes what commands use too, `housekeeping` sees to containers and caches, `main` puts the
service together, `cli`, `image_commands` and `__main__` are the command line.

Imports go down only, and a test sees to it::

    remarks, usage, log, metrics, tokens → errors    the standard library, structlog, prometheus_client
    texts → yaml_schema → settings → inference/, deps/;        pure: no await, no clock, no environment
    images; jobs → events; github_app → checkup;
    manifest → column_tests → lineage → wording/; graph → formats/; diff; notices; copy_format
    ports, callers, records → storage; resolve → outward; spool    Protocols over the above; bytes on their way
    handlers, refresh, connecting, heads → ledger → worker, reconcile, outbox, notifier   the flow
    github/  dbt/  hub/  decoding/  notify/  store/  web/    the edges: never each other
    config, credentials, parts, housekeeping, main, cli, image_commands, __main__   everything; nobody imports them
"""
