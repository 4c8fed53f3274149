"""A mail server on a port of this machine that speaks SMTP as far as sending goes, and what goes wrong next."""

import socketserver
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field

CUT = "cut"


@dataclass
class FakeSmtp:
    """`script` holds `(command, answer)` for what shall go wrong: at the next such command that is answered in place of
    250, `CUT` hangs up without an answer. `GREETING` and `MESSAGE` (the end of DATA) count as commands."""

    script: deque = field(default_factory=deque)
    messages: list[str] = field(default_factory=list)  # those of which it has the last byte
    commands: list[str] = field(default_factory=list)
    port: int = 0


class Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if not self.says("GREETING", "220 mail.example.org ESMTP"):
            return
        while line := self.rfile.readline().decode().strip():
            command = line.partition(" ")[0].upper()
            self.server.fake.commands.append(line)
            if command == "DATA":
                if not self.says("DATA", "354 End data with <CR><LF>.<CR><LF>"):
                    return
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.fake.messages.append(b"".join(lines).decode())
                command = "MESSAGE"
            usual = {
                "EHLO": "250-mail.example.org\r\n250 AUTH PLAIN",
                "QUIT": "221 Bye",
                "AUTH": "235 Welcome",
            }
            if not self.says(command, usual.get(command, "250 OK")) or command == "QUIT":
                return

    def says(self, command: str, usual: str) -> bool:
        """False: there will be nothing more."""
        script = self.server.fake.script
        answer = script.popleft()[1] if script and script[0][0] == command else usual
        if answer != CUT:
            self.wfile.write(f"{answer}\r\n".encode())
        return answer != CUT


@contextmanager
def running_smtp():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Talk) as server:
        server.daemon_threads = True
        server.fake = FakeSmtp(port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.fake
        finally:
            server.shutdown()
            thread.join()
