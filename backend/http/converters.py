"""Path converters."""

MAX_ID = 2**63 - 1


class IdConverter:
    """Matches the id of a row. Impossible ids do not match, so their URLs are 404."""

    regex = "[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if number > MAX_ID:
            raise ValueError
        return number

    def to_url(self, value: int) -> str:
        return str(value)
