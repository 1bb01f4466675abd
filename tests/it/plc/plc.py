"""A PLC for the tests, on pymodbus: its program, its part sensor, and the line that moves parts past the cameras.

    plc.py line PORT|@FILE CAMERA_PORTS PICTURES PARTS SEED    many parts at random pauses, each camera a block of registers
    plc.py one PORT COMMANDS...                          one part; see `one`
    plc.py asked PARTS                                   a PLC that is asked: the server side

Prints a JSON object a line. What it is told is the truth of the line: which picture each part is.
"""

import asyncio
import heapq
import json
import random
import socket
import sys
import threading
import time

from pymodbus.client import ModbusTcpClient

BLOCK, STATUS = 100, 50
READY, BUSY, COMPLETED, VALID, SAFE, REJECT = (1 << bit for bit in range(6))
PAUSED = 5


def tell(**what):
    print(json.dumps(what), flush=True)


class Side:
    """One camera's side of the PLC's program: counts, what it has taken, and its cyclic image of registers."""

    def __init__(self, block):
        self.block = block
        self.beat = 0
        self.count = 0
        self.part = 0
        self.hint = 0
        self.acknowledged = 0
        self.results = {}
        self.is_held = False

    def commands(self):
        self.beat = (self.beat + 1) & 0xFFFF
        return [self.beat, self.count, self.part >> 16, self.part & 0xFFFF, self.hint, self.acknowledged, 0, 0, 0]

    def trigger(self, part, hint=0):
        self.count = self.count % 65535 + 1
        self.part, self.hint = part, hint

    def take(self, words):
        """What the program does with what it reads: each result once."""
        state = Status(words)
        if state.valid and state.count != self.acknowledged:
            before = self.results.get(state.part)
            if before and (before.count, before.result) != (state.count, state.result):
                tell(error=f"two results for part {state.part}")
            self.results[state.part] = state
            self.acknowledged = state.count
        elif state.safe and not state.valid:
            # It gives nothing until it is known that what was shown is not waited for any more.
            self.acknowledged = state.count
        return state


class Status:
    def __init__(self, words):
        self.version, self.beat, self.state, self.flags, self.triggered, self.count = words[:6]
        self.part = words[6] << 16 | words[7]
        self.result, self.why, self.product = words[8:11]
        self.score = words[11] << 16 | words[12]
        self.p_value, self.waiting = words[13:15]
        self.frame = words[15] << 16 | words[16]
        self.valid = bool(self.flags & VALID)
        self.ready = bool(self.flags & READY)
        self.safe = bool(self.flags & SAFE)


class Plc:
    """The connection and the cycle."""

    def __init__(self, port):
        self.client = ModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
        self.client.connect()

    def write(self, side):
        answer = self.client.write_registers(side.block, side.commands())
        assert not answer.isError(), answer

    def read(self, side):
        answer = self.client.read_holding_registers(side.block + STATUS, count=20)
        assert not answer.isError(), answer
        return side.take(answer.registers)

    def cycle(self, side):
        """Write, then read: function 23 does both at once."""
        answer = self.client.readwrite_registers(
            read_address=side.block + STATUS, read_count=20, write_address=side.block, values=side.commands()
        )
        assert not answer.isError(), answer
        return side.take(answer.registers)

    def until(self, side, is_so, seconds=60):
        ends = time.monotonic() + seconds
        while True:
            status = self.cycle(side)
            if is_so(status):
                return status
            assert time.monotonic() < ends, vars(status)
            time.sleep(0.005)


