"""Eleven operations as grpcio asks them: grpc_client.py HOST:PORT TOKEN REPOSITORY TIP"""

import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

address, token, path, tip = sys.argv[1:]
tip = bytes.fromhex(tip)
channel = grpc.insecure_channel(address)
pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
metadata = [("authorization", f"Bearer {token}")]
asked = set()


def ask(service, name, shown=metadata, pieces=None, **fields):
    """Asks one operation by what reflection says about it; one that is asked in parts, piece by piece."""
    method = pool.FindServiceByName(f"hakata.git.v1.{service}").FindMethodByName(name)
    request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    if method.client_streaming:
        make = channel.stream_unary
    call = make(
        f"/hakata.git.v1.{service}/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=answer.FromString,
    )
    asking = iter([request(**piece) for piece in pieces]) if pieces else request(**fields)
    said = call(asking, metadata=shown, timeout=30)
    asked.add((service, name))
    return list(said) if method.server_streaming else said


def refused(code, *call, **fields):
    """Expects an operation to be refused."""
    try:
        ask(*call, **fields)
    except grpc.RpcError as error:
        assert error.code() == code, error
        return error
    raise AssertionError(f"{call} was not refused")


tools = {"path": path}
assert ask("ServerService", "Info").git_version
assert ask("RepositoryService", "Exists", repository=tools).exists
assert ask("RepositoryService", "Get", repository=tools).default_ref == b"refs/heads/main"
parts = ask("RefService", "ListBranches", repository=tools)
assert [branch.ref.name for part in parts for branch in part.branches] == [b"refs/heads/main"], parts
assert ask("RefService", "GetRef", repository=tools, ref_name=b"refs/heads/main").target_oid == tip
parent = ask("RefService", "ResolveRevision", repository=tools, revision={"expression": "main~1"}).oid
commits = [commit.oid for part in ask("CommitService", "List", repository=tools) for commit in part.commits]
assert commits == [tip, parent], commits
parts = ask("BlobService", "Get", repository=tools, path=b"a")
assert len(parts) > 1 and b"".join(part.content for part in parts) == b"a" * 300_000, len(parts)
made = ask("RefService", "CreateBranch", repository=tools, ref_name=b"refs/heads/py", start={"oid": parent})
assert made.ref.target_oid == parent
pieces = [
    dict(
        repository=tools,
        ref_name=b"refs/heads/py",
        author={"name": b"Py", "email": b"py@example.org"},
        message=b"in pieces",
        changes=[{"act": 3, "path": b"long", "content_bytes": 6}],
    ),
    dict(content=b"abc"),
    dict(content=b"def"),
]
assert ask("MergeService", "CommitFiles", pieces=pieces).version > made.version
blob = ask("BlobService", "Get", repository=tools, revision={"ref_name": b"refs/heads/py"}, path=b"long")
assert b"".join(part.content for part in blob) == b"abcdef"
assert ask("RefService", "DeleteBranch", repository=tools, ref_name=b"refs/heads/py").version > 0

refused(grpc.StatusCode.UNAUTHENTICATED, "ServerService", "Info", shown=[])
absent = refused(grpc.StatusCode.NOT_FOUND, "RepositoryService", "Get", repository={"path": "alice/none"})
assert absent.details() == "there is no such repository", absent
print(f"{len(asked)} operations")
