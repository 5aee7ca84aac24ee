"""Normalization of usernames and email addresses for comparison."""

import unicodedata

LOGIN_MAX_LENGTH = 254  # characters, of an email


def normalize_login(text: str) -> str:
    """Return a typed username or email address without case, compatibility characters and surrounding blanks.

    The login throttle, the account lookup and the hash in the audit trail all use this function: an account is found
    if and only if the typed text shares the counters of its username or email.
    """
    # Folding the case can leave characters that NFKC composes.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()
