"""The alert rules under promtool, and the dashboard's queries; test_install.py holds both
to the metrics that the daemons really have."""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

import monitoring
from monitoring import FOLDER

pytestmark = pytest.mark.system


def promtool(*args):
    if not shutil.which("promtool"):
        pytest.skip("there is no promtool (package prometheus)")
    p = subprocess.run(["promtool", *args], cwd=FOLDER, stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=60, check=False)
    return p.returncode, p.stdout + p.stderr


def read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
        return yaml.safe_load(f)


def test_alerts():
    status, said = promtool("test", "rules", monitoring.TESTS)
    assert status == 0 and "SUCCESS" in said, said


def test_alerts_that_are_spoiled_are_found(tmp_path):
    """The test above is worth something: it has every alert fire."""
    if not shutil.which("promtool"):
        pytest.skip("there is no promtool (package prometheus)")
    with open(os.path.join(FOLDER, monitoring.RULES), encoding="utf-8") as f:
        rules = f.read()
    shutil.copy(os.path.join(FOLDER, monitoring.TESTS), tmp_path)
    doc = yaml.safe_load(rules)
    for rule in [r for g in doc["groups"] for r in g["rules"]]:
        # Nothing of what a rule asks for is there any more.
        rule["expr"] = "absent(vector(1))"
    (tmp_path / monitoring.RULES).write_text(yaml.safe_dump(doc))
    p = subprocess.run(["promtool", "test", "rules", monitoring.TESTS], cwd=tmp_path,
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                       check=False)
    missed = set(re.findall(r"alertname: (\w+)", p.stdout + p.stderr))
    assert p.returncode != 0 and missed == {r["alert"] for r in monitoring.alerts()}


def test_every_alert_says_what_to_do():
    for rule in monitoring.alerts():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "action"}


def test_scraping_is_as_prometheus_reads_it():
    status, said = promtool("check", "config", "prometheus.yaml")
    assert status == 0, said
    jobs = [s["job_name"] for s in read("prometheus.yaml")["scrape_configs"]]
    assert jobs == ["okd-dnsd", "okd-lbd", "okd-regd", "okd-ignd", "okd-csrd"]


def test_dashboard(tmp_path):
    """It is whole, panels do not overlap, and each query is one that Prometheus parses."""
    doc = monitoring.dashboard()
    assert doc["uid"] and doc["title"]
    taken, ids = set(), set()
    for panel in doc["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
        ids.add(panel["id"])
        assert panel["type"] == "row" or panel["targets"], panel["title"]
    assert len(ids) == len(doc["panels"])
    rules = [{"record": f"panel:query:{i}", "expr": q.replace("$instance", ".*")}
             for i, q in enumerate(monitoring.queries())]
    path = tmp_path / "queries.yaml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    status, said = promtool("check", "rules", str(path))
    assert status == 0 and re.search(rf"{len(rules)} rules found", said), said
