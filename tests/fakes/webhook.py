# SPDX-License-Identifier: Apache-2.0
"""An admission webhook on loopback, with the certificate of the API server that calls it."""
import base64
import http.server
import json
import ssl
import threading


class Webhook:
    """Denies all that it is asked, in these words; or, once it is stopped, answers nothing."""

    def __init__(self, certificate, key, words):
        class Handler(http.server.BaseHTTPRequestHandler):
            """One review."""

            def do_POST(self):  # pylint: disable=invalid-name
                """Says no."""
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked += 1
                body = json.dumps({
                    "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                    "response": {"uid": review["request"]["uid"], "allowed": False,
                                 "status": {"code": 403, "message": words}}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):  # pylint: disable=arguments-differ
                """Nothing."""

        outer = self
        self.asked = 0
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.bundle = base64.b64encode(certificate.read_bytes()).decode()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def configuration(self, name, group, resource):
        """The object by which the API server asks it before it writes such objects."""
        url = f"https://127.0.0.1:{self.server.server_address[1]}/"
        return {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": [{
                "name": f"{name}.locket.test", "sideEffects": "None", "failurePolicy": "Fail",
                "admissionReviewVersions": ["v1"], "timeoutSeconds": 2,
                "clientConfig": {"url": url, "caBundle": self.bundle},
                "rules": [{"apiGroups": [group], "apiVersions": ["*"], "resources": [resource],
                           "operations": ["CREATE", "UPDATE"]}]}]}

    def stop(self):
        """Nobody answers any more."""
        self.server.shutdown()
        self.server.server_close()
