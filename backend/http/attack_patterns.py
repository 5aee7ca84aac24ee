"""Patterns of attacks that no user of Cosmo sends: probes for files, scripts and SQL."""

import re
from urllib.parse import unquote_plus

MAX_CHECKED = 4_096  # characters

_PATTERNS = {
    "path_traversal": r"\.\.[/\\]|[/\\]\.\.|/etc/(?:passwd|shadow)|\\windows\\|\x00",
    "dotfile": r"/\.(?!well-known(?:/|$|\?))[a-z_]",
    "script_injection": r"<\s{0,5}/?\s{0,5}(?:script|iframe|svg|img)\b|javascript:|\bon(?:error|load|click)\s{0,5}=",
    "sql_injection": r"\bunion\s{1,9}(?:all\s{1,9})?select\b|'\s{0,9}or\s{1,9}['\d]"
    r"|;\s{0,9}(?:drop|delete|insert|update)\s{1,9}|\b(?:sleep|benchmark|pg_sleep|waitfor)\s{0,5}\(|\binformation_schema\b|\bxp_cmdshell\b",
    "code_injection": r"\$\{jndi:|<\?php|\bphp://|/(?:wp-login|wp-admin|phpmyadmin|cgi-bin)\b|\.php(?:\?|/|$)",
}
_ANY = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _PATTERNS.items()), re.IGNORECASE)


def find_attack_pattern(path: str, query: str) -> str | None:
    """Return the name of the first pattern in a path (decoded) or query string (raw); None without a match."""
    text = f"{path}?{query}"[:MAX_CHECKED]
    for _ in range(2):  # twice: text may be encoded twice
        if "%" not in text and "+" not in text:
            break
        text = unquote_plus(text)
    match = _ANY.search(text)
    return match.lastgroup if match else None
