# SPDX-License-Identifier: Apache-2.0
"""A control plane of Kubernetes on loopback: etcd, kube-apiserver and kube-controller-manager as
others wrote and published them, without nodes. Ended by pid with its Programs."""
import datetime
import json
import secrets
import socket
import ssl
import time
import urllib.error
import urllib.request

from harness import free_ports, run, tool

YOUNG_S = 10
ISSUER = "https://kubernetes.default.svc"
AUDIT_POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:kube-system:secrets-store-csi-driver",
          "system:serviceaccount:kube-system:locket-provider"]
- level: None
"""


class Refused(Exception):
    """An answer of the API server that is no success."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text[:300]}")
        self.status = status


class Cluster:
    """The control plane and its administrator's calls. A rig with nodes adds to these."""

    address = "127.0.0.1"  # where the API server listens
    fixed_port = None
    controllers = ["garbage-collector-controller", "namespace-controller", "serviceaccount-controller",
                   "deployment-controller", "replicaset-controller"]
    server_flags = ()
    users = ()  # more rows of the file of tokens: token,user,uid,"group"

    def __init__(self, programs):
        self.programs = programs
        self.folder = programs.folder / "cluster"
        self.folder.mkdir()
        self.token = secrets.token_urlsafe(24)
        self.etcd_port, self.peer_port, self.port, self.kcm_port = free_ports(4)
        self.port = self.fixed_port or self.port
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca_file = self.folder / "certs" / "apiserver.crt"
        self.audit_log = self.folder / "audit.log"
        self.starts = []  # of the API server, as time.time()
        self.make_files()
        self.start_etcd()
        self.start_apiserver()
        self.start_controllers()

    def program(self, name):
        """The one binary under the name that makes it this program."""
        link = self.folder / name
        if not link.exists():
            link.symlink_to(tool("kubernetes"))
        return link

    def make_files(self):
        run(["openssl", "genrsa", "-out", self.folder / "sa.key", "2048"])
        rows = [f'{self.token},admin,admin,"system:masters"', *self.users]
        (self.folder / "tokens.csv").write_text("\n".join(rows) + "\n", encoding="ascii")
        (self.folder / "audit.yaml").write_text(AUDIT_POLICY, encoding="ascii")
        self.kubeconfig = self.write_kubeconfig("admin", self.token)

    def write_kubeconfig(self, name, token):
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": self.url, "certificate-authority": str(self.ca_file)}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }), encoding="ascii")
        return path

    def start_etcd(self):
        url, peer = (f"http://127.0.0.1:{p}" for p in (self.etcd_port, self.peer_port))
        self.programs.start(
            "etcd",
            [self.program("etcd"), f"--data-dir={self.folder}/data", "--unsafe-no-fsync",
             f"--listen-client-urls={url}", f"--advertise-client-urls={url}",
             f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
             f"--initial-cluster=default={peer}", "--log-level=error"],
            lambda: accepts_tcp(self.etcd_port),
        )

    def start_apiserver(self):
        self.starts.append(time.time())
        self.programs.start(
            "apiserver",
            [self.program("kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
             f"--bind-address={self.address}", f"--secure-port={self.port}",
             "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
             f"--cert-dir={self.folder}/certs", "--authorization-mode=Node,RBAC", "--allow-privileged=true",
             f"--token-auth-file={self.folder}/tokens.csv",
             "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
             f"--service-account-issuer={ISSUER}",
             f"--service-account-key-file={self.folder}/sa.key",
             f"--service-account-signing-key-file={self.folder}/sa.key",
             f"--audit-policy-file={self.folder}/audit.yaml",
             f"--audit-log-path={self.audit_log}", "--service-cluster-ip-range=10.0.0.0/24",
             *self.server_flags],
            self.is_ready,
        )

    def start_controllers(self):
        self.programs.start(
            "controllers",
            [self.program("kube-controller-manager"), f"--kubeconfig={self.kubeconfig}",
             "--bind-address=127.0.0.1", f"--secure-port={self.kcm_port}",
             f"--cert-dir={self.folder}/kcm", "--leader-elect=false",
             "--controllers=" + ",".join(self.controllers), f"--root-ca-file={self.ca_file}",
             f"--service-account-private-key-file={self.folder}/sa.key",
             "--use-service-account-credentials=false"],
            lambda: accepts_tcp(self.kcm_port),
        )

    def is_ready(self):
        try:
            return self.call("GET", "/readyz", raw=True) == b"ok"
        except (OSError, Refused, ssl.SSLError):
            return False

    def kubectl(self, *words, check=True):
        return run([self.program("kubectl"), f"--kubeconfig={self.kubeconfig}",
                    f"--cache-dir={self.folder}/cache", *words],
                   check=check).stdout

    def call(self, method, path, body=None, kind="application/json", token=None, raw=False):
        """One API call as the administrator, unless a token is given."""
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token or self.token}", "Content-Type": kind},
        )
        context = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from None
        return text if raw else json.loads(text)

    def watch(self, path):
        """The events of a watch, until the server ends it."""
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with urllib.request.urlopen(request, timeout=600, context=context) as answer:
            for line in answer:
                yield json.loads(line)

    def apply(self, *objects):
        """Applies objects on the server's side, as kubectl does."""
        path = self.folder / "apply.json"
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", path)

    def token_of(self, namespace, account, audience=None, of_pod=None):
        """A token of a service account, from the API server's own TokenRequest; as kubelet asks for
        it when a pod is named."""
        spec = {"expirationSeconds": 3600}
        if audience:
            spec["audiences"] = [audience]
        if of_pod:
            uid = self.call("GET", f"/api/v1/namespaces/{namespace}/pods/{of_pod}")["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": of_pod, "uid": uid}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return self.call("POST", path, body)["status"]["token"]

    def was_young(self, call):
        """Was the API server just started at this call? Its authorizer has not read the roles then."""
        at = datetime.datetime.fromisoformat(call["requestReceivedTimestamp"].replace("Z", "+00:00"))
        return any(0 <= at.timestamp() - start < YOUNG_S for start in self.starts)

    def audit(self):
        """What agent and provider asked: the API server's own words."""
        lines = self.audit_log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def accepts_tcp(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
