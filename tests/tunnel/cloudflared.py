"""Stands in for cloudflared in the tests: takes the same arguments, answers at the same addresses, and behaves as it is told.

Usage: cloudflared.py FOLDER ARGUMENT...

FOLDER/plan.json says what to do: `runs` has a list of steps for each run, and the last one is for all that follow.
What it was started with is appended to FOLDER/runs.jsonl, and a line to FOLDER/versions for each `--version`.
The steps, one after the other:

    ["listen"]            answer at the address of --metrics, as cloudflared does once it has a tunnel
    ["hostname", NAME]    /quicktunnel tells that name
    ["ready", HOW]        /ready says 200 (true), 503 (false), nothing ("hang"), or closes the connection ("close")
    ["say", TEXT]         write a line to standard error, where cloudflared logs
    ["print", TEXT]       write a line to standard output
    ["write", TEXT]       write to standard error without ending the line
    ["box", URL]          write the lines in which cloudflared tells an address
    ["wait", SECONDS]
    ["until", NAME]       wait for the file FOLDER/NAME
    ["flood", LINES]      write so many long lines to both streams; for ever if there is no number
    ["ignore-term"]       from now on
    ["grandchild"]        start a process in the same group that ignores the signal TERM
    ["exit", CODE]
    ["signal", NUMBER]    end by that signal

After the last step it runs until it is told to end.
"""

import json
import os
import signal
import socket
import sys
import threading
import time

# What a tunnel takes, and whether a value follows.
FLAGS = {"--config": True, "--no-autoupdate": False, "--grace-period": True, "--metrics": True, "--url": True}

folder, arguments = sys.argv[1], sys.argv[2:]
told = {"hostname": "", "ready": False}


def path(name):
    return os.path.join(folder, name)


def say(text, stream=2):
    os.write(stream, f"{text}\n".encode())


def log(text):
    say(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} INF {text}")


def fail(text):
    say(text)
    os._exit(1)


def parse(words):
    """The flags of a tunnel and their values, and whether it is a named one."""
    given, named = {}, False
    words = iter(words)
    for word in words:
        if word == "run":
            named = True
        elif word not in FLAGS:
            fail(f"Incorrect Usage: flag provided but not defined: {word}")
        else:
            given[word] = next(words, None) if FLAGS[word] else True
    return given, named


def answer(connection):
    with connection:
        request = b""
        while b"\r\n\r\n" not in request:
            part = connection.recv(4096)
            if not part:
                return
            request += part
        target = request.split(b" ")[1]
        ready = told["ready"]
        if target == b"/quicktunnel":
            status, body = "200 OK", {"hostname": told["hostname"]}
        elif target != b"/ready":
            status, body = "404 Not Found", {}
        elif ready == "hang":
            threading.Event().wait()
        elif ready == "close":
            return
        elif ready:
            status, body = "200 OK", {"status": 200, "readyConnections": 1}
        else:
            status, body = "503 Service Unavailable", {"status": 503, "readyConnections": 0}
        text = json.dumps(body)
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n{text}".encode())


def listen(address):
    host, port = address.rsplit(":", 1)
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, int(port)))
    except OSError as error:
        fail(f"ERR Error opening metrics server listener error=\"listen tcp {address}: {error}\"")
    server.listen()
    log(f"Starting metrics server on {address}/metrics")

    def accept():
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def box(url):
    log("Requesting new quick Tunnel on trycloudflare.com...")
    lines = ["Your quick Tunnel has been created! Visit it at (it may take some time to be reachable):", url]
    width = max(map(len, lines))
    log("+" + "-" * (width + 4) + "+")
    for line in lines:
        log(f"|  {line.ljust(width)}  |")
    log("+" + "-" * (width + 4) + "+")


def grandchild():
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1000)


def flood(lines=None):
    written = 0
    while lines is None or written < lines:
        for stream in (1, 2):
            say(f"flood {written} " + "x" * 10_000, stream)
        written += 1


def terminated(*_):
    say("INF Initiating graceful shutdown due to signal terminated ...")
    os._exit(0)


def until(name):
    while not os.path.exists(path(name)):
        time.sleep(0.005)


def note(name, value):
    with open(path(name), "a") as file:
        file.write(json.dumps(value) + "\n")


def main():
    with open(path("plan.json")) as file:
        plan = json.load(file)
    if arguments == ["--version"]:
        note("versions", os.getpid())
        if plan.get("version") == "hang":
            time.sleep(1000)
        say(plan.get("version", "cloudflared version 2026.1.2 (built 2026-01-20-0956 UTC)"), 1)
        os._exit(0)
    if arguments[:1] != ["tunnel"]:
        fail(f"Incorrect Usage: {arguments}")
    given, named = parse(arguments[1:])
    if named != ("TUNNEL_TOKEN" in os.environ) or named == ("--url" in given):
        fail("Provided Tunnel token is not valid.")
    try:
        with open(path("runs.jsonl")) as file:
            number = len(file.readlines())
    except FileNotFoundError:
        number = 0
    signal.signal(signal.SIGTERM, terminated)
    note("runs.jsonl", {"pid": os.getpid(), "arguments": arguments, "environment": dict(os.environ)})
    steps = {
        "listen": lambda: listen(given["--metrics"]),
        "hostname": lambda name: told.update(hostname=name),
        "ready": lambda how: told.update(ready=how),
        "say": say,
        "print": lambda text: say(text, 1),
        "write": lambda text: os.write(2, text.encode()),
        "box": box,
        "wait": time.sleep,
        "until": until,
        "flood": flood,
        "ignore-term": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        "grandchild": grandchild,
        "exit": os._exit,
        "signal": lambda number: os.kill(os.getpid(), number),
    }
    for step, *values in plan["runs"][min(number, len(plan["runs"]) - 1)]:
        steps[step](*values)
    while True:
        time.sleep(1000)


main()
