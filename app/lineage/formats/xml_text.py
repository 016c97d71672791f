"""Text between the tags of XML."""

from __future__ import annotations

import re

_IMPOSSIBLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """Escape a text; characters that XML 1.0 cannot represent (https://www.w3.org/TR/xml/#charsets) become U+FFFD."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return escaped if escaped.isprintable() else _IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", escaped).replace("\r", "&#13;")
