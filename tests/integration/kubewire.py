"""What kubeapi.py stands on: faults of a connection, certificates of a small PKI, Status
objects, times, and the protobuf in which kubectl sends what it knows."""

import datetime
import os
import socket
import struct
import subprocess
import time


def rfc3339(t=None):
    now = datetime.datetime.fromtimestamp(time.time() if t is None else t, datetime.timezone.utc)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


class Fault:
    """Answers requests that fit with a status, or cuts them after so many bytes."""

    def __init__(self, fits, code=None, cut=None, times=1, before=None, headers=None):
        self.fits, self.code, self.cut, self.times = fits, code, cut, times
        self.before, self.headers = before, headers or {}


class Cutter:
    """A wfile that lets so many bytes through and then resets the connection."""

    def __init__(self, wfile, connection, budget):
        self.wfile, self.connection, self.budget = wfile, connection, budget

    def write(self, data):
        if self.budget is not None:
            if len(data) > self.budget:
                self.wfile.write(data[: self.budget])
                self.wfile.flush()
                reset(self.connection)
                raise ConnectionAbortedError("cut")
            self.budget -= len(data)
        return self.wfile.write(data)

    def flush(self):
        self.wfile.flush()

    def close(self):
        self.wfile.close()

    @property
    def closed(self):
        return self.wfile.closed


def reset(sock):
    """Ends a connection with RST, as a machine that loses power seems to do."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    try:
        sock.close()
    except OSError:
        pass


class Refused(Exception):
    """An answer that is a Status object."""

    def __init__(self, code, reason, message, details=None):
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details

    def status(self):
        out = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
               "message": self.message, "reason": self.reason, "code": self.code}
        if self.details:
            out["details"] = self.details
        return out


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *args], check=True, capture_output=True,
                          input=stdin).stdout.decode()


class Pki:
    """A CA, a server certificate for 127.0.0.1 and client certificates, in a folder."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.ca, self.ca_key = self.path("ca.crt"), self.path("ca.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", self.ca_key, "-out", self.ca, "-days", "30",
                "-subj", "/CN=kube-ca", "-addext", "basicConstraints=critical,CA:TRUE")
        self.issue("server", "/CN=kube-apiserver",
                   "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:api.okd.example.com,"
                   "DNS:api-int.okd.example.com\n"
                   "extendedKeyUsage=serverAuth\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def issue(self, name, subject, extensions="extendedKeyUsage=clientAuth\n"):
        key, crt, csr, ext = (self.path(f"{name}.{x}") for x in ("key", "crt", "csr", "ext"))
        with open(ext, "w", encoding="utf-8") as f:
            f.write(extensions)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", key, "-out", csr, "-subj", subject)
        openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.ca_key,
                "-CAcreateserial", "-days", "30", "-extfile", ext, "-out", crt)
        return crt, key


def protobuf_fields(data):
    """A message as {number: [values]}: integers and bytes."""
    out, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            value = varint()
        elif tag & 7 == 2:
            n = varint()
            value, at = data[at : at + n], at + n
        else:
            raise Refused(400, "BadRequest", "unexpected wire type")
        out.setdefault(tag >> 3, []).append(value)
    return out


def protobuf_object(body):
    if body[:4] != b"k8s\0":
        raise Refused(400, "BadRequest", "no protobuf of Kubernetes")
    return protobuf_fields(protobuf_fields(body[4:])[2][0])


def text(fields, number):
    return fields.get(number, [b""])[0].decode()


def protobuf_review(body):
    """A SelfSubjectAccessReview."""
    spec = protobuf_fields(protobuf_object(body)[2][0])
    a = protobuf_fields(spec.get(1, [b""])[0])
    names = {2: "verb", 3: "group", 5: "resource", 6: "subresource", 7: "name"}
    return {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "spec": {"resourceAttributes": {n: text(a, i) for i, n in names.items()}}}


def protobuf_csr(body):
    """A CertificateSigningRequest as the generated.proto of certificates has it."""
    def moment(fields, number):
        seconds = protobuf_fields(fields.get(number, [b""])[0]).get(1)
        return rfc3339(seconds[0]) if seconds else None

    csr = protobuf_object(body)
    meta = protobuf_fields(csr.get(1, [b""])[0])
    conditions = []
    for raw in protobuf_fields(csr.get(3, [b""])[0]).get(1, []):
        c = protobuf_fields(raw)
        conditions.append({"type": text(c, 1), "reason": text(c, 2), "message": text(c, 3),
                           "lastUpdateTime": moment(c, 4), "lastTransitionTime": moment(c, 5),
                           **({"status": text(c, 6)} if 6 in c else {})})
    return {"metadata": {"name": text(meta, 1), "uid": text(meta, 5),
                         "resourceVersion": text(meta, 6)},
            "status": {"conditions": conditions}}
