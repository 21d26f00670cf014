"""The pages that follow from the code are what the code says today."""

from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from consumers.records.mapping import dictionary, record_classes
from consumers.records.record import index_pattern
from harvester import measures
from harvester.options import options_of
from harvester.settings import families, inspect

ROOT = Path(__file__).parents[2]
OPTIONS = [option for model in families() for option in options_of(model)]


def generator() -> ModuleType:
    spec = spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(str(path.relative_to(ROOT)) for path in generator().pages()))
def test_a_generated_page_is_not_stale(name: str) -> None:
    pages: Mapping[Path, str] = generator().pages()
    assert (ROOT / name).read_text(encoding="utf-8") == pages[ROOT / name], "run `make docs`"


def test_f23_example_env_has_two_names_and_one_content() -> None:
    assert (ROOT / "example.env").read_bytes() == (ROOT / ".env.example").read_bytes()


def test_e46_example_env_lists_every_setting_with_a_comment() -> None:
    lines = (ROOT / "example.env").read_text(encoding="utf-8").splitlines()
    pairs = [(above, line.lstrip("#").partition("=")[0]) for above, line in pairwise(lines) if "=" in line]
    settings = {name: above for above, name in pairs if name.startswith("HARVESTER_")}
    assert settings.keys() == {option.name for option in OPTIONS}
    assert all(above.startswith("# ") for above in settings.values())
    assert all(old in "\n".join(lines) for option in OPTIONS for old in option.old)


def test_e46_example_env_copied_to_dotenv_lacks_only_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((ROOT / "example.env").read_text(encoding="utf-8"), encoding="utf-8")
    loaded = inspect(*families(), environ={}, cwd=tmp_path)
    assert {fault.what for fault in loaded.faults} == {option.name for option in OPTIONS if option.info.is_required()}
    text = (ROOT / "example.env").read_text(encoding="utf-8").replace("\n#HARVESTER_", "\nHARVESTER_")
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    uncommented = inspect(*families(), environ={}, cwd=tmp_path)
    assert {fault.where for fault in uncommented.faults} == {"not set"}


def test_configuration_md_has_every_setting_and_every_old_name() -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for option in OPTIONS for name in option.names)


def test_metrics_md_has_every_metric() -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert all(f"| `{metric.name}` | {metric.type} |" in text for metric in measures.DEFINITIONS)


def test_records_md_has_every_field_of_every_record() -> None:
    text = (ROOT / "docs/records.md").read_text(encoding="utf-8")
    assert record_classes()
    for record in record_classes():
        shape = record.__shape__
        assert f"Index `{index_pattern(record)}` · table `{shape.table}` · key `{shape.key}`" in text
        assert all(f"| `{field.document}` | `{field.column}` | {field.index_type} |" in text for field in dictionary(record))
