#!/usr/bin/env python3
"""Settings and their pages: every key that a daemon's tables know stands in its manual page
okd-<d>.yaml(5) with its default, the page names no other, an accepted case of tests/conf/<d>/
sets it, and the section "Settings" of docs/<d>.md is that page.  The same for cluster.yaml.
Prints what is amiss, exit status 1 when anything is; --update writes the sections anew."""

import glob
import os
import re
import subprocess
import sys
import textwrap

DAEMONS = ("dnsd", "lbd", "regd", "ignd", "csrd")
# A field of a table: { "listen", &type, offset, "default", ...} or .key = "listen".
FIELD = re.compile(r'\{\s*"([a-z][a-z0-9_]*)",\s*(?:&\w+|\.)[^"{}]*(?:"((?:[^"\\]|\\.)*)")?'
                   r'|\.key\s*=\s*"(\w+)"(?:[^{}]*?\.def\s*=\s*"([^"]*)")?')
# #define TIMEOUT(name, default) { .key = #name, ...
MACRO = re.compile(r"#define (\w+)\((\w+)[^)]*\)[\s\\]*\{[\s\\]*\.key = #\2\b")
DAEMON_FIELDS = re.compile(r"#define DAEMON_CONF_FIELDS.*?(?=\n\n)", re.S)
HEADING = "## Settings\n"


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def keys_in(text):
    """{key: its defaults}, those of tables within tables too."""
    found = {}
    for a, x, b, y in FIELD.findall(text):
        found.setdefault(a or b, set()).add(x or y)
    for macro, _ in MACRO.findall(text):
        for key, default in re.findall(rf'^\t{macro}\((\w+), "([^"]*)"\)', text, re.M):
            found.setdefault(key, set()).add(default)
    return found


def keys_of(daemon):
    text = "".join(x for x in map(text_of, glob.glob(f"{daemon}/*.c")) if "CONF_END" in x)
    if "DAEMON_CONF_FIELDS" in text:
        text += DAEMON_FIELDS.search(text_of("common/daemon.h")).group().replace("\\\n", "\n")
    return keys_in(text)


def settings_named(lines):
    """The words of .Ic lines, up to the next macro of the line."""
    lines = [re.split(r" (?:Pq|Li|Ns|Pa|Po) ", x)[0] for x in lines]
    return set(re.findall(r"[a-z][a-z0-9_]*", " ".join(lines)))


def against_page(page, keys):
    text = text_of(page)
    items = re.split(r"^\.It ", text, flags=re.M)[1:]
    # A list of tables has a section of its own.
    named = settings_named(re.findall(r"^\.(?:(?:It )?Ic|Ss) (.*)$", text, re.M))
    for key in sorted(set(keys) - named):
        yield f"{page}: nothing about the setting {key}"
    for key in sorted(settings_named(re.findall(r"^\.It Ic (.*)$", text, re.M)) - set(keys)):
        yield f"{page}: there is no setting {key}"
    for key, defaults in sorted(keys.items()):
        about = " ".join(x for x in items if re.search(rf"(?<!\w){key}(?!\w)", x))
        for value in sorted(x for x in defaults if re.match("[1-9]", x)):
            if not re.search(rf"(?<![\w.]){re.escape(value)}(?!\w)", about):
                yield f"{page}: the default of {key}, {value}, is not said"


def against_cases(daemon, keys, pattern):
    """The golden cases that are accepted set each key at least once."""
    cases = [x for x in glob.glob(pattern)
             if os.path.exists(re.sub(r"(\.cluster)?\.yaml$", ".ok", x))]
    used = set(re.findall(r"([a-z][a-z0-9_]*):", " ".join(map(text_of, cases))))
    for key in sorted(set(keys) - used):
        yield f"tests/conf: no accepted case sets {key} of {daemon}"


def amiss(daemon):
    keys = keys_of(daemon)
    yield from against_page(f"{daemon}/okd-{daemon}.yaml.5", keys)
    yield from against_cases(daemon, keys, f"tests/conf/{daemon}/*.yaml")


def cluster_amiss():
    keys = keys_in(text_of("common/cluster.c"))
    yield from against_page("common/okd-cluster.yaml.5", keys)
    yield from against_cases("cluster", keys, "tests/conf/*/*.cluster.yaml")


# --- the manual as a section of a page -------------------------------------------------


def paragraphs(lines):
    """(depth, lines) of mandoc's Markdown, where the text of a tag is quoted once more."""
    found = []
    again = True
    for line in lines:
        quoted = re.match(r"(> ?)*", line).group()
        depth, text = quoted.count(">"), line[len(quoted):].rstrip()
        if not text:
            again = True
        elif again or found[-1][0] != depth:
            found.append((depth, [text]))
            again = False
        else:
            found[-1][1].append(text)
    return found


def plain(text):
    """Words in bold, paths and literals become code, which needs no escapes."""
    text = re.sub(r"\\([_*<>\[\]#.-])", r"\1", text)
    text = re.sub(r"&#(\d+);", lambda m: chr(int(m.group(1))), text)
    text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    text = re.sub(r"\*\*([^*]+)\*\*", r"`\1`", text)
    text = re.sub(r"(?<!\*)\*(/[^*]+)\*", r"`\1`", text)
    return text


def fold(text, first, rest):
    return textwrap.fill(" ".join(text), 92, initial_indent=first, subsequent_indent=rest,
                         break_long_words=False, break_on_hyphens=False)


def section(daemon):
    page = f"{daemon}/okd-{daemon}.yaml.5"
    out = subprocess.run(["mandoc", "-T", "markdown", page], capture_output=True, text=True,
                         check=True).stdout
    body = re.search(r"^# DESCRIPTION\n(.*?)(?=^# )", out, re.M | re.S).group(1)
    found = paragraphs(body.strip().splitlines())
    made = [HEADING, f"This is okd-{daemon}.yaml(5).\n"]
    tag = False
    for (depth, lines), after in zip(found, [*found[1:], (0, [])]):
        lines = [plain("#" + x if x.startswith("## ") else x) for x in lines]
        if after[0] > depth:
            made.append("  " * depth + f"- {' '.join(lines)}:")
            tag = True
        elif tag:
            made[-1] = fold([made[-1].strip(), *lines], "  " * (depth - 1), "  " * depth)
            tag = False
        else:
            made.append("\n" + fold(lines, "  " * depth, "  " * depth) + "\n")
    text = "\n".join(made).rstrip() + "\n"
    return re.sub(r"\n{3,}", "\n\n", text)


def split(text):
    """What stands before the section, the section, and what stands behind it."""
    begin = text.find("\n" + HEADING)
    if begin < 0:
        return text.rstrip() + "\n\n", "", ""
    end = text.find("\n## ", begin + len(HEADING))
    end = len(text) if end < 0 else end + 1
    return text[:begin + 1], text[begin + 1:end].rstrip() + "\n", text[end:]


def compare(daemon, update):
    page = f"docs/{daemon}.md"
    before, have, behind = split(text_of(page))
    want = section(daemon)
    if have == want:
        return
    if not update:
        yield f"{page}: \"Settings\" is not okd-{daemon}.yaml(5): tests/lint_docs.py --update"
        return
    with open(page, "w", encoding="utf-8") as f:
        f.write(before + want + ("\n" + behind if behind else ""))


def main():
    update = sys.argv[1:] == ["--update"]
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    if not all(keys_of(daemon) for daemon in DAEMONS):
        sys.exit("no keys were found: is conf.c written otherwise?")
    found = [x for d in DAEMONS for x in (*amiss(d), *compare(d, update))]
    found += cluster_amiss()
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
