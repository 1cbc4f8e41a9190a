"""A mail server that keeps what it is given, and answers as a test wants.

usage: mail_server.py DIRECTORY OPTIONS

OPTIONS is JSON: tls ("none", "starttls", "tls"), certificate, key, user, password, and lists of answers, "rcpt" and
"data", which are given in turn; an empty one, or none left, is consent. "drop" closes the connection, "hang" says
nothing. Each letter becomes DIRECTORY/N.json, read by Python's own parser; DIRECTORY/port tells where it listens.
"""

import asyncio
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

directory, options = sys.argv[1], json.loads(sys.argv[2])
answers = {"rcpt": options.get("rcpt", []), "data": options.get("data", [])}
count = {"connections": 0, "letters": 0}


def write(name, text):
    path = os.path.join(directory, name)
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


async def answered(verb, server, consent):
    answer = answers[verb].pop(0) if answers[verb] else ""
    if answer == "drop":
        server.transport.abort()
        await asyncio.sleep(3600)
    if answer == "hang":
        await asyncio.sleep(3600)
    return answer or consent


def described(envelope, session):
    message = email.message_from_bytes(envelope.content, policy=email.policy.default)
    parts = {}
    for part in message.walk():
        if not part.is_multipart():
            parts[part.get_content_type()] = part.get_content().replace("\r\n", "\n")
    raw = envelope.content.split(b"\r\n")
    return {
        "from": envelope.mail_from,
        "to": envelope.rcpt_tos,
        "headers": {name.lower(): str(value) for name, value in message.items()},
        "names": [name for name in message.keys()],
        "sender": message["from"].addresses[0].display_name,
        "parts": parts,
        "defects": [repr(defect) for defect in message.defects]
        + [repr(defect) for name in message.keys() for defect in message[name].defects],
        "longest_line": max(len(line) for line in raw),
        "is_ascii": envelope.content.isascii(),
        "is_encrypted": session.ssl is not None or options.get("tls") == "tls",
        "user": session.auth_data.login.decode() if session.auth_data else None,
        "connection": session.connection,
    }


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        answer = await answered("rcpt", server, "250 2.1.5 fine")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope):
        # Before the answer: what is refused or dropped was received all the same.
        letter = described(envelope, session)
        write("offered.json", json.dumps(letter))
        answer = await answered("data", server, "250 2.0.0 kept")
        if answer.startswith("250"):
            count["letters"] += 1
            write("%04d.json" % count["letters"], json.dumps(letter))
        return answer


class Server(SMTP):
    def _create_session(self):
        count["connections"] += 1
        session = super()._create_session()
        session.connection = self.number = getattr(self, "number", count["connections"])
        return session


def authenticator(server, session, envelope, mechanism, data):
    is_right = isinstance(data, LoginPassword) and (
        data.login.decode() == options["user"] and data.password.decode() == options["password"]
    )
    # Not handled: the protocol's class says no.
    return AuthResult(success=is_right, handled=is_right, auth_data=data if is_right else None)


async def main():
    tls = options.get("tls", "none")
    context = None
    if tls != "none":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["certificate"], options["key"])
    arguments = {"enable_SMTPUTF8": True}
    if tls == "starttls":
        arguments.update(tls_context=context, require_starttls=True)
    if options.get("user"):
        # TLS from the first byte is unknown to the protocol's class.
        arguments.update(authenticator=authenticator, auth_required=True, auth_require_tls=tls == "starttls")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Server(Handler(), loop=loop, **arguments),
        "127.0.0.1",
        int(options.get("port", 0)),
        ssl=context if tls == "tls" else None,
    )
    write("port", str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()


asyncio.run(main())
