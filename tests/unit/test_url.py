"""URLs of drivers, and the options in them."""

import msgspec
import pytest

from harvester.errors import ConfigError
from harvester.url import parse


class Options(msgspec.Struct):
    prefix: str = ""
    max_bytes: int = 0
    lease: float = 30.0


@pytest.mark.parametrize("prefix", ["0394161199136320", "12", "1e5", "10M", "live"])
def test_a_text_is_taken_as_it_stands_though_it_looks_like_a_number_or_a_size(prefix: str) -> None:
    assert parse(f"redis://host/0?prefix={prefix}").options(Options).prefix == prefix


@pytest.mark.parametrize(("text", "number"), [("30", 30), ("16MiB", 16 << 20), ("1K", 1 << 10), ("2 GB", 2 << 30)])
def test_a_number_may_be_written_as_a_size(text: str, number: int) -> None:
    assert parse(f"sqlite:///var/queue.db?max_bytes={text}").options(Options).max_bytes == number


def test_all_faults_of_the_options_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("redis://host/0?lease=soon&prefx=a&max_bytes=much").options(Options)
    told = str(caught.value)
    for fault in ("lease=soon: Expected `float`", "max_bytes=much: Expected `int`", "unknown option 'prefx'"):
        assert fault in told
