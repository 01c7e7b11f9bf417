"""Run a verb on the hosts of an inventory, through Ansible, and bring back what each answers."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .entry import SCHEMA_VERSION, printable
from .errors import RemoteError
from .inventory import Host

_NOT_INSTALLED = 127
"""The exit code of shells for a command that is not there."""


@dataclass(frozen=True)
class Reply:
    """What a host answered: the helper's own words and exit code; `trouble` if it did not run."""

    host: str
    code: int
    output: str = ""
    errors: str = ""
    trouble: str = ""


def ask(root: Path, environment: str, hosts: Sequence[Host], words: Sequence[str]) -> list[Reply]:
    """Run `pgbackup` with `words` on each host at once; every host gets to its end."""
    with tempfile.TemporaryDirectory() as directory:
        done = processes.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                f"--inventory={root / 'inventories' / environment}",
                f"--limit={','.join(host.name for host in hosts)}",
                f"--extra-vars={json.dumps({'run_verb_argv': list(words)})}",
                str(root / "playbooks" / "run-backup.yml"),
            ],
            env={
                "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
                "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.tree",
                "ANSIBLE_CALLBACK_TREE_DIR": directory,
                "ANSIBLE_NOCOLOR": "1",
            },
        )
        said = done.errors.strip() or done.output.strip()
        return [_reply(host.name, Path(directory) / host.name, said) for host in hosts]


def argv(verb: str, environment: str, options: Mapping[str, object]) -> list[str]:
    """The words after `pgbackup` that ask for the same as a task's options."""
    words = [verb, "--env", environment]
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if name != "env" and value:
            words += [option] if value is True else [option, str(value)]
    return words


def show(verb: str, replies: Sequence[Reply], *, as_json: bool) -> int:
    """Print the answers as the hosts gave them; the exit code: the first that is not 0."""
    if as_json and len(replies) > 1:
        document = {reply.host: _document(reply) for reply in replies}
        whole = {"schema_version": SCHEMA_VERSION, "verb": verb, "hosts": document}
        print(json.dumps(whole, indent=1))
    for reply in replies:
        if len(replies) > 1 and not as_json:
            print(f"== {reply.host}")
        if len(replies) == 1 or not as_json:
            print(printable(reply.output), end="\n" if reply.output else "", flush=True)
        if reply.errors or reply.trouble:
            print(printable(reply.trouble or reply.errors), file=sys.stderr, flush=True)
    failed = [f"{reply.host} ({reply.code})" for reply in replies if reply.code]
    if len(replies) > 1 and not as_json:
        print(f"{len(replies) - len(failed)} of {len(replies)} hosts did it.", end=" ")
        print(f"Failed: {', '.join(failed)}." if failed else "")
    return next((reply.code for reply in replies if reply.code), 0)


def _reply(host: str, file: Path, said: str) -> Reply:
    """A host's result as Ansible left it in `file`; there is none where Ansible itself failed."""
    if not file.exists():
        return Reply(host, RemoteError.exit_code, trouble=f"{host}: Ansible did not run: {said}")
    result = json.loads(file.read_text(encoding="utf-8"))
    if result.get("unreachable") or "rc" not in result:
        why = " ".join(str(result.get("msg", "it gave no reason")).split())
        trouble = f"{host}: the host cannot be used: {why}"
        return Reply(host, RemoteError.exit_code, trouble=trouble)
    if result["rc"] == _NOT_INSTALLED:
        trouble = f"{host}: pgbackup is not installed there. Deploy it: make deploy ENV=..."
        return Reply(host, RemoteError.exit_code, trouble=trouble)
    return Reply(host, int(result["rc"]), result.get("stdout", ""), result.get("stderr", ""))


def _document(reply: Reply) -> dict[str, object]:
    try:
        answer: object = json.loads(reply.output)
    except ValueError:
        answer = None
    return {"code": reply.code, "answer": answer, "trouble": reply.trouble or None}
