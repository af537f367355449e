"""A small Hub on 127.0.0.1: the file protocol and the commit protocol that the client speaks, with faults on demand.

Files that end in .safetensors are large files (LFS): a redirect to another origin, the CDN, which serves ranges. Others
are answered where they are. State is plain dictionaries that a test reads and changes.
"""

import base64
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

TOKEN = "hf_of_the_tests"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Repository:
    """Commits (id -> path -> content) and the branches that point to them."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], branch: str = "main", message: str = "") -> str:
        """Add files on top of a branch; return the commit."""
        tree = {**self.commits.get(self.branches.get(branch, ""), {}), **files}
        name = hashlib.sha1(f"{len(self.commits)} {sorted(tree)} {message}".encode()).hexdigest()
        self.commits[name], self.branches[branch] = tree, name
        self.messages.append(message)
        return name

    def find(self, revision: str) -> str | None:
        """The commit that a branch or commit stands for."""
        return self.branches.get(revision, revision if revision in self.commits else None)


class Hub:
    """The server and its state.

    Attributes:
        repositories: by OWNER/REPO.
        log: method and path of every request.
        status: answer everything with this status, if not None.
        cdn_status: answer every request for a body with this status, if not None.
        is_xet: large files are said to be in a Xet store, which there is not.
        is_busy: somebody else commits while something is pushed.
        cuts: how many of the next bodies of the CDN to cut off in the middle.
        replaced: sha256 -> what the CDN serves in its stead.
        hang_up: close every connection without an answer.
        body_seconds: how long a body of the CDN takes.
        answer_seconds: how long every answer takes.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}
        self.log: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.status: int | None = None
        self.cdn_status: int | None = None
        self.is_xet = False
        self.is_busy = False
        self.cuts = 0
        self.replaced: dict[str, bytes] = {}
        self.hang_up = False
        self.body_seconds = 0.0
        self.answer_seconds = 0.0
        handler = type("Handler", (_Handler,), {"hub": self})
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        self._threads = [
            threading.Thread(target=one.serve_forever, args=(0.01,)) for one in self._servers
        ]
        for thread in self._threads:
            thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def cdn(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    def repository(self, name: str, files: dict[str, bytes], **attributes: Any) -> str:
        """Make a repository with one commit; return the commit."""
        self.repositories[name] = Repository(**attributes)
        return self.repositories[name].commit(files)

    def bodies(self) -> int:
        """How many bodies the CDN was asked for."""
        return sum(method == "GET" and path.startswith("/cdn/") for method, path in self.log)

    def large_file(self, sha256: str) -> bytes | None:
        for repository in self.repositories.values():
            for tree in repository.commits.values():
                for content in tree.values():
                    if digest(content) == sha256:
                        return content
        return self.uploads.get(sha256)

    def close(self) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        path = unquote(self.path.split("?")[0])
        self.hub.log.append((self.command, path))
        body = self._body()
        time.sleep(self.hub.answer_seconds)
        if self.hub.hang_up:
            self.close_connection = True
        elif self.hub.status is not None:
            self._send(self.hub.status, b"out of order", {"Content-Type": "text/plain"})
        elif match := re.fullmatch(r"/cdn/(\w+)", path):
            self._serve_large(match[1])
        elif match := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(*match.groups())
        elif match := re.fullmatch(r"/upload/(\w+)", path):
            self.hub.uploads[match[1]] = body
            self._send(200 if digest(body) == match[1] else 400)
        elif path == "/xet-token":
            expires = str(int(time.time()) + 3600)
            headers = {"X-Xet-Cas-Url": self.hub.cdn, "X-Xet-Access-Token": "t"}
            self._send(200, headers={**headers, "X-Xet-Token-Expiration": expires})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json(401, {"error": "Invalid username or password."})
        else:
            self._api(path, body)

    do_GET = do_HEAD = do_POST = do_PUT = _handle

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(content).encode(), headers)

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository = self.hub.repositories.get(name)
        is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository.private and not is_known):
            self._send(404 if is_known else 401, headers={"X-Error-Code": "RepoNotFound"})
            return
        if repository.gated and not is_known:
            self._send(401, headers={"X-Error-Code": "GatedRepo"})
            return
        commit = repository.find(revision)
        if commit is None:
            self._send(404, headers={"X-Error-Code": "RevisionNotFound"})
            return
        content = repository.commits[commit].get(file)
        headers = {"X-Repo-Commit": commit}
        if content is None:
            self._send(404, headers={**headers, "X-Error-Code": "EntryNotFound"})
        elif file.endswith(".safetensors"):
            headers["X-Linked-Etag"] = f'"{digest(content)}"'
            headers["X-Linked-Size"] = str(len(content))
            headers["Location"] = f"{self.hub.cdn}/cdn/{digest(content)}"
            if self.hub.is_xet:
                headers["X-Xet-Hash"] = "ab" * 32
                headers["X-Xet-Refresh-Route"] = f"{self.hub.url}/xet-token"
            self._send(302, headers={**headers, "ETag": '"of the redirect"'})
        else:
            self._send(200, content, {**headers, "ETag": f'"{git_oid(content)}"'})

    def _serve_large(self, sha256: str) -> None:
        content = self.hub.replaced.get(sha256) or self.hub.large_file(sha256)
        if content is None or self.hub.cdn_status is not None:
            self._send(self.hub.cdn_status or 404)
            return
        start, status, headers = 0, 200, {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"}
        if wanted := self.headers.get("Range"):
            self.hub.ranges.append(wanted)
            start, status = int(wanted.removeprefix("bytes=").removesuffix("-")), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        time.sleep(self.hub.body_seconds)
        if self.hub.cuts > 0:
            self.hub.cuts -= 1
            self.close_connection = True
            headers["Content-Length"] = str(len(body))
            self._send(status, body[: len(body) // 2], headers)
        else:
            self._send(status, body, headers)

    def _api(self, path: str, body: bytes) -> None:
        data = json.loads(body) if body and not path.startswith("/api/models/") else None
        if path == "/api/repos/create":
            name = "/".join(filter(None, (data["organization"], data["name"])))
            is_new = name not in self.hub.repositories
            if is_new:
                is_private = data.get("visibility") == "private"
                self.hub.repository(name, {".gitattributes": b""}, private=is_private)
            self._json(200 if is_new else 409, {"url": f"{self.hub.url}/{name}"})
        elif path == "/api/validate-yaml":
            self._json(200, {"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            objects = [self._lfs_object(one["oid"], one["size"]) for one in data["objects"]]
            self._json(200, {"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(?:/(\w+)/(.+))?", path):
            repository = self.hub.repositories.get(match[1])
            if repository is None:
                self._json(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            else:
                self._of_repository(match[1], repository, match[2], match[3], body)
        else:
            self._json(404, {"error": f"the tests' Hub knows no {path}"})

    def _lfs_object(self, oid: str, size: int) -> dict[str, Any]:
        known = {"oid": oid, "size": size}
        if self.hub.large_file(oid) is not None:
            return known
        return {**known, "actions": {"upload": {"href": f"{self.hub.cdn}/upload/{oid}"}}}

    def _of_repository(
        self, name: str, repository: Repository, what: str | None, revision: str | None, body: bytes
    ) -> None:
        commit = repository.find(revision or "main")
        if what in (None, "revision"):
            self._json(200, {"id": name, "sha": commit, "private": repository.private})
        elif what == "branch":
            if commit is None:
                repository.branches[str(revision)] = repository.branches["main"]
            self._json(200 if commit is None else 409, {})
        elif commit is None:
            self._json(404, {}, {"X-Error-Code": "RevisionNotFound"})
        elif what == "preupload":
            if self.hub.is_busy:
                repository.commit({"README.md": b"Somebody else's."}, message="between")
            files = [
                self._mode(one["path"], repository.commits[commit])
                for one in json.loads(body)["files"]
            ]
            self._json(200, {"files": files})
        else:
            self._commit(name, repository, str(revision), body)

    @staticmethod
    def _mode(path: str, tree: dict[str, bytes]) -> dict[str, Any]:
        mode = "lfs" if path.endswith(".safetensors") else "regular"
        oid = None
        if path in tree:
            oid = digest(tree[path]) if mode == "lfs" else git_oid(tree[path])
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _commit(self, name: str, repository: Repository, branch: str, body: bytes) -> None:
        lines = [json.loads(line) for line in body.splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, repository.branches[branch]):
            self._json(412, {"error": "A commit has happened since."})
            return
        files: dict[str, bytes] = {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                content = self.hub.large_file(value["oid"])
                if line["key"] != "lfsFile" or content is None or len(content) != value["size"]:
                    self._json(400, {"error": f"no such object: {value}"})
                    return
                files[value["path"]] = content
        commit = repository.commit(files, branch, header["summary"])
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self._json(200, {"commitOid": commit, "commitUrl": url})

    def log_message(self, *_: object) -> None:
        pass
