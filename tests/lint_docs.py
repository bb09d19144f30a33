#!/usr/bin/env python3
"""Settings and their pages: every key that a daemon's conf.c knows stands in its manual page
okd-<d>.yaml(5), and the section "Settings" of docs/<d>.md is that page.  Prints what is amiss,
exit status 1 when anything is; --update writes the sections anew."""

import os
import re
import subprocess
import sys
import textwrap

DAEMONS = ("dnsd", "lbd", "regd", "ignd", "csrd")
# A field of a table: { "listen", &type, ...} or .key = "listen".
FIELD = re.compile(r'(?:\{\s*|\.key\s*=\s*)"([a-z][a-z0-9_]*)",\s*(?:&|\.)|\.key\s*=\s*"(\w+)"')
DAEMON_FIELDS = re.compile(r"#define DAEMON_CONF_FIELDS.*?(?=\n\n)", re.S)
HEADING = "## Settings\n"


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def keys_of(daemon):
    """The keys, those of tables within tables too."""
    text = text_of(f"{daemon}/conf.c")
    if "DAEMON_CONF_FIELDS" in text:
        text += DAEMON_FIELDS.search(text_of("common/daemon.h")).group()
    return {a or b for a, b in FIELD.findall(text)}


def missing(daemon):
    page = f"{daemon}/okd-{daemon}.yaml.5"
    text = text_of(page)
    for key in sorted(keys_of(daemon)):
        if not re.search(rf"(?<![A-Za-z0-9]){key}(?![A-Za-z0-9_])", text):
            yield f"{page}: nothing about the setting {key}"


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
    found = [x for d in DAEMONS for x in (*missing(d), *compare(d, update))]
    print("\n".join(found), end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
