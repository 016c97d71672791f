"""A lineage, or the part of it that somebody asked for, as programs of all kinds read it: pure, a module for each format.

`heading` is what stands above the nodes, `texts` writes names for people, `pieces` brings what a format writes into pieces of one size.
`document` is the JSON of the API, then `dot`, `mermaid`, `graphml`, `edges_csv` and `openlineage`. Names come from strangers: each module
says what it does with what its format cannot hold.
"""
