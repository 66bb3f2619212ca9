#!/usr/bin/env python3
"""An MCP server that misbehaves in the way that its first argument names, for the tests.

It speaks JSON-RPC over standard input and output, a message a line, and needs nothing but Python 3.8.
The correct part: `initialize`, `ping`, `tools/list`, `tools/call` and the notifications of a client, as protocol version
2025-06-18 wants them. A mode changes what it says below and nothing else:

    good             correct, with the tools of TOOLS
    hang-initialize  never answers `initialize`
    hang-tools       never answers `tools/list`
    exit             says what is missing on standard error and ends with status 2, before it reads anything
    slow SECONDS     says "downloading" on standard error five times a second for so long, and only then reads
    garbage          writes lines that are no messages between those that are
    flood            writes 64 MiB to standard error meanwhile
    flood-stdout     writes bytes without a line feed for ever, instead of its first answer
    version          speaks a protocol version that nobody knows
    not-mcp          answers "hello" to every line
    pages            lists 3 pages of 50 tools
    endless-pages    there is always one more page, of 10 tools
    flaky FILE       counts its starts in the file; ends with status 1 at the first two
    stubborn         stays when told to terminate and when standard input ends (for ten minutes)
    many N           lists N tools
    bad-schema       lists tools whose schemas are none, next to a correct one
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time

MODE = sys.argv[1] if len(sys.argv) > 1 else "good"
VERSION = "1999-01-01" if MODE == "version" else "2025-06-18"
INVALID_PARAMS = -32602

writing = threading.Lock()
# The requests under way, by id; set when the client cancels one.
under_way = {}
# The ids that the client has cancelled, in order.
cancelled = []
has_grown = False


def write(data):
    """Writes bytes to standard output at once. Nobody reads any more: the end."""
    try:
        with writing:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(0)


def send(message):
    write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    if MODE == "garbage":
        write(b'{"jsonrpc": "2.0", "id": 1, "resu\n')
        write(b"\xff\xfe\x00\x80 binary \x1b[31m\n\n")
        write(b'[]\n42\nnull\n{}\n')
        write(b'{"jsonrpc": "2.0", "id": 987654321, "result": {}}\n')
        write(b'{"jsonrpc": "2.0", "method": "notifications/never_heard_of"}\n')


class Refused(Exception):
    """A request gets an error for an answer: a code and a message."""


class Silence(Exception):
    """A request gets no answer."""


def text(value, is_error=False):
    return {"content": [{"type": "text", "text": value}], "isError": is_error}


# Tools.


def own_environment():
    """What the process was started with; the interpreter may have added to its own copy."""
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().decode(errors="replace").split("\0")
    except OSError:
        return dict(os.environ)
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def pid(_request, _arguments):
    parent = os.getppid()
    ids = {"pid": os.getpid(), "group": os.getpgid(0), "parent": parent, "parent_group": os.getpgid(parent)}
    return text(json.dumps(ids))


def sleep(request, arguments):
    if under_way[request].wait(arguments["seconds"]):
        raise Silence
    return text(f"slept {arguments['seconds']} s")


def hang(_request, _arguments):
    raise Silence


def die(_request, _arguments):
    os._exit(3)


def grow(_request, _arguments):
    global has_grown
    has_grown = True
    send({"method": "notifications/tools/list_changed"})
    return text("there is a tool more")


def grandchild(environment):
    """It survives TERM, and holds on to the standard streams of this process."""
    command = ["/bin/sh", "-c", "trap '' TERM; exec sleep 1000"]
    return text(str(subprocess.Popen(command, env=environment).pid))


def to_stderr(_request, arguments):
    for number in range(int(arguments["lines"])):
        print(f"line {number + 1}", file=sys.stderr)
    sys.stderr.flush()
    return text(f"wrote {int(arguments['lines'])} lines")


# Name: description, required arguments with their types, what it does.
TOOLS = {
    "echo": ("Gives back the text", {"text": "string"}, lambda _, a: text(a["text"])),
    "add": ("Adds two numbers", {"a": "number", "b": "number"}, lambda _, a: text(str(a["a"] + a["b"]))),
    "pid": ("The ids of the process, its group, its parent and that one's group, as JSON", {}, pid),
    "env": ("The environment, as JSON", {}, lambda _, a: text(json.dumps(own_environment()))),
    "sleep": ("Answers later, unless it is cancelled", {"seconds": "number"}, sleep),
    "cancelled": ("The ids of cancelled requests, as JSON", {}, lambda _, a: text(json.dumps(cancelled))),
    "big": ("So much text", {"bytes": "integer"}, lambda _, a: text("x" * a["bytes"])),
    "die": ("Ends the server with status 3 instead of answering", {}, die),
    "hang": ("Never answers", {}, hang),
    "fail": ("Fails as tools do", {}, lambda _, a: text("it did not work", is_error=True)),
    "secret": ("Gives back the value", {"value": "string"}, lambda _, a: text(a["value"])),
    "grow": ("Adds the tool `extra`", {}, grow),
    "spawn": ("Starts a process that survives TERM, and gives its id", {}, lambda _, a: grandchild(None)),
    "spawn_bare": ("The same with an empty environment", {}, lambda _, a: grandchild({})),
    "stderr": ("Writes lines to standard error", {"lines": "integer"}, to_stderr),
}


def schema(required):
    properties = {name: {"type": type_} for name, type_ in required.items()}
    return {"type": "object", "properties": properties, "required": list(required)}


def numbered(first, count):
    return [
        {"name": f"tool_{number}", "description": f"Tool number {number}", "inputSchema": schema({})}
        for number in range(first, first + count)
    ]


def listed_tools():
    if MODE == "many":
        return numbered(1, int(sys.argv[2]))
    if MODE == "bad-schema":
        remote = {"type": "object", "properties": {"a": {"$ref": "https://schemas.invalid/a.json"}}}
        wrong = {"type": "object", "properties": {"a": {"type": "nonsense"}}, "required": "a"}
        return [
            {"name": "echo", "description": "This one is correct", "inputSchema": schema({"text": "string"})},
            {"name": "invalid_schema", "description": "Its schema is none", "inputSchema": wrong},
            {"name": "remote_reference", "description": "Its schema is elsewhere", "inputSchema": remote},
            {"name": "no_schema", "description": "It has none"},
        ]
    tools = [
        {"name": name, "description": description, "inputSchema": schema(required)}
        for name, (description, required, _) in TOOLS.items()
    ]
    if has_grown:
        tools.append({"name": "extra", "description": "It was not there before", "inputSchema": schema({})})
    return tools


# Methods.


def initialize(_request, _params):
    if MODE == "hang-initialize":
        raise Silence
    return {
        "protocolVersion": VERSION,
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "odd", "title": f"Odd: {MODE}", "version": "1.0.0"},
        "instructions": "Do not rely on it.",
    }


def list_tools(_request, params):
    if MODE == "hang-tools":
        raise Silence
    if MODE not in ("pages", "endless-pages"):
        return {"tools": listed_tools()}
    page = params.get("cursor", "page-1")
    if not (page.startswith("page-") and page[5:].isdigit()):
        raise Refused(INVALID_PARAMS, f"there is no cursor {page!r}")
    number, size = int(page[5:]), 50 if MODE == "pages" else 10
    result = {"tools": numbered((number - 1) * size + 1, size)}
    if MODE == "endless-pages" or number < 3:
        result["nextCursor"] = f"page-{number + 1}"
    return result


def call_tool(request, params):
    name, arguments = params.get("name"), params.get("arguments") or {}
    if name in TOOLS:
        _, required, run = TOOLS[name]
        types = {"string": str, "number": (int, float), "integer": int}
        for argument, type_ in required.items():
            if not isinstance(arguments.get(argument), types[type_]):
                raise Refused(INVALID_PARAMS, f"`{argument}` must be there and of type {type_}")
        return run(request, arguments)
    # What another mode lists gives back its arguments.
    if str(name).startswith("tool_") or name in [tool["name"] for tool in listed_tools()]:
        return text(json.dumps({"tool": name, "arguments": arguments}))
    raise Refused(INVALID_PARAMS, f"there is no tool {name!r}")


METHODS = {"initialize": initialize, "ping": lambda *_: {}, "tools/list": list_tools, "tools/call": call_tool}


def answer(message):
    request, method = message["id"], message["method"]
    try:
        if method not in METHODS:
            raise Refused(-32601, f"there is no method {method!r}")
        send({"id": request, "result": METHODS[method](request, message.get("params") or {})})
    except Refused as refused:
        code, reason = refused.args
        send({"id": request, "error": {"code": code, "message": reason}})
    except Silence:
        pass
    finally:
        under_way.pop(request, None)


def received(line):
    """One line of the client's."""
    if MODE == "not-mcp":
        write(b"hello\n")
        return
    if MODE == "flood-stdout":
        while True:
            write(b"x" * 65536)
    try:
        message = json.loads(line)
    except ValueError:
        send({"id": None, "error": {"code": -32700, "message": "not JSON"}})
        return
    if "id" in message and "method" in message:
        under_way[message["id"]] = threading.Event()
        if message["method"] == "tools/call":
            # In a thread of its own: pings are answered while a tool works.
            threading.Thread(target=answer, args=(message,), daemon=True).start()
        else:
            answer(message)
    elif message.get("method") == "notifications/cancelled":
        request = message.get("params", {}).get("requestId")
        cancelled.append(request)
        if request in under_way:
            under_way[request].set()


