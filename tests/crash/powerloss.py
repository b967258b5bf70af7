"""What a disk may hold after power loss: a model file system over a trace of what a gateway did (trace_files.c).

What is promised by POSIX, and no more: bytes of a file that were not synced may be there or not, block by block and in
any order, with zeros where the size grew and the bytes did not come; the size may be any that the file had since; a name
that was made, replaced or removed in a folder may be as before or as after until that folder is synced, each name by
itself, so that after a rename both names may exist, or neither. An fsync covers what was finished when it began. Real
file systems (ext4, XFS) lose less.

A trace is read once; State says for a cut, that is a position in the trace, what is durable, what is pending, and makes
one of the legal spools."""

import hashlib
import os
import pathlib
import re

BLOCKS = (512, 4096)


class File:
    def __init__(self):
        self.operations = []  # (position, offset, bytes) or (position, length, None), a truncation
        self.syncs = []  # (begun, ended)
        self.size = 0
        self._versions = (None, None)

    def write(self, position, offset, data):
        self.operations.append((position, offset, data))
        self.size = max(self.size, offset + len(data))

    def truncate(self, position, length):
        self.operations.append((position, length, None))
        self.size = length

    def durable_before(self, cut):
        """Operations before this position are on the disk for good."""
        return max((begun for begun, ended in self.syncs if ended <= cut), default=-1)

    def versions(self, cut):
        """The durable content, then the content after each pending operation."""
        limit = self.durable_before(cut)
        done = [o for o in self.operations if o[0] < limit]
        pending = [o for o in self.operations if limit < o[0] <= cut]
        key = (len(done), len(pending))
        if self._versions[0] != key:
            content = bytearray()
            for operation in done:
                _apply(content, operation)
            made = [bytes(content)]
            for operation in pending:
                _apply(content, operation)
                made.append(bytes(content))
            self._versions = (key, made)
        return self._versions[1]


def _apply(content, operation, most=None):
    _, offset, data = operation
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    data = data[:most]
    content.extend(bytes(max(0, offset - len(content))))
    content[offset:offset + len(data)] = data


class Folder:
    def __init__(self):
        self.names = {}  # name -> [(position, node or None)]
        self.syncs = []

    def put(self, position, name, node):
        self.names.setdefault(name, []).append((position, node))

    def get(self, name):
        history = self.names.get(name)
        return history[-1][1] if history else None

    durable_before = File.durable_before

    def options(self, cut):
        """name -> what it may be: first the durable one, last the newest; only names that may be something."""
        limit, found = self.durable_before(cut), {}
        for name, history in self.names.items():
            durable, later = None, []
            for position, node in history:
                if position < limit:
                    durable = node
                elif position <= cut:
                    later.append(node)
            if durable or any(later):
                found[name] = [durable, *later]
        return found


class Trace:
    """drop: (call, folders): syncs that are left out, so that a test of this model can see what it would notice."""

    def __init__(self, path, spool, drop=None):
        self.root = Folder()
        self.spool = str(spool)
        self.marks = []  # (position, word, the rest of the line)
        self.length = 0
        self.calls = 0
        self._drop = drop
        self._fds, self._begun = {}, {}
        with open(path, encoding="ascii") as lines:
            for position, line in enumerate(lines):
                self.length = position + 1
                pid, thread, call, *arguments = line.rstrip("\n").split(" ")
                getattr(self, "_" + call, self._mark)(position, (pid, thread, call), arguments)

    def _node(self, who, fd):
        return self._fds.get((who[0], fd))

    def _mark(self, position, who, arguments):
        self.marks.append((position, who[2], arguments))

    def _open(self, position, who, arguments):
        fd, folder, name, created, *truncated = arguments
        self.calls += created == "1"
        parent = self._node(who, folder)
        if name == self.spool:
            node = self.root
        elif not isinstance(parent, Folder):
            node = None
        elif name == ".":
            node = parent
        elif created == "1":
            node = File()
            parent.put(position, name, node)
        else:
            node = parent.get(name)
        if truncated and truncated[0] and isinstance(node, File):
            node.truncate(position, 0)
        self._fds[who[0], fd] = node

    def _mkdir(self, position, who, arguments):
        parent = self._node(who, arguments[0])
        if isinstance(parent, Folder):
            parent.put(position, arguments[1], Folder())

    def _rename(self, position, who, arguments):
        self.calls += 1
        old, new = self._node(who, arguments[0]), self._node(who, arguments[2])
        if isinstance(old, Folder) and isinstance(new, Folder):
            node = old.get(arguments[1])
            old.put(position, arguments[1], None)
            new.put(position, arguments[3], node)

    def _link(self, position, who, arguments):
        old, new = self._node(who, arguments[0]), self._node(who, arguments[2])
        if isinstance(old, Folder) and isinstance(new, Folder):
            new.put(position, arguments[3], old.get(arguments[1]))

    def _unlink(self, position, who, arguments):
        self.calls += 1
        folder = self._node(who, arguments[0])
        if isinstance(folder, Folder) and arguments[1] in folder.names:
            folder.put(position, arguments[1], None)

    def _write(self, position, who, arguments):
        self.calls += 1
        node = self._node(who, arguments[0])
        if isinstance(node, File):
            node.write(position, int(arguments[1]), bytes.fromhex(arguments[2]))

    def _append(self, position, who, arguments):
        self.calls += 1
        node = self._node(who, arguments[0])
        if isinstance(node, File):
            node.write(position, node.size, bytes.fromhex(arguments[1]))

    def _truncate(self, position, who, arguments):
        self.calls += 1
        node = self._node(who, arguments[0])
        if isinstance(node, File):
            node.truncate(position, int(arguments[1]))

    def _sync(self, position, who, arguments):
        self._begun[who[0], who[1]] = position

    def _synced(self, position, who, arguments):
        self.calls += 1
        node = self._node(who, arguments[0])
        if node is not None and self._drop != type(node):
            node.syncs.append((self._begun[who[0], who[1]], position))

    def folder(self, name):
        return self.root.get(name)

    def durable(self, name, cut):
        """The synced bytes of queue/NAME, if that name is for good; else None."""
        node = self.folder("queue").options(cut).get(name, [None])[0]
        return node.versions(cut)[0] if node else None


