"""The text of a page, as a reader sees it."""

from __future__ import annotations

import re
from html import unescape


def text_of(page: str) -> str:
    """Return the text of a page's body, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.partition("<body>")[2]))


def section(page: str, name: str) -> str:
    """Return the text of one section, with plain spaces."""
    found = re.split(r"<section ", page.partition(f'id="{name}"')[2])[0]
    return unescape(text_of(f"<body><p {found}")).replace("\u202f", " ")
