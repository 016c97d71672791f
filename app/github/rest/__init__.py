"""GitHub's REST API.

http            requests to one host: time limits, redirects that keep the method, no token for another host
pace            spreads requests, so that GitHub's secondary limits are kept
responses       from a response to an error: gone, suspended, try again, or our mistake
checks          branch heads and check runs (`pipeline.ports.GitHub`)
history         where two branches part, and what a commit is made of
inventory       installations, repositories, heads, failed deliveries (`pipeline.ports.Inventory`)
project_search  finds the dbt projects of a commit, even when GitHub's file list is truncated
"""