# How a state is chosen: of names and of bytes.
KINDS = (("durable", "durable"), ("newest", "newest"), ("newest", "durable"), ("newest", "zeros"), ("any", "newest"),
         ("newest", "prefix"), ("any", "holes"), ("newest", "holes"), ("any", "any"))


class State:
    """One legal content of the spool at a cut."""

    def __init__(self, trace, cut, kind, chance):
        self.cut, self.kind, self.chance = cut, kind, chance
        self.files = {}  # relative name -> bytes
        self.folders = set()
        self._content = {}  # a file that has two names has one content
        self._add(trace.root, "")

    def _add(self, folder, prefix):
        names, _ = self.kind
        for name, options in folder.options(self.cut).items():
            if names == "durable":
                node = options[0]
            elif names == "newest":
                node = options[-1]
            else:
                node = self.chance.choice(options)
            if isinstance(node, Folder):
                self.folders.add(prefix + name)
                self._add(node, prefix + name + "/")
            elif node is not None:
                self.files[prefix + name] = self._bytes(node)

    def _bytes(self, node):
        if node not in self._content:
            self._content[node] = self._choose(node.versions(self.cut), node, self.kind[1])
        return self._content[node]

    def _choose(self, versions, node, how):
        if how == "any":
            how = self.chance.choice(("durable", "newest", "zeros", "prefix", "holes"))
        if how == "durable" or len(versions) == 1:
            return versions[0]
        if how == "newest":
            return versions[-1]
        if how == "zeros":
            return versions[0][:len(versions[-1])].ljust(len(versions[-1]), b"\0")
        if how == "prefix":
            return self._prefix(versions, node)
        return self._holes(versions)

    def _prefix(self, versions, node):
        """The first of the pending operations, and a part of the next."""
        n = self.chance.randrange(len(versions) - 1)
        pending = [o for o in node.operations if o[0] > node.durable_before(self.cut)]
        content = bytearray(versions[n])
        data = pending[n][2]
        _apply(content, pending[n], self.chance.randrange(len(data) + 1) if data else None)
        return bytes(content)

    def _holes(self, versions):
        """Each block as it was at some moment since; the size too."""
        block = self.chance.choice(BLOCKS)
        size = len(self.chance.choice(versions))
        pieces = []
        for at in range(0, size, block):
            piece = self.chance.choice(versions)[at:at + block]
            pieces.append(piece.ljust(min(block, size - at), b"\0")[:size - at])
        return b"".join(pieces)

    def signature(self):
        digest = hashlib.blake2b()
        for name, content in sorted(self.files.items()):
            digest.update(b"%s %d " % (name.encode(), len(content)) + content)
        return digest.digest()

    def make(self, path):
        path = pathlib.Path(path)
        path.mkdir(mode=0o700)
        for folder in sorted(self.folders):
            (path / folder).mkdir(mode=0o700)
        for name, content in self.files.items():
            fd = os.open(path / name, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(fd, content)
            os.close(fd)
        return path


PROMISE = re.compile(rb"250 2\.0\.0 Ok: queued as ([0-9A-F]+)")
HEARD = re.compile(rb"250 2\.0\.0 <([^>]+)> TESTPEER")


class Facts:
    """What was said until when, by the marks of a trace."""

    def __init__(self, trace):
        self.mails = {}  # token -> (sender, recipients, size), begun
        self.token_of = {}  # id -> token, of mails whose client heard 250
        self.promised, self.heard, self.orders = {}, {}, {}
        for position, word, arguments in trace.marks:
            if word == "promise":
                for name in PROMISE.findall(bytes.fromhex(arguments[0])):
                    self.promised.setdefault(name.decode(), position)
            elif word == "heard":
                for address in HEARD.findall(bytes.fromhex(arguments[0])):
                    self.heard.setdefault(address.decode(), position)
            elif word == "begin":
                token, size, sender, recipients = arguments
                self.mails[token] = (sender, recipients.split(","), int(size))
            elif word == "taken":
                self.token_of[arguments[0]] = arguments[1]
            else:  # deleting, deleted, holding, held, releasing: about an id
                self.orders.setdefault((word, arguments[0]), position)

    def was(self, table, key, cut):
        return table.get(key, cut + 1) <= cut

    def ordered(self, word, name, cut):
        return self.was(self.orders, (word, name), cut)
