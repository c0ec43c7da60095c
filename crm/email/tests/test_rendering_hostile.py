"""Templates that want out, or want everything: an error for whoever wrote them, and nothing for anybody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from crm.email.rendering import process
from crm.email.rendering.renderer import RenderError, RendererUnavailableError, inspect, render, render_split
from crm.email.rendering.sources import Source

GOOD = Source("Hi {{ a }}", "<p>{{ a }}</p>")
VALUES = {"a": "Ann", "n": 3, "l": [1, 2], "d": {"k": "v"}}


def refused(template, part="html", **values):
    parts = {"subject": "s", "html": "h", "text": "", part: template}
    with pytest.raises(RenderError) as caught:
        render(source=Source(**parts), values={**VALUES, **values})
    return caught.value


def alive():
    return render(source=GOOD, values={"a": "Ann"}).html == "<p>Ann</p>"


def child_pid():
    assert alive()
    return process._child.process.pid


# --- getting out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ''['__class__'] }}",
        "{{ a.__class__.__base__.__subclasses__() }}",
        "{{ n.__class__ }}",
        "{{ l.__class__ }}",
        "{{ d.__class__ }}",
        "{{ ().__class__.__bases__[0] }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ joiner.__init__ }}",
        "{{ namespace.__init__ }}",
        "{{ dict.__base__ }}",
        "{{ range.__globals__ }}",
        "{{ range.__call__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ self }}",
        "{{ super }}",
        "{{ caller() }}",
        "{{ config }}",
        "{{ request }}",
        "{{ environment }}",
        "{{ undefined_thing.__init__.__globals__ }}",
        "{{ (undefined_thing|default).__class__ }}",
        "{% for x in l %}{{ loop.__init__.__globals__ }}{% endfor %}",
        "{% for x in l %}{{ loop._undefined }}{% endfor %}",
        "{{ '{0.__class__}'.format(a) }}",
        "{{ '{0.__class__}'.format_map(d) }}",
        "{{ 'x'.format }}",
        "{{ ('%s' % a) }}",
        "{{ a|attr('__class__') }}",
        "{{ l|map(attribute='__class__')|list }}",
        "{{ l|map('upper') }}",
        "{{ l|select('defined') }}",
        "{{ [d]|sum(attribute='__class__') }}",
        "{{ l|sort(attribute='__class__') }}",
        "{{ l|join(attribute='__class__') }}",
        "{{ l|unique(attribute='__class__')|list }}",
        "{{ l|max(attribute='__class__') }}",
        "{{ a|safe }}",
        "{{ a|format(1) }}",
        "{{ a|pprint }}",
        "{{ d|xmlattr }}",
        "{{ a|urlize }}",
        "{{ a|tojson }}",
        "{{ l.append(3) }}",
        "{{ d.update({}) }}",
        "{{ l.clear() }}",
        "{{ a.upper }}",
        "{{ range }}",
        "{% autoescape false %}{{ a }}{% endautoescape %}",
        "{% macro m() %}{{ m.__class__ }}{% endmacro %}{{ m() }}",
        "{% call a() %}{% endcall %}",
        "{% block b %}{% endblock %}",
        "{% include 'settings.py' %}",
        "{% include a ignore missing %}",
        "{% import 'os' as os %}",
        "{% from 'os' import system %}",
        "{% extends 'base.html' %}",
        "{% extends a %}",
        "{% if a %}{% include 'x' %}{% endif %}",
        "{% if n > 9 %}{% elif 1 %}{% import 'x' as y %}{% endif %}",
        "{% for x in l %}{% else %}{% block b %}{% endblock %}{% endfor %}",
        "{% set x %}{% include 'x' %}{% endset %}",
        "{% with %}{% macro m() %}{% endmacro %}{% endwith %}",
        "{% filter upper %}{% include 'x' %}{% endfilter %}",
        "{% for x in l recursive %}{{ loop(l) }}{% endfor %}",
        "{% set self = a %}{{ self.__class__ }}",
        "{{ ''.join.__self__ }}",
        "{{ a.encode().__class__ }}",
    ],
)
@pytest.mark.parametrize("part", ["subject", "html", "text"])
def test_there_is_no_way_out(template, part):
    error = refused(f"\n{template}", part)

    assert (error.part, error.line) == (part, 2)
    assert "object at 0x" not in str(error)
    assert alive()


def test_what_cannot_be_used_is_called_by_its_name():
    for name, template in {
        "include": "{% include 'x' %}",
        "extends": "{% extends 'x' %}",
        "from": "{% from 'x' import y %}",
    }.items():
        assert str(refused(template)) == f"“{name}” cannot be used in an e-mail."


def test_values_from_contacts_are_no_templates():
    source = Source("{{ a }}", "{{ a }}", "{{ a }}")
    hostile = "{{ ''.__class__ }}{% include 'x' %}"

    assert render(source=source, values={"a": hostile}).text == hostile


# --- taking everything -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% for i in range(10**9) %}x{% endfor %}", "Powers"),
        ("{% for i in range(1000000000) %}x{% endfor %}", "at most 10,000"),
        ("{{ range(0, 1000000000)|list }}", "at most 10,000"),
        ("{{ 'a' * 1000000000 }}", "too long"),
        ("{{ 1000000000 * 'a' }}", "too long"),
        ("{{ [1] * 1000000000 }}", "too long"),
        ("{{ 10 ** 10 ** 10 }}", "Powers"),
        ("{{ 'a'.ljust(2000000000) }}", "memory"),
        ("{{ 'a'.center(600000000)|upper|lower|upper }}", "memory"),
        ("{{ 'a,'|replace('a', 'b'.zfill(900000000)) }}", "memory"),
        ("{% for i in range(10000) %}{% for j in range(10000) %}0123456789{% endfor %}{% endfor %}", "500 kB"),
        ("{{ '0123456789' * 10000 }}" * 10, "500 kB"),
        ("{% set x %}{% for i in range(9999) %}{{ '0123456789' * 100 }}{% endfor %}{% endset %}{{ x }}", "500 kB"),
        ("{% set x = 'a' * 100000 %}" + "{% set x = x ~ x %}" * 16 + "{{ x }}", "memory"),
        ("{{ '" + "%" * 10 + "1000000000d' % 5 }}", "“%”"),
    ],
)
def test_neither_memory_nor_length(template, words):
    error = refused("a\n" + template)

    assert words in str(error)
    assert (error.part, error.line) == ("html", 2)
    assert alive()


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        "{% for i in range(9999) %}{% set x = range(9999)|list|sort|join|length %}{% endfor %}",
    ],
)
def test_nor_time(template):
    started = time.monotonic()

    error = refused("a\nb\n" + template)

    assert "too long" in str(error)
    assert (error.part, error.line) == ("html", 3)
    assert time.monotonic() - started < 10
    assert alive()


@pytest.mark.parametrize(
    "template",
    [
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{{ " + "-" * 20_000 + "1 }}",
        "{{ " + "[" * 5000 + "]" * 5000 + " }}",
        "{{ a" + ".b" * 5000 + " }}",
        "{{ 1" + "+ 1" * 20_000 + " }}",
        "{{ a" + "|upper" * 5000 + " }}",
        "{% if a %}" * 1000 + "{% endif %}" * 1000,
        "{% for i in l %}" * 30 + "{% endfor %}" * 30,
        "{% if a %}" + "{% elif a %}" * 3000 + "{% endif %}",
    ],
    ids=["brackets", "signs", "lists", "dots", "sums", "filters", "ifs", "fors", "elifs"],
)
def test_nor_depth(template):
    """Whatever these say, they say it soon, and the next one is answered."""
    started = time.monotonic()
    try:
        render(source=Source("s", template), values=VALUES)
    except RenderError as error:
        assert "object at 0x" not in str(error)

    assert time.monotonic() - started < 15
    assert alive()


@pytest.mark.parametrize(
    "markup",
    ["<div>" * 40_000, "<table><tr><td>" * 10_000, "<" * 200_000, "<a b='" * 50_000, "<!" * 100_000, "&" * 200_000],
)
def test_hostile_markup_is_no_reason_to_wait(markup):
    started = time.monotonic()
    for ask in (lambda source: render(source=source, values={}), inspect):
        try:
            ask(Source("s", markup))
        except RenderError:
            pass

    assert time.monotonic() - started < 30
    assert alive()


def test_a_hostile_row_among_a_thousand_costs_its_own_message():
    source = Source("s", "{{ 'a'.ljust(n) }}")

    split = render_split(source=source, many=[{"n": 3}, {"n": 600_000}, {"n": 4}])

    assert [isinstance(row, RenderError) for row in split.rows] == [False, True, False]


# --- the process -----------------------------------------------------------------------------------------------------


def test_a_killed_child_is_started_again_and_the_call_answered():
    for number in (signal.SIGKILL, signal.SIGSEGV):
        pid = child_pid()
        os.kill(pid, number)

        assert alive()
        assert child_pid() != pid


def test_a_child_killed_at_work_is_asked_once_more():
    """It dies in the middle of a call; the second one, which nobody kills, answers."""
    slow = Source("s", "{% for i in range(9999) %}{% for j in range(90) %}{% endfor %}{% endfor %}{{ a }}")
    started = time.perf_counter()
    assert render(source=slow, values={"a": "Ann"}).html == "Ann"
    took_s = time.perf_counter() - started
    pid = child_pid()
    killer = threading.Timer(took_s / 4, os.kill, (pid, signal.SIGKILL))
    killer.start()

    answer = render(source=slow, values={"a": "Ann"}).html
    killer.join()

    assert answer == "Ann"
    assert child_pid() != pid


def test_a_child_that_dies_each_time_may_live_another_time(monkeypatch):
    def dies(child, body, budget_s):
        raise process._GoneError

    with monkeypatch.context() as patched:
        patched.setattr(process.Child, "ask", dies)
        with pytest.raises(RendererUnavailableError, match="too much memory"):
            render(source=GOOD, values={"a": "Ann"})
    assert alive()


def test_who_has_no_turn_may_have_one_later(monkeypatch):
    monkeypatch.setattr(process, "WAIT_FOR_TURN_S", 0.01)
    with process._turn, pytest.raises(RendererUnavailableError, match="Other templates"):
        render(source=GOOD, values={"a": "Ann"})


def test_half_characters_are_dropped():
    made = render(source=Source("{{ '\\ud800' }}Hi", "<p>{{ '\\ud83d' }}{{ '\\ude00' }}{{ a }}</p>"), values={"a": "😀"})
    assert (made.subject, made.html, made.text) == ("Hi", "<p>😀</p>", "😀")


def test_a_child_that_stops_answering_is_replaced(monkeypatch):
    monkeypatch.setattr(process, "PATIENCE_S", 0.5)
    pid = child_pid()
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr("crm.email.rendering.renderer.BUDGET_S", 0.1)

    with pytest.raises(RenderError, match="too long"):
        render(source=GOOD, values={"a": "Ann"})

    assert not Path(f"/proc/{pid}").exists()
    monkeypatch.undo()
    assert alive()


def test_a_loop_nobody_can_interrupt_is_ended_by_the_system():
    """Work inside one C function hears no signal handler; the limit of its process ends it."""
    source = Source(
        "s", "{% set x = range(9999)|join %}" + "{% set y = x.replace('1', x) %}" + "{{ y.count(x ~ '!') }}" * 50
    )
    started = time.monotonic()

    try:
        render(source=source, values={})
    except RenderError:
        pass

    assert time.monotonic() - started < 20
    assert alive()


def test_threads_take_turns():
    found = []

    def ask(name):
        for _ in range(20):
            found.append((name, render(source=GOOD, values={"a": name}).html))

    threads = [threading.Thread(target=ask, args=(f"n{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 120
    assert all(html == f"<p>{name}</p>" for name, html in found)


def test_a_forked_process_starts_its_own():
    pid = child_pid()
    ours, theirs = os.pipe()
    fork = os.fork()
    if fork == 0:
        try:
            os.write(theirs, json.dumps([alive(), process._child.process.pid]).encode())
            process.stop()
        finally:
            os._exit(0)
    os.waitpid(fork, 0)
    works, other = json.loads(os.read(ours, 100))
    os.close(ours)
    os.close(theirs)

    assert works
    assert other != pid
    assert child_pid() == pid


def test_the_child_has_no_secrets_and_few_means():
    pid = child_pid()
    environment = Path(f"/proc/{pid}/environ").read_bytes().decode()
    limits = {line[:26].strip(): line[26:].split()[0] for line in Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]}

    assert {line.partition("=")[0] for line in environment.split("\0") if line} <= {
        "PYTHONPATH",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUTF8",
        "LC_CTYPE",
    }
    assert (
        limits["Max open files"]
        == limits["Max processes"]
        == limits["Max file size"]
        == limits["Max core file size"]
        == "0"
    )
    assert int(limits["Max address space"]) < 1 << 30
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert "django" not in Path(f"/proc/{pid}/maps").read_text()


def test_a_child_does_not_outlive_a_killed_parent():
    """Not even one that is at work."""
    script = """
        import os, sys, threading, time
        from crm.email.rendering import process
        from crm.email.rendering.renderer import render
        from crm.email.rendering.sources import Source
        render(source=Source("s", "x"), values={})
        print(process._child.process.pid, flush=True)
        slow = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"
        render(source=Source("s", slow), values={})
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, cwd=process.ROOT, text=True
    )
    with parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5

    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert not _runs(pid)


def test_a_child_survives_the_thread_that_started_it():
    """The system sends the news of a parent's death when the thread ends; that one is not the parent's end."""
    process.stop()
    thread = threading.Thread(target=alive)
    thread.start()
    thread.join()
    pid = process._child.process.pid

    assert alive()
    assert child_pid() == pid


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
