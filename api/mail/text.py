"""User text in emails: limited to its own line and its own text direction."""

# Embeddings, overrides and isolates: they change the direction of the text after them.
_DIRECTIONS = dict.fromkeys(map(ord, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
_JOINERS_AND_MARKS = "\u200c\u200d\u200e\u200f"  # needed by Arabic, Hebrew, Indic scripts and emoji


def quote_user_text(text: str) -> str:
    """Return `text` in one line, without characters that change the direction of other text."""
    return " ".join(text.translate(_DIRECTIONS).split())


def subject_line(text: str) -> str:
    """Return `text` as a valid subject header: no control characters, at most 200 characters."""
    text = quote_user_text(text)[:200]
    return "".join(char if char.isprintable() or char in _JOINERS_AND_MARKS else "?" for char in text)
