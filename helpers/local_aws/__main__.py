"""`python -m helpers.local_aws serve | env | status | stop`."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import time
from pathlib import Path

from . import state


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        return int(options.run(options))
    except state.ServerError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def serve(options: argparse.Namespace) -> int:
    """Serve in the foreground until Ctrl-C."""
    from .server import PortTakenError, Server

    if options.launched:
        # Whoever launched this process holds the lock until its state file is there.
        server = Server(options.space, options.port, options.idle_stop)
        server.run(lambda: None)
        return 0
    with state.lock(options.space):
        present = state.find(options.space)
        if present is not None:
            raise state.ServerError(
                f"A local AWS for the space {options.space!r} runs already at {present.url} (process {present.pid}). "
                f"Stop it with `{_command('stop', options.space)}`, or give this one another --space."
            )
        try:
            server = Server(options.space, options.port, options.idle_stop)
        except PortTakenError:
            raise state.ServerError(
                f"Port {options.port} is taken by another program; "
                "give another one, or leave --port out for any free one."
            ) from None
        state.write(server.info)
    if options.env_file:
        _write_private(options.env_file, _exports(server.info))

    def ready() -> None:
        print(
            f"local AWS ready at {server.info.url} (space {options.space}, account {server.info.account})", flush=True
        )

    server.run(ready)
    return 0


def env(options: argparse.Namespace) -> int:
    """Print what a shell must export so that any AWS client calls this server."""
    print(_exports(_present(options.space)), end="")
    return 0


def status(options: argparse.Namespace) -> int:
    """Say which servers run."""
    servers = state.running()
    if not servers:
        print("No local AWS is running.")
    for info in servers:
        begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(info.started))
        print(f"{info.space}: {info.url} (account {info.account}, process {info.pid}, since {begun}){_ahead(info)}")
    return 0


def stop(options: argparse.Namespace) -> int:
    """End a server, or all of them."""
    import psutil

    servers = state.running() if options.all else [_present(options.space)]
    for info in servers:
        process = psutil.Process(info.pid)
        process.terminate()
        if not state.ended(info, 10):
            process.kill()
            state.ended(info, 10)
        state.find(info.space)
        print(f"The local AWS of the space {info.space} has ended.")
    if not servers:
        print("No local AWS is running.")
    return 0


def _ahead(info: state.ServerInfo) -> str:
    from .client import lab_request

    try:
        offset = float(lab_request(info, "GET", "/_local/clock")["offset"])
    except OSError:
        return ", not answering"
    return f", clock {offset:.0f} s ahead" if offset else ""


def _present(space: str) -> state.ServerInfo:
    info = state.find(space)
    if info is None:
        others = ", ".join(repr(server.space) for server in state.running())
        hint = f"Running: {others}." if others else "None is running."
        raise state.ServerError(
            f"There is no local AWS for the space {space!r}. {hint} Start one with `{_command('serve', space)}`."
        )
    return info


def _command(verb: str, space: str) -> str:
    return f"python -m helpers.local_aws {verb}" + ("" if space == "default" else f" --space {shlex.quote(space)}")


# Version 1 of the AWS CLI sends SQS calls for us-east-1 past AWS_ENDPOINT_URL; the option it obeys.
_CLI_FUNCTION = 'aws() { command aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"; }\n'


def _exports(info: state.ServerInfo) -> str:
    lines = [
        f"export {name}={shlex.quote(value)}\n" if value else f"unset {name}\n"
        for name, value in info.environment().items()
    ]
    return "".join(lines) + _CLI_FUNCTION


def _write_private(path: Path, text: str) -> None:
    try:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
    except OSError as problem:
        raise state.ServerError(f"The file {path} could not be written ({problem.strerror}).") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m helpers.local_aws", description="The local AWS of the labs.")
    commands = parser.add_subparsers(required=True, metavar="serve | env | status | stop")
    space = os.environ.get("LAB_SPACE") or "default"

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command("serve", serve, "Serve in the foreground until Ctrl-C.")
    sub.add_argument("--port", type=int, default=0, help="the port (default: any free one)")
    sub.add_argument("--space", default=space, help="the space's name (default: %(default)s)")
    sub.add_argument("--env-file", type=Path, help="write the environment for other clients to this file")
    sub.add_argument("--idle-stop", type=float, metavar="SECONDS", help="end when nothing has used it for so long")
    sub.add_argument("--launched", action="store_true", help=argparse.SUPPRESS)
    sub = command("env", env, 'Print exports for a shell: eval "$(python -m helpers.local_aws env)".')
    sub.add_argument("--space", default=space, help="the space's name (default: %(default)s)")
    sub = command("status", status, "Say which servers run.")
    sub = command("stop", stop, "End a server.")
    sub.add_argument("--space", default=space, help="the space's name (default: %(default)s)")
    sub.add_argument("--all", action="store_true", help="end all of them")
    return parser


if __name__ == "__main__":
    sys.exit(main())
