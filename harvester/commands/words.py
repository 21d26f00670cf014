"""Amounts as people say them."""


def amount_of(amount: int, one: str, many: str = "") -> str:
    """`1 gap`, `1,200 gaps`; `many` where an s is not enough."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"
