"""The CLI `ringfence`: an HTTP client of the API on its unix socket.

Place: between a person (or a script) and the API. It knows no rules: the API judges. Starts fast: a
command's module is imported when it is chosen, and a foreign library when it is needed.

To add a command: a module here with

    declare(parser: argparse.ArgumentParser) -> None                     its arguments, help and examples
    run(arguments: argparse.Namespace, session: Session) -> int          does it; returns the exit code

and a line in `controller.cli.commands.COMMANDS`. `session.api.get(path, query)` and `.post(path, query,
body)` returns the answer's JSON value and raises Refused or Unreachable, which `main` prints;
`session.show(value, table)` prints as JSON, YAML or what `table(value)` lays out. Must not import pydantic,
FastAPI or the store.
"""
