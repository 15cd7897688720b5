#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scripts that judge everything else: run-tests, check-floors, check-style. Speaks TAP."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True


def load(name):
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), os.path.join(TOP, "scripts", name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


runner = load("run-tests")


def test_of(script, deadline=20):
    return runner.Test("unit", "sample", ["sh", "-c", script], {}, deadline, True)


def results(script, deadline=20):
    test = test_of(script, deadline)
    output, status, _, late = runner.execute(test, False)
    return [(c.name, c.result, c.why) for c in runner.judge(test, output, status, late)]


def cases_are_counted():
    got = results("echo 1..3; echo ok 1 - a; echo 'not ok 2 - b'; echo 'ok 3 - c # SKIP no disk'; exit 1")
    assert got == [("a", "passed", ""), ("b", "failed", ""), ("c", "skipped", "no disk")], got


def a_skip_of_cmocka_takes_the_reason_before_it():
    got = results("echo '# skip: needs root'; echo 'not ok 1 # SKIP a_case'; echo 1..1")
    assert got == [("a_case", "skipped", "needs root")], got


def a_file_may_be_skipped_whole():
    assert results("echo '1..0 # SKIP needs root'") == [("all", "skipped", "needs root")]
    assert results("echo '1..0 # SKIP no guest'; exit 77") == [("all", "skipped", "no guest")]


def what_ends_early_has_failed():
    assert ("the test itself", "failed", "2 cases were planned, 1 ran") in results("echo 1..2; echo ok 1 - a")
    assert ("the test itself", "failed", "no plan was printed") in results("echo ok 1 - a")
    assert ("the test itself", "failed", "exit status 3") in results("echo 1..1; echo ok 1 - a; exit 3")
    assert ("the test itself", "failed", "ended by signal 9") in results("echo 1..1; echo ok 1 - a; kill -9 $$")
    assert any(c[1] == "failed" for c in results(""))


def a_deadline_ends_the_whole_group():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pid")
        start = time.monotonic()
        got = results(f"sleep 60 & echo $! >{path}; echo 1..1; wait", deadline=1)
        assert ("the test itself", "failed", "not done after 1 s") in got, got
        assert time.monotonic() - start < 30
        with open(path, encoding="utf-8") as file:
            pid = int(file.read())
        end = time.monotonic() + 5
        while os.path.exists(f"/proc/{pid}/cmdline") and time.monotonic() < end:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return
            time.sleep(0.05)
        assert not os.path.exists(f"/proc/{pid}"), "the child lives"


def a_deadline_lets_a_test_clean_up():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "cleaned")
        results(f"trap 'touch {path}; exit 1' TERM; echo 1..1; sleep 60 & wait", deadline=1)
        assert os.path.exists(path)


def what_must_run_may_not_be_skipped():
    for pattern, result in (("unit/sample", "failed"), ("unit/*", "failed"), ("unit/sample:a", "failed"), ("root/*", "skipped")):
        os.environ["INSULA_MUST_RUN"] = f"other/test {pattern}"
        case = runner.Case("a", "skipped", "no disk")
        runner.must_run(test_of(""), [case])
        assert case.result == result, (pattern, case)
    del os.environ["INSULA_MUST_RUN"]


def a_script_says_its_deadline_and_the_guest():
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write("#!/bin/sh\n# timeout: 42\n# also in: guest\n")
        file.flush()
        assert runner.script_head(file.name) == (42, True)
        file.write("x\n" * 30)
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        assert runner.script_head(file.name) == (runner.DEADLINE, False)


def checked(script, files):
    with tempfile.TemporaryDirectory() as top:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
            with open(os.path.join(top, path), "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([os.path.join(TOP, "scripts", script), top], stderr=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stderr


def higher_floors_are_refused():
    files = {"src/base/a.h": "", "src/model/m.h": '#include "base/a.h"\n', "src/site/site.h": "", "src/site/local/l.h": '#include "site/site.h"\n',
             "src/site/kubernetes/k.h": "", "src/site/stack/s.c": '#include "site/kubernetes/k.h"\n', "guest/g.c": '#include <stdio.h>\n'}
    assert checked("check-floors", files) == (0, "")
    for path, text, part in (("src/base/b.c", '\n#include "model/m.h"\n', "src/base/b.c:2: base may not include src/model/m.h"),
                             ("src/base/c.c", '#include "../model/m.h"\n', "src/base/c.c:1: base may not"),
                             ("src/site/local/b.c", '#include "site/kubernetes/k.h"\n', "of another site"),
                             ("guest/h.c", '#include "../src/base/a.h"\n', "guest stands alone"),
                             ("src/cellar/x.c", '#include "base/a.h"\n', "stands on no floor")):
        status, errors = checked("check-floors", {**files, path: text})
        assert status == 1 and part in errors, errors


def style_is_refused_with_its_place():
    head = "/* SPDX-License-Identifier: Apache-2.0 */\n"
    assert checked("check-style", {"src/base/a.c": head + "int f(void)\n{\n\treturn 0; /* printf( system( */\n}\n"}) == (0, "")
    marker = "TO" + "DO"
    for path, text, part in (("src/base/a.c", "int x;\n", "a.c:1: no SPDX line"),
                             ("src/base/a.c", head + f"/* {marker} */\n", "a.c:2: unfinished work"),
                             ("src/base/a.c", head + '\tsystem("ls");\n', "a.c:2: system(: no shell"),
                             ("src/base/a.c", head + '\tprintf("x");\n', "below cli nothing prints"),
                             ("src/base/a.c", head + "\tstrcpy(a, b);\n", "a.c:2: strcpy("),
                             ("src/base/a.c", head + "\tx = getenv(y);\n", "reads the environment"),
                             ("src/base/a.c", head + "int x;\n" * 900, "a file of 901 lines"),
                             ("src/base/a.c", head + "int f(void)\n{\n" + "\tx();\n" * 90 + "}\n", "a function of 91 lines"),
                             ("README.md", "see /wo" + "rk/x\n", "a path of one machine"),
                             ("src/base/a.c", head + "int x; \n", "white space at the end")):
        status, errors = checked("check-style", {path: text})
        assert status == 1 and part in errors, (part, errors)


TESTS = [cases_are_counted, a_skip_of_cmocka_takes_the_reason_before_it, a_file_may_be_skipped_whole, what_ends_early_has_failed,
         a_deadline_ends_the_whole_group, a_deadline_lets_a_test_clean_up, what_must_run_may_not_be_skipped,
         a_script_says_its_deadline_and_the_guest, higher_floors_are_refused, style_is_refused_with_its_place]


def main():
    failed = 0
    print(f"1..{len(TESTS)}")
    for number, test in enumerate(TESTS, 1):
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                test()
            print(f"ok {number} - {test.__name__}")
        except AssertionError as why:
            failed = 1
            print(f"# {why}")
            print(f"not ok {number} - {test.__name__}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
