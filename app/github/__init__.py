"""GitHub and git. Nothing here depends on the database or the web pages.

webhook     receives deliveries: checks size, signature and headers before anything is parsed
unverified  bodies of deliveries until their signature is checked, limited in sum
app/        the App itself: tokens, credentials, registration
rest/       the REST API
access/     what a caller with a GitHub token may do
git/        fetching commits
"""
