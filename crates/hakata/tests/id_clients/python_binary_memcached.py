"""The binary protocol as python-binary-memcached speaks it: python_binary_memcached.py HOST:PORT"""

import sys

import bmemcached
from bmemcached.exceptions import MemcachedException

address = sys.argv[1]
seen = set()


def take(value):
    """Checks that a value is an id that never came before."""
    assert int(value) > 0, value
    assert value not in seen, f"{value} came twice"
    seen.add(value)


client = bmemcached.Client((address,))
for _ in range(10):
    take(client.get("key"))
# Quiet requests for all keys but the last.
for keys in (["a"], ["a", "b", "c"], [f"key{at}" for at in range(200)]):
    many = client.get_multi(keys)
    assert sorted(many) == sorted(keys), many
    for value in many.values():
        take(value)

# A reply too many above would be taken for a statistic here.
(stats,) = client.stats().values()
assert int(stats["pid"]) > 0 and int(stats["cmd_get"]) > 0, stats
assert stats["version"][:1].isdigit(), stats

(connection,) = client.servers
sock = connection.connection
assert connection.noop() == 0, "a noop is answered with success"
try:
    stored = client.set("key", "value")
except MemcachedException:
    stored = False
assert not stored, "an id server stores nothing"
take(client.get("key"))
assert connection.connection is sock, "everything went over one connection"

client.disconnect_all()
take(client.get("key"))
client.disconnect_all()
print(f"{len(seen)} ids, each once")
