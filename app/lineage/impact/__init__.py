"""What a change does: classes of change, what they reach downstream, and what they break. Pure.

model               the impact: changes, reached nodes, breaks
compute             begin here: the whole computation
versions            what is compared: two sides, and both versions of a node
collecting          reads the nodes that differ, one after the other
deltas              how the columns and the SQL of one node differ, by digests
definition_changes  how its table, and what it promises, differ
building_changes    how it is built in another way
incremental_code    whether the code for later runs of an incremental model is the same
semantic_changes    how the definition of a metric, a semantic model, a saved query or a function differs
changes             the changes that are found, and what follows from them
settling            the classes of change of one node
renames             columns and nodes that only have another name
passing             models that hand everything on, and SQL that only reads through them
reach               follows changes downstream
lost_columns        the columns that are gone, for those that name them
breaks_columns      SQL and configurations that need a column that is gone
breaks_contracts    contracts that do not hold, or promise less
breaks_tables       tables that are gone, and are read by name
breaks_tests        tests, unit tests and analyses that name a column that is gone
breaks_exposures    exposures of models that lost a column, or that break
breaks_semantics    semantic models, metrics and saved queries
semantic_elements   what semantic models offer to them, and how they name it
tables              whether two names of tables are one
losses              what is lost by those who read a table by its name
foreign             what breaks in another project that reads it
elsewhere           what breaks in all other projects of the owner, and who may know
ordering            the order for readers, counts, limits
mentions            names in SQL-like text, and comparison of such texts
types               spellings of data types
reasons, words      sentences
"""
