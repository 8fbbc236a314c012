"""``python -m klassd.workflows.worker``: the entry of every process that runs jobs."""

from __future__ import annotations

import os
import sys

USAGE = """usage: python -m klassd.workflows.worker run [--spool DIR]
       python -m klassd.workflows.worker collect
       python -m klassd.workflows.worker template --module MODULE --spool DIR --socket PATH [--parent PID]

run       one execution; its order as JSON in KLASSD_ORDER or on standard input, or compressed in the file KLASSD_ORDER_FILE;
          frames to DIR or to standard output
collect   the files that an image has left in this pod, as the outputs of that execution
template  imports MODULE once and forks executions of its jobs on request; ends when PID is gone before it asked for any
"""


def main(arguments: list[str]) -> int:
    mode, names, values = (arguments or [""])[0], arguments[1::2], arguments[2::2]
    options = dict(zip(names, values, strict=False))
    if len(names) != len(values):
        mode = ""
    if mode == "run" and options.keys() <= {"--spool"}:
        from klassd.workflows.worker.execute import execute

        return execute(options.get("--spool"))
    if mode == "collect" and not options:
        from klassd.workflows.worker.collect import collect

        return collect()
    if mode == "template" and options.keys() - {"--parent"} == {"--module", "--spool", "--socket"}:
        from klassd.workflows.worker.template import serve

        return serve(options["--module"], options["--spool"], options["--socket"], int(options.get("--parent", os.getppid())))
    if mode == "forker" and options.keys() == {"--module", "--control"}:
        from klassd.workflows.worker.forker import serve as fork

        return fork(options["--module"], int(options["--control"]))
    sys.stderr.write(USAGE)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
