"""packaging/monitoring: what alerts and dashboard ask for."""

import json
import os
import re

import yaml

from variant import TOP

FOLDER = os.path.join(TOP, "packaging", "monitoring")
RULES, TESTS = "okd-bastion.rules.yaml", "okd-bastion.rules.test.yaml"
# Words of PromQL and labels that look like names of metrics are none; ours begin so.
METRIC = re.compile(r"\b((?:okd|coredns|haproxy|process|registry)_[a-z0-9_]+)\b")

# Labels that Prometheus itself gives, and those of its own metrics.
GIVEN = {"job", "instance", "le", "__name__"}


def alerts():
    with open(os.path.join(FOLDER, RULES), encoding="utf-8") as f:
        return [r for g in yaml.safe_load(f)["groups"] for r in g["rules"]]


def dashboard():
    with open(os.path.join(FOLDER, "okd-bastion-dashboard.json"), encoding="utf-8") as f:
        return json.load(f)


def queries():
    """Every query of the dashboard."""
    return [t["expr"] for p in dashboard()["panels"] for t in p.get("targets", [])]


def metrics_in(expr):
    """The metrics of a query; a histogram is one with several names."""
    return {re.sub(r"_(bucket|sum|count)$", "", m) for m in METRIC.findall(expr)}


def metrics_asked_for():
    return {m for text in [*queries(), *[r["expr"] for r in alerts()]] for m in metrics_in(text)}


def patterns_asked_for():
    """The regular expressions that stand for the names of metrics."""
    return {p for r in alerts() for p in re.findall(r'__name__=~"([^"]*)"', r["expr"])}


def labels_asked_for():
    """[(query, its labels)]: those that choose, those that group, those that are shown."""
    texts = [(r["expr"], " ".join(r["annotations"].values())) for r in alerts()]
    texts += [(t["expr"], t.get("legendFormat", ""))
              for p in dashboard()["panels"] for t in p.get("targets", [])]
    found = []
    for expr, shown in texts:
        labels = set(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expr))
        labels |= {x for group in re.findall(r"\bby \(([^)]*)\)", expr)
                   for x in re.split(r",\s*", group)}
        labels |= set(re.findall(r"\$labels\.(\w+)", shown))
        labels |= set(re.findall(r"\{\{\s*(\w+)\s*\}\}", shown))
        found.append((expr, labels - GIVEN))
    return found


def labels_of(text):
    """{metric: its labels} of what a daemon answers to Prometheus."""
    found = {}
    for name, labels in re.findall(r"^([a-z]\w*)(?:\{(.*)\})? \S+$", text, re.M):
        name = re.sub(r"_(bucket|sum|count)$", "", name)
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found
