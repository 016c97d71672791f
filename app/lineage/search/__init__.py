"""Search by words: what a node is found by, and what was searched for. Pure.

words    words of names and texts
entries  begin here: the words of a node, and its place among the results
queries  what somebody typed: words and filters
tiers    how well a node matches, from its exact name down to its description
matches  what of a node matched, for readers
"""
