"""What people wrote, in mails: it stays in its line, and turns nothing else around."""

# Embeddings, overrides and isolates: they set the direction of whatever follows.
_DIRECTIONS = dict.fromkeys(map(ord, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"))
_JOINERS_AND_MARKS = "\u200c\u200d\u200e\u200f"  # of Arabic, Hebrew, Indic scripts and emoji


def quote_user_text(text: str) -> str:
    """`text` in one line, without what sets a direction beyond its own letters."""
    return " ".join(text.translate(_DIRECTIONS).split())


def subject_line(text: str) -> str:
    """`text` as a header takes it: no control characters, at most 200 letters."""
    text = quote_user_text(text)[:200]
    return "".join(char if char.isprintable() or char in _JOINERS_AND_MARKS else "?" for char in text)
