"""What the demo leaves in its folder for other commands: its settings, and the joined view as a program to try."""

from pathlib import Path

from consumers.enrichers.opencast import EpisodeSettings
from harvester.commands.demo_found import PEOPLE
from harvester.loading import Loaded
from harvester.privacy import PrivacySettings
from harvester.sandbox.zoom_people import DOMAIN
from harvester.sandbox.zoom_settings import ZoomSandboxSettings
from harvester.settings import CoreSettings, load
from harvester.sources.opencast import OpencastSettings
from harvester.sources.zoom import ZoomSettings

MARK = "harvester.toml"
"""A folder that has it may be emptied."""
QUERY = "people.py"


def settings(folder: Path, opencast: str, zoom: str, *, pseudonymous: bool) -> Loaded:
    """The settings of the demo, which nothing in the environment changes; written there for other commands, too."""
    account = ZoomSandboxSettings()
    lines = [
        "# Written by `harvest demo`: HARVESTER_CONFIG names this file to the other commands.",
        'sources = ["opencast", "zoom"]',
        f'queue_url = "sqlite:///{folder}/queue.db"',
        f'coverage_url = "file://{folder}/coverage"',
        f'letters_url = "sqlite:///{folder}/letters.db"',
        f'duckdb_path = "{folder}/harvest.duckdb"',
        *(_hiding(folder) if pseudonymous else ()),
        "\n[opencast]",
        f'url = "{opencast}"\nuser = "harvester"\nwait = 0',
        f'password_file = "{_secret(folder, "opencast.password", "sandbox")}"',
        "\n[zoom]",
        f'url = "{zoom}/v2"\noauth_url = "{zoom}/oauth/token"',
        f'account_id = "{account.account_id}"\nclient_id = "{account.client_id}"',
        f'client_secret_file = "{_secret(folder, "zoom.secret", account.client_secret)}"',
    ]
    (folder / MARK).write_text("\n".join([*lines, ""]))
    families = (CoreSettings, OpencastSettings, ZoomSettings, PrivacySettings, EpisodeSettings)
    return load(*families, environ={"HARVESTER_CONFIG": str(folder / MARK)})


def write_query(folder: Path) -> None:
    """A program that asks the table for the joined view."""
    (folder / QUERY).write_text(
        '"""Students in lectures and in meetings. Change the query and run it again."""\n\n'
        "from pathlib import Path\n\nimport duckdb\n\n"
        'database = duckdb.connect(str(Path(__file__).with_name("harvest.duckdb")), read_only=True)\n'
        f'print(database.sql("""\n{PEOPLE}\n"""))\n'
    )


def _hiding(folder: Path) -> list[str]:
    key = _secret(folder, "privacy.key", "the demo's own key, known to all")
    return ['privacy = "pseudonymous"', f'privacy_key_file = "{key}"', f'privacy_mail_domains = "{DOMAIN}"']


def _secret(folder: Path, name: str, value: str) -> Path:
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(f"{value}\n")
    return path
