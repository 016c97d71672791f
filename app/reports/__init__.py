"""The texts of check runs, and what is stored for them: see `docs/checks.md`. Pure.

results                 results and problems as they are stored
notes                   what was inferred about a project, and why
check_run               titles, annotations and the whole check run
summary                 the Markdown below a title
impact                  what a change does, as it is stored with results
impact_places           … what is known of the nodes that it names
impact_lines            … the lines of their code
impact_annotations      … at these lines
impact_picture          … as a picture
impact_title            … in a few words
impact_blocks           … in the summary
impact_base             … with which commit it was compared
impact_lists            … as lists
impact_listing          … as lines on a console
github_links            addresses on GitHub
quality_line            what a commit does to quality
column_lineage          the part of results and of a summary about columns
column_listing          columns on a console, node by node
column_tree             … one column with what it is made of
column_words            … how they are called
placeholders            the part of a summary about placeholders
dbt_errors              splits and classifies dbt's output
dbt_error_catalogue     the classes of dbt's errors, in the order in which they are tried
error_class             one of them
error_classes_of_names  … about names that do not exist, or exist twice
error_classes_of_setups  … about packages, variables, versions, profiles, adapters
error_classes_of_resources  … about one resource type
error_classes_of_code   … in macros, Jinja and files
advice                  what to do about an error, from what the commit has
similar_names           the name that somebody may have meant
locations               files and lines in dbt's output, and its explanation
command_line            the same texts on the command line
stale_sources           sources that a change reads, and whose freshness failed
result_words            words for the results of dbt's own runs
redaction               removes secrets from logs
markdown                Markdown in which untrusted text has no effect
markdown_html           descriptions that strangers wrote as Markdown, as HTML that can do nothing
code_tokens             splits SQL with Jinja, and Python, into tokens
code_html               … as HTML with colors and links
badge                   the badge of a connection
"""
