"""Names as people see them: what would not be seen, or would make other text look like something else, is shown as what it is."""

from __future__ import annotations

_CONTROLS = {**{code: 0x2400 + code for code in range(0x20)}, 0x7F: 0x2421}
"""To the pictures that Unicode has of them."""
_REPLACED = dict.fromkeys([*range(0x80, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)], 0xFFFD)
"""Other controls, line breaks, and what turns the direction of writing."""
_LABEL = {**_CONTROLS, **_REPLACED}


def visible(name: str) -> str:
    """Return a name on one line, without characters that do something instead of being seen."""
    return name if name.isprintable() else name.translate(_LABEL)
