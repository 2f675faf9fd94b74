"""What programs put into their log lines: one function for each kind of value, from one of two vocabularies."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The names that one half of the programs uses; the other half shares none of them."""

    users: tuple[str, ...]
    words: tuple[str, ...]
    hosts: tuple[str, ...]
    folders: tuple[str, ...]
    packages: tuple[str, ...]
    methods: tuple[str, ...]
    devices: tuple[str, ...]
    network: str
    hours: str


DEVELOPMENT: Final = Vocabulary(
    users=("ana", "bruno", "carla", "root", "deploy", "www-data", "ops.night", "Eve", "mallory7"),
    words=("billing", "search", "mail", "photos", "catalog", "ledger", "stock", "ads", "profile", "cart", "geo"),
    hosts=("node7", "db-1.corp.example", "edge3.example.net", "cache.local", "www.shop.example", "nfs02", "atlas"),
    folders=("/var/lib/app", "/opt/data", "/srv/www", "/tmp", "/home/ana", "C:\\Work\\data", "/usr/share/x"),
    packages=("com.acme.billing", "org.shop.cart.store", "net.lake.io", "com.acme.photos.sync", "example.core"),
    methods=("loadProfile", "evictLoop", "renderFrame", "openSession", "flushAll", "readChunk", "mergeTree"),
    devices=("eth0", "sda1", "nvme0n1", "wlan0", "ttyS1", "cpu3", "en1", "lo", "sdb"),
    network="10.{}.{}.{}",
    hours="{:02}:{:02}:{:02}",
)
REPORTING: Final = Vocabulary(
    users=("mira", "olaf", "SYSTEM", "svc_print", "j.doe", "guest", "Петр", "backup", "nagios"),
    words=("orchard", "river", "tundra", "signal", "harbor", "meadow", "canyon", "comet", "lagoon", "willow"),
    hosts=("GATE01", "mx.north.test", "rack12-u4", "ctl-a", "storage.plant.test", "w3.inner.test", "PC-0042"),
    folders=("/etc/conf.d", "/mnt/vault/07", "D:\\Spool", "/run/user/1000", "~/cache", "\\\\share\\pub", "/proc/self"),
    packages=("io.quill.engine", "de.bahn.tafel", "System.Net.Http", "org.fjord.ui.main", "mod_proxy.balancer"),
    methods=("OnTick", "parse_header", "Dispose", "handleIntent", "TryAcquire", "visit_node", "applyPatch"),
    devices=("enp3s0", "md127", "lp0", "GigabitEthernet0/1", "tun2", "hda", "usb1-1.4"),
    network="172.{}.{}.{}",
    hours="{}h{:02}m{:02}s",
)


def kinds(dice: random.Random, names: Vocabulary) -> dict[str, Callable[[], str]]:
    """A function for each kind of value, which draws the next one."""
    whole, one = dice.randint, dice.choice

    def hexadecimal(digits: int) -> str:
        return f"{dice.getrandbits(4 * digits):0{digits}x}"

    def address() -> str:
        return names.network.format(whole(0, 31), whole(0, 255), whole(1, 254))

    def path() -> str:
        folder, ending = one(names.folders), one(["", ".log", ".bin", "-7.tmp", ".xml"])
        return ("\\" if "\\" in folder else "/").join((folder, one(names.words), one(names.words) + ending))

    def size() -> str:
        return f"{dice.uniform(0.1, 900):.{whole(0, 2)}f} {one(['KB', 'MB', 'GB', 'bytes'])}"

    return {
        "int": lambda: str(int(10 ** dice.uniform(0, 6))),
        "small": lambda: str(whole(0, 9)),
        "neg": lambda: str(whole(-120, 40)),
        "float": lambda: f"{dice.uniform(-5, 500):.{whole(1, 4)}f}",
        "pct": lambda: f"{whole(0, 100)}%",
        "size": size,
        "ms": lambda: f"{whole(0, 9000)}{one(['ms', ' ms'])}",
        "ip": address,
        "ipport": lambda: f"{address()}:{whole(1024, 65000)}",
        "host": lambda: one(names.hosts),
        "port": lambda: str(whole(20, 65000)),
        "hex": lambda: hexadecimal(8),
        "addr": lambda: f"0x{hexadecimal(one([4, 8, 12]))}",
        "uuid": lambda: "-".join(hexadecimal(n) for n in (8, 4, 4, 4, 12)),
        "id": lambda: f"{one(names.words)}_{whole(1, 99999)}",
        "path": path,
        "user": lambda: one(names.users),
        "word": lambda: one(names.words),
        "class": lambda: f"{one(names.packages)}.{one(names.words).title()}",
        "pkg": lambda: f"{one(names.packages)}.{one(names.words)}",
        "method": lambda: one(names.methods),
        "dev": lambda: one(names.devices),
        "bool": lambda: one(["true", "false"]),
        "date": lambda: f"2026-{whole(1, 12):02}-{whole(1, 28):02}",
        "time": lambda: names.hours.format(whole(0, 23), whole(0, 59), whole(0, 59)),
        "dur": lambda: f"{whole(0, 59):02}:{whole(0, 59):02}",
        "req": lambda: f"/v{whole(1, 3)}/{one(names.words)}/{whole(1, 9999)}",
    }
