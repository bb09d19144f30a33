"""What a build variant asks of the tests: sanitizer settings and patience."""

import os
import re

TESTS = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(TESTS)
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(TOP, "build", "release")))
NAME = os.path.basename(BUILD)
# A program under a sanitizer takes longer; every deadline is multiplied by this.
SLOW = {"asan": 4, "tsan": 10, "cov": 2, "fuzz": 4}.get(NAME, 1)
# What a sanitizer writes to stderr when it found something.
SANITIZER = re.compile(
    r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehaviorSanitizer"
    r"|MemorySanitizer|: runtime error: )"
)


def sanitizer_environment():
    """The *SAN_OPTIONS for this build, with the suppressions kept in tests/, if any."""
    options = {
        "ASAN_OPTIONS": "exitcode=99:halt_on_error=1:detect_leaks=1"
        ":detect_stack_use_after_return=1:check_initialization_order=1",
        "LSAN_OPTIONS": "exitcode=99:print_suppressions=0",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
        "TSAN_OPTIONS": "exitcode=66:halt_on_error=1:second_deadlock_stack=1",
    }
    out = {}
    for name, value in options.items():
        kind = name.split("_")[0].lower()
        path = os.path.join(TESTS, f"{kind}.supp")
        if os.path.exists(path):
            value += f":suppressions={path}"
        out[name] = os.environ.get(name, value)
    return out