def flood():
    lines = b"".join(b"flood %06d " % number + b"." * 1010 + b"\n" for number in range(64))
    for _ in range(64 * 1024 * 1024 // len(lines)):
        os.write(2, lines)


def misbehave_at_start():
    if MODE == "exit":
        print("cannot find the key THE_KEY", file=sys.stderr)
        sys.exit(2)
    if MODE == "flaky":
        try:
            with open(sys.argv[2]) as file:
                starts = int(file.read() or "0")
        except FileNotFoundError:
            starts = 0
        with open(sys.argv[2], "w") as file:
            file.write(str(starts + 1))
        if starts < 2:
            print(f"start {starts + 1} goes wrong", file=sys.stderr)
            sys.exit(1)
    if MODE == "slow":
        end = time.monotonic() + float(sys.argv[2])
        while time.monotonic() < end:
            print("downloading", file=sys.stderr, flush=True)
            time.sleep(0.2)
    if MODE == "garbage":
        write(b"Welcome to the server!\nIt is ready.\n\n\xff\xfe\x00\x01\n{\"jsonrpc\": \n")
    if MODE == "flood":
        threading.Thread(target=flood, daemon=True).start()
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def main():
    modes = {line.split()[0] for line in __doc__.splitlines() if line.startswith("    ")}
    if MODE not in modes:
        sys.exit(f"there is no mode {MODE!r}")
    misbehave_at_start()
    for line in sys.stdin.buffer:
        received(line)
    if MODE == "stubborn":
        time.sleep(600)
    # Threads may still be at work.
    os._exit(0)


main()
