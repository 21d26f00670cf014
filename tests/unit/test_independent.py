"""E69: nothing of the place where the predecessor ran is fixed: each is a setting, what it was there at most its default."""

import ast
import re
from collections.abc import Iterator

import pytest

from harvester.options import Option, options_of
from harvester.settings import families
from tests.unit.test_house import modules, text_of

# Names, hosts, regions and workflows of that place, or of any one place.
HOSTING = re.compile(
    r"harvard|\bdce\b|mh-opsworks|opsworks|amazonaws\.com|\b(us|eu|ap)-[a-z]+-\d\b|\b[\w-]+\.(edu|org|com|net)\b|prod-user-actions",
    re.IGNORECASE,
)
OPTIONS = {option.name: option for model in families() for option in options_of(model)}
DEFAULTS = {
    "DCE-archive-publish-external": "HARVESTER_OPENCAST_WORKFLOW",
    "https://logs-01.loggly.com/bulk/{token}/tag/{tags}/": "HARVESTER_LOGS_URL",
    "https://api.zoom.us/v2": "HARVESTER_ZOOM_URL",
    "https://zoom.us/oauth/token": "HARVESTER_ZOOM_OAUTH_URL",
    "https://api.github.com": "HARVESTER_GITHUB_URL",
    "us-east-1": "HARVESTER_AWS_REGION",
}
"""Text in the code → the setting whose default it is."""
VENDORS = {
    "zoomgov.com",
    "github.com",
    "api.github.com",
    "https://storage.googleapis.com",
    "https://bigquery.googleapis.com",
    "https://www.googleapis.com/auth/bigquery",
    "https://www.googleapis.com/auth/devstorage.read_write",
}
"""Addresses that a vendor itself has for everybody."""


def fixed() -> Iterator[tuple[str, str]]:
    """Every text of the product that names such a place, with its module; a docstring or a sentence, as of a help, is none."""
    for name in [*modules("harvester/"), *modules("consumers/")]:
        if name.startswith("harvester/sandbox/"):
            continue
        tree = ast.parse(text_of(name))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in prose else None
            if isinstance(text, str) and " " not in text and HOSTING.search(text):
                yield name, text


def test_e69_no_name_host_region_or_workflow_is_fixed_in_the_code() -> None:
    found = list(fixed())
    assert {text for _, text in found} >= {"us-east-1", "DCE-archive-publish-external"}, "it would be noticed"
    assert [(name, text) for name, text in found if text not in {*DEFAULTS, *VENDORS}] == []


@pytest.mark.parametrize(("text", "name"), DEFAULTS.items())
def test_e69_what_was_fixed_is_the_default_of_a_setting(text: str, name: str) -> None:
    option: Option = OPTIONS[name]
    assert text == str(option.default) or text in str(option.info.description)


def test_e69_cache_region_workflow_and_hosts_are_settings() -> None:
    hosts = ("AWS_ENDPOINT_URL", "OPENCAST_URL", "OPENCAST_ADMIN_URL")
    names = (*hosts, "CACHE_URL", "AWS_REGION", "ELASTICSEARCH_INDEX_PREFIX", "OPENCAST_WORKFLOW", "TIMEZONE")
    assert {f"HARVESTER_{name}" for name in names} <= OPTIONS.keys()
