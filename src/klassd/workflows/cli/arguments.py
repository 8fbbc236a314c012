"""What can be typed: every command's arguments, and nothing else.

Imports argparse only, so that ``klassd COMMAND --help`` answers before an engine could be imported.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from klassd.workflows.cli.problems import Problem

STATUSES = ("queued", "running", "cancelling", "succeeded", "failed", "cancelled")

_RUN_ID = "id of a run, a unique beginning or end of one, or 'last'"
_APP = "where the app is: module:attribute; may be left out when KLASSD_APP or klassd.toml names it"


class Parser(argparse.ArgumentParser):
    """Says what is wrong as a ``Problem`` instead of printing a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise Problem(message, f"usage: {' '.join(self.format_usage().split()[1:])}", f"more: {self.prog} --help")


def parser_for(command: str) -> Parser:
    """The parser of one command. ``command`` is a key of ``COMMANDS``."""
    summary, declare, details = COMMANDS[command]
    parser = Parser(
        prog=f"klassd {command}",
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(store=None, json=False)
    declare(parser)
    return parser


def _common(parser: Parser, json: str) -> None:
    parser.add_argument(
        "--store", metavar="URL", help="the store, e.g. sqlite:///jobs.db; default: KLASSD_STORE, klassd.toml, .klassd/"
    )
    parser.add_argument("--json", action="store_true", help=json)


def _target(parser: Parser) -> None:
    parser.add_argument("words", nargs="*", metavar="[MODULE:APP] NAME [FIELD=VALUE ...]", help=_APP)
    parser.add_argument(
        "--input", metavar="FILE", help="all inputs as one JSON object from FILE, or from standard input with '-'"
    )
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="mark the run; may be repeated")
    parser.add_argument("--tenant", default="", metavar="NAME", help="on whose behalf it runs")


def _run(parser: Parser) -> None:
    _target(parser)
    _common(parser, "the run as the only line on standard output, its consoles on standard error")


def _enqueue(parser: Parser) -> None:
    _target(parser)
    parser.add_argument("--key", metavar="KEY", help="enqueue once: a run that has this key already is returned instead")
    parser.add_argument("--delay", metavar="TIME", help="not before this long from now, e.g. 30s, 5m, 1h30m")
    parser.add_argument("--queue", metavar="NAME", help="the queue, instead of the job's own")
    parser.add_argument("--priority", type=int, metavar="N", help="higher runs first, instead of the job's own")
    _common(parser, '{"id": ...}')


def _dev(parser: Parser) -> None:
    parser.add_argument("app", nargs="?", metavar="MODULE:APP", help=_APP)
    parser.add_argument("--no-reload", action="store_true", help="keep running the code as it was at the start")
    _common(parser, "JSON lines: a line for every run that starts or ends")


def _runs(parser: Parser) -> None:
    parser.add_argument(
        "--status",
        action="append",
        default=[],
        choices=STATUSES,
        metavar="STATUS",
        help=f"{', '.join(STATUSES)}; may be repeated",
    )
    parser.add_argument("--name", metavar="NAME", help="of this job or workflow")
    parser.add_argument("--tag", metavar="TAG", help="with this tag")
    parser.add_argument("--tenant", metavar="NAME", help="of this tenant")
    parser.add_argument("--limit", type=_positive, default=20, metavar="N", help="at most so many (20)")
    parser.add_argument("--after", metavar="CURSOR", help="go on where the previous page ended")
    _common(parser, '{"runs": [...], "next": cursor or null}')


def _show(parser: Parser) -> None:
    parser.add_argument("run", nargs="?", default="last", metavar="RUN", help=f"{_RUN_ID} (last)")
    parser.add_argument(
        "--node", metavar="NODE[#ITEM]", help="only this node, or this item of it, with every attempt, traceback and timeline"
    )
    parser.add_argument("--events", action="store_true", help="ask the cluster for the events, however it went")
    _common(parser, "the run as one JSON document; looked_after: whether a scheduler does")


