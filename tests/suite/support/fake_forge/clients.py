"""Other people's clients against a simulated forge.

    clients.py KIND URL PROJECT TOKEN COMMIT

Posts a status and reads it back, lists the open pull requests, makes a comment on number 7, changes it and reads it
back. Prints what it saw as JSON. Exit codes: 0 all good, 77 the client is not installed.
"""
import json
import sys

kind, url, project, token, sha = sys.argv[1:6]


def github():
    from github import Auth, Github
    from github.Commit import Commit
    from github.Issue import Issue
    from github.IssueComment import IssueComment
    from github.PaginatedList import PaginatedList
    from github.PullRequest import PullRequest

    client = Github(base_url=f"{url}/api/v3", auth=Auth.Token(token), seconds_between_requests=0, seconds_between_writes=0)
    requester, base = client.get_repo(project)._requester, f"{url}/api/v3/repos/{project}"
    commit = Commit(requester, {}, {"sha": sha, "url": f"{base}/commits/{sha}"}, completed=True)
    commit.create_status("success", description="by PyGithub", context="other/client")
    statuses = [(one.context, one.state, one.description) for one in commit.get_statuses()]
    listed = PaginatedList(PullRequest, requester, f"{base}/pulls", {"state": "open"})
    pulls = [(one.number, one.head.sha) for one in listed]
    issue = Issue(requester, {}, {"number": 7, "url": f"{base}/issues/7"}, completed=True)
    made = issue.create_comment("one")
    known = {"id": made.id, "url": f"{base}/issues/comments/{made.id}"}
    IssueComment(requester, {}, known, completed=True).edit("two")
    return client.get_user().login, statuses, pulls, [one.body for one in issue.get_comments()]


def gitlab():
    from gitlab import Gitlab

    client = Gitlab(url, private_token=token)
    client.auth()
    repository = client.projects.get(project, lazy=True)
    commit = repository.commits.get(sha, lazy=True)
    commit.statuses.create({"state": "success", "name": "other/client", "description": "by python-gitlab", "ref": "main"})
    statuses = [(one.name, one.status, one.description) for one in commit.statuses.list(get_all=True)]
    requests = repository.mergerequests.list(state="opened", get_all=True)
    pulls = [(one.iid, one.sha) for one in requests]
    request = repository.mergerequests.get(7, lazy=True)
    note = request.notes.create({"body": "one"})
    note.body = "two"
    note.save()
    bodies = [one.body for one in request.notes.list(get_all=True) if not one.system]
    return client.user.username, statuses, pulls, bodies


def forgejo():
    from pyforgejo import PyforgejoApi

    client = PyforgejoApi(base_url=f"{url}/api/v1", api_key=f"token {token}")
    owner, name = project.split("/")
    repository = client.repository
    words = {"context": "other/client", "state": "success", "description": "by pyforgejo"}
    repository.repo_create_status(owner, name, sha, target_url="", **words)
    listed = repository.repo_list_statuses_by_ref(owner, name, sha)
    statuses = [(one.context, str(one.status), one.description) for one in listed]
    pulls = [(one.number, one.head.sha) for one in repository.repo_list_pull_requests(owner, name, state="open")]
    made = client.issue.create_comment(owner, name, 7, body="one")
    client.issue.edit_comment(owner, name, made.id, body="two")
    bodies = [one.body for one in client.issue.get_comments(owner, name, 7)]
    return client.user.get_current().login, statuses, pulls, bodies


try:
    account, statuses, pulls, bodies = {"github": github, "gitlab": gitlab, "gitea": forgejo, "forgejo": forgejo}[kind]()
except ImportError:
    sys.exit(77)
print(json.dumps({"account": account, "statuses": statuses, "pulls": pulls, "comments": bodies}))
