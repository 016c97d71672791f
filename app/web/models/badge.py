"""The address of a badge."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.web.models.common import Model, Query, Text, example

URL = "https://freshet.example.com/connections/0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11/badge.svg?signature=3q2-7wAAAAAAAAAAAAAAAA"


class BadgeQuery(Query):
    """What opens a badge of a private repository."""

    signature: Annotated[Text | None, Field(description="As `…/badge` gave it; a public repository needs none")] = None


class BadgeView(Model):
    """Where the badge is."""

    model_config = example(url=URL, markdown=f"![dbt lineage]({URL})", signed=True)

    url: str
    markdown: Annotated[str, Field(description="For a README")]
    signed: Annotated[bool, Field(description="Whoever has the address sees the badge, for as long as the connection is there")]
