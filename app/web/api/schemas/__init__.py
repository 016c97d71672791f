"""The JSON of the API as pydantic models, a module for each noun: requests are validated by them, `/openapi.json` is made from them.

Field names are part of the API and do not change; times are UTC, ids are strings.
"""
