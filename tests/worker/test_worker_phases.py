"""How far a job came, as its worker tells it: what costs time is told, what does not costs nothing."""

from __future__ import annotations

import time

from worker_help import Runner, Template


def test_a_process_of_its_own_says_when_it_began_and_when_its_code_was_imported(runner: Runner) -> None:
    before = time.time()
    said = runner.run("Add", inputs={"a": 2}, code=0)
    (hello,) = said.bodies("hello")
    assert said.kinds[:3] == ["hello", "start", "begin"]
    start, begin = said.frames[1].t_us / 1e6, said.frames[2].t_us / 1e6
    assert before - 0.02 <= hello["born"] <= start - 0.01  # between them the interpreter starts
    assert start <= begin <= said.end.returned_at <= said.end.finished_at


def test_what_was_forked_with_its_code_says_neither(shared: Template) -> None:
    said = shared.run("Add", inputs={"a": 2, "b": 3})
    assert "begin" not in said.kinds and "born" not in said.bodies("hello")[0]
    assert said.end.started_at <= said.end.returned_at <= said.end.finished_at


def test_a_job_that_raised_came_back_and_one_that_was_ended_did_not(shared: Template) -> None:
    assert shared.run("Fails").end.returned_at > 0.0
    assert shared.run("Ends", inputs={"how": "sys.exit"}).end.returned_at == 0.0
