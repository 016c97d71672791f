"""The Model Context Protocol: tools for agents over the same data, rights and functions as the API.

endpoint   `POST /mcp`: a message comes, an answer goes
jsonrpc    messages, their errors, and the two eras of the protocol
tools      the table of tools
inputs     their arguments
outputs    their answers
finding    tools that find nodes and projects
lineages   tools about one commit
changes    tools about two commits
projects   which project is meant
answers    what all answers have
budget     keeps them short
"""
