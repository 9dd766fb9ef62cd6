"""What the Python adapters share.

    python3 ADAPTER.py URL [needs]

An adapter gives run a function that yields the bytes of one connection. Without
needs that is all; with it, run comes back with the last id, as
../../python_client.py does.
"""
import asyncio
import inspect
import json
import sys


class Refused(Exception):
    """An answer after which asking again is no use."""


def say(**line):
    print(json.dumps(line), flush=True)


def check(status):
    if status != 200:
        raise (Refused if status < 500 and status != 429 else ConnectionError)(status)


async def chunks(source):
    if inspect.isasyncgen(source):
        async for chunk in source:
            yield chunk
    else:
        for chunk in source:
            yield chunk


async def blocks(source):
    """The complete blocks, as dictionaries; data lines are joined."""
    rest, block = b"", {}
    async for chunk in chunks(source):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not line:
                if "data" in block:
                    yield block
                block = {}
                continue
            name, _, value = line.decode().partition(": ")
            block[name] = block[name] + "\n" + value if name == "data" and name in block else value


async def follow(connect, url, needs):
    last, retry = "", 1.0
    while True:
        try:
            async for block in blocks(connect(url, {"Accept": "text/event-stream", "Last-Event-ID": last})):
                last = block.get("id", last)
                retry = int(block.get("retry", 1000)) / 1000
                say(event=block.get("event", "message"), id=block.get("id", ""), data=block["data"])
        except Exception as error:
            if not needs or isinstance(error, Refused):
                return say(closed=repr(error))
            say(error=repr(error))
        if not needs:
            return say(closed="end")
        await asyncio.sleep(retry)


def run(connect):
    asyncio.run(follow(connect, sys.argv[1], sys.argv[2:] == ["needs"]))
