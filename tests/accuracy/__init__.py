"""How right column lineage is: `make accuracy` measures it and writes `docs/accuracy.md`.

`world` has the tables, `truth` the rules of dependence, `building` and `operators` make queries with known edges, `generator` composes
them, `constructed` compares; `hand` reads the hand set; `oracle` watches DuckDB, `twin` takes conditions away, `observed` judges;
`metamorphic` changes texts, `changes` meanings, and `digests` compares what digests say of both;
`peers` asks other readers, by the program `peer_reader`; `engine` asks the engine, `scores` counts, `page` writes. `impact` is about
changes between two commits.
"""
