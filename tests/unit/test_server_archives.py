"""Servers fetched once: whole or not at all, the file that was tried or none, by one run at a time."""

import hashlib
import os
import threading
import zipfile
from pathlib import Path

import pytest

from tests.servers import maven
from tests.servers.maven import Archive, unpacked
from tests.servers.protocols import MissingServerError

MAVEN = """#!/bin/sh
# Stands for the network: puts the file where Maven would, and counts its calls.
for word; do case $word in -DoutputDirectory=*) to=${word#*=};; esac; done
echo called >> "$FAKE/calls"
mkdir -p "$to"
[ -z "$FAKE_CUT" ] || { echo "the line was cut" >&2; head -c 20 "$FAKE/server-1.zip" > "$to/server-1.zip"; exit 1; }
cp "$FAKE/server-1.zip" "$to/"
"""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """A server of one program, which the Maven of this test delivers."""
    (tmp_path / "mvn").write_text(MAVEN)
    (tmp_path / "mvn").chmod(0o755)
    with zipfile.ZipFile(tmp_path / "server-1.zip", "w") as packed:
        program = zipfile.ZipInfo("server-1/bin/server")
        program.external_attr = 0o755 << 16
        packed.writestr(program, "#!/bin/sh\n")
        packed.writestr("server-1/config/server.yml", "")
    monkeypatch.setattr(maven, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("FAKE_CUT", "")
    digest = hashlib.sha256((tmp_path / "server-1.zip").read_bytes()).hexdigest()
    return Archive("org.example", "server", "1", digest)


def test_runs_at_the_same_time_fetch_once_and_get_the_whole_server(archive: Archive, tmp_path: Path) -> None:
    found: list[Path] = []
    runs = [threading.Thread(target=lambda: found.append(unpacked("server1", archive))) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert found == [archive.folder] * 4
    assert (tmp_path / "calls").read_text() == "called\n"
    assert os.access(archive.folder / "bin" / "server", os.X_OK)
    assert sorted(path.name for path in archive.folder.parent.iterdir()) == ["server-1", "server-1.lock"]


def test_a_cut_download_is_no_server_and_the_next_run_fetches_it_anew(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CUT", "yes")
    with pytest.raises(MissingServerError, match=r"server1: mvn .*org\.example:server:1:zip.* failed: the line was cut"):
        unpacked("server1", archive)
    assert not archive.folder.exists()
    monkeypatch.setenv("FAKE_CUT", "")
    assert (unpacked("server1", archive) / "config" / "server.yml").exists()


def test_a_file_that_is_not_the_one_that_was_tried_is_refused(archive: Archive) -> None:
    other = archive._replace(sha256="0" * 64)
    with pytest.raises(AssertionError, match=r"server-1\.zip is not the file that was tried"):
        unpacked("server1", other)
    assert not other.folder.exists()


def test_without_maven_the_reason_is_told_and_what_is_there_already_is_used(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingServerError, match="no Maven"):
        unpacked("server1", archive)
    monkeypatch.setenv("PATH", path)
    unpacked("server1", archive)
    monkeypatch.setenv("PATH", "")
    assert unpacked("server1", archive) == archive.folder
