"""hook_server: an HTTP server on a free loopback port that decides who may come in; `decide(question)` returns what becomes of each POST.

    (status, body)     the answer; body is text, or an object that is sent as JSON
    seconds            sleeps, then answers 204
    'hang up'          closes the connection
    (status, body, {'Header': 'value'})
"""
import http.server
import json
import threading
import time


class HookServer:
    def __init__(self, decide):
        self.decide = decide
        self.questions = []  # (path, question, headers)
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                question = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
                hook.questions.append((self.path, question, dict(self.headers)))
                said = hook.decide(question)
                if said == 'hang up':
                    self.close_connection = True
                    return
                if isinstance(said, (int, float)):
                    time.sleep(said)
                    said = (204, '')
                self.answer(*said)

            def answer(self, status, body='', headers=None):
                body = (body if isinstance(body, str) else json.dumps(body)).encode()
                try:
                    self.send_response(status)
                    for name, value in (headers or {}).items():
                        self.send_header(name, value)
                    if status != 204:
                        self.send_header('Content-Length', str(len(body)))
                    self.end_headers()
                    self.wfile.write(body if status != 204 else b'')
                except OSError:
                    pass  # it did not want to hear the end of it

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *arguments):
                pass

        self.server = Server(('127.0.0.1', 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def url(self, path):
        return f'http://127.0.0.1:{self.port}/{path}'

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
