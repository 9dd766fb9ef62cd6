#!/usr/bin/env python3
"""Prints the events of a Sluice stream and resumes after a cut.

    python_client.py [URL] [TOPIC...]      needs: requests
    COUNT=10           stop after 10 events
    LAST_EVENT_ID=...  begin after that event
"""
import json
import os
import random
import sys
import time

import requests

LONGEST_WAIT = 30.0  # seconds between two attempts at most
SILENCE = 100.0  # seconds without a byte after which the line is dead; heartbeats come every 30


class Refused(Exception):
    """The server said no, and asking again would not help."""


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def blocks(response):
    """Yields (id, type, data, retry in seconds or None) for every complete block."""
    event_id, kind, data, retry = None, "message", [], None
    for line in response.iter_lines():
        if not line:
            if data:
                yield event_id, kind, "\n".join(data), retry
            kind, data, retry = "message", [], None
            continue
        field, _, value = line.decode("utf-8").partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            event_id = value
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)
        elif field == "retry" and value.isdecimal():
            retry = int(value) / 1000


class Client:
    def __init__(self, url, topics=(), last_id=""):
        self.url, self.topics, self.last_id = url, list(topics), last_id
        self.retry = 5.0  # seconds; the server's retry: replaces it
        self.failures = 0

    def events(self):
        """Yields (id, type, data) of every event, for ever, across cuts."""
        while True:
            wait = 0.0
            try:
                yield from self.one_connection()
                say("connection ended")
            except requests.HTTPError as error:
                answer = error.response
                if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
                    raise Refused(f"{answer.status_code} {answer.text[:300]}") from error
                after = answer.headers.get("Retry-After", "")
                wait = float(after) if after.isdecimal() else 0.0
                say("refused:", answer.status_code)
            except requests.RequestException as error:
                say("connection lost:", error)
            wait = max(wait, min(LONGEST_WAIT, self.retry * 2**self.failures))
            self.failures = min(self.failures + 1, 10)
            time.sleep(wait * random.uniform(0.75, 1.25))

    def one_connection(self):
        headers = {"Accept": "text/event-stream"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        with requests.get(self.url, params={"topic": self.topics}, headers=headers,
                          stream=True, timeout=(10, SILENCE)) as response:
            response.raise_for_status()
            for event_id, kind, data, retry in blocks(response):
                self.last_id = event_id or self.last_id
                self.failures = 0
                if retry:
                    self.retry = retry
                if kind == "system":
                    self.system(json.loads(data))
                elif kind != "heartbeat":
                    yield event_id, kind, data

    def system(self, block):
        if block["type"] == "gap" or block.get("resumed") == "gap":
            say("GAP:", block.get("reason"), block["message"], "first:", block.get("first", "live"))
        else:
            say(f"{block['type']}: {block['message']}")


def main():
    url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000/stream"
    count = int(os.environ.get("COUNT", "0"))
    client = Client(url, sys.argv[2:], os.environ.get("LAST_EVENT_ID", ""))
    for n, (event_id, kind, data) in enumerate(client.events(), 1):
        print(event_id, kind, data, flush=True)
        if n == count:
            break


if __name__ == "__main__":
    try:
        main()
    except Refused as error:
        sys.exit(f"refused: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
