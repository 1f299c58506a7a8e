"""One session of the rehearsal FTP server: commands in, replies and data out (RFC 959, 2428, 3659, 4217)."""

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from tests.servers.ftp_facts import Node, Path, ServerFacts, Tree, fact_line, plain_line, split

_PIECE = 65536
_PATIENCE = 60.0


class Closed(Exception):  # noqa: N818 - an event, not an error
    """The session is over."""


class Server(Protocol):
    """What a session needs of its server."""

    host: str
    context: ssl.SSLContext | None
    tree: Tree
    facts: ServerFacts
    heard: list[bytes]
    ahead: int

    def allowance(self, wanted: int) -> int:
        """Say how many bytes may move."""
        ...

    def pause(self) -> None:
        """Wait while frozen."""
        ...

    def keep(self, sock: socket.socket) -> None:
        """Have a socket closed at the end."""
        ...

    def forget(self, sock: socket.socket) -> None:
        """Close a socket."""
        ...


class Session:
    """A session: where it stands, and what it was told for the next command."""

    def __init__(self, server: Server, sock: socket.socket) -> None:
        self._server = server
        self._facts = server.facts
        self._tree = server.tree
        self._sock: socket.socket = sock
        self._pending = b""
        self._folder: Path = ()
        self._user = ""
        self._known = False
        self._commands = 0
        self._binary = False
        self._secret = False
        self._start = 0
        self._from: Path | None = None
        self._passive: socket.socket | None = None
        self._at_rest = False

    def run(self) -> None:
        """Greet, then answer command after command until the client leaves."""
        self._server.pause()
        self._say(self._facts.greeting)
        while True:
            line = self._line()
            self._server.pause()
            self._server.heard.append(line)
            word, _, argument = line.partition(b" ")
            command = word.decode("latin-1").lower()
            if self._known:
                self._commands += 1
                if self._facts.hangs_up_after is not None and self._commands > self._facts.hangs_up_after:
                    self._leave(b"421 Enough for tonight")
            answer: Callable[[bytes], None] | None = getattr(self, f"_do_{command}", None)
            if answer is None or command in self._left_out():
                self._say(b"502 Command not implemented")
            elif not self._known and command not in {"user", "pass", "auth", "quit", "feat", "pbsz", "prot"}:
                self._say(b"530 Please log in")
            else:
                answer(argument)

    def close(self) -> None:
        """Close the sockets."""
        self._drop_passive()
        self._server.forget(self._sock)

    def _left_out(self) -> set[str]:
        facts = self._facts
        machine = facts.machine_listings
        offered = {"epsv": facts.epsv, "pasv": facts.pasv, "size": facts.size, "mdtm": facts.mdtm}
        offered |= {"feat": facts.feat, "rest": facts.rest, "mlsd": machine, "mlst": machine}
        return {command for command, there in offered.items() if not there}

    # -- lines ---------------------------------------------------------------------------------------------------

    def _say(self, *lines: bytes) -> None:
        self._server.pause()
        text = b"\r\n".join(lines) + b"\r\n"
        if self._facts.crawl:
            for place in range(len(text)):
                self._sock.sendall(text[place : place + 1])
                time.sleep(self._facts.crawl)
        else:
            self._sock.sendall(text)

    def _leave(self, *farewell: bytes) -> None:
        if farewell:
            self._say(*farewell)
        raise Closed

    def _line(self) -> bytes:
        first = True
        while b"\n" not in self._pending:
            first = False
            self._sock.settimeout(self._facts.idle if self._at_rest else None)
            try:
                more = self._sock.recv(_PIECE)
            except TimeoutError:
                self._leave(b"421 Timeout")
            if not more:
                raise Closed
            self._pending += more
            if self._facts.command_buffer is not None:
                self._pending = self._pending[: self._facts.command_buffer].rpartition(b"\n")[0] + b"\n"
            if self._facts.discards == "always":
                self._pending = self._pending.partition(b"\n")[0] + b"\n"
        if first:
            self._server.ahead += 1
        self._at_rest = False
        line, _, self._pending = self._pending.partition(b"\n")
        return line.rstrip(b"\r")

    # -- login ---------------------------------------------------------------------------------------------------

    def _do_user(self, name: bytes) -> None:
        if self._server.context is not None and not isinstance(self._sock, ssl.SSLSocket):
            self._say(b"530 Only encrypted logins")
            return
        self._user = name.decode("utf-8", "replace")
        self._say(b"331 Password?")

    def _do_pass(self, password: bytes) -> None:
        if self._facts.crowded:
            self._say(b"530 Sorry, the maximum number of clients are already connected.")
            return
        known = self._facts.passwords.get(self._user)
        self._known = known is not None and known in {"", password.decode("utf-8", "replace")}
        self._say(b"230 Welcome" if self._known else b"530 Login incorrect")

    def _do_auth(self, _: bytes) -> None:
        if self._server.context is None:
            self._say(b"502 No TLS here")
            return
        self._say(b"234 Go on")
        plain, self._sock = self._sock, self._server.context.wrap_socket(self._sock, server_side=True)
        self._server.forget(plain)
        self._server.keep(self._sock)

    def _do_pbsz(self, _: bytes) -> None:
        self._say(b"200 PBSZ=0")

    def _do_prot(self, level: bytes) -> None:
        self._secret = level == b"P"
        self._say(b"200 As you like")

    def _do_quit(self, _: bytes) -> None:
        self._leave(b"221 Clear skies")

    # -- small session ----------------------------------------------------------------------------------------------

    def _do_feat(self, _: bytes) -> None:
        offered = [b" UTF8", b" EPSV"]
        if self._facts.machine_listings:
            offered.append(b" MLST " + "".join(f"{fact}*;" for fact in self._facts.mlst_facts).encode())
        self._say(b"211-Features", *offered, b"211 End")

    def _do_opts(self, _: bytes) -> None:
        self._say(b"200 Noted")

    def _do_noop(self, _: bytes) -> None:
        self._say(b"200 Here")

    def _do_pwd(self, _: bytes) -> None:
        place = b"/" + b"/".join(self._folder)
        self._say(b'257 "' + place.replace(b'"', b'""') + b'" is here')

    def _do_type(self, kind: bytes) -> None:
        self._binary = kind.upper().startswith(b"I")
        self._say(b"200 Type set")

    # -- folders and names ---------------------------------------------------------------------------------------

    def _place(self, path: bytes) -> Path:
        return split(path) if path.startswith(b"/") else split(b"/".join([*self._folder, path]))

    def _do_cwd(self, path: bytes) -> None:
        folder = self._place(path)
        if folder not in self._tree.folders or b"/".join(folder) in self._facts.barred:
            self._say(b"550 Failed to change directory.")
            return
        self._folder = folder
        self._say(b"250-You are", b" where you", b"250 wanted to be")

    def _do_mkd(self, path: bytes) -> None:
        folder = self._place(path)
        if self._facts.read_only:
            self._say(b"550 Permission denied.")
        elif folder in self._tree.folders or folder in self._tree.nodes or folder[:-1] not in self._tree.folders:
            self._say(b"550 Create directory operation failed.")
        else:
            self._tree.make_folders(folder)
            self._say(b"257 Made")

    def _do_dele(self, path: bytes) -> None:
        place = self._place(path)
        if self._facts.read_only or self._tree.file(place) is None:
            self._say(b"550 Delete operation failed.")
        else:
            del self._tree.nodes[place]
            self._say(b"250 Gone")

    def _do_rnfr(self, path: bytes) -> None:
        place = self._place(path)
        if self._facts.read_only or self._tree.file(place) is None:
            self._say(b"550 RNFR command failed.")
        else:
            self._from = place
            self._say(b"350 Ready for RNTO.")

    def _do_rnto(self, path: bytes) -> None:
        place, source = self._place(path), self._from
        self._from = None
        if source is None or place[:-1] not in self._tree.folders or place in self._tree.folders:
            self._say(b"503 Not now.")
            return
        with self._tree.lock:
            self._tree.nodes[place] = self._tree.nodes.pop(source)
        self._say(b"250 Renamed")

    def _do_size(self, path: bytes) -> None:
        node = self._tree.file(self._place(path))
        if node is None or not self._binary:
            self._say(b"550 Could not get file size.")
        else:
            self._say(f"213 {len(node.data) + self._facts.size_error}".encode())

    def _do_mdtm(self, path: bytes) -> None:
        node = self._tree.file(self._place(path))
        if node is None:
            self._say(b"550 Could not get file modification time.")
        else:
            line = fact_line(ServerFacts(mlst_facts=("modify",)), b"", node)
            self._say(b"213 " + line.removeprefix(b"modify=").partition(b";")[0])

    def _do_mlst(self, path: bytes) -> None:
        place = self._place(path)
        node = self._tree.nodes.get(place)
        if node is None and place not in self._tree.folders:
            self._say(b"550 No such file or directory")
        else:
            self._say(b"250-Listing", b" " + fact_line(self._facts, path, node), b"250 End")

    # -- data ----------------------------------------------------------------------------------------------------

    def _drop_passive(self) -> None:
        if self._passive is not None:
            self._passive.close()
            self._passive = None

    def _open_port(self, *, dead: bool) -> int:
        self._drop_passive()
        passive = socket.socket(socket.AF_INET6 if ":" in self._server.host else socket.AF_INET)
        passive.bind((self._server.host, 0))
        port: int = passive.getsockname()[1]
        if dead:
            passive.close()
        else:
            passive.listen(1)
            self._passive = passive
        return port

    def _do_epsv(self, _: bytes) -> None:
        port = self._open_port(dead=self._facts.epsv_is_dead)
        self._say(f"229 Entering Extended Passive Mode (|||{port}|)".encode())

    def _do_pasv(self, _: bytes) -> None:
        port = self._open_port(dead=False)
        address = self._facts.pasv_address.replace(".", ",")
        self._say(f"227 Entering Passive Mode ({address},{port // 256},{port % 256}).".encode())

    @contextlib.contextmanager
    def _data(self) -> Iterator[socket.socket]:
        if self._passive is None:
            self._say(b"425 Use EPSV or PASV first.")
            raise Closed
        self._say(b"150 Here it comes.")
        data = self._accept(self._passive)
        self._drop_passive()
        if self._secret and self._server.context is not None:
            data = self._server.context.wrap_socket(data, server_side=True)
        self._server.keep(data)
        try:
            yield data
            if isinstance(data, ssl.SSLSocket) and not self._facts.ragged:
                with contextlib.suppress(OSError):
                    data.settimeout(_PATIENCE)
                    data.unwrap()
        finally:
            self._server.forget(data)
        if self._facts.discards == "after transfer":
            time.sleep(0.05)
            self._sock.settimeout(0)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                self._sock.recv(_PIECE)
        if self._facts.no_last_reply:
            raise Closed
        self._at_rest = True

    def _accept(self, passive: socket.socket) -> socket.socket:
        """Wait for the client's data connection, as long as the client is there."""
        waited = select.select([passive, self._sock], [], [], _PATIENCE)[0]
        if passive not in waited:
            ahead = (
                self._sock.recv(1, socket.MSG_PEEK) if waited and not isinstance(self._sock, ssl.SSLSocket) else b"?"
            )
            if not ahead:
                raise Closed
            waited = select.select([passive], [], [], _PATIENCE)[0]
        if not waited:
            raise Closed
        data, _ = passive.accept()
        return data

    def _do_rest(self, place: bytes) -> None:
        self._start = int(place)
        self._say(b"350 Restart position accepted.")

    def _do_retr(self, path: bytes) -> None:
        place, start = self._place(path), self._start
        self._start = 0
        node = self._tree.file(place)
        if node is None or b"/".join(place) in self._facts.barred:
            self._drop_passive()
            self._say(b"550 Failed to open file.")
            return
        with self._data() as data:
            self._send_file(data, node, start)
        self._say(b"226 Transfer complete.")

    def _send_file(self, data: socket.socket, node: Node, start: int) -> None:
        place = start
        while True:
            end = len(node.data) if self._facts.cut_at is None else min(len(node.data), self._facts.cut_at)
            piece = bytes(node.data[place : min(end, place + self._facts.piece)])
            if not piece:
                return
            allowed = self._server.allowance(len(piece))
            data.sendall(piece[:allowed])
            if self._facts.crawl:
                time.sleep(self._facts.crawl)
            if allowed < len(piece):
                self._server.pause()
            place += allowed

    def _do_mlsd(self, _: bytes) -> None:
        if self._facts.mlsd_refusal:
            self._drop_passive()
            self._say(self._facts.mlsd_refusal)
            return
        self._send_listing(fact_line)

    def _do_list(self, _: bytes) -> None:
        self._send_listing(plain_line)

    def _send_listing(self, line: Callable[[ServerFacts, bytes, Node | None], bytes]) -> None:
        facts, here = self._facts, b"/".join(self._folder)
        if here in facts.listing_refusals:
            self._drop_passive()
            self._say(facts.listing_refusals[here])
            return
        lines = [line(facts, name, node) for name, node in self._tree.inside(self._folder)]
        lines += facts.extra_lines.get(b"/".join(self._folder), [])
        if not lines and facts.empty_is_refused:
            self._drop_passive()
            self._say(b"550 No files found.")
            return
        text = b"".join(entry + b"\r\n" for entry in lines)
        if facts.listing_cuts:
            text = text[: facts.listing_cuts.pop(0)]
        with self._data() as data:
            for place in range(0, len(text), _PIECE):
                self._server.pause()
                data.sendall(text[place : place + _PIECE])
        self._say(facts.listing_ends.get(here, b"226 Listed."))

    def _do_stor(self, path: bytes) -> None:
        place, facts = self._place(path), self._facts
        if facts.read_only or place[:-1] not in self._tree.folders:
            self._drop_passive()
            self._say(b"553 Could not create file.")
            return
        node = Node(mtime_us=time.time_ns() // 1000)
        self._tree.nodes[place] = node
        full = False
        with self._data() as data:
            data.settimeout(_PATIENCE)
            while not full and (piece := data.recv(_PIECE)):
                if not self._server.allowance(len(piece)):
                    self._server.pause()
                    raise Closed
                room = len(piece) if facts.space is None else min(len(piece), facts.space)
                full = room < len(piece)
                kept = room if facts.keeps is None else max(0, min(room, facts.keeps - len(node.data)))
                node.data += piece[:kept]
                if facts.space is not None:
                    facts.space -= room
        facts.on_stored()
        self._say(b"452 No space left on device." if full else b"226 Stored.")
