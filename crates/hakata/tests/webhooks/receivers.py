"""Receivers that other people wrote, behind one port: Buildbot's change hooks and gidgethub's reading of requests.

    receivers.py SECRET

Says on which port it listens, and then of every request that was accepted what was understood, a line of JSON each.
Buildbot answers 202, gidgethub's page 200; what they refuse is answered 400 and told of nowhere.
"""

import json
import sys
from types import SimpleNamespace

from buildbot.www.change_hook import ChangeHookResource
from gidgethub import ValidationFailure
from gidgethub.sansio import Event
from twisted.internet import defer, reactor
from twisted.web import resource, server

SECRET = sys.argv[1]


def tell(**words):
    print(json.dumps(words), flush=True)


class Updates:
    """What Buildbot's master does with a change: here it is told of."""

    def addChange(self, src=None, **change):
        kept = ("revision", "branch", "author", "comments", "files", "project", "repository", "revlink")
        tell(by="buildbot", **{name: change.get(name) for name in kept})
        return defer.succeed(1)


class Gidgethub(resource.Resource):
    isLeaf = True

    def render_POST(self, request):
        headers = {
            name.decode().lower(): values[0].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        try:
            event = Event.from_http(headers, request.content.read(), secret=SECRET)
        except ValidationFailure as refused:
            request.setResponseCode(400)
            return str(refused).encode()
        tell(by="gidgethub", event=event.event, delivery=event.delivery_id, after=event.data["after"])
        return b"taken"


master = SimpleNamespace(
    config=SimpleNamespace(buildbotURL="http://localhost/"),
    www=SimpleNamespace(resourceNeedsReconfigs=lambda page: None),
    data=SimpleNamespace(updates=Updates()),
)
root = resource.Resource()
dialects = {"github": {"secret": SECRET, "strict": True}, "gitea": {"secret": SECRET}}
root.putChild(b"change_hook", ChangeHookResource(master, dialects))
root.putChild(b"gidgethub", Gidgethub())
port = reactor.listenTCP(0, server.Site(root), interface="127.0.0.1")
tell(port=port.getHost().port)
reactor.run()