def _logs(parser: Parser) -> None:
    parser.add_argument(
        "run", nargs="?", default="last", metavar="RUN|EXECUTION", help=f"{_RUN_ID}; or the id of an execution (last)"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    parser.add_argument("-n", "--node", metavar="NODE[#ITEM]", help="only this node, or only this item of it")
    parser.add_argument(
        "--from", dest="first", type=_positive, default=1, metavar="LINE", help="start at this line of each console"
    )
    parser.add_argument("--tail", type=_positive, metavar="N", help="only the last N lines of each console")
    parser.add_argument("-t", "--timestamps", action="store_true", help="line numbers and times in front")
    parser.add_argument("--raw", action="store_true", help="the text exactly as it was written, control sequences included")
    _common(parser, "JSON lines, one for each line of a console")


def _artifacts(parser: Parser) -> None:
    parser.add_argument("run", nargs="?", default="last", metavar="RUN", help=f"{_RUN_ID} (last)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="only artifacts of this name, e.g. report.html")
    parser.add_argument(
        "--to", metavar="PATH", help="copy there: a directory, or a file when there is one artifact; '-' is standard output"
    )
    parser.add_argument(
        "--artifacts", metavar="URL", help="the artifact store; default: KLASSD_ARTIFACTS, klassd.toml, .klassd/"
    )
    _common(parser, '{"artifacts": [...]}')


def _stop(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help=_RUN_ID)
    _common(parser, '{"id": ..., "stopped": true or false}')


def _rerun(parser: Parser) -> None:
    parser.add_argument("run", metavar="RUN", help=_RUN_ID)
    parser.add_argument(
        "-f", "--follow", action="store_true", help="show its consoles until it has ended; a scheduler must be running"
    )
    _common(parser, '{"id": ...}; with --follow the whole run')


def _prune(parser: Parser) -> None:
    parser.add_argument(
        "--older-than", metavar="TIME", help="finished longer ago than that, e.g. 30d, 12h; default: the setting retention"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would go")
    parser.add_argument("--keep-artifacts", action="store_true", help="leave artifacts where they are")
    parser.add_argument(
        "--artifacts", metavar="URL", help="the artifact store; default: KLASSD_ARTIFACTS, klassd.toml, .klassd/"
    )
    _common(parser, '{"removed": number}; with --dry-run {"runs": [...], "more": true or false}')


def _serve(parser: Parser) -> None:
    parser.add_argument("app", nargs="?", metavar="MODULE:APP", help=_APP)
    parser.add_argument("--host", metavar="HOST", help="listen there; default: KLASSD_LISTEN, klassd.toml, 127.0.0.1")
    parser.add_argument("--port", type=_port, metavar="PORT", help="the same; default: 8700; 0 is any that is free")
    _common(parser, "every line of the log as a JSON object")


def _image(parser: Parser) -> None:
    parser.add_argument("action", choices=("check",), metavar="check", help="look at everything a pod of this image needs")
    parser.add_argument("app", nargs="?", metavar="MODULE:APP", help=_APP)
    parser.add_argument(
        "--artifacts",
        metavar="URL",
        help="the artifact store of the jobs; default: KLASSD_ARTIFACTS, klassd.toml, the app's own",
    )
    parser.add_argument(
        "--json", action="store_true", help="the manifest of its jobs, with problems and remarks, as one document"
    )


def _manifest(parser: Parser) -> None:
    parser.add_argument("app", nargs="?", metavar="MODULE:APP", help=f"in the image; {_APP}")
    parser.add_argument("--image", required=True, metavar="REF", help="has your code and this package; of scheduler and jobs")
    parser.add_argument("--name", default="klassd", metavar="NAME", help="of this installation and its objects (klassd)")
    parser.add_argument("--namespace", metavar="NAME", help="where all of it goes; default: left to kubectl")
    parser.add_argument(
        "--create-namespace", action="store_true", help="a Namespace too, which enforces the restricted standard"
    )
    parser.add_argument("--store", metavar="URL", help="or secret:NAME/KEY; default: SQLite on a PersistentVolumeClaim")
    parser.add_argument("--artifacts", metavar="URL", help="or secret:NAME/KEY; where jobs pass large data: s3://..., gs://...")
    parser.add_argument(
        "--secret", action="append", default=[], metavar="NAME", help="a Secret whose entries are variables of the scheduler"
    )
    parser.add_argument("--config", metavar="FILE", help="a klassd.toml for the scheduler, as a ConfigMap")
    parser.add_argument("--workdir", default="/app", metavar="PATH", help="of the image, where --config is looked for (/app)")
    parser.add_argument("--storage", default="1Gi", metavar="SIZE", help="of the claim (1Gi)")
    parser.add_argument("--storage-class", metavar="NAME", help="of the claim; default: the cluster's")
    parser.add_argument(
        "--replicas", type=_positive, default=1, metavar="N", help="schedulers; more than one needs --store (1)"
    )
    parser.add_argument("--open-egress", action="store_true", help="jobs may connect to anywhere; default: see below")
    parser.add_argument("--kubernetes", metavar="RELEASE", help="for an older cluster, such as 1.20; default: 1.21 and newer")
    parser.add_argument("--kustomize", metavar="DIR", help="write a base for overlays there instead of printing")
    parser.add_argument("--json", action="store_true", help="one JSON List, which kubectl takes as well")


def _leftovers(parser: Parser) -> None:
    parser.add_argument("--name", metavar="NAME", help="of the installation; default: the setting kubernetes.instance (klassd)")
    parser.add_argument("--namespace", metavar="NAME", help="where to look; default: KLASSD_NAMESPACE, klassd.toml, kubeconfig")
    parser.add_argument("--delete", action="store_true", help="remove what is found; refused while its scheduler is there")
    parser.add_argument("--wait", default="2m", metavar="TIME", help="with --delete, for all to be gone (2m); 0 does not wait")
    parser.add_argument(
        "--json", action="store_true", help='{"found": [...], "left": [...], "deleted": true or false, "others": {...}, ...}'
    )


def _migrate(parser: Parser) -> None:
    _common(parser, '{"store": ..., "ready": true}')


def _worker(parser: Parser) -> None:
    parser.add_argument("arguments", nargs="*", help="handed to python -m klassd.workflows.worker")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 65535")
    return int(text)


_VALUES = """\
values   name=team count=3 'ids=["dk", "se"]'    read as JSON where that fits the field, else as text"""
_INPUTS = f"""\
{_VALUES}
exit     0 it succeeded, 1 it failed, 2 usage or configuration, 130 interrupted

Ctrl+C cancels the run and waits for it to stop; a second Ctrl+C does not wait."""
_SERVE = """\
routes   /healthz  200 while the process lives
         /readyz   200 while the store answers and the lease is held, else 503
exit     0 asked to end (SIGTERM, Ctrl+C), 1 the HTTP server ended, 2 usage or configuration, 130 a second signal

The first signal: it lets go of its runs, for others to take over at once; jobs under way go on. The second: it just ends."""
_IMAGE = """\
exit     0 a pod can run all of it, 1 there are problems, 2 usage or configuration

As a pod runs it: docker run --rm --read-only --tmpfs /tmp --user 65532:65532 IMAGE klassd image check"""
_MANIFEST = """\
apply    klassd manifest shop:app --image REF | kubectl apply -f -
base     klassd manifest shop:app --image REF --kustomize base && kubectl apply -k base
network  jobs may reach DNS, the scheduler, the artifact store and one another; whatever else they must reach needs one more
         NetworkPolicy, or --open-egress

No secret stands in a manifest: name the Secret that holds it."""
_LEFTOVERS = """\
finds    Jobs of executions, and pods, Secrets and ConfigMaps of executions that no Job owns any more
leaves   whatever is not labelled as of this installation: others in the same namespace, the scheduler, the claim, artifacts
exit     0 listed, or all of it is gone; 1 something is still there, or the API refuses; 2 usage or configuration"""
_PRUNE = """\
leaves   whatever has not ended; a scheduler removes by itself what is older than the setting retention ("90d")
exit     0 all of it is gone, 1 artifacts could not be removed and their runs stay, 2 usage or configuration"""
_CURSOR = "The cursor for --after stands under a list that has more."

COMMANDS: dict[str, tuple[str, Callable[[Parser], None], str | None]] = {
    "dev": ("run the scheduler here and watch it; reloads when code changes", _dev, None),
    "run": ("run a job or workflow in the foreground, with its console", _run, _INPUTS),
    "enqueue": ("put a job or workflow in the queue for a scheduler", _enqueue, _VALUES),
    "runs": ("list runs, the newest first", _runs, _CURSOR),
    "show": ("show a run: nodes, attempts, causes, outputs, where the time went, and what it waits for", _show, None),
    "logs": ("print the console of a run or of one execution", _logs, None),
    "artifacts": ("list or copy the artifacts of a run", _artifacts, None),
    "stop": ("cancel a run", _stop, None),
    "rerun": ("run again: the same definition and inputs", _rerun, None),
    "prune": ("remove runs that finished long ago, with their consoles and artifacts", _prune, _PRUNE),
    "serve": ("run the scheduler for production, with probes and an API over HTTP", _serve, _SERVE),
    "image": ("check that an image can run every job of an app", _image, _IMAGE),
    "manifest": ("print the manifests of a scheduler in a cluster", _manifest, _MANIFEST),
    "leftovers": ("list what executions have left in a cluster without a scheduler, and remove it", _leftovers, _LEFTOVERS),
    "migrate": ("create or update the schema of the store", _migrate, None),
    "worker": ("execute one order; executors call this", _worker, None),
}
