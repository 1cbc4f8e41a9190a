#!/usr/bin/env python3
"""Prints what happens in Hakata's repositories, one JSON object a line.

    pip install pika
    ./follow_events.py amqp://USER:PASSWORD@HOST:5672/VHOST [--prefix hakata] [--queue my-program] [EVENT...]

EVENT is a routing key such as push, or a pattern such as "#", which is the default. With --queue the queue outlives
this program, and what happens meanwhile is printed when it runs again; without it, only what happens while it runs.
"""

import argparse
import json
import sys

import pika

# Versions of the objects that this program understands. A newer one means that a field changed its meaning.
SCHEMA = 1


def bind(channel, arguments):
    """Declares the queue, binds it to the events that are wanted, and returns its name."""
    if arguments.queue:
        declared = channel.queue_declare(
            arguments.queue, durable=True, arguments={"x-queue-type": "quorum"}
        )
    else:
        declared = channel.queue_declare("", exclusive=True)
    queue = declared.method.queue
    for event in arguments.events or ["#"]:
        channel.queue_bind(queue, f"{arguments.prefix}.events", routing_key=event)
    return queue


def receive(channel, method, _properties, body):
    """Prints one event, and acknowledges it only then: what is cut short comes again."""
    event = json.loads(body)
    if event["schema"] > SCHEMA:
        sys.exit(f"event {event['id']} has schema {event['schema']}; this program knows {SCHEMA}")
    print(json.dumps(event, ensure_ascii=False, sort_keys=True), flush=True)
    channel.basic_ack(method.delivery_tag)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("url", help="where the broker is")
    parser.add_argument("--prefix", default="hakata", help="rabbitmq.prefix of the server")
    parser.add_argument("--queue", help="the name of a queue that is kept")
    parser.add_argument("events", nargs="*", metavar="EVENT", help="routing keys; all if none")
    arguments = parser.parse_args()
    connection = pika.BlockingConnection(pika.URLParameters(arguments.url))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=100)
    queue = bind(channel, arguments)
    channel.basic_consume(queue, receive)
    print(f"listening on {queue}", file=sys.stderr, flush=True)
    try:
        channel.start_consuming()
    except KeyboardInterrupt:
        connection.close()


if __name__ == "__main__":
    main()
