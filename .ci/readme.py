#!/usr/bin/env python3
"""Runs the commands of README.md, as a reader would from the root.

    readme.py BASE_URL      needs: a running local; NATS_URL is its NATS

Every block ```sh runs and must succeed. A comment right above a block says
otherwise: <!-- endless --> for commands that print until they are stopped,
<!-- run apart --> for what .ci/run does by itself, and <!-- needs X --> for
what cannot be had here; of those the files that they name must exist.
"""
import os
import pathlib
import re
import selectors
import signal
import subprocess
import sys
import time

PATIENCE = 180  # seconds for a block, or for an endless command's first words
BLOCK = re.compile(r"(?:<!-- ([^\n]*) -->\n)?```sh\n(.*?)```", re.S)


def start(command):
    return subprocess.Popen(["bash", "-euo", "pipefail", "-c", command], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def end(process):
    """Ends the process and what it has started, which is in its session."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.communicate(timeout=15)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def run(command):
    process = start(command)
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        sys.exit(f"README.md: not done after {PATIENCE} s:\n{command}")
    finally:
        end(process)  # and what it may have left running
    if process.returncode != 0:
        sys.exit(f"README.md: status {process.returncode} of\n{command}\n{output.decode()}")


def run_endless(command):
    process = start(command)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        said = selector.select(PATIENCE) and os.read(process.stdout.fileno(), 1 << 16)
    time.sleep(0.2)
    ended = process.poll()
    end(process)
    if not said or ended is not None:
        sys.exit(f"README.md: printed {said!r} and ended with {ended}, but should go on:\n{command}")


def files_exist(block):
    for name in re.findall(r"(?<![\w./-])(?:\./)?((?:infra|examples|functions|publisher)/[\w./-]+)", block):
        if not pathlib.Path(name).exists():
            sys.exit(f"README.md names {name}, which does not exist")


def main(base):
    text = pathlib.Path("README.md").read_text()
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        if not pathlib.Path(link).exists():
            sys.exit(f"README.md links to {link}, which does not exist")
    count = 0
    for note, block in BLOCK.findall(text):
        files_exist(block)
        here = block.replace("http://127.0.0.1:8000", base).replace("PORT=8001", "PORT=0")
        if note == "endless":
            for command in here.strip().splitlines():
                run_endless(command)
                count += 1
        elif not note:
            run(here)
            count += len(here.strip().splitlines())
    print(f"{count} commands of README.md do what it says")


if __name__ == "__main__":
    main(sys.argv[1])
