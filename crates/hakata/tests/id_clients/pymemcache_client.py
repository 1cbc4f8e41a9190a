"""The text protocol as pymemcache speaks it: pymemcache_client.py HOST:PORT"""

import sys
import threading

from pymemcache.client.base import Client
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheError

host, port = sys.argv[1].rsplit(":", 1)
server = (host, int(port))
seen = set()


def take(value):
    """Checks that a value is an id that never came before."""
    assert isinstance(value, bytes) and int(value) > 0, value
    assert value not in seen, f"{value} came twice"
    seen.add(value)


client = Client(server, timeout=10, connect_timeout=10)
for _ in range(10):
    take(client.get("key"))
many = client.get_many(["a", "b", "a", "c"])
assert sorted(many) == ["a", "b", "c"], many
for value in many.values():
    take(value)
value, token = client.gets("key")
take(value)
assert token.isdigit(), token
for value, token in client.gets_many(["a", "b"]).values():
    take(value)
    assert token.isdigit(), token

stats = client.stats()
assert int(stats[b"pid"]) > 0 and int(stats[b"cmd_get"]) > 0, stats
assert client.version()[:1].isdigit(), client.version()

# The server stores nothing; without a reply to wait for, the next reply must still be the next request's.
client.set("key", "get smuggled\r\nget smuggled")
take(client.get("key"))
client.set_many({"a": "1", "b": "2"})
client.delete("key", noreply=True)
client.incr("key", 1, noreply=True)
take(client.get("key"))
try:
    stored = client.set("key", "value", noreply=False)
except MemcacheError:
    stored = False
assert not stored, "an id server stores nothing"

take(Client(server, timeout=10).get("after a refusal"[:5]))
client.quit()
take(client.get("key"))
client.close()

pool = HashClient([server], use_pooling=True, max_pool_size=8, timeout=10, connect_timeout=10)
lock = threading.Lock()
failures = []


def work():
    try:
        for _ in range(50):
            values = [pool.get("key"), *pool.get_many(["a", "b", "c"]).values()]
            with lock:
                for value in values:
                    take(value)
    except BaseException as error:
        failures.append(error)


threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
pool.quit()
print(f"{len(seen)} ids, each once")