class Camera(threading.Thread):
    """Gives raw pictures to whoever connects: those that it is shown, when it is shown them."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", port))
        self.peer = None
        self.start()

    def run(self):
        peer, _ = self.listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer = peer

    def show(self, picture):
        self.peer.sendall(picture)


def told(port):
    """A port, or `@FILE`: the file that will say it."""
    if not port.startswith("@"):
        return int(port)
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        try:
            with open(port[1:]) as file:
                return int(file.read())
        except FileNotFoundError:
            time.sleep(0.02)
    raise SystemExit(f"{port[1:]} never came")


def line(port, camera_ports, pictures, parts, seed):
    """Each part comes at a random time; its picture 25 ms later, but some are lost, some come twice and some parts are announced too late, and between two
    parts there are pictures of nobody. What the PLC is told of a part must be that part's picture's."""
    chance = random.Random(seed)
    with open(pictures, "rb") as file:
        content = file.read()
    size = 32 * 32 * 3
    pictures = [content[at : at + size] for at in range(0, len(content), size)]
    cameras = [Camera(int(port)) for port in camera_ports.split(",")]
    plc = Plc(told(port))
    sides = [Side(BLOCK * index) for index in range(len(cameras))]
    while any(camera.peer is None for camera in cameras):
        time.sleep(0.01)
    # Frames before the first part, for a camera that gives none is no camera.
    for camera in cameras:
        camera.show(pictures[0])
    for side in sides:
        plc.until(side, lambda status: status.ready)
    began = time.monotonic()
    # What comes next, by time. Whatever follows is timed from when the thing before it was done: a machine that is out of
    # breath must not make a picture come before its part, or a part before the picture of nobody has gone by.
    agenda = [(began + 0.2 * chance.random(), index, "trigger", 1) for index in range(len(sides))]
    heapq.heapify(agenda)
    truth = [{} for _ in sides]
    before = [0 for _ in sides]
    slowest = 0.0
    while agenda:
        at, index, what, which = heapq.heappop(agenda)
        while (now := time.monotonic()) < at:
            for side in sides:
                if not side.is_held:
                    plc.cycle(side)
            time.sleep(max(0.0, min(0.004, at - now)))
        if what == "show":
            cameras[index].show(pictures[which])
            continue
        if what == "between":
            # The next part comes into view, and is nobody's yet.
            before[index] = chance.randrange(len(pictures))
            cameras[index].show(pictures[before[index]])
            if which <= parts:
                after = time.monotonic() + chance.uniform(0.1, 0.3)
                heapq.heappush(agenda, (after, index, "trigger", which))
            continue
        number = index * 1_000_000 + which
        if what == "announce":
            sides[index].is_held = False
            sides[index].trigger(number)
            plc.write(sides[index])
            heapq.heappush(agenda, (time.monotonic() + 0.05, index, "between", which + 1))
            continue
        picture = chance.randrange(len(pictures))
        fate = chance.choices(["once", "lost", "twice", "late"], [91, 3, 3, 3])[0]
        truth[index][number] = {"picture": picture, "fate": fate, "before": before[index]}
        if fate == "late":
            # The program stands still for longer than a picture may take: the part is announced when its picture has gone by.
            sides[index].is_held = True
            heapq.heappush(agenda, (now + 0.025, index, "show", picture))
            heapq.heappush(agenda, (now + 0.1, index, "announce", which))
            continue
        sides[index].trigger(number)
        plc.write(sides[index])
        written = time.monotonic()
        slowest = max(slowest, written - now)
        shown = {"once": [0.025], "lost": [], "twice": [0.025, 0.027]}[fate]
        for after in shown:
            heapq.heappush(agenda, (written + after, index, "show", picture))
        heapq.heappush(agenda, (written + 0.15, index, "between", which + 1))
    ends = time.monotonic() + 120
    while any(len(side.results) < parts for side in sides) and time.monotonic() < ends:
        for side in sides:
            plc.cycle(side)
        time.sleep(0.005)
    for index, side in enumerate(sides):
        for number, true in truth[index].items():
            given = side.results.get(number)
            tell(part=number, **true, result=given and given.result, why=given and given.why,
                 score=given and given.score, frame=given and given.frame)
    tell(seconds=round(time.monotonic() - began, 1), slowest_write_ms=round(slowest * 1000))


def one(port, *steps):
    """A PLC's day in steps. Each prints what it saw."""
    plc, side = Plc(port), Side(0)
    for step in steps:
        name, _, value = step.partition("=")
        if name == "ready":
            plc.until(side, lambda status: status.ready)
            tell(step=step)
        elif name == "part":
            number, _, hint = value.partition("/")
            # Where it was held up for too long it is not in step: what it counts up to by then is no part.
            plc.until(side, lambda status: status.ready or status.state == PAUSED)
            side.trigger(int(number), int(hint or 0))
            plc.write(side)
            status = plc.until(side, lambda _: int(number) in side.results)
            given = side.results[int(number)]
            tell(step=step, result=given.result, why=given.why, product=given.product, frame=given.frame)
        elif name == "trigger":
            plc.until(side, lambda status: status.ready)
            side.trigger(int(value))
            plc.write(side)
            tell(step=step)
        elif name == "valid":
            # Sees the result and takes it not: lives on all the same.
            ends = time.monotonic() + 60
            while True:
                acknowledged = side.acknowledged
                status = plc.cycle(side)
                side.acknowledged = acknowledged
                if status.valid:
                    break
                assert time.monotonic() < ends
            tell(step=step, part=status.part, result=status.result)
        elif name == "slow":
            # Goes on to live, and acknowledges nothing, until nothing is valid any more.
            began = time.monotonic()
            while True:
                acknowledged = side.acknowledged
                status = plc.cycle(side)
                side.acknowledged = acknowledged
                if status.safe:
                    break
                assert time.monotonic() - began < 60
                time.sleep(0.005)
            tell(step=step, after_ms=round((time.monotonic() - began) * 1000), valid=status.valid, ready=status.ready)
        elif name == "silent":
            # Reads, as a panel would, and says nothing; how long until everything is safe.
            began = time.monotonic()
            while True:
                answer = plc.client.read_input_registers(STATUS, count=20)
                status = Status(answer.registers)
                if status.safe:
                    break
                assert time.monotonic() - began < 60
                time.sleep(0.005)
            tell(step=step, after_ms=round((time.monotonic() - began) * 1000), valid=status.valid, ready=status.ready)
        elif name == "leave":
            plc.client.close()
            tell(step=step)
        elif name == "come":
            plc = Plc(port)
            tell(step=step)
        elif name == "calm":
            plc.until(side, lambda status: status.ready and not status.flags & REJECT)
            tell(step=step)
        elif name == "struck":
            # A panel sees the pusher strike, for longer than the pulse, before the PLC reads.
            panel, ends, since = Plc(port), time.monotonic() + 60, None
            while since is None or time.monotonic() < since + 0.5:
                plc.write(side)
                registers = panel.client.read_holding_registers(STATUS, count=20).registers
                bits = panel.client.read_discrete_inputs(0, count=6).bits[:6]
                if since is None and registers[3] & REJECT and bits[5]:
                    since = time.monotonic()
                assert time.monotonic() < ends
                time.sleep(0.005)
            seen = plc.read(side)
            plc.until(side, lambda status: not status.flags & REJECT)
            tell(step=step, panel=since is not None, plc=bool(seen.flags & REJECT))
            panel.client.close()
        elif name == "panel":
            panel = Plc(port)
            answer = panel.client.read_holding_registers(STATUS, count=20)
            refused = panel.client.write_register(0, 4711)
            flags = panel.client.read_discrete_inputs(0, count=6).bits[:6]
            wrong = plc.client.write_register(STATUS + 3, 1)
            coil = plc.client.read_coils(0, count=1)
            tell(step=step, version=answer.registers[0], busy=refused.exception_code, flags=flags,
                 wrong=wrong.exception_code, coil=coil.exception_code)
            panel.client.close()
        elif name == "garbage":
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(bytes.fromhex(value))
                raw.settimeout(10)
                tell(step=step, answer=raw.recv(100).hex())
        elif name == "trickle":
            # A head that never becomes a request.
            raw = socket.create_connection(("127.0.0.1", port))
            raw.sendall(bytes.fromhex("0001000000"))
            side.raw = raw
            tell(step=step)
        elif name == "crowd":
            side.crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(int(value))]
            for _ in range(30):
                assert not plc.cycle(side).safe
                time.sleep(0.01)
            closed, ends = set(), time.monotonic() + 60
            # At least those for which there is no place beside this one and the dribbling one.
            while len(closed) < len(side.crowd) - 6 and time.monotonic() < ends:
                assert not plc.cycle(side).safe
                for raw in side.crowd:
                    raw.setblocking(False)
                    try:
                        if raw.recv(1) == b"":
                            closed.add(raw)
                    except BlockingIOError:
                        pass
                    except ConnectionResetError:
                        closed.add(raw)
                time.sleep(0.01)
            tell(step=step, closed=len(closed))
            for raw in side.crowd:
                raw.close()
        elif name == "storm":
            # Bytes of any kind, some of which look like requests, from one connection after another.
            chance = random.Random(int(value))
            for _ in range(int(value)):
                with socket.create_connection(("127.0.0.1", port)) as raw:
                    body = chance.randbytes(chance.randrange(1, 250))
                    head = bytes([0, 1, 0, 0, 0, len(body) + 1 if len(body) < 250 else 9, 1])
                    try:
                        raw.sendall(chance.choice([b"", head]) + body + chance.choice([b"", head]))
                        raw.shutdown(socket.SHUT_WR)
                        raw.settimeout(5)
                        while raw.recv(4096):
                            pass
                    except OSError:
                        pass
                # What others send costs this PLC nothing.
                assert not plc.cycle(side).safe
            tell(step=step)
        elif name == "state":
            # Two writes, or it would not be in step yet: what it counts up to by then is no part.
            plc.cycle(side)
            status = plc.until(side, lambda status: status.state == int(value))
            tell(step=step, ready=status.ready, safe=status.safe)
        else:
            raise SystemExit(f"no such step: {step}")


