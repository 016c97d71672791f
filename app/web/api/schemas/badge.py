"""The badge's address."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.web.api.schemas.common import Model, Query, Text, example

URL = "https://freshet.example.com/connections/0b6f1c1e-4f0e-4a8e-9d7b-2f1f0f6f5a11/badge.svg?signature=3q2-7wAAAAAAAAAAAAAAAA"


BadgeKind = Literal["freshness", "quality"]


class BadgeKindQuery(Query):
    """Which badge."""

    kind: Annotated[BadgeKind, Field(description="`freshness`: how fresh the lineage is; `quality`: its score")] = "freshness"


class BadgeQuery(BadgeKindQuery):
    """Which badge, and the signature, which that of a private repository needs."""

    signature: Annotated[Text | None, Field(description="From the `url` that `…/badge` returned; not needed for a public repository")] = (
        None
    )


class BadgeView(Model):
    """The badge's address."""

    model_config = example(url=URL, markdown=f"![dbt lineage]({URL})", signed=True)

    url: Annotated[str, Field(description="The address of the image")]
    markdown: Annotated[str, Field(description="The image in Markdown, to paste into a README")]
    signed: Annotated[
        bool,
        Field(
            description="True for a private repository: `url` has a signature, and anyone who has it can see the badge as long as the "
            "connection exists"
        ),
    ]
