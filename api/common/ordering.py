"""Ordering of lists."""


def order_terms(ordering: str) -> list[str]:
    """Return the terms of ?ordering= and the id, in the direction of the last term, so that an index can serve both."""
    terms = ordering.split(",")
    return [*terms, "-id" if terms[-1].startswith("-") else "id"]
