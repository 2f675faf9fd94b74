"""Names of services, operations and databases, in as many tastes as teams have: nothing can be learned from a name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np

Taste = Literal["kebab", "camel", "snake", "java", "code", "unicode", "plain"]
TASTES: Final[tuple[Taste, ...]] = get_args(Taste)

# One string each, for a list of so many words reads badly.
_THINGS: Final = (  # noqa: SIM905
    "account address agenda alert asset audit badge basket batch billing booking branch budget bundle cabin calendar "
    "campaign card cargo carrier case catalog channel charge chart claim clinic coach comment contract course courier "
    "crew customs dataset deal depot device dispatch document donor draft driver dues employee event exam expense "
    "export fare feed fleet flight folder forecast form freight fund garage gate geo grade grant guest harbor hotel "
    "image import index insurance inventory invoice item job journal kitchen label lab ledger lesson letter licence "
    "listing loan locker lot loyalty mailbox map market meal media member menu merchant message meter mission model "
    "news note notice offer order outlet owner parcel partner passport patient payment permit photo plan playlist "
    "policy portfolio prescription price print profile project promo quota quote rating receipt recipe record refund "
    "region rent report reservation review reward rider risk roster route rule salary sample schedule score seat "
    "sensor shift shipment signal site slot statement station stock storage student subscription supplier survey "
    "table tariff task tax team tenant ticket token tour track trade trip user vehicle vendor video visit voucher "
    "wallet ward warehouse weather zone"
).split()
_ROLES: Final = (  # noqa: SIM905
    "api app backend core engine feed gateway hub index manager mill node proxy reader registry router server service "
    "store svc sync tracker worker writer"
).split()
_UNICODE: Final = ("größen", "señal", "prix", "посылка", "在庫", "świat", "çevre", "zählwerk", "café", "påmelding")
_ORGS: Final = ("com.acme", "io.halden", "org.mira", "net.orvo", "de.kontor", "dev.tarn")
_VERBS: Final = ("find", "list", "create", "confirm", "search", "count", "rank", "render", "resolve", "submit")
_HTTP_VERBS: Final = ("GET", "GET", "GET", "POST", "PUT", "DELETE", "PATCH")


@dataclass(slots=True)
class Namer:
    """Draws names that are not used twice, in one or two tastes a system.

    Attributes:
        rng: where chance comes from.
    """

    rng: np.random.Generator
    _used: set[str] = field(default_factory=set)
    _tastes: list[Taste] = field(default_factory=list)
    _org: str = ""

    def __post_init__(self) -> None:
        weights = np.array([5, 2, 2, 1.5, 1, 0.6, 3])
        picked = self.rng.choice(len(TASTES), size=2, replace=False, p=weights / weights.sum())
        self._tastes = [TASTES[index] for index in picked.tolist()]
        self._org = _ORGS[self.rng.integers(len(_ORGS))]

    def thing(self) -> str:
        """A thing that the business has."""
        return _THINGS[self.rng.integers(len(_THINGS))]

    def service(self) -> str:
        """A service's name."""
        for _ in range(200):
            name = self._shape(self._tastes[int(self.rng.random() < 0.15)])
            if name not in self._used:
                break
        else:
            name = f"{name}{len(self._used)}"
        self._used.add(name)
        return name

    def host(self) -> str:
        """A host name inside the system."""
        domain = ("internal", "svc.cluster.local", "lan")[self.rng.integers(3)]
        return f"{self.thing()}-{self.rng.integers(1, 99)}.{domain}"

    def operation(self, rpc: bool) -> tuple[str, str]:
        """An operation's verb and route: `("GET", "/claims/{id}")`, or `("", "claim.Claims/FindClaim")`."""
        thing, verb = self.thing(), _VERBS[self.rng.integers(len(_VERBS))]
        if rpc:
            return "", f"{thing}.{thing.capitalize()}Service/{verb.capitalize()}{thing.capitalize()}"
        method = _HTTP_VERBS[self.rng.integers(len(_HTTP_VERBS))]
        prefix = ("", "", "/api", "/v1", "/v2", "/internal")[self.rng.integers(6)]
        tail = ("", "/{id}", "/:id", f"/{verb}", f"/{{id}}/{self.thing()}s")[self.rng.integers(5)]
        return method, f"{prefix}/{thing}s{tail}"

    def topic(self) -> str:
        """A queue's or topic's name."""
        return f"{self.thing()}.{('created', 'changed', 'events', 'jobs', 'v1')[self.rng.integers(5)]}"

    def _shape(self, taste: Taste) -> str:
        thing, role = self.thing(), _ROLES[self.rng.integers(len(_ROLES))]
        if taste == "plain":
            return thing
        if taste == "kebab":
            return f"{thing}-{role}"
        if taste == "snake":
            return f"{thing}_{role}"
        if taste == "camel":
            return f"{thing.capitalize()}{role.capitalize()}"
        if taste == "java":
            return f"{self._org}.{thing}.{role}"
        if taste == "code":
            letters = "".join(chr(97 + int(index)) for index in self.rng.integers(26, size=2))
            return f"{letters}{self.rng.integers(10, 999)}"
        return f"{_UNICODE[self.rng.integers(len(_UNICODE))]}-{role}"
