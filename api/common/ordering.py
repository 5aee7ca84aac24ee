"""The order of lists."""


def order_terms(ordering: str) -> list[str]:
    """The terms of ?ordering=, and the id last, in the direction of the one before: so an index serves both ways."""
    terms = ordering.split(",")
    return [*terms, "-id" if terms[-1].startswith("-") else "id"]
