#!/usr/bin/python3
"""sbom.py PACKAGE...: writes PACKAGE.spdx.json beside each .rpm or .deb: what is in it, file
by file with its digests, and what it needs, as SPDX 2.3.  The same package gives the same
bytes: the date is SOURCE_DATE_EPOCH."""

import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

LICENSE = "Apache-2.0"
SUPPLIER = "Organization: The okd-bastion developers"


def output(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout


def spdx_id(*parts):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", "-".join(parts)).strip("-")


class Rpm:
    kind = "rpm"

    def __init__(self, path):
        self.path = path
        self.name, version, release, self.arch, source = output(
            "rpm", "-qp", "--qf", "%{NAME}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{SOURCERPM}",
            path).split("\t")
        self.version = f"{version}-{release}"
        if source == "(none)":
            self.arch = "src"

    def needs(self):
        lines = output("rpm", "-qp", "--requires", self.path).splitlines()
        return sorted({x.strip() for x in lines} - {x for x in lines if x.startswith("rpmlib(")})

    def unpack(self, folder):
        with subprocess.Popen(["rpm2cpio", self.path], stdout=subprocess.PIPE) as p:
            subprocess.run(["cpio", "-idm", "--quiet"], stdin=p.stdout, cwd=folder, check=True)

    def purl(self):
        return f"pkg:rpm/{self.name}@{self.version}?arch={self.arch}"


class Deb:
    kind = "deb"

    def __init__(self, path):
        self.path = path
        fields = output("dpkg-deb", "-W", "--showformat",
                        "${Package}\t${Version}\t${Architecture}\t${Depends}", path)
        self.name, self.version, self.arch, self.depends = fields.split("\t")

    def needs(self):
        return sorted(x.strip() for x in self.depends.split(",") if x.strip())

    def unpack(self, folder):
        subprocess.run(["dpkg-deb", "-x", self.path, folder], check=True)

    def purl(self):
        return f"pkg:deb/{self.name}@{self.version}?arch={self.arch}"


def digests(path):
    with open(path, "rb") as f:
        data = f.read()
    return [{"algorithm": name, "checksumValue": hashlib.new(name.lower(), data).hexdigest()}
            for name in ("SHA1", "SHA256")]


def files_of(package):
    """The regular files of a package, as SPDX has them."""
    found = []
    with tempfile.TemporaryDirectory(prefix="okd-sbom-") as folder:
        package.unpack(folder)
        for where, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(where, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    found.append((f"./{os.path.relpath(path, folder)}", digests(path)))
    return [{"SPDXID": spdx_id("File", f"{i:04}"), "fileName": name, "checksums": sums,
             "licenseConcluded": LICENSE, "licenseInfoInFiles": [LICENSE],
             "copyrightText": "NOASSERTION"} for i, (name, sums) in enumerate(sorted(found))]


def dependency(need, number):
    """Somebody else's package, as the builder wrote it down."""
    name, _, version = need.partition(" ")
    out = {"SPDXID": spdx_id("Needs", f"{number:03}", name), "name": name,
           "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
           "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
           "copyrightText": "NOASSERTION"}
    if version:
        out["versionInfo"] = version.strip(" ()")
    return out


def document(package, epoch):
    files = files_of(package)
    ours = spdx_id("Package", package.name)
    code = hashlib.sha1("".join(sorted(f["checksums"][0]["checksumValue"]
                                       for f in files)).encode()).hexdigest()
    sums = digests(package.path)
    needs = [dependency(need, i) for i, need in enumerate(package.needs())]
    when = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    relationships = [("SPDXRef-DOCUMENT", "DESCRIBES", ours)]
    relationships += [(ours, "CONTAINS", f["SPDXID"]) for f in files]
    relationships += [(ours, "DEPENDS_ON", n["SPDXID"]) for n in needs]
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": os.path.basename(package.path),
        "documentNamespace": f"urn:okd-bastion:{package.kind}:{sums[1]['checksumValue']}",
        "creationInfo": {"created": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
                         "creators": [SUPPLIER, "Tool: okd-bastion-sbom"]},
        "packages": [{
            "SPDXID": ours, "name": package.name, "versionInfo": package.version,
            "packageFileName": os.path.basename(package.path), "supplier": SUPPLIER,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": bool(files),
            **({"packageVerificationCode": {"packageVerificationCodeValue": code}}
               if files else {}),
            "checksums": sums, "licenseConcluded": LICENSE, "licenseDeclared": LICENSE,
            **({"licenseInfoFromFiles": [LICENSE]} if files else {}),
            "copyrightText": "Copyright 2026 The okd-bastion developers",
            "primaryPackagePurpose": "SOURCE" if package.arch == "src" else "INSTALL",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER",
                              "referenceType": "purl", "referenceLocator": package.purl()}],
        }, *needs],
        "files": files,
        "relationships": [{"spdxElementId": a, "relationshipType": kind,
                           "relatedSpdxElement": b} for a, kind, b in relationships],
    }


def main(paths):
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    for path in paths:
        package = (Rpm if path.endswith(".rpm") else Deb)(path)
        with open(f"{path}.spdx.json", "w", encoding="utf-8") as f:
            json.dump(document(package, epoch), f, indent=1)
            f.write("\n")


main(sys.argv[1:])