def asked(parts):
    """A PLC that is asked: its registers are read and written by Sightline."""
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    side = Side(0)
    memory = {"status": [0] * 20}

    async def action(function, start, address, count, registers, values):
        if values is None:
            words = side.commands()
            for place in range(count):
                at = address + place
                registers[at - start] = words[at] if at < len(words) else 0
        elif address == STATUS:
            memory["status"] = list(values)
        return None

    async def run():
        device = SimDevice(id=1, simdata=[SimData(0, count=BLOCK, values=0, datatype=DataType.REGISTERS)], action=action)
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        tell(port=server.transport.sockets[0].getsockname()[1])

        async def until(is_so):
            ends = time.monotonic() + 60
            while not is_so(status := side.take(memory["status"])):
                assert time.monotonic() < ends, vars(status)
                await asyncio.sleep(0.005)
            return status

        await until(lambda status: status.ready)
        for part in range(1, parts + 1):
            side.trigger(part)
            await until(lambda _: part in side.results)
            given = side.results[part]
            tell(part=part, result=given.result, frame=given.frame)
        # Its program stops; its memory still answers.
        side.commands = lambda kept=side.commands(): kept
        began = time.monotonic()
        status = await until(lambda status: status.safe)
        tell(after_ms=round((time.monotonic() - began) * 1000), ready=status.ready)
        await server.shutdown()

    asyncio.run(run())


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    if name == "line":
        line(arguments[0], arguments[1], arguments[2], int(arguments[3]), int(arguments[4]))
    elif name == "one":
        one(int(arguments[0]), *arguments[1:])
    else:
        asked(int(arguments[0]))
