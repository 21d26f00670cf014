"""What REST answers about accounts, repositories and commits. Shapes from the vendor's OpenAPI file and recorded answers."""

from collections.abc import Mapping
from typing import Any

from harvester.sandbox.github_names import (
    API,
    BOT,
    COMMIT,
    LABEL,
    MANNEQUIN,
    ORGANIZATION,
    REPOSITORY,
    USER,
    WEB,
    iso,
    node_id,
)
from harvester.sandbox.github_people import GHOST, WEB_FLOW, Account
from harvester.sandbox.github_threads import Commit
from harvester.sandbox.github_world import Repository, World

Row = dict[str, Any]

_USER_URLS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_REPOSITORY_URLS = {
    "url": "",
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}
_NODE_KINDS = {"User": USER, "Bot": BOT, "Mannequin": MANNEQUIN, "Organization": ORGANIZATION}


def account_node(account: Account) -> str:
    return node_id(_NODE_KINDS[account.kind], account.id)


def user_row(account: Account) -> Row:
    url = f"{API}/users/{account.rest_login.replace('[', '%5B').replace(']', '%5D')}"
    return {
        "login": account.rest_login,
        "id": account.id,
        "node_id": account_node(account),
        "avatar_url": f"https://avatars.github.example/u/{account.id}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{WEB}/apps/{account.login}" if account.kind == "Bot" else f"{WEB}/{account.login}",
        **{name: url + rest for name, rest in _USER_URLS.items()},
        "type": account.kind,
        "site_admin": False,
    }


def user_or_ghost(account: Account | None) -> Row:
    """As pull requests and issues have a deleted account."""
    return user_row(account or GHOST)


def full_user_row(account: Account, *, created: int) -> Row:
    nothing: Row = dict.fromkeys(("company", "location", "hireable", "bio", "twitter_username"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    times = {"created_at": iso(created), "updated_at": iso(created)}
    return {**user_row(account), "name": account.name, "blog": "", "email": account.email, **nothing, **counts, **times}


def organization_row(world: World, now: int) -> Row:
    org, repositories = world.org, world.there(now)
    url = f"{API}/orgs/{org.login}"
    urls = {f"{name}_url": f"{url}/{name}" for name in ("repos", "events", "hooks", "issues")}
    return {
        "login": org.login,
        "id": org.id,
        "node_id": account_node(org),
        "url": url,
        **urls,
        "members_url": f"{url}/members{{/member}}",
        "public_members_url": f"{url}/public_members{{/member}}",
        "avatar_url": f"https://avatars.github.example/u/{org.id}?v=4",
        "html_url": f"{WEB}/{org.login}",
        "description": "Lectures and what is around them",
        "name": org.name,
        "has_organization_projects": True,
        "has_repository_projects": True,
        "public_repos": sum(not repository.private for repository in repositories),
        "total_private_repos": sum(repository.private for repository in repositories),
        "public_gists": 0,
        "followers": 3,
        "following": 0,
        "type": "Organization",
        "created_at": iso(world.since),
        "updated_at": iso(world.since),
        "archived_at": None,
    }


def repository_url(world: World, repository: Repository, now: int) -> str:
    return f"{API}/repos/{world.org.login}/{repository.name(now)}"


def repository_web(world: World, repository: Repository, now: int) -> str:
    return f"{WEB}/{world.org.login}/{repository.name(now)}"


def repository_row(world: World, repository: Repository, now: int) -> Row:
    url, web, name = repository_url(world, repository, now), repository_web(world, repository, now), repository.name(now)
    opened = world.open(repository, now)
    counted: Row = {"stargazers_count": 3, "watchers_count": 3, "forks_count": 0, "open_issues_count": opened}
    counted |= {"watchers": 3, "forks": 0, "open_issues": opened, "size": 100 + repository.serial}
    return {
        "id": repository.id,
        "node_id": node_id(REPOSITORY, repository.id),
        "name": name,
        "full_name": f"{world.org.login}/{name}",
        "private": repository.private,
        "owner": user_row(world.org),
        "html_url": web,
        "description": None if repository.serial % 2 else f"All about {name}",
        "fork": False,
        **{key: url + rest for key, rest in _REPOSITORY_URLS.items()},
        "created_at": iso(repository.founded),
        "updated_at": iso(world.updated(repository, now)),
        "pushed_at": iso(world.pushed(repository, now)),
        "git_url": f"git:{web.removeprefix('https:')}.git",
        "ssh_url": f"git@github.example:{world.org.login}/{name}.git",
        "clone_url": f"{web}.git",
        "svn_url": web,
        "homepage": None,
        "language": "Python",
        **dict.fromkeys(("has_projects", "has_downloads", "has_wiki", "allow_forking"), True),
        **dict.fromkeys(("has_pages", "has_discussions", "disabled", "is_template", "web_commit_signoff_required"), False),
        "has_issues": repository.issues,
        "has_pull_requests": True,
        "mirror_url": None,
        "archived": repository.archived <= now,
        "license": None,
        "topics": [],
        "visibility": "private" if repository.private else "public",
        "default_branch": "main",
        **counted,
    }


def full_repository_row(world: World, repository: Repository, now: int) -> Row:
    return {**repository_row(world, repository, now), "network_count": 0, "subscribers_count": 4}


def listed_repository_row(world: World, repository: Repository, now: int) -> Row:
    """As the list of an organisation has it."""
    permissions = {"admin": False, "maintain": False, "push": True, "triage": True, "pull": True}
    return {**repository_row(world, repository, now), "permissions": permissions}


def label_rows(url: str, labels: tuple[str, ...]) -> list[Row]:
    return [
        {
            "id": 1_000_000 + sum(label.encode()),
            "node_id": node_id(LABEL, label),
            "url": f"{url}/labels/{label.replace('/', '%2F').replace(' ', '%20')}",
            "name": label,
            "color": "ededed",
            "default": False,
            "description": f"About {label}",
        }
        for label in labels
    ]


def commit_row(url: str, web: str, repository: Repository, commit: Commit) -> Row:
    """`author` and `committer` are null where the address belongs to no account."""
    author = commit.author if commit.author is not None and commit.author.linked else None
    signed = {"name": commit.name, "email": commit.email, "date": iso(commit.authored)}
    by = {"name": WEB_FLOW.name, "email": WEB_FLOW.email} if commit.web else signed
    committer = WEB_FLOW if commit.web else author
    verification = {"verified": commit.web, "reason": "valid" if commit.web else "unsigned", "signature": None, "payload": None}
    return {
        "sha": commit.sha,
        "node_id": node_id(COMMIT, repository.id, commit.sha),
        "commit": {
            "author": signed,
            "committer": {**by, "date": iso(commit.committed)},
            "message": commit.message,
            "tree": {"sha": commit.sha[::-1], "url": f"{url}/git/trees/{commit.sha[::-1]}"},
            "url": f"{url}/git/commits/{commit.sha}",
            "comment_count": 0,
            "verification": {**verification, "verified_at": iso(commit.committed) if commit.web else None},
        },
        "url": f"{url}/commits/{commit.sha}",
        "html_url": f"{web}/commit/{commit.sha}",
        "comments_url": f"{url}/commits/{commit.sha}/comments",
        "author": user_row(author) if author else None,
        "committer": user_row(committer) if committer else None,
        "parents": [{"sha": commit.parent, "url": f"{url}/commits/{commit.parent}", "html_url": f"{web}/commit/{commit.parent}"}],
    }


def reactions(url: str) -> Mapping[str, Any]:
    kinds = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
    return {"url": f"{url}/reactions", "total_count": 0, **dict.fromkeys(kinds, 0)}
