"""Installations whose books lie on real servers, for proofs with several harvesters."""

from pathlib import Path

from tests.servers.fixtures import Servers
from tests.site import HOUR, NOON, Site, stamp

STORES = {
    "redis": "{url}/0?prefix={name}&lease=3",
    "s3": "s3://coverage/{name}?endpoint={url}&region=eu-west-1&lease=3",
}
PATIENCE = 120.0
"""Seconds for each thing waited for: a busy machine is slow, not wrong."""


def installed(folder: Path, vendor: str, server: str, servers: Servers, **more: str) -> Site:
    """An installation whose books are on a server, and whose daemons poll often."""
    url = STORES[server].format(url=servers.get(server).url, name=folder.name.replace("_", "-"))
    settings = {
        "HARVESTER_COVERAGE_URL": url,
        "HARVESTER_OPENCAST_START": stamp(NOON - 3 * HOUR),
        "HARVESTER_POLL_INTERVAL": "0.2",
        "HARVESTER_AWS_ACCESS_KEY_ID": "any",
        "HARVESTER_AWS_SECRET_ACCESS_KEY": "any",
        **more,
    }
    site = Site(folder, vendor, **settings)
    if server == "s3":
        assert site.harvest("setup").code == 0
    return site


def known(site: Site, mark: str) -> str:
    """`live_edge` or `watermark` as text that orders like time; before all times while there is none."""
    return (site.coverage() or {}).get(mark) or ""
