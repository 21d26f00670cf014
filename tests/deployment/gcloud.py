"""A stand-in for `gcloud`: it knows the commands and flags that we use, keeps what was made in a file, and writes down each call.

As the real one it refuses a flag that the command does not have, to make what is there, to change what is not, a member that is
no account, and a service that is not enabled. Flags are those of Google Cloud SDK 528.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

FOLDER = Path(os.environ.get("GCLOUD_STAND_IN", "."))
Flags = dict[str, str]
State = dict[str, Any]


class Command(NamedTuple):
    """`act` gets the state, what the command names, and its flags."""

    flags: str
    act: Callable[[State, str, Flags], str]
    api: str = ""


def refuse(text: str) -> NoReturn:
    sys.stderr.write(f"ERROR: (gcloud) {text}\n")
    raise SystemExit(1)


def make(kind: str) -> Callable[[State, str, Flags], str]:
    def act(state: State, name: str, flags: Flags) -> str:
        if f"{kind} {name}" in state:
            refuse(f"ALREADY_EXISTS: {kind} {name}")
        state[f"{kind} {name}"] = flags
        return ""

    return act


def put(kind: str) -> Callable[[State, str, Flags], str]:
    def act(state: State, name: str, flags: Flags) -> str:
        if source := flags.pop("source", ""):
            import shutil  # most calls do without

            shutil.rmtree(FOLDER / "source", ignore_errors=True)
            shutil.copytree(source, FOLDER / "source")
        state[f"{kind} {name}"] = flags
        return ""

    return act


def change(kind: str) -> Callable[[State, str, Flags], str]:
    def act(state: State, name: str, flags: Flags) -> str:
        state[found(state, kind, name)] = flags
        return ""

    return act


def describe(kind: str) -> Callable[[State, str, Flags], str]:
    def act(state: State, name: str, flags: Flags) -> str:
        found(state, kind, name.partition("@")[0] if kind == "account" else name)
        return f"https://{name}-abc-uc.a.run.app" if "format" in flags else ""

    return act


def bind(kind: str) -> Callable[[State, str, Flags], str]:
    def act(state: State, name: str, flags: Flags) -> str:
        account = flags["member"].removeprefix("serviceAccount:").partition("@")[0]
        if f"account {account}" not in state:
            refuse(f"INVALID_ARGUMENT: {flags['member']} does not exist")
        if kind != "project":
            found(state, kind, name)
        grants = state.setdefault("grants", [])
        grant = [f"{kind} {name}", flags.get("role", "invoker"), flags["member"]]
        if grant not in grants:
            grants.append(grant)
        return ""

    return act


def enable(state: State, name: str, _flags: Flags) -> str:
    state["apis"] = sorted({*state.get("apis", []), *name.split()})
    return ""


def add_version(state: State, name: str, flags: Flags) -> str:
    found(state, "secret", name)
    assert flags["data-file"] == "-"
    state.setdefault("versions", []).append(sys.stdin.read())
    return ""


def access_version(state: State, _version: str, flags: Flags) -> str:
    found(state, "secret", flags["secret"])
    if not state.get("versions"):
        refuse("NOT_FOUND: no version")
    return str(state["versions"][-1])


def build(state: State, source: str, flags: Flags) -> str:
    assert Path(source, flags["config"]).is_file()
    assert Path(source, flags["ignore-file"]).is_file()
    state["images"] = sorted({*state.get("images", []), flags["substitutions"].removeprefix("_IMAGE=")})
    return ""


def found(state: State, kind: str, name: str) -> str:
    if f"{kind} {name}" not in state:
        refuse(f"NOT_FOUND: {kind} {name}")
    return f"{kind} {name}"


_LOGIN = "oauth-service-account-email oidc-service-account-email oidc-token-audience"
_SCHEDULE = f"location schedule uri attempt-deadline http-method time-zone {_LOGIN}"
_RUNS = "region memory cpu service-account set-env-vars set-secrets"
_FUNCTION = "gen2 runtime source entry-point trigger-http no-allow-unauthenticated allow-unauthenticated timeout max-instances"
_BUCKET = "location uniform-bucket-level-access public-access-prevention no-public-access-prevention"
COMMANDS = {
    "services enable": Command("", enable),
    "iam service-accounts create": Command("display-name description", make("account"), "iam"),
    "iam service-accounts describe": Command("", describe("account"), "iam"),
    "projects add-iam-policy-binding": Command("member role condition", bind("project")),
    "secrets create": Command("replication-policy", make("secret"), "secretmanager"),
    "secrets describe": Command("", describe("secret"), "secretmanager"),
    "secrets versions add": Command("data-file", add_version, "secretmanager"),
    "secrets versions access": Command("secret", access_version, "secretmanager"),
    "secrets add-iam-policy-binding": Command("member role condition", bind("secret"), "secretmanager"),
    "storage buckets create": Command(_BUCKET, make("bucket"), "storage"),
    "storage buckets describe": Command("", describe("bucket"), "storage"),
    "storage buckets add-iam-policy-binding": Command("member role condition", bind("bucket"), "storage"),
    "artifacts repositories create": Command("location repository-format", make("images"), "artifactregistry"),
    "artifacts repositories describe": Command("location", describe("images"), "artifactregistry"),
    "builds submit": Command("config ignore-file substitutions tag", build, "cloudbuild"),
    "run jobs deploy": Command(f"{_RUNS} image args tasks max-retries task-timeout", put("job"), "run"),
    "run jobs add-iam-policy-binding": Command("member role region", bind("job"), "run"),
    "scheduler jobs describe": Command("location", describe("schedule"), "cloudscheduler"),
    "scheduler jobs create http": Command(f"{_SCHEDULE} headers", make("schedule"), "cloudscheduler"),
    "scheduler jobs update http": Command(_SCHEDULE, change("schedule"), "cloudscheduler"),
    "functions deploy": Command(f"{_RUNS} {_FUNCTION} concurrency", put("function"), "cloudfunctions"),
    "functions describe": Command("region", describe("function"), "cloudfunctions"),
    "functions add-invoker-policy-binding": Command("member region", bind("function"), "cloudfunctions"),
}
WIDE = {"project", "quiet", "format"}


def parsed(words: list[str]) -> tuple[str, str, Flags]:
    """The command, what it names, its flags. SystemExit: the command or one of the flags does not exist."""
    plain = [word for word in words if not word.startswith("--")]
    name = next((" ".join(plain[:n]) for n in (4, 3, 2) if " ".join(plain[:n]) in COMMANDS), "")
    if not name:
        refuse(f"Invalid choice: {' '.join(plain)}")
    pairs = [word[2:].partition("=") for word in words if word.startswith("--")]
    flags = {flag: value for flag, _, value in pairs}
    if unknown := flags.keys() - WIDE - set(COMMANDS[name].flags.split()):
        refuse(f"{name}: unrecognized arguments: {sorted(unknown)}")
    return name, " ".join(plain[len(name.split()) :]), flags


def main(words: list[str]) -> None:
    """One call. GCLOUD_REFUSES names a command that is refused as often as the file `refusals` has lines."""
    with (FOLDER / "calls").open("a") as log:
        log.write(json.dumps(words) + "\n")
    name, target, flags = parsed(words)
    left = FOLDER / "refusals"
    if os.environ.get("GCLOUD_REFUSES") == name and (turns := left.read_text().splitlines()):
        left.write_text("\n".join(turns[1:]))
        refuse("PERMISSION_DENIED, for now")
    kept = FOLDER / "state.json"
    state = json.loads(kept.read_text()) if kept.exists() else {}
    command = COMMANDS[name]
    if command.api and f"{command.api}.googleapis.com" not in state.get("apis", []):
        refuse(f"SERVICE_DISABLED: {command.api}")
    own = {flag: value for flag, value in flags.items() if flag not in WIDE - {"format"}}
    sys.stdout.write(command.act(state, target, own))
    kept.write_text(json.dumps(state, sort_keys=True))


if __name__ == "__main__":
    main(sys.argv[1:])
