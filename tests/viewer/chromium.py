"""A page in headless Chromium, without network: open, wait for, evaluate, take a picture. Needs websocket-client."""
import base64
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request

import websocket


class Server:
    """Files of a folder, and texts by the end of their path, on 127.0.0.1."""

    def __init__(self, folder, texts=None):
        texts = texts or {}

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, directory=folder, **kwargs)

            def log_message(self, *args):
                pass

            def end_headers(self):
                self.send_header("Access-Control-Allow-Origin", "*")
                super().end_headers()

            def do_GET(self):
                for end, text in texts.items():
                    if self.path.endswith(end):
                        self.send_response(200)
                        self.send_header("Content-Type", "application/json")
                        self.send_header("Content-Length", str(len(text)))
                        self.end_headers()
                        self.wfile.write(text)
                        return
                super().do_GET()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d/" % self.server.server_port

    def close(self):
        self.server.shutdown()


class Page:
    """with Page(1400, 700) as page: page.open(url); page.wait("document.title"); page.value("1 + 1")"""

    def __init__(self, width=1400, height=700, start_seconds=60):
        self.profile = tempfile.mkdtemp(prefix="hmbench-chromium-")
        self.number = 0
        self.errors = []  # uncaught errors and refused loads of the page
        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--user-data-dir=" + self.profile,
             "--remote-debugging-port=0", "--remote-allow-origins=*", "--window-size=%d,%d" % (width, height), "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.socket = websocket.create_connection(self._address(start_seconds), timeout=60)
            for domain in ("Page", "Runtime", "Log"):
                self.command(domain + ".enable")
        except BaseException:
            self.close()
            raise

    def _address(self, seconds):
        path = os.path.join(self.profile, "DevToolsActivePort")
        end = time.time() + seconds
        while time.time() < end and self.process.poll() is None:
            if os.path.exists(path) and open(path).read().strip():
                url = "http://127.0.0.1:" + open(path).read().split()[0] + "/json"
                pages = [p for p in json.load(urllib.request.urlopen(url)) if p["type"] == "page"]
                if pages:
                    return pages[0]["webSocketDebuggerUrl"]
            time.sleep(0.1)
        raise RuntimeError("chromium did not start within %d s" % seconds)

    def command(self, method, **params):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(answer["params"]["exceptionDetails"].get("text", "exception"))
            if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.errors.append(answer["params"]["entry"]["text"])
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError("%s: %s" % (method, answer["error"].get("message")))
                return answer["result"]

    def open(self, url):
        self.command("Page.navigate", url=url)

    def value(self, expression):
        """Of a JavaScript expression; promises are awaited. RuntimeError when it throws."""
        result = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details.get("text", "exception")))
        return result["result"].get("value")

    def wait(self, expression, seconds):
        """Until the expression is true; False when it is not in time."""
        end = time.time() + seconds
        while time.time() < end:
            try:
                if self.value(expression) is True:
                    return True
            except RuntimeError:
                pass  # the page is being replaced
            time.sleep(0.2)
        return False

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
