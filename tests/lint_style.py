#!/usr/bin/python3
"""House rules that no compiler knows; reads file names from stdin.

Errors: a file over 800 lines, a main.c over 60, a module of common that includes a layer
below its own, a library's header outside the modules that may use it, words that do not
belong into the tree.  A function over 100 lines is a warning.
"""

import os
import re
import sys

# common's rows; a module includes its own row and those before it.
ROWS = [
    ("base", "clock", "list", "str", "htable"),
    ("err", "log", "fd", "beneath", "net"),
    ("loop", "worker", "notify"),
    None,  # whatever is in no other row: conf, json, tls, metrics, db, cluster, ...
    ("http",),
    ("daemon", "admin"),
]
# Which files may include a library's headers: by its include path.
LIBRARIES = {
    r"openssl/": r"common/(tls|digest|x509|jwt)\w*\.[ch]$|tests/",
    r"sqlite3\.h": r"common/db\w*\.[ch]$|tests/|(dnsd|regd|ignd|csrd)/",
    r"ldns/": r"dnsd/|tests/",
    r"curl/": r"common/http_(client|easy)\w*\.c$|tests/",
    r"yaml\.h": r"common/conf\w*\.c$|tests/",
}
# Spelled so that this file does not hold them.
WORDS = [
    ("a path of a developer's machine", re.compile(r"/wor[k]/|shared/fac[t]s")),
    ("an issue's number", re.compile(r"\bissue[ ]#\d*", re.I)),
    ("a merge that nobody finished", re.compile(r"^(<{7}|>{7})( |$)")),
    ("an unfinished place", re.compile(r"\b(TO[D]O|FIX[M]E|X[X]X)\b")),
]
FILE_LINES, MAIN_LINES, FUNCTION_LINES = 800, 60, 100
DATA = ("tests/fuzz/corpus/", "LICENSE")

errors = 0


def error(text):
    global errors
    errors += 1
    print(text)


def row_of(module):
    for i, row in enumerate(ROWS):
        for name in row or ():
            if module == name or (name in ("http", "daemon", "admin", "net", "str", "log", "fd")
                                  and module.startswith(name + "_")):
                return i
    return ROWS.index(None)


def check_layers(path, lines):
    mine = row_of(os.path.splitext(os.path.basename(path))[0])
    for i, line in enumerate(lines, 1):
        match = re.match(r'#include "common/(\w+)\.h"', line)
        if match and row_of(match.group(1)) > mine:
            error(f"{path}:{i}: includes common/{match.group(1)}.h, which is a layer above it")
        match = re.match(r'#include "(dnsd|lbd|regd|ignd|csrd|okdctl)/', line)
        if match:
            error(f"{path}:{i}: common includes {match.group(1)}")


def check_libraries(path, lines):
    for i, line in enumerate(lines, 1):
        for header, allowed in LIBRARIES.items():
            if re.match(rf"#include <{header}", line) and not re.match(allowed, path):
                error(f"{path}:{i}: {line.strip()} is not for this module")


def check_functions(path, lines):
    start = None
    for i, line in enumerate(lines, 1):
        if line == "{":
            start = i
        elif line == "}" and start:
            if i - start - 1 > FUNCTION_LINES:
                name = lines[start - 2] if start > 1 else ""
                print(f"{path}:{start}: warning: {i - start - 1} lines: {name.strip()}")
            start = None


def check_c(path, lines):
    limit = MAIN_LINES if path.endswith("/main.c") and path.count("/") == 1 else FILE_LINES
    if len(lines) > limit:
        error(f"{path}: {len(lines)} lines, more than {limit}: split it")
    if lines and not lines[0].startswith("/*"):
        error(f"{path}:1: does not open with what it is for")
    if path.endswith(".h") and "#pragma once" not in lines:
        error(f"{path}: has no #pragma once")
    if path.startswith("common/"):
        check_layers(path, lines)
    check_libraries(path, lines)
    check_functions(path, lines)


def check(path):
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
    except (UnicodeDecodeError, IsADirectoryError):
        return
    if path.startswith(DATA):
        return
    for i, line in enumerate(lines, 1):
        for what, pattern in WORDS:
            if pattern.search(line):
                error(f"{path}:{i}: {what}: {line.strip()[:80]}")
    if path.endswith((".c", ".h")):
        check_c(path, lines)
    elif path.endswith(".py") and len(lines) > FILE_LINES:
        error(f"{path}: {len(lines)} lines, more than {FILE_LINES}: split it")


for name in sys.stdin.read().splitlines():
    check(name)
sys.exit(1 if errors else 0)
