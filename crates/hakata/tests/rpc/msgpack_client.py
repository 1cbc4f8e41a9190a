"""Eleven operations as a few lines of MessagePack-RPC ask them: msgpack_client.py HOST:PORT TOKEN REPOSITORY TIP"""

import socket
import sys

import msgpack

address, token, path, tip = sys.argv[1:]
tip = bytes.fromhex(tip)
host, port = address.rsplit(":", 1)
connection = socket.create_connection((host, int(port)), timeout=30)
unpacker = msgpack.Unpacker(raw=False)
asked = set()
next_id = 0


def call(method, *params):
    """Sends one request and reads its answer."""
    global next_id
    next_id += 1
    connection.sendall(msgpack.packb([0, next_id, method, list(params)], use_bin_type=True))
    while True:
        for kind, number, error, result in unpacker:
            assert (kind, number) == (1, next_id), (kind, number)
            return error, result
        data = connection.recv(65536)
        assert data, "the server closed the connection"
        unpacker.feed(data)


def ask(method, **fields):
    """Asks one operation; one that answers in parts is asked until there are no more."""
    parts, extra = [], {}
    asked.add(method)
    while True:
        error, result = call(method, {**fields, **extra})
        assert error is None, error
        if "parts" not in result:
            return result
        parts += result["parts"]
        if result.get("cursor"):
            extra = {"cursor": result["cursor"]}
        elif result.get("handle"):
            extra = {"_handle": result["handle"]}
        else:
            return parts


assert call("auth", token) == (None, True)
tools = {"path": path}
assert ask("server.info")["git_version"]
assert ask("repository.exists", repository=tools)["exists"]
assert ask("repository.get", repository=tools)["default_ref"] == b"refs/heads/main"
branches = [branch["ref"]["name"] for part in ask("ref.list_branches", repository=tools) for branch in part["branches"]]
assert branches == [b"refs/heads/main"], branches
assert ask("ref.get_ref", repository=tools, ref_name=b"refs/heads/main")["target_oid"] == tip
parent = ask("ref.resolve_revision", repository=tools, revision={"expression": "main~1"})["oid"]
commits = [commit["oid"] for part in ask("commit.list", repository=tools) for commit in part["commits"]]
assert commits == [tip, parent], commits
parts = ask("blob.get", repository=tools, path=b"a")
assert len(parts) > 1 and b"".join(part["content"] for part in parts) == b"a" * 300_000, len(parts)
made = ask("ref.create_branch", repository=tools, ref_name="refs/heads/py", start={"oid": parent})
assert made["ref"]["target_oid"] == parent
first = {
    "repository": tools,
    "ref_name": "refs/heads/py",
    "author": {"name": "Py", "email": "py@example.org"},
    "message": "in pieces",
    "changes": [{"act": 3, "path": "long", "content_bytes": 6}],
}
handle = ask("merge.commit_files", **first, _more=True)["upload"]
handle = ask("merge.commit_files", content=b"abc", _upload=handle, _more=True)["upload"]
assert ask("merge.commit_files", content=b"def", _upload=handle)["version"] > made["version"]
parts = ask("blob.get", repository=tools, revision={"ref_name": "refs/heads/py"}, path="long")
assert b"".join(part["content"] for part in parts) == b"abcdef"
assert ask("ref.delete_branch", repository=tools, ref_name=b"refs/heads/py")["version"] > 0

error, _ = call("repository.get", {"repository": {"path": "alice/none"}})
assert (error["name"], error["message"]) == ("NOT_FOUND", "there is no such repository"), error
error, _ = call("no.such", {})
assert error["name"] == "UNIMPLEMENTED", error
print(f"{len(asked)} operations")
