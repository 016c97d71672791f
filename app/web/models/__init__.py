"""The JSON of the API as pydantic models, a module for each noun: `/openapi.json` is made of them, requests are read by them.

Field names are those of the contract, times are UTC, ids are strings.
"""
